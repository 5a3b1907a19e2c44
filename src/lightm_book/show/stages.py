"""The stages of a LightMUNet by the names of the paper's Figure 2, and what comes out of each."""

import torch
from torch import Tensor

from lightm.models.unet import LightMUNet


def stage_paths(model: LightMUNet) -> dict[str, str]:
    """Stage ("stem", "encoder 1", …, "bottleneck", …, "decoder 1", "head") -> path of its module, in their order."""
    levels = range(1, len(model.encoder) + 1)
    encoder = {f"encoder {level}": f"encoder.{level - 1}" for level in levels}
    decoder = {f"decoder {level}": f"decoder.{len(levels) - level}" for level in reversed(levels)}
    return {"stem": "stem", **encoder, "bottleneck": "bottleneck", **decoder, "head": "head"}


@torch.no_grad()
def stage_outputs(model: LightMUNet, x: Tensor) -> dict[str, Tensor]:
    """The volume (B, C_stage, *S_stage) of each stage for images x (B, in_channels, *S); the logits are the last."""
    outputs: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(path).register_forward_hook(lambda _, args, y, name=name: outputs.__setitem__(name, y))
        for name, path in stage_paths(model).items()
    ]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return outputs
