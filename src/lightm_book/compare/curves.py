"""What the validation cases say while networks train: how far they are, how they rank, which learning rate they take.

Test cases are never looked at here: a setting or a length that they had chosen would be judged by its own choice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from lightm.errors import LightMError
from lightm.training.metrics import merit
from lightm.training.record import check_shape
from lightm_book.compare.rows import Experiment, Record, label, shared_recipe

FLAT = 0.001  # of DSC, a tenth of a point: what a run that is trained to the end gains less of in its last fifth
_TUNE = {"kind": str, "name": str, "config": dict, "data": {"fingerprint": str, "split_sha256": str}, "curve": list}


def validation(record: Record) -> dict[int, float]:
    """Epoch -> DSC on the validation cases, at their own size where it was scored; epochs without are left out."""
    return {row["epoch"]: merit(row)[0] for row in record["curve"] if row["val_dsc"] is not None}


def late_gain(record: Record) -> float:
    """How far the best validation DSC rose in the last fifth of a run; infinite if none was scored before it."""
    scored, epochs = validation(record), record["config"]["train"]["epochs"]
    before = [score for epoch, score in scored.items() if epoch <= 0.8 * epochs]
    return max(scored.values()) - max(before) if before else float("inf")


def ranks_after(experiment: Experiment, percents: tuple[int, ...] = (1, 5, 20, 100)) -> dict[str, tuple[float, ...]]:
    """System -> its rank (1 is best) by validation DSC, mean over its runs, after these percents of the training.

    Only systems all of whose runs were validated then take part; equal scores share a rank.
    """
    table = {}
    for name, runs in experiment.systems.items():
        curves = [(validation(run), run["config"]["train"]["epochs"]) for run in runs]
        found = [[scored.get(epochs * percent / 100) for percent in percents] for scored, epochs in curves]
        if not any(score is None for run in found for score in run):
            table[name] = np.mean(found, axis=0)  # (percents,)
    if not table:
        return {}
    ranks = stats.rankdata(-np.array(list(table.values())), axis=0)  # (systems, percents)
    return {name: tuple(row.tolist()) for name, row in zip(table, ranks, strict=True)}


@dataclass(frozen=True)
class Tuning:
    """Runs by which learning rates are chosen, all of one recipe.

    scores: system -> learning rate -> best validation DSC, mean over seeds
    """

    recipe: Mapping[str, Any]
    scores: Mapping[str, Mapping[float, float]]

    @property
    def rates(self) -> list[float]:
        """All rates that some system was trained with."""
        return sorted({rate for found in self.scores.values() for rate in found})

    def best(self, system: str) -> float:
        """The rate with the highest score of a system."""
        return max(self.scores[system], key=self.scores[system].__getitem__)

    @property
    def title(self) -> str:
        size, train = " × ".join(map(str, self.recipe["data"]["size"])), self.recipe["train"]
        length = f"{train['epochs']} epochs of {train['iterations_per_epoch'] or 'all'} iterations"
        return f"{self.recipe['data']['name']} at {size}, {self.recipe['optim']['name']}, {length}"

    def belongs_to(self, experiment: Experiment) -> bool:
        """Whether these rates were chosen for that experiment's recipe, length and warm-up apart."""
        return _without_length(self.recipe) == _without_length(experiment.recipe)


def load_tunings(folder: str | Path) -> list[Tuning]:
    """Every record of kind "tune" in a folder, sorted into tunings; an empty list where there is none yet."""
    groups: dict[str, tuple[dict, dict[str, dict[float, list[float]]]]] = {}
    for path in sorted(Path(folder).glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LightMError(f"Can't read the record {path}: {error}.") from error
        check_shape(record, _TUNE, str(path))
        recipe = shared_recipe(record["config"])
        key = json.dumps([recipe, *record["data"].values()], sort_keys=True)
        rates = groups.setdefault(key, (recipe, {}))[1].setdefault(label(record), {})
        rates.setdefault(record["config"]["optim"]["lr"], []).append(max(validation(record).values()))
    return [
        Tuning(recipe, {name: {r: float(np.mean(rates[r])) for r in sorted(rates)} for name, rates in systems.items()})
        for recipe, systems in groups.values()
    ]


def _without_length(recipe: Mapping[str, Any]) -> dict[str, Any]:
    recipe = shared_recipe(recipe)
    for part, keys in {"train": ("epochs", "iterations_per_epoch", "validate_every"), "optim": ("warmup",)}.items():
        recipe[part] = {key: value for key, value in recipe[part].items() if key not in keys}
    return recipe
