"""A network as torch.export's program, a .pt2 file: its graph and weights without its Python classes.

>>> from lightm.export import export_pt2
>>> export_pt2("runs/smoke", "lungs.pt2")

To load it elsewhere, lightm must be installed there, for the operators that PyTorch does not have (the selective scan
and what stands around it); importing this module registers them.

>>> import torch, lightm.export.pt2
>>> network = torch.export.load("lungs.pt2").module()
>>> logits = network(image)  # (B, C, H, W) -> (B, K, H, W), float32, on a CPU

Batch and spatial sizes are open, each spatial size from twice the network's step up. `torch.export.load(path,
extra_files=files)` puts what the file says of itself into files = {"metadata.json": ""}.
"""

import json
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from lightm.export.card import Card
from lightm.export.describe import rounded
from lightm.export.source import (
    AXES,
    check_answer,
    check_card,
    free_path,
    in_float32,
    metadata,
    open_source,
    size_step,
    trial,
)
from lightm.files import whole_file
from lightm.kernels import causal_conv, gated_norm  # noqa: F401 (it registers the operators of the file)
from lightm.scan import ops  # noqa: F401

METADATA = "metadata.json"


def export_pt2(source: nn.Module | str | Path, path: str | Path, card: Card | None = None, force: bool = False) -> Path:
    """Write a trained network as torch.export's .pt2, for CPUs, in float32; returns its path.

    source: a run folder of `lightm train` (its best checkpoint), a weights file, the name of weights that come with the
    package, or a network in 2D or 3D, which needs a `card`: a
    LightM-UNet with any options, its ablations, or a network that the authors released. force: replace a file.

    The program is traced (seconds to a minute) and run once, and the file appears, whole, only if its answer is the
    network's. LightMError: another network, by name; a card that does not fit; a bad path.
    """
    path = free_path(path, (".pt2",), force)
    model, card = open_source(source, card)
    program = trace(model, card)
    words = metadata(model, card)
    words["input"] += f", and at least {2 * size_step(model)}"  # torch.export takes an axis of one step for a constant
    words["loading"] = "import lightm.export.pt2, then torch.export.load (see there)"
    with whole_file(path) as temporary:
        torch.export.save(program, temporary, extra_files={METADATA: json.dumps(words, ensure_ascii=False, indent=1)})
    return path


@torch.no_grad()
def trace(model: nn.Module, card: Card) -> ExportedProgram:
    """The network as a graph of PyTorch's operators and lightm's, with open sizes, its answer compared."""
    check_card(model, card)
    for name, tensor in model.state_dict().items():
        rounded(name, tensor, "float32")  # a LightMError if it is not finite
    step, model, image = size_step(model), in_float32(model), trial(model)
    sizes = {axis: step * Dim(f"{name}_steps", min=1) for axis, name in enumerate(AXES[: model.spatial_dims], 2)}
    program = torch.export.export(model, (image,), dynamic_shapes=({0: Dim("batch", min=1), **sizes},), strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # the folders of this machine
    other = image[:1].transpose(2, 3).contiguous()
    check_answer(program.module()(other), model(other), "The exported program")
    return program
