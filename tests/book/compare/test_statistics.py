"""Comparing systems over seeds and cases."""

import numpy as np
import pytest

from lightm.errors import LightMError
from lightm_book.compare.statistics import (
    bootstrap,
    compare,
    holm,
    interval_of_cases,
    interval_of_runs,
    seeds_by_chance,
    sign_flip_test,
    sign_flips,
    t_quantile,
)


def test_sign_flips_of_three_differences_are_all_eight():
    means = sign_flips([1.0, 2.0, 4.0])
    assert sorted(np.round(3 * means)) == [-7, -5, -3, -1, 1, 3, 5, 7]


def test_p_value_by_hand():
    assert sign_flip_test([1.0, 2.0, 4.0]) == 2 / 8  # only all plus and all minus are as large
    assert (
        sign_flip_test([1.0, -2.0, 4.0]) == 6 / 8
    )  # the sum is 3; of 7, 5, 3 and 1, with both signs, six are as large
    assert sign_flip_test([0.0, 0.0]) == 1.0
    assert sign_flip_test([1.0] * 6) == 2 / 2**6


def test_drawn_signs_agree_with_all_signs():
    d = np.random.default_rng(1).normal(0.3, 1, 14)
    exact = sign_flip_test(d)
    padded = np.append(d, 0.0)  # a pair without a difference changes nothing, but there are 15 now: drawn
    assert abs(sign_flip_test(padded) - exact) < 0.02
    assert sign_flip_test([1.0] * 40) == 1 / 20_001  # never zero


def test_p_values_are_uniform_where_there_is_no_difference():
    rng = np.random.default_rng(2)
    p = np.array([sign_flip_test(rng.normal(0, 1, 10)) for _ in range(300)])
    assert abs((p < 0.2).mean() - 0.2) < 0.07


def test_compare_says_which_is_better_and_whether_the_seeds_agree():
    rng = np.random.default_rng(3)
    cases = rng.uniform(0.5, 0.9, 30)  # hard and easy cases, the same for both
    base = cases + 0.01 * rng.normal(size=(3, 30))
    better = compare(base, base + 0.05)
    assert better.seeds_apart and better.p_cases < 0.001
    assert np.isclose(better.difference, 0.05) and np.isclose(np.mean(better.per_case), 0.05)
    assert compare(base + 0.05, base).difference < 0
    same = compare(base, base[::-1])
    assert same.difference == 0 and not same.seeds_apart and same.p_cases == 1.0


def test_runs_that_overlap_are_not_apart():
    assert not compare([[0.8], [0.9]], [[0.85], [0.95]]).seeds_apart
    assert compare([[0.8], [0.84]], [[0.85], [0.95], [0.9]]).seeds_apart


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a": 0.03, "b": 0.06, "c": 0.06}
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}


def test_how_often_equal_systems_have_runs_apart_by_hand():
    assert seeds_by_chance(1, 1) == 1 and seeds_by_chance(3, 3) == 2 / 20 and seeds_by_chance(1, 3) == 1 / 2


def test_quantiles_of_student_s_t_are_those_of_its_tables():
    table = {1: 12.706, 2: 4.303, 3: 3.182, 9: 2.262, 30: 2.042}
    assert {df: round(t_quantile(df), 3) for df in table} == table
    assert round(t_quantile(4, 0.99), 3) == 4.604


def test_the_interval_over_runs_covers_as_often_as_it_says():
    rng = np.random.default_rng(4)
    covered = [low < 0.9 < high for low, high in (interval_of_runs(rng.normal(0.9, 0.01, 3)) for _ in range(300))]
    assert abs(np.mean(covered) - 0.95) < 0.04
    assert interval_of_runs([0.9]) == (-np.inf, np.inf)


def test_the_bootstrap_resamples_cases():
    values = [0.0, 0.0, 0.0, 1.0]
    low, high = interval_of_cases(values)
    assert low == 0 and high == 0.75
    assert bootstrap(values, statistic=np.min, draws=50).min() == 0
    assert (bootstrap([0.5], draws=7) == 0.5).all() and (interval_of_cases(values) == interval_of_cases(values))
    with pytest.raises(LightMError, match="at least one score"):
        bootstrap([])


@pytest.mark.parametrize(
    "call",
    [
        lambda: compare([[0.1, 0.2]], [[0.1]]),
        lambda: compare([0.1], [0.2]),
        lambda: sign_flips([]),
        lambda: sign_flips([np.nan]),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(call):
    with pytest.raises(LightMError, match="not of shape"):
        call()
