"""Records of runs -> tables: which runs belong together, means with intervals, which differences are more than luck.

Runs are compared only within an `Experiment`: same data, split, size, recipe; nothing differs but the network and the
seed. Everything here is computed from records (`lightm.training.record`), and what is not recorded has no row.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lightm.counting import Complexity, count
from lightm.errors import LightMError
from lightm.models import build_model, list_models
from lightm.models.registry import SIZE_OPTIONS
from lightm.training.config import config_from_dict
from lightm_book.compare.statistics import (
    Comparison,
    compare,
    holm,
    interval_of_cases,
    interval_of_runs,
    seeds_by_chance,
)
from lightm_book.paper.settings import setting
from lightm_book.paper.tables import NETWORKS_OF_ROW, TABLES

LEVEL = 0.05  # of the test over cases, after Holm's correction
CHANCE = 0.1  # so far apart equal systems may lie by luck with the seeds and still be told apart: three runs of each
Record = Mapping[str, Any]


def label(record: Record) -> str:
    """The network of a run and the options that were given: "lightm-unet", "lightm-unet, directions 2"."""
    model = record["config"]["model"]
    options = (f"{key} {value}" for key, value in sorted(model["options"].items()))
    return ", ".join([model["name"], *options])


def scores(runs: Sequence[Record], metric: str = "dsc", native: bool = False) -> np.ndarray:
    """The score of each case, mean over the foreground classes: (runs, cases), cases in the order of the records."""
    key = "test_native" if native else "test"
    return np.array([[statistics.fmean(case[metric].values()) for case in run[key]["cases"]] for run in runs])


@dataclass(frozen=True)
class Experiment:
    """Runs that may be compared. `recipe`: what they share, as a record has it. `systems`: label -> runs, by seed."""

    recipe: Mapping[str, Any]
    systems: Mapping[str, tuple[Record, ...]]

    @property
    def first(self) -> Record:
        return next(iter(self.systems.values()))[0]

    @property
    def dataset(self) -> str:
        return self.first["data"]["name"]

    @property
    def synthetic(self) -> bool:
        return self.first["data"]["synthetic"]

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(self.recipe["data"]["size"])

    @property
    def cases(self) -> list[str]:
        """Names of the test cases."""
        return [case["case"] for case in self.first["test"]["cases"]]

    @property
    def native(self) -> bool:
        """Whether every run was scored at the size of the files, too."""
        return all(run.get("test_native") for runs in self.systems.values() for run in runs)

    def only(self, systems: Iterable[str]) -> "Experiment":
        """The experiment with these systems only, those of them that it has: fewer questions are asked."""
        wanted = set(systems)
        return Experiment(self.recipe, {name: runs for name, runs in self.systems.items() if name in wanted})

    @property
    def title(self) -> str:
        """Data, size, recipe and length on one line."""
        train, optim = self.recipe["train"], self.recipe["optim"]
        length = f"{train['epochs']} epochs"
        if train["iterations_per_epoch"]:
            length += f" of {train['iterations_per_epoch']} iterations"
        size = " × ".join(map(str, self.size))
        steps = f"{optim['name']} {optim['lr']:g}, batch {train['batch_size']}, {train['precision']}"
        return f"{self.dataset} at {size}: {steps}, {length}"


def experiments(records: Mapping[str, Record]) -> list[Experiment]:
    """The records sorted into experiments: those with the most systems first, then those with the larger images."""
    groups: dict[str, tuple[dict, dict[str, list[Record]]]] = {}
    for record in records.values():
        recipe = _shared(record)
        key = json.dumps([recipe, record["data"]["fingerprint"], record["data"]["split_sha256"]], sort_keys=True)
        groups.setdefault(key, (recipe, {}))[1].setdefault(label(record), []).append(record)
    order = [info.name for info in list_models()]
    found = []
    for recipe, systems in groups.values():
        names = sorted(systems, key=lambda name: (order.index(name.split(",")[0]), name))
        runs = {name: tuple(sorted(systems[name], key=lambda run: run["seed"])) for name in names}
        found.append(Experiment(recipe, {name: _once_a_seed(name, group) for name, group in runs.items()}))
    return sorted(found, key=lambda e: (-len(e.systems), [-n for n in e.size], e.title))


def _shared(record: Record) -> dict[str, Any]:
    """The recipe without what may differ within an experiment; keys that an old record lacks have their default."""
    recipe = config_from_dict(record["config"]).public()
    del recipe["name"], recipe["model"], recipe["eval"]
    recipe["train"] = {k: v for k, v in recipe["train"].items() if k not in ("seed", "workers")}
    return recipe


def _once_a_seed(name: str, runs: tuple[Record, ...]) -> tuple[Record, ...]:
    seeds = [run["seed"] for run in runs]
    if len(set(seeds)) < len(seeds):
        raise LightMError(f"Two records of {name} have the same recipe and seed ({seeds}); keep one of them.")
    return runs


@dataclass(frozen=True)
class Standing:
    """One system of an experiment. Scores in [0, 1]; pairs are 95 % intervals.

    dsc, iou                mean over cases and runs
    dsc_cases, iou_cases    interval over the test cases, of whom others might have been drawn (bootstrap)
    dsc_runs                interval over training runs (Student's t); infinite for one run
    comparison              with the base on the same cases; None for the base itself
    p                       `comparison.p_cases` after Holm's correction over all systems of the experiment
    """

    system: str
    params: int
    runs: int
    dsc: float
    dsc_cases: tuple[float, float]
    dsc_runs: tuple[float, float]
    iou: float
    iou_cases: tuple[float, float]
    comparison: Comparison | None
    p: float | None
    by_chance: float | None  # probability that equal systems have seeds so far apart

    @property
    def verdict(self) -> str:
        """In words, what the tests allow to be said against the base."""
        if self.comparison is None:
            return "the base"
        if self.p >= LEVEL:
            return "no difference seen"
        if not self.comparison.seeds_apart:
            return "within the spread of the runs"
        if self.by_chance > CHANCE:
            return "these networks differ; too few runs for the systems"
        return "better" if self.comparison.difference > 0 else "worse"


def standings(experiment: Experiment, base: str = "lightm-unet", native: bool = False) -> list[Standing]:
    """A row for each system, compared with `base` case by case; the best mean first.

    native: scores at the size of the files, not at that of the training.
    """
    systems = experiment.systems
    if base not in systems:
        raise LightMError(f"The experiment has no run of {base!r} to compare with; it has {', '.join(systems)}.")
    dsc = {name: scores(runs, "dsc", native) for name, runs in systems.items()}  # (runs, cases)
    iou = {name: scores(runs, "iou", native) for name, runs in systems.items()}
    _check_paired(systems, native)
    found = {name: compare(dsc[base], dsc[name]) for name in systems if name != base}
    adjusted = holm({name: comparison.p_cases for name, comparison in found.items()})
    rows = []
    for name, runs in systems.items():
        rows.append(
            Standing(
                name,
                runs[0]["model"]["params"],
                len(runs),
                float(dsc[name].mean()),
                interval_of_cases(dsc[name].mean(0)),
                interval_of_runs(dsc[name].mean(1)),
                float(iou[name].mean()),
                interval_of_cases(iou[name].mean(0)),
                found.get(name),
                adjusted.get(name),
                seeds_by_chance(len(runs), len(systems[base])) if name in found else None,
            )
        )
    return sorted(rows, key=lambda row: -row.dsc)


def _check_paired(systems: Mapping[str, Sequence[Record]], native: bool) -> None:
    key = "test_native" if native else "test"
    orders = {tuple(case["case"] for case in run[key]["cases"]) for runs in systems.values() for run in runs}
    if len(orders) > 1:
        raise LightMError("The runs were scored on different test cases, or in another order: they can't be paired.")


def row_of(system: str) -> str | None:
    """The row of the paper's tables that a system may stand for; None if it has none there.

    A LightM-UNet with another option than the text's, or of another width, is in no table.
    """
    name, *options = system.split(", ")
    if any(not option.startswith(SIZE_OPTIONS) for option in options):
        return None
    return next((row for row, names in NETWORKS_OF_ROW.items() if name in names), None)


def costs(experiment: Experiment) -> dict[str, dict[str, float]]:
    """What the runs of each system took: means of wall minutes and seconds an epoch, most memory in GiB."""
    found = {}
    for name, runs in experiment.systems.items():
        epochs = [statistics.median(row["seconds"] for row in run["curve"]) for run in runs]
        found[name] = {
            "minutes": statistics.fmean(run["cost"]["wall_seconds"] for run in runs) / 60,
            "seconds_an_epoch": statistics.fmean(epochs),
            "gib": max(run["cost"]["peak_memory_bytes"] for run in runs) / 2**30,
        }
    return found


def count_of(record: Record) -> Complexity:
    """True parameters and MACs of a run's network for one image of the run's size, on the meta device."""
    model, size = record["config"]["model"], record["config"]["data"]["size"]
    for in_channels in (1, 3):  # a record doesn't say; its parameters do
        with torch.device("meta"):
            network = build_model(
                model["name"], len(size), in_channels, len(record["data"]["classes"]), **model["options"]
            )
        counted = count(network, (in_channels, *size))
        if counted.params == record["model"]["params"]:
            return counted
    raise LightMError(f"{label(record)} has {counted.params} parameters here and {record['model']['params']} there.")


def unmeasured(records: Mapping[str, Record]) -> list[tuple[int, str]]:
    """(table, row) of the paper for which no run on the table's data at the paper's image size is recorded."""
    missing = []
    for number, table in TABLES.items():
        size = [int(n) for n in setting("size", table.dims).value]
        for row in table.rows:
            runs = [r for r in records.values() if row_of(label(r)) == row and r["data"]["name"] == table.dataset]
            if not any(run["config"]["data"]["size"] == size for run in runs):
                missing.append((number, row))
    return missing
