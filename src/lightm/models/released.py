"""The networks that the authors of LightM-UNet published: the uploads of 2024-03-17 and of 2024-03-29, in 2D and 3D.

Module names, and so the state_dict, are those of the authors' code (github.com/MrBlankness/LightM-UNet,
lightm-unet/nnunetv2/nets/LightMUNet.py); a state_dict of theirs loads with strict=True and computes the same function.
Both uploads are MONAI's SegResNet with RVM layers for the encoder's convolutions, and MONAI's blocks build them here as
there. How they differ from each other and from the paper's text is a chapter of the book.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightm.errors import LightMError, suggest
from lightm.kernels.layout import channels_last
from lightm.models.checks import check_counts, check_image, check_spatial_dims
from lightm.models.mamba import Mamba
from lightm.models.vss import tokens_to_volume, volume_to_tokens

UPLOADS = ("2024-03-17", "2024-03-29")
GROUP_NORM = ("group", {"num_groups": 8})
MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class ReleasedRVMLayer(nn.Module):
    """RVM layer as released: (B, C, *S) -> (B, C_out, *S). One LayerNorm serves twice, and s is one number.

    m = mixer(norm(x)) + s x;  y = proj(norm(m)),  on the tokens (B, L, C) of the volume in row-major order.

    Args: mixer, a module (B, L, C) -> (B, L, C), default Mamba. With adjustment=False s is 1 and no parameter; with
    residual=False there is no s x ("w/o Adjustment factors" and "w/o Residual connections" of Table 3).
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        mixer: nn.Module | None = None,
        adjustment: bool = True,
        residual: bool = True,
        scan_backend: str = "auto",
    ):
        super().__init__()
        self.residual = residual
        self.norm = nn.LayerNorm(channels)
        self.mamba = Mamba(channels, scan_backend=scan_backend) if mixer is None else mixer
        self.proj = nn.Linear(channels, out_channels)
        self.skip_scale = nn.Parameter(torch.ones(1)) if residual and adjustment else None

    def forward(self, x: Tensor) -> Tensor:
        grid = x.shape[2:]
        tokens = volume_to_tokens(x)  # (B, L, C)
        m = self.mamba(self.norm(tokens))
        if self.residual:
            m = m + (tokens if self.skip_scale is None else self.skip_scale * tokens)
        return channels_last(tokens_to_volume(self.proj(self.norm(m)), grid))  # (B, C_out, *S)


class QKVAttention(nn.Module):
    """Self-attention with maps for queries, keys and values and none for the output: (B, L, C) -> (B, L, C).

    In Mamba's place in the bottleneck it gives exactly the counts of Table 3's "Self-Attention" row. They don't depend
    on the number of heads, nor on the attention itself, which thop does not count.
    """

    def __init__(self, channels: int, heads: int = 8):
        super().__init__()
        if channels % heads:
            raise LightMError(f"heads={heads} must divide the {channels} channels of the bottleneck.")
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(channels, channels, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v)  # (B, heads, L, C / heads)
        return y.transpose(1, 2).flatten(2)


class MambaBlock(nn.Module):
    """Residual block of two RVM layers, (B, C, *S) -> (B, C, *S): MONAI's ResBlock with layers for its convolutions."""

    def __init__(self, channels: int, make_layer: Callable[[int, int], nn.Module]):
        super().__init__()
        self.norm1, self.norm2 = (nn.GroupNorm(8, channels) for _ in range(2))
        self.conv1, self.conv2 = (make_layer(channels, channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return self.conv2(F.relu(self.norm2(y))) + x


class DWConvBlock(nn.Module):
    """Decoder block of the second upload, (B, C, *S) -> (B, C, *S): depthwise and pointwise convolution, s x added."""

    def __init__(self, channels: int, spatial_dims: int):
        super().__init__()
        self.norm1, self.norm2 = (nn.GroupNorm(8, channels) for _ in range(2))
        self.conv = separable_conv(spatial_dims, channels, channels)
        self.skip_scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(F.relu(self.norm1(x))) + self.skip_scale * x
        return F.relu(self.norm2(y))


def separable_conv(
    spatial_dims: int, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = False
) -> nn.Sequential:
    """Depthwise convolution, then a pointwise one, (B, C, *S) -> (B, C_out, *S), each in MONAI's `Convolution`."""
    from monai.networks.blocks.convolutions import Convolution

    depthwise = dict(kernel_size=kernel_size, groups=in_channels, bias=bias, conv_only=True)
    return nn.Sequential(
        Convolution(spatial_dims, in_channels, in_channels, **depthwise),
        Convolution(spatial_dims, in_channels, out_channels, kernel_size=1, bias=bias, conv_only=True),
    )


class ReleasedLightMUNet(nn.Module):
    """LightM-UNet as released. Images (B, in_channels, *S) -> logits (B, out_channels, *S).

    Args:
        spatial_dims: 2 or 3. in_channels. out_channels: the number of classes, background included.
        upload: "2024-03-17", whose stem, decoder and head are full convolutions, or "2024-03-29", where they are
            depthwise and pointwise ones ("DWConv").
        width: channels after the stem, a multiple of 8. blocks_down: residual blocks of two RVM layers at each level.
            blocks_up: decoder blocks at each level on the way up, one level fewer.
        make_layer: (level, channels, out_channels) -> the layer (B, C, *S) -> (B, C_out, *S) to use for
            `ReleasedRVMLayer` (ablations).
        rvm: options of `ReleasedRVMLayer`.

    Each spatial size must be divisible by 2 ** (levels - 1), 8 by default.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        upload: str = "2024-03-17",
        width: int = 32,
        blocks_down: Sequence[int] = (1, 2, 2, 4),
        blocks_up: Sequence[int] = (1, 1, 1),
        make_layer: Callable[[int, int, int], nn.Module] | None = None,
        **rvm,
    ):
        from monai.networks.blocks.segresnet_block import ResBlock, get_conv_layer, get_upsample_layer

        super().__init__()
        check_spatial_dims(spatial_dims)
        check_counts(in_channels=in_channels, out_channels=out_channels, width=width)
        if upload not in UPLOADS:
            raise LightMError(f"upload={upload!r} is unknown. {suggest(str(upload), UPLOADS)}")
        if width % 8:
            raise LightMError(f"width={width} must be a multiple of 8: the network's GroupNorm has 8 groups.")
        if len(blocks_up) != len(blocks_down) - 1:
            raise LightMError(
                f"blocks_up has {len(blocks_up)} levels and blocks_down {len(blocks_down)}; it must have one fewer."
            )
        self.spatial_dims, self.in_channels, self.out_channels = spatial_dims, in_channels, out_channels
        dense = upload == "2024-03-17"
        conv = get_conv_layer if dense else separable_conv

        def layer(level: int, channels: int, out: int) -> nn.Module:
            return make_layer(level, channels, out) if make_layer else ReleasedRVMLayer(channels, out, **rvm)

        def up_block(channels: int) -> nn.Module:
            return ResBlock(spatial_dims, channels, GROUP_NORM) if dense else DWConvBlock(channels, spatial_dims)

        self.convInit = conv(spatial_dims, in_channels, width)
        self.down_layers = nn.ModuleList()
        for level, n_blocks in enumerate(blocks_down):
            c = width * 2**level
            down = nn.Sequential(layer(level - 1, c // 2, c), MAX_POOL[spatial_dims](2)) if level else nn.Identity()
            blocks = (MambaBlock(c, partial(layer, level)) for _ in range(n_blocks))
            self.down_layers.append(nn.Sequential(down, *blocks))
        self.up_layers, self.up_samples = nn.ModuleList(), nn.ModuleList()
        for level, n_blocks in zip(reversed(range(len(blocks_up))), blocks_up, strict=True):
            c = width * 2**level
            narrow = get_conv_layer(spatial_dims, 2 * c, c, kernel_size=1)
            self.up_samples.append(nn.Sequential(narrow, get_upsample_layer(spatial_dims, c)))
            self.up_layers.append(nn.Sequential(*(up_block(c) for _ in range(n_blocks))))
        head = conv(spatial_dims, width, out_channels, kernel_size=1, bias=True)  # its depthwise kernel is 1^d, too
        self.conv_final = nn.Sequential(nn.GroupNorm(8, width), nn.ReLU(), head)

    def forward(self, x: Tensor) -> Tensor:
        check_image(x, self.spatial_dims, self.in_channels, 2 ** len(self.up_layers))
        x = self.convInit(x)  # (B, 32, *S)
        skips = []
        for down in self.down_layers:
            x = down(x)  # (B, 32 * 2^level, *S / 2^level)
            skips.append(x)
        skips.pop()
        for up, block in zip(self.up_samples, self.up_layers, strict=True):
            x = block(up(x) + skips.pop())
        return self.conv_final(x)  # (B, K, *S)


def released(upload: str, **fixed) -> Callable[..., ReleasedLightMUNet]:
    """A builder of the released network with some arguments of `ReleasedLightMUNet` fixed."""

    def build(
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        width: int = 32,
        blocks_down: Sequence[int] = (1, 2, 2, 4),
        blocks_up: Sequence[int] = (1, 1, 1),
        scan_backend: str = "auto",
    ) -> ReleasedLightMUNet:
        options = {"width": width, "blocks_down": blocks_down, "blocks_up": blocks_up, "scan_backend": scan_backend}
        return ReleasedLightMUNet(spatial_dims, in_channels, out_channels, upload, **options, **fixed)

    return build


def released_conv3(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    width: int = 32,
    blocks_down: Sequence[int] = (1, 2, 2, 4),
    blocks_up: Sequence[int] = (1, 1, 1),
) -> ReleasedLightMUNet:
    """The first upload with a bias-free 3^d convolution for every whole RVM layer, as in Table 3's "VSSM -> Conv3".

    The table's name says that it replaces only the layer's VSSM; that would give other counts than the table's.
    """
    from monai.networks.blocks.segresnet_block import get_conv_layer

    def conv3(level: int, channels: int, out: int) -> nn.Module:
        return get_conv_layer(spatial_dims, channels, out)

    options = {"width": width, "blocks_down": blocks_down, "blocks_up": blocks_up, "make_layer": conv3}
    return ReleasedLightMUNet(spatial_dims, in_channels, out_channels, **options)


def released_attention(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    width: int = 32,
    blocks_down: Sequence[int] = (1, 2, 2, 4),
    blocks_up: Sequence[int] = (1, 1, 1),
    heads: int = 8,
    scan_backend: str = "auto",
) -> ReleasedLightMUNet:
    """The first upload with attention for Mamba in the RVM layers of the bottleneck: "Self-Attention" of Table 3."""
    bottleneck = len(blocks_down) - 1

    def layer(level: int, channels: int, out: int) -> nn.Module:
        mixer = QKVAttention(channels, heads) if level == bottleneck else None
        return ReleasedRVMLayer(channels, out, mixer, scan_backend=scan_backend)

    options = {"width": width, "blocks_down": blocks_down, "blocks_up": blocks_up, "make_layer": layer}
    return ReleasedLightMUNet(spatial_dims, in_channels, out_channels, **options)
