"""The networks that the paper compares with, at the settings that give the parameters and operations of its tables.

SegResNet, UNETR and SwinUNETR are MONAI's. nnU-Net's network is `PlainConvUNet` of dynamic-network-architectures, with
the arguments that nnU-Net's planner chooses by default. U-Mamba (arXiv:2401.04722; github.com/bowang-lab/U-Mamba,
module names as there) is put together here from the same library's residual blocks and our `lightm.models.mamba.Mamba`.
"""

import inspect
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from lightm.errors import LightMError
from lightm.models.checks import check_counts, check_image, check_spatial_dims
from lightm.models.mamba import Mamba
from lightm.models.vss import tokens_to_volume, volume_to_tokens

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
INSTANCE_NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}

PAPER_SIZE = {2: (512, 512), 3: (128, 128, 128)}  # of the images, Section 3; the networks' default
MAX_FEATURES = {2: 512, 3: 320}  # of nnU-Net's planner


def stages_for(size: Sequence[int]) -> int:
    """The number of resolutions that nnU-Net's planner chooses for images of spatial size `size`, isotropic.

    It halves them as long as 4 voxels are left (UNet_featuremap_min_edge_length of github.com/MIC-DKFZ/nnUNet,
    nnunetv2/experiment_planning/experiment_planners). The planner may halve long axes more often than short ones and
    pads odd sizes; here all axes are halved together, as long as each stays whole.
    """
    poolings = 0
    while all(n % 2 ** (poolings + 1) == 0 and n >= 4 * 2 ** (poolings + 1) for n in size):
        poolings += 1
    return poolings + 1


def guard(model: nn.Module, spatial_dims: int, in_channels: int, step: int, instance_norm: bool = True) -> nn.Module:
    """`model`, which from now on raises LightMError, naming the remedy, for images that it can't take.

    step: their sizes must be multiples of it. instance_norm: more than one voxel must be left at the lowest resolution.
    """
    model.register_forward_pre_hook(partial(_check, (spatial_dims, in_channels, step), instance_norm))
    return model


def _check(sizes: tuple[int, int, int], instance_norm: bool, model: nn.Module, args: tuple[Tensor]) -> None:
    check_image(args[0], *sizes)
    spatial_dims, _, step = sizes
    size = tuple(args[0].shape[2:])
    if instance_norm and max(size) == step:
        raise LightMError(
            f"An image of {size} is one voxel at the network's lowest resolution, where its InstanceNorm needs "
            f"more: give a larger one, say {(2 * step,) * spatial_dims}."
        )


def _plan(spatial_dims: int, in_channels: int, out_channels: int, n_stages: int | None, width: int) -> dict:
    """What nnU-Net's planner decides: stages, features, kernels and strides; and what is the same for every plan."""
    check_spatial_dims(spatial_dims)
    n_stages = stages_for(PAPER_SIZE[spatial_dims]) if n_stages is None else n_stages
    check_counts(in_channels=in_channels, out_channels=out_channels, n_stages=n_stages, width=width)
    return {
        "n_stages": n_stages,
        "features_per_stage": [min(width * 2**stage, MAX_FEATURES[spatial_dims]) for stage in range(n_stages)],
        "conv_op": CONV[spatial_dims],
        "kernel_sizes": [[3] * spatial_dims] * n_stages,
        "strides": [[1] * spatial_dims] + [[2] * spatial_dims] * (n_stages - 1),
        "conv_bias": True,
        "norm_op": INSTANCE_NORM[spatial_dims],
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
    }


def nnunet(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    n_stages: int | None = None,
    width: int = 32,
    deep_supervision: bool = False,
) -> nn.Module:
    """nnU-Net's plain convolutional U-Net: images (B, C, *S) -> logits (B, K, *S).

    n_stages: resolutions, default 8 in 2D and 6 in 3D (`stages_for` the paper's sizes); S must be divisible by
    2 ** (n_stages - 1).
    width: channels of the first one. With deep_supervision the output is the list of logits at every resolution but the
    lowest, finest first: so the tables count it.
    """
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
    from dynamic_network_architectures.initialization.weight_init import InitWeights_He

    plan = _plan(spatial_dims, in_channels, out_channels, n_stages, width)
    model = PlainConvUNet(
        in_channels,
        num_classes=out_channels,
        n_conv_per_stage=2,
        n_conv_per_stage_decoder=2,
        deep_supervision=deep_supervision,
        **plan,
    )
    model.apply(InitWeights_He(1e-2))
    return guard(model, spatial_dims, in_channels, 2 ** (plan["n_stages"] - 1))


class MambaLayer(nn.Module):
    """LayerNorm and Mamba over the voxels of a volume in row-major order, (B, C, *S) -> (B, C, *S); no residual."""

    def __init__(self, channels: int, scan_backend: str = "auto"):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mamba = Mamba(channels, scan_backend=scan_backend)

    def forward(self, x: Tensor) -> Tensor:
        return tokens_to_volume(self.mamba(self.norm(volume_to_tokens(x))), x.shape[2:])


class UMamba(nn.Module):
    """U-Mamba: residual U-Net with a Mamba layer at its bottom (`Bot`), or after every encoder stage (`Enc`).

    Arguments as `nnunet`; everywhere: whether every stage has one.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        n_stages: int | None = None,
        width: int = 32,
        deep_supervision: bool = False,
        scan_backend: str = "auto",
        everywhere: bool = False,
    ):
        from dynamic_network_architectures.building_blocks.residual_encoders import ResidualEncoder
        from dynamic_network_architectures.building_blocks.unet_residual_decoder import UNetResDecoder
        from dynamic_network_architectures.initialization import weight_init

        super().__init__()
        plan = _plan(spatial_dims, in_channels, out_channels, n_stages, width)
        channels = plan["features_per_stage"]
        self.encoder = ResidualEncoder(in_channels, n_blocks_per_stage=2, return_skips=True, **plan)
        if everywhere:
            self.encoder.mamba_layers = nn.ModuleList(MambaLayer(c, scan_backend) for c in channels)
        else:
            self.ln = nn.LayerNorm(channels[-1])
            self.mamba = Mamba(channels[-1], scan_backend=scan_backend)
        self.decoder = UNetResDecoder(self.encoder, out_channels, n_conv_per_stage=2, deep_supervision=deep_supervision)
        for block in self.modules():
            if inspect.isfunction(getattr(block, "skip", None)):  # the library's lambda x: x, which can't be pickled
                block.skip = nn.Identity()
        self.apply(weight_init.InitWeights_He(1e-2))  # of convolutions in 2D and 3D, so not of Mamba
        if everywhere:
            self.apply(weight_init.init_last_bn_before_add_to_0)
        self.everywhere = everywhere
        guard(self, spatial_dims, in_channels, 2 ** (plan["n_stages"] - 1))

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        if self.everywhere:
            x, skips = self.encoder.stem(x), []
            for stage, mamba in zip(self.encoder.stages, self.encoder.mamba_layers, strict=True):
                x = mamba(stage(x))  # (B, C_stage, *S_stage)
                skips.append(x)
        else:
            *skips, x = self.encoder(x)
            tokens = self.mamba(self.ln(volume_to_tokens(x)))  # (B, L, C)
            skips.append(tokens_to_volume(tokens, x.shape[2:]))
        return self.decoder(skips)


def u_mamba_bot(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    n_stages: int | None = None,
    width: int = 32,
    deep_supervision: bool = False,
    scan_backend: str = "auto",
) -> UMamba:
    """U-Mamba_Bot, the U-Mamba of the paper's tables. Options as `nnunet`."""
    return UMamba(spatial_dims, in_channels, out_channels, n_stages, width, deep_supervision, scan_backend)


def u_mamba_enc(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    n_stages: int | None = None,
    width: int = 32,
    deep_supervision: bool = False,
    scan_backend: str = "auto",
) -> UMamba:
    """U-Mamba_Enc, as first released and as in the authors' repository. Options as `nnunet`."""
    return UMamba(spatial_dims, in_channels, out_channels, n_stages, width, deep_supervision, scan_backend, True)


def segresnet(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    init_filters: int = 32,
    blocks_down: Sequence[int] = (1, 2, 2, 4),
    blocks_up: Sequence[int] = (1, 1, 1),
) -> nn.Module:
    """MONAI's SegResNet: images (B, C, *S), S divisible by 8 -> logits (B, K, *S)."""
    from monai.networks.nets import SegResNet

    check_spatial_dims(spatial_dims)
    check_counts(in_channels=in_channels, out_channels=out_channels, init_filters=init_filters)
    blocks = {"blocks_down": tuple(blocks_down), "blocks_up": tuple(blocks_up)}
    model = SegResNet(spatial_dims, init_filters, in_channels, out_channels, **blocks)
    return guard(model, spatial_dims, in_channels, 2 ** len(blocks_up), instance_norm=False)


def unetr(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    img_size: Sequence[int] | int | None = None,
    feature_size: int = 16,
    hidden_size: int = 768,
    mlp_dim: int = 3072,
    num_heads: int = 12,
) -> nn.Module:
    """MONAI's UNETR: images (B, C, *img_size) -> logits (B, K, *img_size). Only for the image size it is built for.

    img_size: one number, or one per axis, divisible by 16; default 512 x 512 or 128 x 128 x 128, the paper's.
    """
    from monai.networks.nets import UNETR

    check_spatial_dims(spatial_dims)
    check_counts(in_channels=in_channels, out_channels=out_channels, feature_size=feature_size)
    size = img_size or PAPER_SIZE[spatial_dims]
    size = tuple(size) if isinstance(size, Sequence) else (size,) * spatial_dims
    if len(size) != spatial_dims or any(type(n) is not int or n < 16 or n % 16 for n in size):
        raise LightMError(f"img_size={size} must be {spatial_dims} whole numbers divisible by 16, the size of a patch.")
    model = UNETR(
        in_channels, out_channels, size, feature_size, hidden_size, mlp_dim, num_heads, spatial_dims=spatial_dims
    )

    model.register_forward_pre_hook(partial(_check_size, size, in_channels))
    return model


def _check_size(size: tuple[int, ...], in_channels: int, model: nn.Module, args: tuple[Tensor]) -> None:
    check_image(args[0], len(size), in_channels, 1)
    found = tuple(args[0].shape[2:])
    if found != size:
        raise LightMError(f"This UNETR is built for images of {size}, not {found}: build it with img_size={found}.")


def swin_unetr(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    feature_size: int = 48,
    depths: Sequence[int] = (2, 2, 2, 2),
    num_heads: Sequence[int] = (3, 6, 12, 24),
) -> nn.Module:
    """MONAI's SwinUNETR (not its v2): images (B, C, *S), S divisible by 32 -> logits (B, K, *S)."""
    from monai.networks.nets import SwinUNETR

    check_spatial_dims(spatial_dims)
    check_counts(in_channels=in_channels, out_channels=out_channels, feature_size=feature_size)
    if feature_size % 12:
        raise LightMError(f"feature_size={feature_size} must be a multiple of 12 for SwinUNETR.")
    # Its constructor reads the values of a tensor, which a meta tensor doesn't have: build it elsewhere, then move it.
    device = torch.get_default_device()
    with torch.device("cpu" if device.type == "meta" else device):
        model = SwinUNETR(
            in_channels,
            out_channels,
            depths=tuple(depths),
            num_heads=tuple(num_heads),
            feature_size=feature_size,
            spatial_dims=spatial_dims,
        )
    return guard(model.to(device), spatial_dims, in_channels, 32)
