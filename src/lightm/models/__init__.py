"""The paper's networks, side by side: `build_model` makes one by its name, `list_models` says which there are.

vss, rvm, unet    Section 2 of the paper, a file a concept
mixers            what Table 3 puts in the VSS Module's place
mamba, released   Mamba's block, and the networks that the authors published
baselines         the networks that the paper compares with
registry          all of them by name, with their options

A module of this folder loads what it needs and no more: the VSS Module needs no MONAI.
"""

from typing import TYPE_CHECKING

from torch import nn

from lightm.errors import LightMError, suggest

if TYPE_CHECKING:
    from lightm.models.registry import ModelInfo


def list_models() -> list["ModelInfo"]:
    """The networks that `build_model` knows, the paper's first."""
    from lightm.models.registry import MODELS

    return list(MODELS.values())


def build_model(name: str, spatial_dims: int, in_channels: int, out_channels: int, **options) -> nn.Module:
    """The network `name`: images (B, in_channels, *S) -> logits (B, out_channels, *S), S of `spatial_dims` axes.

    `options` are those of `list_models()`; unknown names and options raise LightMError with the nearest known one.
    """
    from lightm.models.registry import MODELS

    if name not in MODELS:
        raise LightMError(f"There is no model {name!r}. {suggest(str(name), MODELS)}")
    info = MODELS[name]
    for option in options:
        if option not in info.options:
            raise LightMError(f"The model {name!r} has no option {option!r}. {suggest(option, info.options)}")
    return info.build(spatial_dims, in_channels, out_channels, **options)
