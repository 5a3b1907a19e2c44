"""The list of networks behind `lightm.models.build_model`: what each name stands for, and its options."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from lightm.models.baselines import BASELINES
from lightm.models.mixers import Conv3, SelfAttention
from lightm.models.released import RELEASED
from lightm.models.unet import LightMUNet

SHAPE_ARGUMENTS = ("spatial_dims", "in_channels", "out_channels")


@dataclass(frozen=True)
class ModelInfo:
    """What a name stands for. `options`: keyword options of `build_model` for it, with their defaults."""

    name: str
    summary: str
    paper_section: str
    build: Callable[..., nn.Module] = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)


def _lightm_unet(fixed: dict[str, Any] | None = None, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields `build` and `options` of a LightMUNet with some arguments fixed and others without meaning."""
    fixed = fixed or {}
    hidden = {*SHAPE_ARGUMENTS, *fixed, *without, "mixer", "bottleneck_mixer"}
    parameters = inspect.signature(LightMUNet).parameters.values()

    def build(*shape, **options) -> LightMUNet:
        return LightMUNet(*shape, **fixed, **options)

    return {"build": build, "options": {p.name: p.default for p in parameters if p.name not in hidden}}


def _paper_attention() -> dict[str, Any]:
    base = _lightm_unet()

    def build(*shape, heads: int = 8, **options) -> LightMUNet:
        return LightMUNet(*shape, bottleneck_mixer=lambda channels, _: SelfAttention(channels, heads), **options)

    return {"build": build, "options": base["options"] | {"heads": 8}}


def _with_options(name: str, build: Callable[..., nn.Module], summary: str, section: str) -> ModelInfo:
    """A builder whose keyword options stand in its signature."""
    parameters = inspect.signature(build).parameters.values()
    options = {p.name: p.default for p in parameters if p.name not in SHAPE_ARGUMENTS}
    return ModelInfo(name, summary, section, build, options)


# The width of lightm-unet-1m: the widest whose true count is within 1.09 M parameters both in 2D (3 channels, 2
# classes) and in 3D (1 channel, 3 classes); in 2D at 512 x 512 it then needs half of 22.3 GMACs, scan included. It is
# the one number of the text that changes. What the text leaves open (expansion, states, rank of Δ) would not do: at
# width 32 with expansion 1, one state and rank 1 there still are 1.4 M parameters, since the linear layers of the
# bottleneck alone have 1 M. Fewer layers would do, but Section 2.3 gives a reason for the bottleneck's four, and the
# text gives none for 32.
ONE_MILLION_WIDTH = 20
VSS_OPTIONS = ("expansion", "d_state", "dt_rank", "dwconv", "directions", "scan_backend")
COUNTED_OPTIONS = ("depths", "bottleneck_depth", *VSS_OPTIONS[:-1], "adjustment", "residual")
MODELS = {
    info.name: info
    for info in (
        ModelInfo("lightm-unet", "LightM-UNet as the paper's text describes it", "Section 2", **_lightm_unet()),
        ModelInfo(
            "lightm-unet-1m",
            "LightM-UNet as the text describes it, with 20 channels after the stem for 32: 1.09 M parameters at most",
            "Section 2; abstract, 1M parameters",
            **_lightm_unet({"width": ONE_MILLION_WIDTH}, without=COUNTED_OPTIONS),
        ),
        ModelInfo(
            "paper-conv3",
            "LightM-UNet with a 3^d convolution for every VSS Module",
            "Table 3, VSSM -> Conv3",
            **_lightm_unet({"mixer": Conv3}, without=VSS_OPTIONS),
        ),
        ModelInfo(
            "paper-attention",
            "LightM-UNet with self-attention for the VSS Modules of the bottleneck",
            "Table 3, VSSM -> Self-Attention",
            **_paper_attention(),
        ),
        ModelInfo(
            "paper-no-adjustment",
            "LightM-UNet whose RVM Layers have a plain residual connection, s = 1",
            "Table 3, w/o Adjustment factors",
            **_lightm_unet({"adjustment": False}),
        ),
        ModelInfo(
            "paper-no-residual",
            "LightM-UNet whose RVM Layers have no residual connection",
            "Table 3, w/o Residual connections",
            **_lightm_unet({"residual": False}, without=("adjustment",)),
        ),
        *(_with_options(name, *entry) for name, entry in {**RELEASED, **BASELINES}.items()),
    )
}
