"""The Residual Vision Mamba Layer (RVM Layer): Section 2.2 of LightM-UNet, equations (1) and (2).

Letters: B batch, C channels, L tokens (the product of the spatial sizes, row-major).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lightm.errors import LightMError
from lightm.kernels.linear import Linear
from lightm.models.vss import VSSModule

# A token mixer: mixer(channels, spatial_dims) makes a module that maps (x (B, L, C), grid) -> (B, L, C).
MixerFactory = Callable[[int, int], nn.Module]


class RVMLayer(nn.Module):
    """Residual Vision Mamba Layer, equations (1) and (2):

        M~ = VSSM(LayerNorm(M_in)) + s * M_in    M_out = Projection(LayerNorm(M~))

    Args:
        channels: C. spatial_dims: 2 or 3. out_channels: of the projection, default C.
        mixer: makes the token mixer in the place of the VSS Module (ablations); default VSSModule.
        adjustment: with False s is 1 and not learnt ("w/o Adjustment factors", Table 3).
        residual: with False s * M is left out, and with it s ("w/o Residual connections", Table 3).
        vss: options of `lightm.models.vss.VSSModule`.

    s has one value per channel, as in the paper, and starts at 1. The two LayerNorms have parameters of their own.
    """

    def __init__(
        self,
        channels: int,
        spatial_dims: int,
        out_channels: int | None = None,
        mixer: MixerFactory | None = None,
        adjustment: bool = True,
        residual: bool = True,
        **vss,
    ):
        super().__init__()
        if mixer is not None and vss:
            raise LightMError(
                f"{', '.join(vss)}: an option of the VSS Module, which this layer's mixer replaces; leave it out."
            )
        self.residual = residual
        self.norm_in = nn.LayerNorm(channels)
        self.mixer = VSSModule(channels, spatial_dims, **vss) if mixer is None else mixer(channels, spatial_dims)
        self.s = nn.Parameter(torch.ones(channels)) if residual and adjustment else None
        self.norm_out = nn.LayerNorm(channels)
        self.proj = Linear(channels, channels if out_channels is None else out_channels)

    def forward(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        """Tokens x (B, L, C) of a volume with spatial sizes `grid` -> (B, L, C_out)."""
        m = self.mixer(self.norm_in(x), grid)  # equation (1), VSSM(LayerNorm(M_in)), (B, L, C)
        if self.residual:
            m = m + (x if self.s is None else self.s * x)  # equation (1), + s * M_in
        return self.proj(self.norm_out(m))  # equation (2), (B, L, C_out)
