"""The scan alone as an ONNX model, made of the nodes that `lightm export --onnx` makes for a network's."""

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn


def unavailable() -> str:
    """Why it can't run here; empty if it can."""
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    return f"it needs {' and '.join(missing)}: pip install 'lightm[onnx]'" if missing else ""


class OnnxScan:
    """A session of onnxruntime for scans with these inputs and this many channels and states, of any length.

    names: of the inputs, as in cases.SHAPES; u, delta, A, B and C are always there. threads: of onnxruntime.
    """

    def __init__(self, names: list[str], channels: int, states: int, softplus: bool, threads: int = 1):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        model = scan_model(names, channels, states, softplus).SerializeToString()
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, arrays: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """y (B, L, D)."""
        return self._session.run(None, arrays)[0]


class _Nothing(nn.Module):
    """Graph wants a network, for its weights' names; a scan has none."""

    spatial_dims = 2


def scan_model(names: list[str], channels: int, states: int, softplus: bool) -> Any:
    """The model: inputs by name, output y (B, L, D); its batch size and length are open."""
    from lightm.export.onnx_graph import Graph
    from lightm.export.onnx_scan import selective_scan

    shapes = {"A": [channels, states], "D": [channels], "delta_bias": [channels]}
    shapes |= {name: ["batch", "tokens", channels] for name in ("u", "delta", "z", "y")}
    shapes |= {name: ["batch", "tokens", states] for name in ("B", "C")}
    g = Graph(_Nothing(), "float32")
    delta = g("Add", "delta", "delta_bias") if "delta_bias" in names else "delta"
    delta = g("Softplus", delta) if softplus else delta
    y = selective_scan(g, "u", delta, "A", "B", "C", channels, states)
    y = g("Add", y, g("Mul", "D", "u")) if "D" in names else y
    y = g("Mul", y, g("Mul", "z", g("Sigmoid", "z"))) if "z" in names else y
    g("Identity", y, into="y")
    return g.model({name: shapes[name] for name in names}, {"y": shapes["y"]}, "scan")
