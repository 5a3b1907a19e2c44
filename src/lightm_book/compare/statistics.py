"""Is one system better than another? Scores of several training runs of each (seeds) on the same test cases.

Two kinds of luck are kept apart. The *cases*: other images would have given other scores; a paired test over cases
covers that for the networks as they were trained. The *seeds*: another training of the same system would have given
another network; only more than one training of each shows how much.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from lightm.errors import LightMError

EXACT = 14  # up to so many differences all 2^n signs are tried: 16,384


@dataclass(frozen=True)
class Comparison:
    """One system against the base, on paired test cases.

    difference    mean score of the system minus that of the base, over seeds and cases
    per_case      the same for each case, means over seeds
    p_cases       `sign_flip_test` of per_case: how probable so large a mean is if signs were a matter of chance
    seeds_apart   every run of one is better than every run of the other
    """

    difference: float
    per_case: tuple[float, ...]
    p_cases: float
    seeds_apart: bool


def compare(base: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> Comparison:
    """base, other: scores (seeds, cases), the cases the same in the same order; the numbers of seeds may differ."""
    a, b = (np.asarray(scores, dtype=float) for scores in (base, other))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not a.size or not b.size:
        raise LightMError(f"Scores are (seeds, cases) on the same cases, not of shapes {a.shape} and {b.shape}.")
    per_case = np.round(b.mean(0) - a.mean(0), 12)  # (cases,); no rounding error passes for a difference
    runs_a, runs_b = a.mean(1), b.mean(1)  # (seeds,)
    apart = runs_a.max() < runs_b.min() or runs_b.max() < runs_a.min()
    return Comparison(float(per_case.mean()), tuple(per_case.tolist()), sign_flip_test(per_case), bool(apart))


def sign_flips(differences: Sequence[float], draws: int = 20_000, seed: int = 0) -> np.ndarray:
    """Means of paired differences (n,) whose signs were flipped: by every choice of signs if n <= 14, else at random.

    If neither system were better, each sign would be a coin toss, and the mean that was found one of these.
    """
    d = np.asarray(differences, dtype=float)
    if d.ndim != 1 or not d.size or not np.isfinite(d).all():
        raise LightMError(f"The differences must be a list of at least one finite number, not of shape {d.shape}.")
    if d.size <= EXACT:
        signs = np.array(list(product((1, -1), repeat=d.size)))
    else:
        signs = np.random.default_rng(seed).choice((1, -1), (draws, d.size))
    return signs @ d / d.size


def sign_flip_test(differences: Sequence[float], draws: int = 20_000, seed: int = 0) -> float:
    """Two-sided p-value of a mean of paired differences (n,) under `sign_flips`; no assumption but symmetry.

    Source: Fisher's randomisation test for pairs. Exact for n <= 14; drawn at random it counts the signs found as one
    draw more, so that it is never 0.
    """
    means = np.abs(sign_flips(differences, draws, seed))
    observed = abs(np.mean(np.asarray(differences, dtype=float)))
    as_large = int((means >= observed * (1 - 1e-9)).sum())
    if len(differences) <= EXACT:
        return as_large / len(means)
    return (as_large + 1) / (len(means) + 1)


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's correction for several questions: name -> p-value, adjusted so that each may be held against 0.05."""
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(p, key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p}


def seeds_by_chance(runs: int, others: int) -> float:
    """How probable it is that the runs of two equal systems don't overlap: 2 / C(a + b, a)."""
    return 2 / math.comb(runs + others, runs)


def bootstrap(values: Sequence[float], statistic: Callable = np.mean, draws: int = 10_000, seed: int = 0) -> np.ndarray:
    """The statistic (axis=1) of cases drawn anew from values (n,), with replacement: (draws,)."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not values.size:
        raise LightMError(f"bootstrap needs a list of at least one score, not an array of shape {values.shape}.")
    drawn = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    return statistic(values[drawn], axis=1)


def interval_of_cases(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean over cases (n,), for patients of whom these are a sample: percentiles of `bootstrap`."""
    low, high = np.quantile(bootstrap(values), (0.025, 0.975))
    return float(low), float(high)


def interval_of_runs(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean over training runs (n,), Student's t; without end, (-inf, inf), for a single run."""
    n = len(values)
    if n < 2:
        return -math.inf, math.inf
    half = t_quantile(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    mean = float(np.mean(values))
    return mean - half, mean + half


def t_quantile(degrees: int, share: float = 0.95) -> float:
    """How far from 0 Student's t, in units of its scale, reaches on both sides to cover `share`."""
    # Its density, integrated by Simpson's rule after t = sqrt(degrees) tan(angle), which makes the range finite.
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi)
    angles = np.linspace(0, math.pi / 2, 20_001)
    density = 2 * scale * np.cos(angles) ** (degrees - 1)
    pairs = (angles[2] - angles[0]) / 6 * (density[:-2:2] + 4 * density[1:-1:2] + density[2::2])
    covered = np.concatenate([[0.0], np.cumsum(pairs)])  # at every other angle
    return math.sqrt(degrees) * math.tan(float(np.interp(share, covered, angles[::2])))
