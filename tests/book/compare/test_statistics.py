"""Intervals and tests, against tables, simulations and hand counts."""

import numpy as np
import pytest

from lightm.errors import LightMError
from lightm_book.compare.statistics import detectable_difference, difference, holm, mean_interval, sign_flips


def test_the_interval_is_student_s_t():
    mean, low, high = mean_interval([0.7, 0.8, 0.9])
    half = 4.302652730 * 0.1 / np.sqrt(3)  # of the t distribution's table, 2 degrees of freedom
    assert (mean, low, high) == pytest.approx((0.8, 0.8 - half, 0.8 + half))
    assert mean_interval([0.9]) == (0.9, -np.inf, np.inf)


def test_the_sample_are_the_runs_where_there_are_several_and_else_the_cases():
    scores = np.random.default_rng(0).uniform(0.5, 0.9, (3, 40))  # (runs, cases)
    assert mean_interval(scores) == mean_interval(scores.mean(1))
    assert mean_interval(scores[:1]) == mean_interval(scores[0])


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(4)
    covered = [low < 0.9 < high for _, low, high in (mean_interval(rng.normal(0.9, 0.01, 3)) for _ in range(500))]
    assert abs(np.mean(covered) - 0.95) < 0.03


def test_a_difference_by_hand():
    found = difference([0.80, 0.82], [0.90, 0.94])
    error = np.sqrt(0.0002 / 2 + 0.0008 / 2)
    degrees = error**4 / ((0.0002 / 2) ** 2 + (0.0008 / 2) ** 2)  # Welch and Satterthwaite, n - 1 = 1 each
    assert found.mean == pytest.approx(0.11) and found.runs == (2, 2)
    assert found.spread == pytest.approx(np.sqrt(0.0005)) and degrees == pytest.approx(25 / 17)
    assert (found.high - found.low) / 2 / error == pytest.approx(
        6.18, abs=0.2
    )  # t of 1.47 degrees: between 12.7 and 4.3
    assert 0.05 < found.p < 0.2 and found.low < 0 < found.high


def test_equal_architectures_are_rarely_told_apart_also_in_a_family_of_sixteen():
    rng = np.random.default_rng(5)
    wrong = []
    for _ in range(300):
        base = rng.normal(0.9, 0.01, 3)
        p = holm({str(i): difference(base, rng.normal(0.9, 0.01, 3)).p for i in range(16)})
        wrong.append(min(p.values()) < 0.05)
    assert np.mean(wrong) < 0.08  # all runs apart: more than half of such families have a wrong "difference"


def test_one_run_of_either_has_no_test_and_no_interval():
    found = difference([0.8], [0.9, 0.91])
    assert found.p is None and found.spread is None and (found.low, found.high) == (-np.inf, np.inf)
    assert found.mean == pytest.approx(0.105)


def test_the_detectable_difference_is_found_as_often_as_it_says():
    least = detectable_difference(0.01, 3)
    rng = np.random.default_rng(6)
    found = [difference(rng.normal(0.9, 0.01, 3), rng.normal(0.9 + least, 0.01, 3)).p < 0.05 for _ in range(600)]
    assert 0.65 < np.mean(found) < 0.85  # Welch, who does not know that the spreads are equal, finds a little less
    assert detectable_difference(0.01, 400) == pytest.approx(2.8 * 0.01 * np.sqrt(2 / 400), rel=0.01)
    assert detectable_difference(0.01, 3, 0.05 / 16) > 2 * least


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a": 0.03, "b": 0.06, "c": 0.06}
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_sign_flips_of_three_differences_are_all_eight():
    found = sign_flips([1.0, 2.0, 4.0])
    assert sorted(np.round(3 * found.null_distribution)) == [-7, -5, -3, -1, 1, 3, 5, 7]
    assert found.pvalue == 2 / 8  # only all plus and all minus are as large
    assert sign_flips([1.0, -2.0, 4.0]).pvalue == 6 / 8  # of 7, 5, 3 and 1, with both signs, six are as large as 3
    assert sign_flips([0.0, 0.0]).pvalue == 1 and sign_flips([1.0] * 6).pvalue == 2 / 2**6


def test_many_signs_are_drawn_and_the_p_value_is_never_zero():
    assert 0 < sign_flips([1.0] * 40).pvalue < 0.001


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_interval([]),
        lambda: mean_interval([[0.1, np.nan]]),
        lambda: difference([], [0.1]),
        lambda: difference([0.1], [np.nan]),
        lambda: sign_flips([0.1]),
        lambda: sign_flips([0.1, np.nan]),
        lambda: detectable_difference(0.1, 1),
        lambda: detectable_difference(0, 3),
    ],
)
def test_numbers_that_say_nothing_are_refused(call):
    with pytest.raises(LightMError):
        call()
