"""A network as data: what the runtime of the page needs to know to run it, and its weights in one flat block.

The description is plain JSON, so that a runtime needs nothing of Python or PyTorch:

    operations  in the order in which they run, with their shapes; `at` is the prefix of their tensors' names
    tensors     name -> offset (bytes), shape (PyTorch's own), dtype
    in_channels, out_channels, step (spatial sizes must be divisible by it), bytes and crc32 of the weights

Four kinds of operations make up every LightM-UNet in 2D. Letters as in `lightm.models.vss`.

    dwconv  stem and head: a depthwise 3 x 3 convolution, then a pointwise one; may `save`, or add a `skip` first
    rvm     an RVM Layer, equations (1) to (3)
    pool    max-pooling by 2; its output is kept as a skip connection under the name `save`
    decode  a decoder block, equation (4), with the skip connection `skip`
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightm.errors import LightMError, suggest
from lightm.models.rvm import RVMLayer
from lightm.models.unet import LightMUNet, RVMStack
from lightm.models.vss import CausalDWConv, SpatialDWConv, VSSModule

FORMAT = 1
DTYPES = {"float16": np.float16, "float32": np.float32}


@dataclass(frozen=True)
class Described:
    """A network without PyTorch. description: JSON-able, see this module. weights: what its offsets point into."""

    description: dict[str, Any]
    weights: bytes


def describe(model: nn.Module, precision: str = "float16") -> Described:
    """The description and weights of a LightM-UNet in 2D, whatever its options.

    precision: "float16" halves the file and rounds the weights to 11 significant bits; "float32" keeps them.
    LightMError: another network, 3D, a mixer that the runtime does not have, or weights that precision can't hold.
    """
    check_precision(precision)
    _check(model)
    tensors, weights = _pack(model, precision)
    description = {
        "format": FORMAT,
        "in_channels": model.in_channels,
        "out_channels": model.out_channels,
        "step": 2 ** len(model.encoder),
        "parameters": sum(p.numel() for p in model.parameters()),
        "operations": list(_operations(model)),
        "tensors": tensors,
        "bytes": len(weights),
        "crc32": zlib.crc32(weights),
    }
    return Described(description, weights)


def check_precision(precision: str) -> None:
    """LightMError, with those that there are, for an unknown one."""
    if precision not in DTYPES:
        raise LightMError(f"precision={precision!r} is unknown. {suggest(str(precision), DTYPES)}")


def _check(model: nn.Module) -> None:
    """LightMError, naming it, for what the runtime can't run."""
    if type(model) is not LightMUNet:
        raise LightMError(
            f"{type(model).__name__} can't be exported to a page: the runtime there has the operations of LightMUNet "
            "only; export a run of lightm-unet or lightm-unet-1m."
        )
    if model.spatial_dims != 2:
        raise LightMError(
            f"A network for {model.spatial_dims}D volumes can't be exported to a page, which shows pictures; "
            "export a 2D one."
        )
    for name, module in model.named_modules():
        if isinstance(module, RVMLayer) and type(module.mixer) is not VSSModule:
            raise LightMError(
                f"{name} has a {type(module.mixer).__name__} in the place of the VSS Module, which the runtime of the "
                "page does not have; export a network without a mixer of its own."
            )


def _operations(model: LightMUNet) -> Iterator[dict[str, Any]]:
    width = model.stem.pointwise.out_channels
    saved = {"save": "stem"} if model.stem_to_head else {}
    yield {"op": "dwconv", "at": "stem", "channels": model.in_channels, "out": width, **saved, "stage": "stem"}
    for level, block in enumerate(model.encoder, start=1):
        yield from _layers(block.stack, f"encoder.{level - 1}.stack", f"encoder {level}")
        channels = block.stack.layers[-1].proj.out_features
        stage = f"encoder {level}"
        yield {"op": "pool", "channels": channels, "out": channels, "save": stage, "stage": stage}
    *before, last = _layers(model.bottleneck, "bottleneck", "bottleneck")
    yield from [*before, {**last, "stage": "bottleneck"}]
    for index, block in enumerate(model.decoder):
        level = len(model.decoder) - index
        yield {
            "op": "decode",
            "at": f"decoder.{index}",
            "channels": block.halve.in_channels,
            "out": block.halve.out_channels,
            "skip": f"encoder {level}",
            "stage": f"decoder {level}",
        }
    added = {"skip": "stem"} if model.stem_to_head else {}
    yield {"op": "dwconv", "at": "head", "channels": width, "out": model.out_channels, **added, "stage": "head"}


def _layers(stack: RVMStack, at: str, stage: str) -> Iterator[dict[str, Any]]:
    for index, layer in enumerate(stack.layers):
        vss = layer.mixer
        rank, states, _ = vss.ssms[0].split
        yield {
            "op": "rvm",
            "at": f"{at}.layers.{index}",
            "name": f"{stage}, layer {index + 1}",
            "channels": vss.in_proj.in_features,
            "inner": vss.in_proj.out_features,
            "out": layer.proj.out_features,
            "states": states,
            "rank": rank,
            "dwconv": {SpatialDWConv: "spatial", CausalDWConv: "causal"}[type(vss.dwconv)],
            "directions": len(vss.ssms),
            "residual": layer.residual,
        }


def _pack(model: nn.Module, precision: str) -> tuple[dict[str, dict], bytes]:
    tensors, parts, offset = {}, [], 0
    for name, tensor in model.state_dict().items():
        stored = rounded(name, tensor, precision)
        tensors[name] = {"offset": offset, "shape": list(stored.shape), "dtype": precision}
        parts.append(stored.tobytes())
        offset += len(parts[-1])
    return tensors, b"".join(parts)


def rounded(name: str, tensor: Tensor, precision: str) -> np.ndarray:
    """A parameter as it is stored, little-endian. LightMError, naming it, if it is not finite or too large."""
    values = tensor.detach().to("cpu", torch.float32).numpy()
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(values, dtype=np.dtype(DTYPES[precision]).newbyteorder("<"))
    if not np.isfinite(values).all():
        raise LightMError(f"The weights {name} hold NaN or infinite values: the training went wrong; train again.")
    if not np.isfinite(stored).all():
        raise LightMError(f"{name} holds a value too large for {precision}; export with precision='float32'.")
    return stored
