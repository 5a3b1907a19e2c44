"""How sure a mean is, and whether two sets of predictions differ: bootstrap and permutation, through scipy.

Both treat cases as independent draws. Several images of one patient are not: then intervals are too narrow.
"""

from collections.abc import Sequence

import numpy as np

CONFIDENCE, RESAMPLES = 0.95, 9999


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """The 95% bootstrap interval (BCa) of the mean of values, NaN left out; None for fewer than three of them."""
    from scipy.stats import bootstrap

    found = np.asarray(values, float)
    found = found[np.isfinite(found)]
    if len(found) < 3:
        return None
    if np.ptp(found) == 0:
        return float(found[0]), float(found[0])
    with np.errstate(all="ignore"):
        result = bootstrap(
            (found,),
            np.mean,
            confidence_level=CONFIDENCE,
            n_resamples=RESAMPLES,
            method="BCa",
            rng=np.random.default_rng(seed),
            batch=1000,
        )
    low, high = result.confidence_interval
    return (float(low), float(high)) if np.isfinite([low, high]).all() else None


def paired_test(a: Sequence[float], b: Sequence[float], seed: int = 0) -> dict[str, float | int | None]:
    """Scores a and b of the same cases: mean of a - b with its interval, and a permutation test of "no difference".

    Under it the sign of each case's difference is a coin's toss; p is the share of tosses (all of them, where there are
    few) whose mean is as far from 0, two-sided. Cases in which either is NaN are left out. Nothing is corrected for the
    number of tests.
    """
    from scipy.stats import permutation_test

    difference = np.asarray(a, float) - np.asarray(b, float)
    difference = difference[np.isfinite(difference)]
    answer: dict[str, float | int | None] = {
        "n": len(difference),
        "better": int((difference > 0).sum()),
        "worse": int((difference < 0).sum()),
        "mean": float(difference.mean()) if len(difference) else None,
        "low": None,
        "high": None,
        "p": None,
    }
    if len(difference) >= 3:
        bounds = interval(difference, seed)
        answer |= {"low": bounds[0], "high": bounds[1]} if bounds else {}
    if len(difference) >= 2:
        answer["p"] = 1.0
        if np.any(difference):
            test = permutation_test(
                (difference,),
                np.mean,
                permutation_type="samples",
                n_resamples=RESAMPLES,
                vectorized=True,
                rng=np.random.default_rng(seed),
                batch=1000,
            )
            answer["p"] = float(test.pvalue)
    return answer
