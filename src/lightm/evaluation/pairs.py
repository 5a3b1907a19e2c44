"""Two folders of masks, matched by case name and read on the same grid, whoever made them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightm.data.images import label_values, read_image, stem_of, suffix_of
from lightm.data.reading.description import read_description
from lightm.data.reading.faults import shown
from lightm.data.reading.geometry import misfit
from lightm.errors import LightMError


@dataclass(frozen=True)
class Pair:
    """A case: where its prediction and its label map lie."""

    case_id: str
    pred: Path
    true: Path


@dataclass(frozen=True)
class Masks:
    """A case, read: label maps pred, true uint8 (*S), spacing along S, and whether the files tell it (else pixels)."""

    pred: np.ndarray
    true: np.ndarray
    spacing: tuple[float, ...]
    spacing_known: bool


def match(predictions: str | Path, labels: str | Path) -> tuple[list[Pair], list[str]]:
    """The pairs in case order, and the names of predictions that have no label map (they are not scored).

    Cases are known by the file's name without its ending: a.png may be the prediction of a.nii.gz's namesake a.tif.
    LightMError if a folder is missing or empty, a name is there twice, or a label map has no prediction: leaving out
    what a network failed on would make it look better.
    """
    found = [_by_case(Path(folder), what) for folder, what in ((predictions, "prediction"), (labels, "label map"))]
    if Path(predictions).resolve() == Path(labels).resolve():
        raise LightMError(f"{predictions} is named as predictions and as labels; give two folders.")
    missing = sorted(set(found[1]) - set(found[0]))
    if missing:
        raise LightMError(
            f"{len(missing)} of {len(found[1])} label maps in {labels} have no prediction in {predictions}, e.g. "
            f"{shown(missing[0])!r}; predict these cases too, or score against a folder without them."
        )
    pairs = [Pair(case, found[0][case], found[1][case]) for case in sorted(found[1])]
    return pairs, sorted(set(found[0]) - set(found[1]))


def _by_case(folder: Path, what: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise LightMError(f"There is no folder {shown(folder)}; correct the path.")
    cases: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not suffix_of(path) or path.name.startswith("."):
            continue  # nnU-Net leaves JSON and probabilities beside its predictions
        if stem_of(path) in cases:
            raise LightMError(f"{folder} holds two files for the case {shown(stem_of(path))!r}; keep the right one.")
        cases[stem_of(path)] = path
    if not cases:
        raise LightMError(f"{shown(folder)} holds no {what} (PNG, TIFF, NIfTI, NRRD, MHA); correct the path.")
    return cases


def classes_of(labels: Path, names: Sequence[str] | None) -> tuple[dict[int, str] | None, int | None]:
    """Label value -> name without the background, and the label to ignore: as given, or as dataset.json beside says.

    (None, None) if nobody names them: then each value that occurs is a class.
    """
    said = read_description(Path(labels).resolve().parent)
    given = tuple(names) if names else said.classes
    return ({i: name for i, name in enumerate(given) if i} or None) if given else None, said.ignore


def read_pair(pair: Pair, accept_geometry: bool = False) -> Masks:
    """Both masks of a case. LightMError if one can't be read, or they don't lie on one another.

    accept_geometry: take masks of one shape for aligned, whatever their headers say. A mask of 0 and 255 is one of 0
    and 1.
    """
    files = [read_image(path, indices=True) for path in (pair.true, pair.pred)]
    wrong = misfit(files[0], files[1], "the label map")
    if wrong and (wrong.kind == "shape" or not accept_geometry):
        hint = "" if wrong.kind == "shape" else " (--accept-geometry compares them voxel by voxel all the same)"
        raise LightMError(f"Case {shown(pair.case_id)}: {shown(pair.pred)} {wrong.what}; {wrong.remedy}{hint}.")
    values = [
        label_values(path, file).astype(np.uint8) for path, file in zip((pair.true, pair.pred), files, strict=True)
    ]
    true, pred = ((v > 0).astype(np.uint8) if set(np.unique(v).tolist()) <= {0, 255} else v for v in values)
    known = next((file for file in files if file.spacing_known), files[0])
    return Masks(pred, true, known.spacing, known.spacing_known)
