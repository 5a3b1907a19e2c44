"""The paper's networks, side by side: `build_model` makes one by its name, `list_models` lists them.

vss, rvm, unet    Section 2 of the paper, a file a concept
mixers            what Table 3 puts in the VSS Module's place
mamba, released   Mamba's block, and the networks that the authors published
baselines         the networks that the paper compares with
registry          all of them by name, with their options

A network loads what it is made of when it is built: LightM-UNet needs neither MONAI nor the baselines' libraries.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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

    `options` are those of `list_models()`; unknown names and options raise LightMError with the nearest known one, and
    a package that is missing one that says how to install it.
    """
    info = _info(name)
    for option in options:
        if option not in info.options:
            raise LightMError(f"The model {name!r} has no option {option!r}. {suggest(option, info.options)}")
    try:
        return info.build(spatial_dims, in_channels, out_channels, **options)
    except ImportError as error:
        if not info.needs:
            raise
        raise LightMError(
            f"The model {name!r} is built from {info.needs}, which can't be imported ({error}); install it: "
            f"pip install {info.needs}"
        ) from error


def options_for_size(name: str, size: Sequence[int]) -> dict[str, Any]:
    """The options that fit the network `name` to images of spatial size `size`: for `build_model`, empty for most.

    UNETR is built for one size (`img_size`); nnU-Net and U-Mamba get as many resolutions (`n_stages`) as nnU-Net's
    planner gives them. At the paper's sizes, 512 x 512 and 128 x 128 x 128, their defaults fit.
    """
    from lightm.models.baselines import PAPER_SIZE, stages_for

    size, option = tuple(size), _info(name).size_option
    if not option or size == PAPER_SIZE.get(len(size)):
        return {}
    if option == "n_stages":
        return {option: stages_for(size)}
    return {option: size[0] if len(set(size)) == 1 else list(size)}


def _info(name: str) -> "ModelInfo":
    from lightm.models.registry import MODELS

    if name not in MODELS:
        raise LightMError(f"There is no model {name!r}. {suggest(str(name), MODELS)}")
    return MODELS[name]
