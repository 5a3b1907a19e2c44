"""A trained network outside of Python: one HTML file that runs it on any device, `export_html`.

describe    the network as JSON and a block of weights
html        the file; card, runs: what it says of its network, and where a run knows it from
build       makes kernels.wasm from the C sources; says when it is stale
runtime/    the kernels in C, built for WebAssembly, and the scripts that drive them
page/       what the reader sees, and how pictures become input
"""

from lightm.export.card import Card
from lightm.export.describe import Described, describe
from lightm.export.html import export_html

__all__ = ["Card", "Described", "describe", "export_html"]
