"""Figures of a training: curves (also while it runs), and where a prediction differs from the truth."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lightm.errors import LightMError
from lightm.training.logs import Row, draw_training
from lightm_book.show.figures import COLORS

HIT, MISSED, EXTRA = COLORS[0], COLORS[1], COLORS[3]  # distinct with any colour vision


class LiveCurves:
    """Curves that grow while a network trains: give it to `Trainer` as `on_epoch`.

    The first epoch displays the figure, every other redraws it in place, in Jupyter and in Colab; what stays in the
    notebook, and so on a page made of it, are the curves of the whole training.
    """

    def __init__(self, epochs: int, size: tuple[float, float] = (6.8, 3.0)):
        self.epochs, self.rows = epochs, []
        self.figure = Figure(figsize=size, layout="constrained")
        self._shown = None

    def __call__(self, epoch: int, row: Row) -> None:
        from IPython.display import display

        self.rows.append(row)
        draw_training(self.figure, self.rows, self.epochs)
        if self._shown is None:
            self._shown = display(self.figure, display_id=True)
        else:
            self._shown.update(self.figure)


def error_map(image: np.ndarray, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The image in gray, tinted where structure was found, was missed, or was drawn without being there.

    image (H, W), any range; prediction, truth (H, W), label maps -> uint8 (H, W, 3). With several classes a pixel
    counts as missed where another class was predicted. The colours' meaning: `error_legend`.
    """
    if not image.shape == prediction.shape == truth.shape or image.ndim != 2:
        shapes = f"{image.shape}, {prediction.shape}, {truth.shape}"
        raise LightMError(f"error_map needs image, prediction and truth of one size (H, W), not {shapes}.")
    low, high = np.quantile(image, (0.005, 0.995))
    gray = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    rgb = np.repeat(gray[..., None], 3, axis=-1)  # (H, W, 3)
    hit = (truth > 0) & (prediction == truth)
    missed = (truth > 0) & (prediction != truth)
    extra = (truth == 0) & (prediction > 0)
    for where, colour, strength in ((hit, HIT, 0.35), (missed, MISSED, 0.9), (extra, EXTRA, 0.9)):
        rgb[where] = (1 - strength) * rgb[where] + strength * _rgb(colour)
    return (255 * rgb).round().astype(np.uint8)


def error_legend(figure: Figure) -> None:
    """The legend of `error_map`s, below the panels of a figure with constrained layout."""
    meanings = ((HIT, "found"), (MISSED, "missed"), (EXTRA, "not there"))
    patches = [Patch(color=colour, label=text) for colour, text in meanings]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), handlelength=1, fontsize=11)


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
