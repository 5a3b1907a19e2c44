"""Which networks are better than the base: tests over training runs, and one correction for the whole book."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lightm.errors import LightMError
from lightm_book.compare.curves import FLAT, late_gain
from lightm_book.compare.rows import Experiment, Record, experiments, scores
from lightm_book.compare.statistics import LEVEL, Difference, detectable_difference, difference, holm, mean_interval

BASE = "lightm-unet"  # the network of the paper's text: what every other one is compared with


@dataclass(frozen=True)
class Family:
    """All comparisons with one base on which the book passes a verdict, in whichever chapter it stands.

    p: (key of the experiment, system) -> Welch's p-value after Holm's correction over all of them
    """

    base: str
    p: Mapping[tuple[str, str], float]

    @property
    def level(self) -> float:
        """What the smallest p-value must be below, uncorrected: the strictest step of Holm's correction."""
        return LEVEL / max(len(self.p), 1)


def family(records: Mapping[str, Record], base: str = BASE) -> Family:
    """The family of all records: every system that was trained to the end at least twice, on any data, beside the base.

    Who belongs to it depends on recipes and numbers of runs alone, not on any score.
    """
    p = {}
    for experiment in experiments(records):
        if base in experiment.systems and experiment.carries_verdicts and not experiment.synthetic:
            for system, found in differences(experiment, base).items():
                if found.p is not None:
                    p[experiment.key, system] = found.p
    return Family(base, holm(p))


def differences(experiment: Experiment, base: str = BASE) -> dict[str, Difference]:
    """System -> mean DSC minus that of the base, over runs, for every other system of an experiment."""
    if base not in experiment.systems:
        raise LightMError(
            f"The experiment has no run of {base!r} to compare with; it has {', '.join(experiment.systems)}."
        )
    scores([run for runs in experiment.systems.values() for run in runs])  # on the same cases, or LightMError
    means = {system: scores(runs).mean(1) for system, runs in experiment.systems.items()}  # (runs,)
    return {system: difference(means[base], means[system]) for system in experiment.systems if system != base}


@dataclass(frozen=True)
class Standing:
    """One system of an experiment. Scores in [0, 1], at the cases' own size; triples are `mean_interval`.

    dsc, iou       mean and interval: over the runs where there are several, else over the test cases
    against        `Difference` from the base, over runs; None for the base itself
    over_cases     95 % interval of the same difference over the test cases, each paired, means over runs; None likewise
    p              of `against`, corrected in the family; None where no verdict is due
    detectable     the true difference that as many runs with this spread find in four of five experiments, at the
                   family's level; None where no verdict is due
    late_gain      what validation DSC gained in the last fifth of the training, mean over the runs
    verdict        in words, what may be said against the base
    """

    system: str
    params: int
    runs: int
    dsc: tuple[float, float, float]
    iou: tuple[float, float, float]
    against: Difference | None
    over_cases: tuple[float, float] | None
    p: float | None
    detectable: float | None
    late_gain: float
    verdict: str


def standings(experiment: Experiment, book: Family) -> list[Standing]:
    """A row for each system of an experiment, compared with the base of the family; the best mean first."""
    against = differences(experiment, book.base)
    gains = {name: float(np.mean([late_gain(run) for run in runs])) for name, runs in experiment.systems.items()}
    dsc = {name: scores(runs) for name, runs in experiment.systems.items()}  # (runs, cases)
    rows = []
    for name, runs in experiment.systems.items():
        found, p, least, cases, said = against.get(name), book.p.get((experiment.key, name)), None, None, "the base"
        if found:
            cases = mean_interval(dsc[name].mean(0) - dsc[book.base].mean(0))[1:]
            least = None if p is None else detectable_difference(found.spread, min(found.runs), book.level)
            long_enough, gain = experiment.carries_verdicts, max(gains[name], gains[book.base])
            said = _verdict(found, cases, p, long_enough, gain)
        intervals = mean_interval(dsc[name]), mean_interval(scores(runs, "iou"))
        params = runs[0]["model"]["params"]
        rows.append(Standing(name, params, len(runs), *intervals, found, cases, p, least, gains[name], said))
    return sorted(rows, key=lambda row: -row.dsc[0])


def _verdict(found: Difference, cases: tuple[float, float], p: float | None, long_enough: bool, gain: float) -> str:
    if not long_enough:
        return "too short for a verdict"
    if p is None:
        return "too few runs"
    if gain >= FLAT:
        return "still learning"
    if p >= LEVEL or cases[0] <= 0 <= cases[1]:  # other trainings, or other patients, might turn it around
        return "no difference shown"
    return "better" if found.mean > 0 else "worse"
