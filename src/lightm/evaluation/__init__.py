"""Scores of any two folders of masks, whoever made them: per case and class, with intervals, as text, JSON and a page.

>>> from lightm.evaluation import evaluate_folders
>>> result = evaluate_folders("predictions", "labelsTs")
>>> result["summary"]["liver"]["dsc"]["mean"]

What each score means, and what is done about empty masks: `lightm.evaluation.scores`.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lightm.errors import LightMError

__all__ = ["compare_folders", "evaluate_folders"]

Progress = Callable[[int, int], None]


def evaluate_folders(
    predictions: str | Path,
    labels: str | Path,
    classes: Sequence[str] | None = None,
    tolerance: float = 1.0,
    spacing: Sequence[float] | None = None,
    accept_geometry: bool = False,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Score each mask in `predictions` against the one of the same name in `labels`.

    classes: names of the label values 0, 1, …; without them those of the dataset.json beside `labels`, else every value
    that occurs in a label map or a prediction. tolerance: of the NSD, in the unit of distances. spacing: mm along each
    axis, for pictures, whose files don't say. accept_geometry: as in `pairs.read_pair`.
    Returns {"predictions", "labels", "unit" ("mm" or "pixels"), "tolerance", "classes", "ignore", "unscored",
    "cases": [{"case", "spacing", "scores": {class: {"state", metric: value}}}], "summary": see `summary.summarise`}.
    LightMError for folders or files that can't be scored, naming the case.
    """
    from lightm.evaluation.pairs import classes_of, match, read_pair
    from lightm.evaluation.scores import score_masks
    from lightm.evaluation.summary import summarise

    pairs, unscored = match(predictions, labels)
    names, ignore = classes_of(Path(labels), classes)

    def score(pair):
        masks = read_pair(pair, accept_geometry)
        known = None if ignore is None else masks.true != ignore
        steps = _spacing(pair.case_id, masks, spacing)
        values = sorted({int(v) for v in np.union1d(np.unique(masks.true), np.unique(masks.pred))} - {0, ignore})
        if names is not None:
            unknown = [v for v in values if v not in names]
            if unknown:
                raise LightMError(
                    f"Case {pair.case_id}: label map or prediction holds the value {unknown[0]}, but the classes are 0 "
                    f"to {max(names)}; name all classes (--classes), or correct the file."
                )
            values = sorted(names)
        scored = {v: score_masks(masks.pred == v, masks.true == v, steps, tolerance, known) for v in values}
        return pair.case_id, steps, masks.spacing_known or spacing is not None, scored, masks.true.shape

    found = []
    pool = ThreadPoolExecutor(min(2, os.cpu_count() or 1))
    try:
        for answer in pool.map(score, pairs):
            found.append(answer)
            progress(len(found), len(pairs))
    finally:
        pool.shutdown(cancel_futures=True)
    if len({known for _, _, known, _, _ in found}) > 1 or len({len(shape) for *_, shape in found}) > 1:
        raise LightMError(f"{labels} mixes pictures and volumes, or files with and without spacing; score them apart.")
    names = names or {v: str(v) for v in sorted({v for _, _, _, scored, _ in found for v in scored})}
    if not names:
        raise LightMError(f"No mask in {labels} or {predictions} marks anything: there is nothing to score.")
    cases = []
    for case, steps, _, scored, shape in found:
        nothing = score_masks(np.zeros(shape[:1], bool), np.zeros(shape[:1], bool), (1.0,))
        scores = {name: scored.get(value, nothing) for value, name in names.items()}
        cases.append({"case": case, "spacing": list(steps), "scores": scores})
    return {
        "predictions": str(predictions),
        "labels": str(labels),
        "unit": "mm" if found[0][2] else "pixels",
        "tolerance": tolerance,
        "classes": {str(value): name for value, name in names.items()},
        "ignore": ignore,
        "unscored": unscored,
        "cases": cases,
        "summary": summarise(cases, list(names.values())),
    }


def compare_folders(result: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two results of `evaluate_folders` on the same label maps: per class and metric, `statistics.paired_test`.

    Returns {"predictions": other's, "difference": {class: {metric: …}}, "mean": other's means}. LightMError if the
    cases or the classes differ.
    """
    from lightm.evaluation.scores import METRICS
    from lightm.evaluation.statistics import paired_test

    if [c["case"] for c in result["cases"]] != [c["case"] for c in other["cases"]]:
        raise LightMError("The two results are of different cases; score both sets of predictions on the same labels.")
    difference = {
        name: {
            metric: paired_test(*([c["scores"][name][metric] for c in r["cases"]] for r in (result, other)))
            for metric in METRICS
        }
        for name in result["classes"].values()
        if name in other["summary"]
    }
    return {"predictions": other["predictions"], "difference": difference, "summary": other["summary"]}


def _spacing(case: str, masks: Any, given: Sequence[float] | None) -> tuple[float, ...]:
    if given is None:
        return masks.spacing
    if len(given) != masks.true.ndim or not all(0 < v < float("inf") for v in given):
        raise LightMError(
            f"The spacing {' x '.join(map(str, given))} does not suit case {case}, which has {masks.true.ndim} axes; "
            "give one number above 0 for each."
        )
    return tuple(map(float, given))
