"""A trained network elsewhere: a page for any browser, an ONNX model, a program of torch.export, a MONAI bundle.

describe    the network as JSON and a block of weights
source      what every file begins with: where it goes, its network, what it says of itself
card, runs  what is to be said of a network, and where a run knows it from
html        one HTML file that runs the network on any device
onnx        an ONNX model; onnx_graph, onnx_layers, onnx_scan: how it is made
pt2         torch.export's program
weights     a weights file, for lightm itself
bundle      a MONAI bundle; bundle_steps: what it runs of ours
build       makes kernels.wasm from the C sources; says when it is stale
runtime/    the kernels in C, built for WebAssembly, and the scripts that drive them
page/       what the reader sees, and how pictures become input
"""

from lightm.export.bundle import export_bundle
from lightm.export.card import Card
from lightm.export.describe import Described, describe
from lightm.export.html import export_html
from lightm.export.onnx import export_onnx
from lightm.export.pt2 import export_pt2
from lightm.export.weights import export_weights

__all__ = [
    "Card",
    "Described",
    "describe",
    "export_bundle",
    "export_html",
    "export_onnx",
    "export_pt2",
    "export_weights",
]
