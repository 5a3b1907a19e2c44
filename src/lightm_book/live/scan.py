"""The explorable scan: choose a pixel and a step, and see what the state remembers there of every other pixel."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from lightm.data import load_dataset
from lightm.errors import LightMError
from lightm.models.vss import to_direction
from lightm_book.live.explorable import Choose, Explorable, Slide
from lightm_book.show.figures import COLORS

STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
DIRECTIONS = {"row by row": (0,), "and back": (0, 1), "and by columns": (0, 1, 2, 3)}


def left_of_each(
    image: np.ndarray, pixel: tuple[int, int], step: float, selected: bool, directions: Sequence[int] = (0,)
) -> np.ndarray:
    """What is left at `pixel` of what the state with A = -1 read at each pixel: (H, W), from 0 to 1.

    The factor between token s and a later token t is exp(-(Δ_{s+1} + ... + Δ_t)); tokens that come later have 0.

    Args:
        image: (H, W), from 0 to 1. pixel: (row, column).
        step: Δ, the same for all tokens; with `selected` each token's own: small where the image is smooth, and larger
            the more a token differs from the one before it, so that the state forgets at an edge.
        directions: of `lightm.models.vss.to_direction`; with several, the one that remembers most counts.
    """
    height, width = image.shape
    if not (0 <= pixel[0] < height and 0 <= pixel[1] < width):
        raise LightMError(f"The pixel {pixel} is not in an image of {height} x {width}.")
    places = torch.arange(image.size).view(1, -1, 1)  # (B, L, C)
    left = np.zeros(image.size)
    for direction in directions:
        order = to_direction(places, (height, width), direction).flatten().numpy()  # (L,)
        tokens = image.ravel()[order]  # (L,)
        jump = np.abs(np.diff(tokens, prepend=tokens[0]))  # (L,)
        delta = step * (0.2 + 40 * jump) if selected else np.full(tokens.shape, step)  # (L,)
        passed = np.cumsum(delta)  # (L,)
        here = int(np.flatnonzero(order == pixel[0] * width + pixel[1])[0])
        decay = np.where(np.arange(len(order)) <= here, np.exp(np.minimum(passed - passed[here], 0)), 0)  # (L,)
        left[order] = np.maximum(left[order], decay)
    return left.reshape(height, width)


def draw_scan(
    image: np.ndarray, row: int, column: int, step: int, selected: bool, directions: tuple[int, ...]
) -> tuple[Figure, str]:
    """The image, tinted by what the state remembers at the chosen pixel. step: an index of STEPS."""
    left = left_of_each(image, (row, column), STEPS[step], selected, directions)
    figure = Figure(figsize=(6.4, 3.5), dpi=110, layout="constrained")
    for ax, title in zip(figure.subplots(1, 2), ("the image", "what is left of each pixel"), strict=True):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.plot(column, row, "+", color=COLORS[1], markersize=14, markeredgewidth=2.5)
        ax.set(title=title, xticks=[], yticks=[])
    tint = np.zeros((*image.shape, 4))
    tint[..., :3] = [int(COLORS[5][i : i + 2], 16) / 255 for i in (1, 3, 5)]
    tint[..., 3] = 0.9 * left
    ax.imshow(tint)
    above = f"{left[row - 1, column]:.1%}" if row else "nothing, there is none,"
    kind = "a step that each pixel chooses" if selected else f"the step {STEPS[step]:g}"
    return figure, f"With {kind}, {above} is left of the pixel above, and {left.mean():.1%} of an average pixel."


def explore_scan(image: np.ndarray | None = None, directions: bool = False) -> Explorable:
    """The explorable scan of an image (H, W) with values from 0 to 1; with a choice of directions or with one only.

    None is a synthetic radiograph of 64 x 64 pixels.
    """
    if image is None:
        data = load_dataset("phantom-cxr", cases=8, size=64)
        image = data.read(data.case_ids[1]).image[0] / 255  # (H, W)
    height, width = image.shape
    controls: dict[str, Slide | Choose] = {
        "row": Slide("row", 0, height - 1, height // 2),
        "column": Slide("column", 0, width - 1, width // 2),
        "step": Slide("step Δ, in sizes", 0, len(STEPS) - 1, 3),
        "selected": Choose("the step is", {"constant": False, "selected by the pixels": True}, False),
    }
    if directions:
        controls["directions"] = Choose("directions", DIRECTIONS, (0,))

    def draw(row, column, step, selected, directions=(0,)):
        return draw_scan(image, row, column, step, selected, directions)

    frames = [(f"constant, Δ = {STEPS[k]:g}", {"step": k}) for k in (0, 3, 6)]
    frames += [(f"selected, Δ about {STEPS[k]:g}", {"step": k, "selected": True}) for k in (3, 6)]
    if directions:
        pairs = [(k, text) for text in DIRECTIONS for k in (1, 4)]
        frames = [(f"{text}, Δ = {STEPS[k]:g}", {"step": k, "directions": DIRECTIONS[text]}) for k, text in pairs]
    alt = "An image with a chosen pixel, and beside it how much of every other pixel the scan's state still holds there"
    return Explorable(draw, controls, frames, alt)
