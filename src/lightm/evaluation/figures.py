"""The drawings of the report page, as `data:` addresses; colours that colour-blind readers can tell apart."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

BOTH, ONLY_PREDICTED, ONLY_TRUE = "#9ecae1", "#e69f00", "#8856a7"


def distribution(values: dict[str, Sequence[float]], name: str, unit: str) -> tuple[str, str]:
    """A dot a case and a box a class -> (address of an SVG, alternative text); ("", "") if there is nothing to draw."""
    found = {key: np.array([v for v in row if np.isfinite(v)], float) for key, row in values.items()}
    found = {key: row for key, row in found.items() if len(row)}
    if not found:
        return "", ""
    figure = Figure(figsize=(5, 0.6 * len(found) + 1.1), layout="constrained")
    axes = figure.subplots()
    rng = np.random.default_rng(0)  # moves the dots apart
    for place, row in enumerate(found.values()):
        axes.plot(row, place + rng.uniform(-0.25, 0.25, len(row)), ".", color="#0072b2", alpha=0.5, markersize=5)
    axes.boxplot(
        list(found.values()), positions=range(len(found)), orientation="horizontal", widths=0.6, showfliers=False
    )
    axes.set_yticks(range(len(found)), [key.replace("$", r"\$") for key in found])
    axes.set_xlabel(f"{name} ({unit})" if unit else name)
    axes.invert_yaxis()
    parts = [
        f"{key}: {np.min(row):.3g} to {np.max(row):.3g}, median {np.median(row):.3g}" for key, row in found.items()
    ]
    return _address(figure, "svg"), f"{name} of each case, by class. {'; '.join(parts)}."


def error_map(pred: np.ndarray, true: np.ndarray, spacing: Sequence[float]) -> tuple[str, str]:
    """Where two masks (*S), bool, differ; of a volume the axial slice with most errors -> (address of a PNG, where)."""
    where = ""
    if pred.ndim == 3:
        wrong = (pred ^ true).sum((0, 1))
        place = int(wrong.argmax()) if wrong.any() else int((pred | true).sum((0, 1)).argmax())
        pred, true, where = pred[..., place], true[..., place], f", slice {place + 1} of {pred.shape[2]}"
    rows, columns = (_window((pred | true).any(axis)) for axis in (1, 0))
    pred, true = pred[rows, columns], true[rows, columns]
    colours = np.ones((*pred.shape, 3))
    for mask, colour in ((pred & true, BOTH), (pred & ~true, ONLY_PREDICTED), (true & ~pred, ONLY_TRUE)):
        colours[mask] = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    figure = Figure(figsize=(3.6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(colours, aspect=spacing[0] / spacing[1], interpolation="nearest")
    for mask, style in ((true, "-"), (pred, "--")):
        if mask.any():
            axes.contour(
                np.pad(mask, 1).astype(float)[1:-1, 1:-1], [0.5], colors="black", linewidths=1, linestyles=style
            )
    axes.set_axis_off()
    return _address(figure, "png"), where


def _window(occupied: np.ndarray) -> slice:
    """The part of an axis that is occupied, with a margin."""
    found = np.flatnonzero(occupied)
    if not len(found):
        return slice(None)
    margin = max(3, (found[-1] - found[0]) // 5)
    low, high = max(int(found[0] - margin), 0), min(int(found[-1] + margin + 1), len(occupied))
    return slice(low, max(high, low + 2))  # a contour needs two rows


def _address(figure: Figure, kind: str) -> str:
    file = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}  # the same scores give the same page
    with rc_context({"svg.hashsalt": "lightm"}):
        figure.savefig(file, format=kind, dpi=110, metadata=metadata)
    mime = "image/svg+xml" if kind == "svg" else "image/png"
    return f"data:{mime};base64,{base64.b64encode(file.getvalue()).decode()}"
