"""LightM-UNet: Section 2 of the paper (arXiv:2403.05246), as its text describes it, in 2D and 3D.

What the text leaves open is an argument of `LightMUNet`; chapter 5 of the book lists every such choice and its price.
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightm.errors import LightMError
from lightm.kernels.depthwise_conv import depthwise_conv
from lightm.kernels.linear import POINTWISE
from lightm.kernels.upsample import upsample
from lightm.models.checks import check_counts, check_spatial_dims
from lightm.models.rvm import MixerFactory, RVMLayer
from lightm.models.vss import tokens_to_volume, volume_to_tokens

MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


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
        self.pool = MAX_POOL[spatial_dims]

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.stack(x), 2)


class DecoderBlock(nn.Module):
    """Section 2.4, equation (4): fuse by addition, DWConv + s' * (...), ReLU; then half the channels, twice the size by
    interpolation, bilinear in 2D and trilinear in 3D (the paper says "bilinear" of both).

    (B, C, *S) and the skip connection (B, C, *S) -> (B, C/2, *2S). The text doesn't say what halves the channels
    after each block, which its shapes need: here a pointwise convolution, before the interpolation, where it is
    cheapest (the order doesn't matter: interpolation weights sum to 1, so the two commute).
    """

    def __init__(self, channels: int, spatial_dims: int):
        super().__init__()
        self.dwconv = DWConv(channels, channels, spatial_dims)
        self.s = nn.Parameter(torch.ones(channels))
        self.halve = POINTWISE[spatial_dims](channels, channels // 2, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        fused = x + skip  # (B, C, *S)
        s = self.s.view(-1, *[1] * (x.ndim - 2))  # (C, 1, 1) or (C, 1, 1, 1)
        y = F.relu(self.dwconv(fused) + s * fused)
        return upsample(self.halve(y))


class LightMUNet(nn.Module):
    """LightM-UNet. Images (B, in_channels, *S) -> logits (B, out_channels, *S); no softmax, as everywhere in MONAI.

    Args:
        spatial_dims: 2 or 3. in_channels. out_channels: the number of classes K, background included.
        width: channels after the stem (paper: 32). depths: N_l, RVM layers of each encoder block (paper: 1, 2, 2; their
            number is the number of blocks). bottleneck_depth: RVM layers of the bottleneck (paper: 4).
        expansion, d_state, dt_rank, dwconv, directions, scan_backend: see `lightm.models.vss.VSSModule`.
        adjustment, residual: see `lightm.models.rvm.RVMLayer`; they leave the decoder's s' alone.
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

    def check_input(self, x: Tensor) -> None:
        """Raise LightMError, naming the remedy, for an image that this network can't take."""
        axes = "HWZ"[: self.spatial_dims]
        if x.ndim != self.spatial_dims + 2:
            raise LightMError(
                f"The input has shape {tuple(x.shape)}; this network is {self.spatial_dims}D and takes "
                f"(batch, channels, {', '.join(axes)}): add or remove axes."
            )
        if x.shape[1] != self.in_channels:
            raise LightMError(
                f"The input has {x.shape[1]} channels and the network {self.in_channels}: build the network with "
                f"in_channels={x.shape[1]} or give it {self.in_channels} channels."
            )
        if not x.is_floating_point():
            raise LightMError(f"The input is {x.dtype}: normalise it and convert it to floating point, e.g. x.float().")
        step, sizes = 2 ** len(self.encoder), tuple(x.shape[2:])
        if any(size % step or size < step for size in sizes):
            larger = tuple(max(math.ceil(size / step), 1) * step for size in sizes)
            smaller = tuple(size // step * step for size in sizes)
            crop = f" or crop to {smaller}" if min(smaller) > 0 else ""
            raise LightMError(
                f"The spatial size {sizes} must be divisible by {step}, for {len(self.encoder)} poolings: "
                f"pad or resize to {larger}{crop}."
            )

    def stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The forward pass, one stage at a time: yields (name, volume (B, C_stage, *S_stage)), the logits last."""
        self.check_input(x)
        x = self.stem(x.contiguous(memory_format=CHANNELS_LAST[self.spatial_dims]))  # (B, 32, *S)
        x = x.contiguous(memory_format=CHANNELS_LAST[self.spatial_dims])  # a 1-channel input is ambiguous
        yield "stem", x
        skips = []
        for level, block in enumerate(self.encoder, start=1):
            x = block(x)  # (B, 32 * 2^l, *S / 2^l)
            skips.append(x)
            yield f"encoder {level}", x
        x = self.bottleneck(x)  # (B, 256, *S / 8)
        yield "bottleneck", x
        for level, block in zip(range(len(skips), 0, -1), self.decoder, strict=True):
            x = block(x, skips.pop())  # (B, 16 * 2^l, *S / 2^(l - 1))
            yield f"decoder {level}", x
        yield "head", self.head(x)  # (B, K, *S)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_channels, *S), floating point -> logits (B, out_channels, *S)."""
        for name, volume in self.stages(x):
            if name == "head":
                return volume
