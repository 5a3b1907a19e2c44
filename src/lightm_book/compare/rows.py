"""Which runs belong together: one rule for every table of the book and for the scorecard.

Runs are compared only within an `Experiment`: same data, split, size and recipe; nothing differs but the network and
the seed, and the learning rate where it was chosen for each network (`compare/curves.py`). A row is a system: a network
with its options. Everything here is computed from records (`lightm.training.record`); what is not recorded has no row.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightm.errors import LightMError
from lightm.models import list_models
from lightm.models.registry import SIZE_OPTIONS
from lightm.training.config import config_from_dict

PASSES = 12  # over the training cases, from which on an experiment counts as trained to the end and carries verdicts
Record = Mapping[str, Any]


def label(record: Record) -> str:
    """The network of a run and the options that were given: "lightm-unet", "lightm-unet, directions 2"."""
    model = record["config"]["model"]
    options = (f"{key} {value}" for key, value in sorted(model["options"].items()))
    return ", ".join([model["name"], *options])


def evaluation(record: Record) -> Mapping[str, Any]:
    """The scores of a run that count: those at the cases' own size, or, of a run without them, at the training size."""
    return record.get("test_native") or record["test"]


def case_means(scored: Mapping[str, Any], metric: str = "dsc") -> np.ndarray:
    """The score of each case of one evaluation, mean over the foreground classes, in the record's order: (cases,)."""
    return np.array([statistics.fmean(case[metric].values()) for case in scored["cases"]])


def scores(runs: Sequence[Record], metric: str = "dsc") -> np.ndarray:
    """`case_means` of each run: (runs, cases). LightMError if the runs were scored on different cases."""
    if len({tuple(case["case"] for case in evaluation(run)["cases"]) for run in runs}) > 1:
        raise LightMError("The runs were scored on different test cases, or in another order: they can't be compared.")
    return np.array([case_means(evaluation(run), metric) for run in runs])


@dataclass(frozen=True)
class Experiment:
    """Runs that may be compared. `recipe`: what they share, as a record has it. `systems`: label -> runs, by seed.

    key: data set, split and recipe as one text; the same for every `only` of an experiment.
    """

    key: str
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
        """Whether every run was scored at the size of the files."""
        return all(run.get("test_native") for runs in self.systems.values() for run in runs)

    @property
    def passes(self) -> float:
        """How often a run sees each training case."""
        train, cases = self.recipe["train"], self.first["data"]["cases"]["train"]
        if not train["iterations_per_epoch"]:
            return train["epochs"]
        images = train["iterations_per_epoch"] * train["batch_size"] * train["accumulate"]
        return train["epochs"] * images / cases

    @property
    def carries_verdicts(self) -> bool:
        """Whether its runs are long enough to judge networks by: fixed by the recipe, before any score is known."""
        return self.passes >= PASSES

    def only(self, systems: Iterable[str]) -> "Experiment":
        """The experiment with these systems only, those of them that it has."""
        wanted = set(systems)
        return Experiment(self.key, self.recipe, {name: runs for name, runs in self.systems.items() if name in wanted})

    @property
    def title(self) -> str:
        """Data, size, recipe and length on one line."""
        train, optim = self.recipe["train"], self.recipe["optim"]
        length = f"{train['epochs']} epochs"
        if train["iterations_per_epoch"]:
            length += f" of {train['iterations_per_epoch']} iterations"
        size = " × ".join(map(str, self.size))
        rate = f"{optim['lr']:g}" if "lr" in optim else "at each network's rate"
        steps = f"{optim['name']} {rate}, batch {train['batch_size']}, {train['precision']}"
        return f"{self.dataset} at {size}: {steps}, {length}"


def shared_recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of a record without what may differ in an experiment; keys that an old record lacks get defaults."""
    recipe = config_from_dict(config).public()
    del recipe["name"], recipe["model"], recipe["eval"], recipe["optim"]["lr"]
    recipe["train"] = {k: v for k, v in recipe["train"].items() if k not in ("seed", "workers")}
    return recipe


def experiments(records: Mapping[str, Record]) -> list[Experiment]:
    """The records sorted into experiments, the one to be read first in front.

    Comparisons of runs that were trained to the end come first, then those with the most systems, then the larger
    images. A learning rate that all runs have in common is in the recipe.
    """
    groups: dict[str, tuple[dict, dict[str, list[Record]]]] = {}
    for record in records.values():
        recipe = shared_recipe(record["config"])
        key = json.dumps([recipe, record["data"]["fingerprint"], record["data"]["split_sha256"]], sort_keys=True)
        groups.setdefault(key, (recipe, {}))[1].setdefault(label(record), []).append(record)
    order = [info.name for info in list_models()]
    found = []
    for key, (recipe, systems) in groups.items():
        rates = {run["config"]["optim"]["lr"] for runs in systems.values() for run in runs}
        if len(rates) == 1:
            recipe["optim"]["lr"] = rates.pop()
        names = sorted(systems, key=lambda name: (order.index(name.split(",")[0]), name))
        runs = {name: tuple(sorted(systems[name], key=lambda run: run["seed"])) for name in names}
        found.append(Experiment(key, recipe, {name: _once_a_seed(name, group) for name, group in runs.items()}))

    def place(e: Experiment) -> tuple:
        return not (e.carries_verdicts and len(e.systems) > 1), -len(e.systems), [-n for n in e.size], e.title

    return sorted(found, key=place)


def _once_a_seed(name: str, runs: tuple[Record, ...]) -> tuple[Record, ...]:
    seeds = [run["seed"] for run in runs]
    if len(set(seeds)) < len(seeds):
        raise LightMError(f"Two records of {name} have the same recipe and seed ({seeds}); keep one of them.")
    return runs


def runs_of(
    model: str, dataset: str, records: Mapping[str, Record], recipe: Mapping[str, Any] | None = None
) -> dict[str, Record]:
    """The runs that stand for a network on a data set: name -> record, by seed; empty if there are none.

    All are of one experiment, the first of `experiments` that has the network, or the one of `recipe` (an experiment's,
    or a record's config). Synthetic data, runs without scores at the cases' own size, and variants of the network by an
    option of their own are left out.
    """
    wanted = None if recipe is None else shared_recipe(recipe)
    suitable = {
        name: record
        for name, record in records.items()
        if record["data"]["name"] == dataset and not record["data"]["synthetic"] and record.get("test_native")
    }
    for experiment in experiments(suitable):
        if wanted is not None and shared_recipe(experiment.recipe) != wanted:
            continue
        systems = [
            runs
            for runs in experiment.systems.values()
            if runs[0]["config"]["model"]["name"] == model
            and runs[0]["config"]["model"]["options"].keys() <= set(SIZE_OPTIONS)
        ]
        if systems:
            runs = max(systems, key=len)
            return {name: run for run in runs for name, record in suitable.items() if record is run}
    return {}
