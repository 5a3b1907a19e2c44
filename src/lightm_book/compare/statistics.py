"""Means, differences and their uncertainty, through scipy.stats. The unit is the training run.

Two samples lie behind a score. The *runs* are a sample of what training gives: only a test over runs says whether two
architectures differ, and not only two files of weights. The *test cases* are a sample of patients, the same for all
runs: an interval over cases says how far other patients might move a difference between these networks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from lightm.errors import LightMError

LEVEL = 0.05  # of every test, after the correction for the number of comparisons
POWER = 0.8  # with which a difference counts as detectable


def mean_interval(scores: Sequence[float] | Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Mean and the ends of its 95 % interval (Student's t): the one interval of the book.

    scores: (n,), a sample; or (runs, cases), of which the sample are the runs' means if there are two or more runs, and
    else the cases of the only one. The interval of a single number has no ends: (x, -inf, inf).
    """
    sample = np.asarray(scores, dtype=float)
    if sample.ndim == 2:
        sample = sample.mean(1) if len(sample) > 1 else sample[0]  # (runs,) or (cases,)
    if sample.ndim != 1 or not sample.size or not np.isfinite(sample).all():
        raise LightMError(f"Scores are (n,) or (runs, cases), at least one, all finite; not of shape {sample.shape}.")
    mean = float(sample.mean())
    if sample.size < 2:
        return mean, -math.inf, math.inf
    half = float(stats.t.ppf(0.975, sample.size - 1) * stats.sem(sample))
    return mean, mean - half, mean + half


@dataclass(frozen=True)
class Difference:
    """Mean score of a system minus that of the base, over training runs.

    low, high  the 95 % interval, Welch's (the two spreads may differ); infinite where there is no test
    p          two-sided, by Welch's t-test, not corrected; None with fewer than two runs of either, or without a spread
    spread     standard deviation from run to run, pooled; None likewise
    runs       of the system, of the base
    """

    mean: float
    low: float
    high: float
    p: float | None
    spread: float | None
    runs: tuple[int, int]


def difference(base: Sequence[float], other: Sequence[float]) -> Difference:
    """`other` minus `base`, each the mean scores of its runs: (runs,), (runs,)."""
    a, b = np.asarray(other, dtype=float), np.asarray(base, dtype=float)
    if a.ndim != 1 or b.ndim != 1 or not a.size or not b.size or not np.isfinite([*a, *b]).all():
        raise LightMError(f"Give a finite score for each run, (runs,), not arrays of shapes {b.shape} and {a.shape}.")
    mean, runs = float(a.mean() - b.mean()), (a.size, b.size)
    spread = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2) if min(runs) > 1 else 0.0
    if spread == 0:
        return Difference(mean, -math.inf, math.inf, None, None, runs)
    test = stats.ttest_ind(a, b, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return Difference(mean, float(low), float(high), float(test.pvalue), spread, runs)


def detectable_difference(spread: float, runs: int, level: float = LEVEL, power: float = POWER) -> float:
    """The true difference that a two-sided t-test of `runs` runs each finds with probability `power`.

    spread: standard deviation from run to run, taken as equal for both. Exact, by the noncentral t distribution.
    """
    if runs < 2 or not spread > 0 or not 0 < level < power < 1:
        raise LightMError(
            "A detectable difference needs two runs or more, a spread above 0, and 0 < level < power < 1."
        )
    degrees = 2 * runs - 2
    limit = stats.t.ppf(1 - level / 2, degrees)
    shift = optimize.brentq(lambda x: stats.nct.sf(limit, degrees, x) - power, 0, 20 * limit)
    return float(shift * spread * math.sqrt(2 / runs))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's correction for several questions: name -> p-value, adjusted so that each may be held against 0.05.

    Ours, because scipy corrects for the false discovery rate only.
    """
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(p, key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p}


def sign_flips(differences: Sequence[float]):
    """Is the mean of paired differences (n,) more than chance? `scipy.stats.permutation_test` over the cases.

    If neither network were better, the sign of each difference would be a coin toss. The result has the two-sided
    `pvalue` and the means under flipped signs, `null_distribution`: all 2^n where they are few, else 20,000 at random.
    """
    d = np.asarray(differences, dtype=float)
    if d.ndim != 1 or d.size < 2 or not np.isfinite(d).all():
        raise LightMError(f"The differences must be a list of at least two finite numbers, not of shape {d.shape}.")

    def mean(x, y, axis):  # exchanging x_i = d_i and y_i = 0 flips the sign of d_i
        return (x - y).mean(axis)

    return stats.permutation_test(
        (d, np.zeros_like(d)), mean, permutation_type="samples", vectorized=True, n_resamples=20_000, rng=0
    )
