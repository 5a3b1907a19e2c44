"""Token mixers that Table 3 of the paper puts in the place of the VSS Module: a 3^d convolution, and self-attention.

Like `lightm.models.vss.VSSModule`, each maps tokens x (B, L, C) and the spatial sizes `grid` of their volume to
(B, L, C).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from lightm.errors import LightMError
from lightm.models.checks import check_counts, check_spatial_dims
from lightm.models.vss import tokens_to_volume, volume_to_tokens


class Conv3(nn.Module):
    """The "convolution operation with a 3x3 kernel" of the ablations, over the 3^d neighbours and all channels.

    Bias-free, as the VSS Module's linear layers. C * C * 3^d parameters.
    """

    def __init__(self, channels: int, spatial_dims: int):
        super().__init__()
        check_spatial_dims(spatial_dims)
        conv = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        self.conv = conv(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        return volume_to_tokens(self.conv(tokens_to_volume(x, grid)))


class SelfAttention(nn.Module):
    """The "self-attention mechanism" of the ablations: every token sees every token, in `heads` heads.

    The paper gives no number of heads. Positions aren't encoded: the order of the tokens makes no difference, and only
    the convolutions before it mark where a feature lies. Time grows as L^2; memory doesn't where the device has a fused
    kernel for scaled_dot_product_attention, which never holds the L x L matrix.
    """

    def __init__(self, channels: int, heads: int = 8):
        super().__init__()
        check_counts(channels=channels, heads=heads)
        if channels % heads:
            raise LightMError(f"heads={heads} must divide the {channels} channels of the layer.")
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out_proj = nn.Linear(channels, channels, bias=False)

    def forward(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, L, 3, heads, C / heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, L, C / heads)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(y.transpose(1, 2).flatten(2))  # (B, L, C)
