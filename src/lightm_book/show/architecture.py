"""A drawing of LightM-UNet made from the network itself."""

import copy
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from lightm.counting import count
from lightm.models.unet import LightMUNet
from lightm_book.show.figures import COLORS, INK
from lightm_book.show.stages import stage_outputs, stage_paths

WIDTH, HEIGHT, ROW, STEP = 1.7, 0.84, 1.08, 0.42  # inches: a box, from level to level down, and inwards
MAMBA, CONVOLUTION, OUTSIDE = COLORS[0], COLORS[2], INK


def draw_architecture(model: LightMUNet, size: tuple[int, ...]) -> Figure:
    """The U of a LightMUNet for images of spatial size `size`: each stage with its layers, output shape and parameters.

    Nothing is computed: shapes come from a run on the meta device, parameters from `lightm.counting.count`.
    """
    image = (model.in_channels, *size)
    shapes = {"image": image}
    outputs = stage_outputs(copy.deepcopy(model).to("meta"), torch.empty(1, *image, device="meta"))
    shapes |= {name: tuple(y.shape[1:]) for name, y in outputs.items()}
    counts, levels = count(model, image), len(model.encoder)
    right = 2 * (levels * STEP + WIDTH * 0.7)  # x of the head, so that the lowest pair of boxes stands clear

    fig, ax = plt.subplots(figsize=(right + WIDTH + 0.3, (levels + 2) * ROW + 0.5))
    boxes = {"image": (0, ROW), "stem": (0, 0), "head": (right, 0)}
    texts = {"stem": "DWConv", "head": "DWConv", "bottleneck": rvm_layers(len(model.bottleneck.layers))}
    for level, block in enumerate(model.encoder, start=1):
        name, mirror = f"encoder {level}", f"decoder {level}"
        boxes[name], boxes[mirror] = (level * STEP, -level * ROW), (right - level * STEP, -level * ROW)
        texts[name], texts[mirror] = f"{rvm_layers(len(block.stack.layers))}, max-pool", "add, DWConv, up-sample"
        arrow(ax, boxes[name], boxes[mirror], dashed=True)
    boxes["bottleneck"] = (right / 2, -(levels + 1) * ROW)
    if model.stem_to_head:
        arrow(ax, boxes["stem"], boxes["head"], dashed=True)

    paths = stage_paths(model)
    for name, centre in boxes.items():
        color = MAMBA if name.startswith(("encoder", "bottleneck")) else CONVOLUTION
        lines = ["", " × ".join(map(str, shapes[name])), ""]
        if name != "image":
            lines = [texts[name], lines[1], f"{counts.at(paths[name]).params:,} parameters"]
        box(ax, centre, OUTSIDE if name == "image" else color, name, lines)
    chain = list(shapes)  # in the order of the forward pass
    for start, end in pairwise(chain):
        arrow(ax, boxes[start], boxes[end])
    box(ax, (right, ROW), OUTSIDE, "logits", ["", " × ".join(map(str, shapes["head"])), ""])
    arrow(ax, boxes["head"], (right, ROW))
    total = f"{counts.params:,} parameters\n{counts.macs / 1e9:.2f} G MACs"
    ax.text(right / 2, ROW, total, ha="center", va="center", fontsize=10)
    ax.text(right / 2, 0.15, "dashed: skip connections", ha="center", va="center", fontsize=9)
    ax.set_xlim(-WIDTH / 2 - 0.1, right + WIDTH / 2 + 0.1)
    ax.set_ylim(-(levels + 1) * ROW - HEIGHT / 2 - 0.1, ROW + HEIGHT / 2 + 0.1)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return fig


def rvm_layers(number: int) -> str:
    return f"{number} RVM layer{'s' * (number > 1)}"


def box(ax: Axes, centre: tuple[float, float], color: str, title: str, lines: list[str]) -> None:
    """A box around `centre`: a title and three lines, the second of them (the shape) in bold."""
    x, y = centre
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    ax.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, "round,pad=0,rounding_size=0.08", fc="none", ec=color, lw=2))
    ax.text(x, y + 0.28, title, ha="center", va="center", fontsize=10, color=color, weight="bold")
    for line, dy, size in zip(lines, (0.1, -0.09, -0.28), (8, 9, 8), strict=True):
        ax.text(x, y + dy, line, ha="center", va="center", fontsize=size, weight="bold" if size == 9 else "normal")


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], dashed: bool = False) -> None:
    """From box to box: down, up, or (skip connections) from the right side of one to the left side of the other."""
    (x0, y0), (x1, y1) = start, end
    if y0 == y1:
        ends = (x0 + WIDTH / 2, y0), (x1 - WIDTH / 2, y1)
    else:
        down = y1 < y0
        ends = (x0, y0 - HEIGHT / 2 if down else y0 + HEIGHT / 2), (x1, y1 + HEIGHT / 2 if down else y1 - HEIGHT / 2)
    style = {"arrowstyle": "-|>", "color": INK, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=ends[1], xytext=ends[0], arrowprops=style | ({"linestyle": (0, (4, 3))} if dashed else {}))
