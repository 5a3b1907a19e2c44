"""A network as an ONNX model, which onnxruntime runs on many kinds of machines, without Python if need be.

>>> from lightm.export import export_onnx
>>> export_onnx("runs/smoke", "lungs.onnx")
>>> import onnxruntime
>>> session = onnxruntime.InferenceSession("lungs.onnx")
>>> [logits] = session.run(None, {"image": image})  # (B, C, H, W) -> (B, K, H, W), float32

Batch and spatial sizes are open. What the network is and what it must be given stands in the file's metadata:
`session.get_modelmeta().custom_metadata_map`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lightm.errors import LightMError
from lightm.export.card import Card
from lightm.export.describe import check_precision
from lightm.export.source import (
    AXES,
    check_answer,
    check_card,
    free_path,
    in_float32,
    metadata,
    open_source,
    trial,
)
from lightm.files import whole_file

if TYPE_CHECKING:
    import onnx

OLDEST_RUNTIME = (1, 26)


def export_onnx(
    source: nn.Module | str | Path,
    path: str | Path,
    card: Card | None = None,
    precision: str = "float32",
    force: bool = False,
) -> Path:
    """Write a trained network as an ONNX model; returns its path.

    source: a run folder of `lightm train` (its best checkpoint), a weights file, the name of weights that come with the
    package, or a network in 2D or 3D, which needs a `card`: a
    LightM-UNet with any options, its ablations, or a network that the authors released.
    precision: of the weights in the file; it computes in float32. force: replace a file that is there.

    onnxruntime runs the model on random input, and the file appears, whole, only if its answer is PyTorch's.
    LightMError: onnx or onnxruntime is missing; another network, by name; a card that does not fit; a bad path.
    """
    path = free_path(path, (".onnx",), force)
    check_precision(precision)
    _check_packages()
    model, card = open_source(source, card)
    data = build(model, card, precision).SerializeToString(deterministic=True)
    reference, image = in_float32(model), trial(model)
    if precision == "float16":
        reference = reference.half().float()
    with torch.no_grad():
        check_answer(run(data, image), reference(image), "onnxruntime")
    with whole_file(path) as temporary:
        temporary.write_bytes(data)
    return path


def build(model: nn.Module, card: Card, precision: str = "float32") -> "onnx.ModelProto":
    """The ONNX model of a network, with its metadata. The same network, card and version give the same model."""
    from onnx import helper

    from lightm.export.onnx_graph import Graph
    from lightm.export.onnx_layers import add

    check_card(model, card)
    graph, axes = Graph(model, precision), AXES[: model.spatial_dims]
    logits = add(model, graph, "image")
    # Sizes that the poolings do not divide would come out smaller, or fail inside; this fails at once, or is free.
    channels = graph.constant(model.out_channels)
    sizes = graph("Shape", "image", end=1), channels, graph("Shape", "image", start=2)
    graph("Reshape", logits, graph("Concat", *sizes, axis=0), into="logits")
    words = metadata(model, card)
    built = graph.model(
        {"image": ("batch", model.in_channels, *axes)},
        {"logits": ("batch", model.out_channels, *axes)},
        "lightm-unet",
    )
    helper.set_model_props(built, words)
    built.doc_string = f"{words['title']}. Input {words['input']}: {words['normalisation']}. Output {words['output']}."
    built.producer_name, built.producer_version = "lightm", words["lightm"]
    return built


def run(data: bytes, image: Tensor) -> Tensor:
    """The logits of onnxruntime, on the CPU, for an ONNX file's bytes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; what it warns of is for its developers
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["logits"], {"image": image.numpy()})[0])


def _check_packages() -> None:
    remedy = "pip install 'lightm[onnx]'"
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise LightMError(f"The export to ONNX needs the packages onnx and onnxruntime ({error}): {remedy}.") from None
    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < OLDEST_RUNTIME:
        raise LightMError(f"onnxruntime {onnxruntime.__version__} does not have LinearAttention yet: {remedy}.")
