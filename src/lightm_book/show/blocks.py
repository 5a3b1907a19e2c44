"""Block diagrams of the VSS module and the RVM layer, drawn from the modules: their widths, options and parameters."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn

from lightm.models.rvm import RVMLayer
from lightm.models.vss import SpatialDWConv, VSSModule
from lightm_book.show.figures import COLORS

WIDTH, HEIGHT, ROW, COLUMN = 1.9, 0.5, 0.72, 2.3  # inches: a box, from row to row down, from column to column
BESIDE = 0.25  # inches from the middle of a label to where an arrow begins or ends
MAMBA, CONVOLUTION, OTHER, INK = COLORS[0], COLORS[2], COLORS[1], COLORS[-1]


def draw_vss_module(module: VSSModule) -> Figure:
    """Equation (3): both branches of the module, each box with its channels and parameters, from top to bottom."""
    outer, inner = module.in_proj.in_features, module.in_proj.out_features
    spatial = isinstance(module.dwconv, SpatialDWConv)
    kernel = "×".join(map(str, module.dwconv.conv.kernel_size)) if spatial else "causal"
    directions = f"{len(module.ssms)} direction{'s' * (len(module.ssms) > 1)}"
    fig, ax = _canvas(rows=7, columns=2)
    _label(ax, 0.5, 0, r"$W_{in}$")
    _box(ax, 0, 1, f"Linear {outer} → {inner}", module.in_proj)
    _box(ax, 0, 2, f"DWConv {kernel}, SiLU", module.dwconv, CONVOLUTION)
    _box(ax, 0, 3, f"SSM, {directions}", module.ssms, MAMBA)
    _box(ax, 0, 4, "LayerNorm", module.norm)
    _box(ax, 1, 1, f"Linear {outer} → {inner}", module.gate_proj)
    _box(ax, 1, 2, "SiLU", None)
    _label(ax, 0.5, 5, r"$\odot$")
    _box(ax, 0.5, 6, f"Linear {inner} → {outer}", module.out_proj)
    _label(ax, 0.5, 7, r"$W_{out}$")
    for start, end in (((0, 1), (0, 2)), ((0, 2), (0, 3)), ((0, 3), (0, 4)), ((1, 1), (1, 2))):
        _arrow(ax, start, end)
    for column, last in ((0, 4), (1, 2)):
        _branch(ax, (0.5, 0), (column, 1))
        _join(ax, (column, last), (0.5, 5))
    _arrow(ax, (0.5, 5), (0.5, 6))
    _arrow(ax, (0.5, 6), (0.5, 7))
    return fig


def draw_rvm_layer(layer: RVMLayer) -> Figure:
    """Equations (1) and (2): the layer from top to bottom, beside it the residual connection, if it has one, with s."""
    fig, ax = _canvas(rows=6, columns=2 if layer.residual else 1)
    _label(ax, 0, 0, "$M_{in}$")
    _box(ax, 0, 1, "LayerNorm", layer.norm_in)
    name = "VSS module" if isinstance(layer.mixer, VSSModule) else type(layer.mixer).__name__
    _box(ax, 0, 2, name, layer.mixer, MAMBA)
    _label(ax, 0, 3, r"$\oplus$" if layer.residual else "")
    _label(ax, -0.25, 3, r"$\widetilde{M}$")
    _box(ax, 0, 4, "LayerNorm", layer.norm_out)
    _box(ax, 0, 5, f"Projection {layer.proj.in_features} → {layer.proj.out_features}", layer.proj)
    _label(ax, 0, 6, "$M_{out}$")
    for row in range(6):
        _arrow(ax, (0, row), (0, row + 1))
    if layer.residual:
        factor = "adjustment factor s" if layer.s is not None else "s = 1, not learnt"
        _box(ax, 1, 1.5, factor, None if layer.s is None else nn.ParameterList([layer.s]), OTHER)
        _branch(ax, (0, 0), (1, 1.5))
        _join(ax, (1, 1.5), (0, 3))
    return fig


def _canvas(rows: int, columns: int) -> tuple[Figure, Axes]:
    width, height = (columns - 1) * COLUMN + WIDTH + 0.2, rows * ROW + 0.5
    fig, ax = plt.subplots(figsize=(width, height))
    ax.set(xlim=(-WIDTH / 2 - 0.1, width - WIDTH / 2 - 0.1), ylim=(-rows * ROW - 0.25, 0.25), aspect="equal")
    ax.set_axis_off()
    return fig, ax


def _box(ax: Axes, column: float, row: float, title: str, part: nn.Module | None, color: str = INK) -> None:
    """A box with a title; below it how many parameters `part` has (None: a step without any)."""
    x, y = _inches((column, row))
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    ax.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, "round,pad=0,rounding_size=0.08", fc="none", ec=color, lw=2))
    count = 0 if part is None else sum(p.numel() for p in part.parameters())
    ax.text(x, y + 0.09 * (count > 0), title, ha="center", va="center", fontsize=11, color=color, weight="bold")
    if count:
        ax.text(x, y - 0.13, f"{count:,} parameters", ha="center", va="center", fontsize=9)


def _label(ax: Axes, column: float, row: float, text: str) -> None:
    ax.text(*_inches((column, row)), text, ha="center", va="center", fontsize=14)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Straight down from (column, row) to (column, row): from the lower edge of one to the upper edge of the other."""
    (x0, y0), (x1, y1) = _inches(start), _inches(end)
    _draw_arrow(ax, (x0, y0 - HEIGHT / 2), (x1, y1 + HEIGHT / 2), "arc3")


def _branch(ax: Axes, label: tuple[float, float], end: tuple[float, float]) -> None:
    """From the side of a label across to another column, and down to a box."""
    (x0, y0), (x1, y1) = _inches(label), _inches(end)
    aside = BESIDE if x1 > x0 else -BESIDE
    _draw_arrow(ax, (x0 + aside, y0), (x1, y1 + HEIGHT / 2), "angle,angleA=0,angleB=90")


def _join(ax: Axes, start: tuple[float, float], label: tuple[float, float]) -> None:
    """Down from a box, and across to the side of a label."""
    (x0, y0), (x1, y1) = _inches(start), _inches(label)
    aside = BESIDE if x0 > x1 else -BESIDE
    _draw_arrow(ax, (x0, y0 - HEIGHT / 2), (x1 + aside, y1), "angle,angleA=90,angleB=0")


def _inches(place: tuple[float, float]) -> tuple[float, float]:
    column, row = place
    return column * COLUMN, -row * ROW


def _draw_arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], way: str) -> None:
    style = {"arrowstyle": "-|>", "color": INK, "lw": 1.2, "shrinkA": 0, "shrinkB": 0, "connectionstyle": way}
    ax.annotate("", xy=end, xytext=start, arrowprops=style)
