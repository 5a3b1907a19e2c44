"""The list of networks: what each name stands for, its options, which of them fits the image size, what it needs."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from lightm.models import baselines, released
from lightm.models.mixers import Conv3, SelfAttention
from lightm.models.unet import LightMUNet

SHAPE_ARGUMENTS = ("spatial_dims", "in_channels", "out_channels")
SIZE_OPTIONS = ("n_stages", "img_size")


@dataclass(frozen=True)
class ModelInfo:
    """What a name stands for.

    build: makes the network, as `lightm.models.build_model`. options: its keyword options with their defaults.
    size_option: the one of them that depends on the size of the images, if one does: see `options_for_size`.
    needs: what must be installed to build it, beside PyTorch, as pip takes it; empty if nothing.
    """

    name: str
    summary: str
    paper_section: str
    build: Callable[..., nn.Module] = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    needs: str = ""

    @property
    def size_option(self) -> str:
        return next((option for option in SIZE_OPTIONS if option in self.options), "")


def _options(build: Callable[..., nn.Module], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The keyword options of a builder with their defaults, as in its signature."""
    parameters = inspect.signature(build).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in (*SHAPE_ARGUMENTS, *without)}


def _variant(name: str, summary: str, section: str, without: tuple[str, ...] = (), **fixed: Any) -> ModelInfo:
    """A LightMUNet with some arguments fixed, and others that mean nothing with them."""
    build = partial(LightMUNet, **fixed)
    return ModelInfo(name, summary, section, build, _options(LightMUNet, (*MIXERS, *fixed, *without)))


def _with_attention(*shape: int, heads: int = 8, **options) -> LightMUNet:
    return LightMUNet(*shape, bottleneck_mixer=lambda channels, _: SelfAttention(channels, heads), **options)


def _other(name: str, build: Callable[..., nn.Module], summary: str, section: str, needs: str = "monai") -> ModelInfo:
    return ModelInfo(name, summary, section, build, _options(build), needs)


# The width of lightm-unet-1m: the widest whose true count is within 1.09 M parameters both in 2D (3 channels, 2
# classes) and in 3D (1 channel, 3 classes); in 2D at 512 x 512 it then needs half of 22.3 GMACs, scan included. It is
# the only number of the text that changes. What the text leaves open (expansion, states, rank of Δ) isn't enough: at
# width 32 with expansion 1, one state and rank 1 there are still 1.4 M parameters, because the linear layers of the
# bottleneck alone have 1 M. Fewer layers would be enough, but Section 2.3 gives a reason for the bottleneck's four, and
# the text gives none for 32.
ONE_MILLION_WIDTH = 20
MIXERS = ("mixer", "bottleneck_mixer")
VSS_OPTIONS = ("expansion", "d_state", "dt_rank", "dwconv", "directions", "scan_backend")
COUNTED_OPTIONS = ("depths", "bottleneck_depth", *VSS_OPTIONS[:-1], "adjustment", "residual")
FIRST, SECOND = released.UPLOADS
DNA = "dynamic-network-architectures==0.3.1"  # the version of pyproject.toml
NETWORKS = (
    _variant("lightm-unet", "LightM-UNet as the paper's text describes it", "Section 2"),
    _variant(
        "lightm-unet-1m",
        "LightM-UNet as the text describes it, with 20 channels after the stem for 32: 1.09 M parameters at most",
        "Section 2; abstract, 1M parameters",
        COUNTED_OPTIONS,
        width=ONE_MILLION_WIDTH,
    ),
    _variant(
        "paper-conv3",
        "LightM-UNet with a 3^d convolution for every VSS Module",
        "Table 3, VSSM -> Conv3",
        VSS_OPTIONS,
        mixer=Conv3,
    ),
    ModelInfo(
        "paper-attention",
        "LightM-UNet with self-attention for the VSS Modules of the bottleneck",
        "Table 3, VSSM -> Self-Attention",
        _with_attention,
        _options(LightMUNet, MIXERS) | {"heads": 8},
    ),
    _variant(
        "paper-no-adjustment",
        "LightM-UNet whose RVM Layers have a plain residual connection, s = 1",
        "Table 3, w/o Adjustment factors",
        adjustment=False,
    ),
    _variant(
        "paper-no-residual",
        "LightM-UNet whose RVM Layers have no residual connection",
        "Table 3, w/o Residual connections",
        ("adjustment",),
        residual=False,
    ),
    _other(
        f"lightm-unet-released-{FIRST}",
        released.released(FIRST),
        f"LightM-UNet as the authors uploaded it on {FIRST}",
        "Tables 1 to 3, LightM-UNet",
    ),
    _other(
        f"lightm-unet-released-{SECOND}",
        released.released(SECOND),
        f"LightM-UNet as the authors uploaded it on {SECOND}",
        "not in the tables",
    ),
    _other(
        "released-conv3",
        released.released_conv3,
        "First upload with a 3^d convolution for every RVM Layer",
        "Table 3, VSSM -> Conv3",
    ),
    _other(
        "released-attention",
        released.released_attention,
        "First upload with self-attention for Mamba in the bottleneck",
        "Table 3, VSSM -> Self-Attention",
    ),
    _other(
        "released-no-adjustment",
        released.released(FIRST, adjustment=False),
        "First upload whose RVM Layers have a plain residual connection, s = 1",
        "Table 3, w/o Adjustment factors",
    ),
    _other(
        "released-no-residual",
        released.released(FIRST, residual=False),
        "First upload whose RVM Layers have no residual connection",
        "Table 3, w/o Residual connections",
    ),
    _other(
        "nnunet",
        baselines.nnunet,
        "nnU-Net's plain U-Net, as its planner configures it",
        "Tables 1 and 2, nnU-Net",
        DNA,
    ),
    _other("segresnet", baselines.segresnet, "SegResNet (MONAI)", "Tables 1 and 2, SegResNet"),
    _other("unetr", baselines.unetr, "UNETR (MONAI)", "Tables 1 and 2, UNETR"),
    _other("swin-unetr", baselines.swin_unetr, "SwinUNETR (MONAI)", "Tables 1 and 2, SwinUNETR"),
    _other(
        "u-mamba-bot",
        baselines.u_mamba_bot,
        "U-Mamba with Mamba at the bottleneck",
        "Tables 1 and 2, U-Mamba",
        DNA,
    ),
    _other(
        "u-mamba-enc",
        baselines.u_mamba_enc,
        "U-Mamba with Mamba in every stage of the encoder",
        "not in the tables",
        DNA,
    ),
)
MODELS: Mapping[str, ModelInfo] = {info.name: info for info in NETWORKS}
