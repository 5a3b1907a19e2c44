"""LightM-UNet: Section 2 of the paper (arXiv:2403.05246), as its text describes it, in 2D and 3D.

Letters: B batch, C channels, L tokens, S spatial sizes, K classes, l the level of a block, from 1.
What the text leaves open is an argument of `LightMUNet`; chapter 5 of the book lists every such choice and its cost.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightm.errors import LightMError
from lightm.kernels.depthwise_conv import depthwise_conv
from lightm.kernels.layout import channels_last
from lightm.kernels.linear import POINTWISE
from lightm.kernels.upsample import upsample
from lightm.models.checks import check_counts, check_image, check_spatial_dims
from lightm.models.rvm import MixerFactory, RVMLayer
from lightm.models.vss import tokens_to_volume, volume_to_tokens

MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class DWConv(nn.Sequential):
    """Depthwise 3^d convolution, then a pointwise one: (B, C_in, *S) -> (B, C_out, *S)."""

    def __init__(self, in_channels: int, out_channels: int, spatial_dims: int):
        super().__init__()
        self.depthwise = depthwise_conv(in_channels, spatial_dims)
        self.pointwise = POINTWISE[spatial_dims](in_channels, out_channels, 1)


class RVMStack(nn.Module):
    """RVM layers in a row on a volume's tokens, the last one changing the channels: (B, C, *S) -> (B, C_out, *S)."""

    def __init__(self, channels: int, spatial_dims: int, depth: int, out_channels: int, **rvm):
        super().__init__()
        outs = [channels] * (depth - 1) + [out_channels]
        self.layers = nn.ModuleList(RVMLayer(channels, spatial_dims, out, **rvm) for out in outs)

    def forward(self, x: Tensor) -> Tensor:
        grid = x.shape[2:]
        tokens = volume_to_tokens(x)  # (B, L, C)
        for layer in self.layers:
            tokens = layer(tokens, grid)
        return tokens_to_volume(tokens, grid)


class EncoderBlock(nn.Module):
    """Section 2.2: N_l RVM layers, the last doubling the channels, then max-pooling. (B, C, *S) -> (B, 2C, *S/2)."""

    def __init__(self, channels: int, spatial_dims: int, depth: int, **rvm):
        super().__init__()
        self.stack = RVMStack(channels, spatial_dims, depth, 2 * channels, **rvm)
        self.pool = MAX_POOL[spatial_dims](2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.stack(x))


class DecoderBlock(nn.Module):
    """Section 2.4: (B, C, *S) and the skip connection (B, C, *S) -> (B, C/2, *2S).

    P_out = ReLU(DWConv(P_in + F_D^l) + s' * (P_in + F_D^l)), equation (4); then half the channels and twice the size by
    interpolation, bilinear in 2D and trilinear in 3D (the paper says "bilinear" for both).

    The text doesn't say what halves the channels after each block, which its shapes require: here a pointwise
    convolution, before the interpolation, where it is cheapest. The order doesn't change the result: the weights of an
    interpolation sum to 1, so the two commute.
    """

    def __init__(self, channels: int, spatial_dims: int):
        super().__init__()
        self.dwconv = DWConv(channels, channels, spatial_dims)
        self.s = nn.Parameter(torch.ones(channels))
        self.halve = POINTWISE[spatial_dims](channels, channels // 2, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        fused = x + skip  # P_in + F_D^l, (B, C, *S)
        s = self.s.view(-1, *[1] * (x.ndim - 2))  # s', (C, 1, 1) or (C, 1, 1, 1)
        x = F.relu(self.dwconv(fused) + s * fused)  # equation (4), (B, C, *S)
        return upsample(self.halve(x))  # (B, C/2, *2S)


class LightMUNet(nn.Module):
    """LightM-UNet. Images (B, in_channels, *S) -> logits (B, out_channels, *S); no softmax, as everywhere in MONAI.

    Args:
        spatial_dims: 2 or 3. in_channels. out_channels: the number of classes K, background included.
        width: channels after the stem (paper: 32). depths: N_l, RVM layers of each encoder block (paper: 1, 2, 2; their
            number is the number of blocks). bottleneck_depth: RVM layers of the bottleneck (paper: 4).
        expansion, d_state, dt_rank, dwconv, directions, scan_backend: see `lightm.models.vss.VSSModule`.
        adjustment, residual: see `lightm.models.rvm.RVMLayer`; they leave the decoder's s' alone.
        stem_to_head: whether the stem's output is added to the head's input: Figure 2 has a dashed arrow between the
            two DWConvs, which the text doesn't mention.
        mixer, bottleneck_mixer: make the token mixer of all layers, or of the bottleneck's, in the VSS Module's place.

    Each spatial size must be divisible by 2 ** len(depths).
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        width: int = 32,
        depths: Sequence[int] = (1, 2, 2),
        bottleneck_depth: int = 4,
        expansion: int = 2,
        d_state: int = 16,
        dt_rank: int | None = None,
        dwconv: str = "spatial",
        directions: int = 1,
        scan_backend: str = "auto",
        adjustment: bool = True,
        residual: bool = True,
        stem_to_head: bool = False,
        mixer: MixerFactory | None = None,
        bottleneck_mixer: MixerFactory | None = None,
    ):
        super().__init__()
        check_spatial_dims(spatial_dims)
        check_counts(in_channels=in_channels, out_channels=out_channels, width=width, bottleneck_depth=bottleneck_depth)
        if not isinstance(depths, Sequence) or not depths:
            raise LightMError(f"depths must list the RVM layers of each encoder block, as (1, 2, 2), not {depths!r}.")
        check_counts(**{f"depths[{block}]": depth for block, depth in enumerate(depths)})
        vss = dict(
            expansion=expansion,
            d_state=d_state,
            dt_rank=dt_rank,
            dwconv=dwconv,
            directions=directions,
            scan_backend=scan_backend,
        )

        def options(make_mixer: MixerFactory | None) -> dict:
            own = vss if make_mixer is None else {"mixer": make_mixer}
            return {"adjustment": adjustment, "residual": residual, **own}

        self.spatial_dims, self.in_channels, self.out_channels = spatial_dims, in_channels, out_channels
        self.stem_to_head = stem_to_head
        channels = [width * 2**level for level in range(len(depths) + 1)]  # 32, 64, 128, 256
        self.stem = DWConv(in_channels, width, spatial_dims)
        self.encoder = nn.ModuleList(
            EncoderBlock(c, spatial_dims, depth, **options(mixer))
            for c, depth in zip(channels[:-1], depths, strict=True)
        )
        self.bottleneck = RVMStack(
            channels[-1], spatial_dims, bottleneck_depth, channels[-1], **options(bottleneck_mixer or mixer)
        )
        self.decoder = nn.ModuleList(DecoderBlock(c, spatial_dims) for c in reversed(channels[1:]))
        self.head = DWConv(width, out_channels, spatial_dims)
        for parameter in self.parameters():
            if parameter.ndim <= 1:  # norms, biases, s, s', D: as mamba_ssm and timm, no weight decay
                parameter._no_weight_decay = True

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, *S), floating point -> logits (B, out_channels, *S)."""
        check_image(x, self.spatial_dims, self.in_channels, 2 ** len(self.encoder))
        x = shallow = self.stem(channels_last(x))  # F_S, (B, 32, *S)
        skips = []
        for block in self.encoder:
            x = block(x)  # F_D^l, (B, 32 * 2^l, *S / 2^l)
            skips.append(x)
        x = self.bottleneck(x)  # (B, 256, *S / 8)
        for block in self.decoder:
            x = block(x, skips.pop())  # (B, 16 * 2^l, *S / 2^(l - 1))
        if self.stem_to_head:
            x = x + shallow  # (B, 32, *S)
        return self.head(x)  # (B, K, *S)
