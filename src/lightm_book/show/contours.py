"""Outlines of real cases, so that a page can show where a network is wrong without showing a patient.

    python -m lightm_book.show.contours RUN      writes results/contours.json (needs the data: LIGHTM_DATA)

What is kept of a case is where the drawn lungs and the network's lungs end, as polygons; no gray value. Only cases from
Montgomery County: their masks come with the library's public data, those of Shenzhen are not for commercial use.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from PIL import Image, ImageDraw

from lightm.errors import LightMError
from lightm.files import write_json
from lightm_book import ROOT
from lightm_book.show.figures import COLORS, INK
from lightm_book.show.training import EXTRA, HIT, MISSED

FILE = ROOT / "results" / "contours.json"
PREFIX = "MCUCXR"  # of the cases from Montgomery County
Polygon = Sequence[Sequence[float]]


def outlines(mask: np.ndarray) -> list[list[list[float]]]:
    """The borders of a mask (H, W) as closed polygons [[x, y], ...] in [0, 1], of some 150 corners each."""
    from contourpy import contour_generator

    height, width = mask.shape
    padded = np.pad(mask.astype(float), 1)  # a border at the picture's edge is closed, too
    found = contour_generator(z=padded).lines(0.5)
    thinned = (np.vstack([line[:: max(1, len(line) // 150)], line[:1]]) for line in found if len(line) > 8)
    return [np.round((line - 0.5) / [width, height], 3).tolist() for line in thinned]


def filled(polygons: Sequence[Polygon], size: int = 256) -> np.ndarray:
    """The inside of polygons as a mask (size, size) of 0 and 1."""
    picture = Image.new("1", (size, size))
    for polygon in polygons:
        ImageDraw.Draw(picture).polygon([(x * size, y * size) for x, y in polygon], fill=1)
    return np.asarray(picture).astype(np.uint8)


def draw_case(ax: Axes, case: Mapping[str, Any]) -> None:
    """The outlines of one case, what was missed and what was invented filled in; no image."""
    truth, answer = (filled(case[key]) for key in ("truth", "answer"))
    rgba = np.zeros((*truth.shape, 4))  # (H, W, RGBA), transparent where nothing is
    for where, colour, strength in (
        (truth & answer, HIT, 0.25),
        (truth & (1 - answer), MISSED, 0.9),
        ((1 - truth) & answer, EXTRA, 0.9),
    ):
        rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        rgba[where > 0] = (*rgb, strength)
    ax.imshow(rgba, extent=(0, 1, 1, 0), interpolation="bilinear")
    for key, colour, style in (("truth", INK, "-"), ("answer", COLORS[0], "--")):
        for polygon in case[key]:
            ax.plot(*np.transpose([*polygon, polygon[0]]), style, color=colour, linewidth=1)
    ax.set(xlim=(0, 1), ylim=(1, 0), aspect="equal")
    ax.set_axis_off()


def trace(run: Path, most: int = 6) -> dict[str, Any]:
    """Outlines of `most` test cases of a run folder, evenly from the worst to the best, and what made them."""
    import torch

    from lightm.data.verify import hash_file
    from lightm.inference import Predictor
    from lightm.training.metrics import dice_iou
    from lightm.training.provenance import environment
    from lightm.training.task import load_data

    predictor = Predictor(run)
    data = load_data(predictor.config)
    found = []
    for case_id in (name for name in data.split.test if name.startswith(PREFIX)):
        case = data.dataset.read(case_id)
        truth = torch.as_tensor(case.label)
        answer = predictor.logits(torch.as_tensor(case.image)).argmax(0).cpu()  # (H, W)
        dsc = dice_iou(answer[None], truth[None], 2)[0].item()
        polygons = {"truth": outlines(truth.numpy() > 0), "answer": outlines(answer.numpy() > 0)}
        found.append({"case": case_id, "dsc": round(dsc, 4)} | polygons)
    if not found:
        raise LightMError(f"{run} has no test case from Montgomery County; take a run on montgomery-shenzhen.")
    found.sort(key=lambda case: case["dsc"])
    chosen = np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)
    return {
        "kind": "contours",
        "name": f"contours-{predictor.config.name}",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": predictor.config.model.name,
        "recipe": predictor.config.name,
        "size": list(predictor.config.data.size),
        "config_sha256": predictor.config.sha256,
        "epoch": predictor.epoch,
        "epochs": predictor.config.train.epochs,
        "weights_sha256": hash_file(Path(run) / "best" / "model.safetensors"),
        "environment": environment(),
        "of": len(found),
        "cases": [found[i] for i in chosen],
    }


def main() -> None:
    """`python -m lightm_book.show.contours RUN`."""
    parser = argparse.ArgumentParser(description="Write the outlines that chapter 7 draws.")
    parser.add_argument("run", type=Path, help="a folder that `lightm train` made from the X-rays")
    parser.add_argument("--out", type=Path, default=FILE)
    asked = parser.parse_args()
    write_json(trace(asked.run), asked.out)


def load_contours(path: Path = FILE) -> dict[str, Any] | None:
    """The recorded outlines; None if nobody has made them yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


if __name__ == "__main__":
    main()
