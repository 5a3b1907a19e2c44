"""Each check accepts right answers in every sensible form, and says what is wrong with wrong ones."""

import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lightm.errors import LightMError
from lightm.evaluation.scores import score_masks
from lightm.models.vss import VSSModule
from lightm_book.conformance import numpy_scan
from lightm_book.conformance.faults import FAULTS, no_carry
from lightm_book.exercises import EXERCISES, NotRight, check, judge, scores
from lightm_book.exercises.answers import MISSING, RIGHT, Function, Numbers, Probed, Word, array
from lightm_book.show.explorer import Knobs

LABELS = sorted(EXERCISES)


def forms(label: str) -> list:
    """A right answer in at least three forms."""
    exercise = EXERCISES[label]
    truth = exercise.truth()
    if isinstance(exercise, Numbers):
        values = array(truth).ravel().tolist()
        several = [tuple(values), list(values), np.array(values), torch.tensor(values, dtype=torch.float64)]
        if len(values) > 1:
            return several
        return [*several, values[0], np.float64(values[0]), Fraction(values[0]), torch.tensor(values[0]).double()]
    if isinstance(exercise, Function):

        def listed(*case):
            return array(truth(*case)).tolist()

        if label == "ex-fast-unbind":  # its gradient is asked for, too
            return [truth, partial(truth), lambda x: torch.stack(list(truth(x)))]
        return [truth, listed, lambda *case: array(truth(*case)), partial(listed)]
    if isinstance(exercise, Word):
        return [truth, f" {truth} ", truth.upper(), f"'{truth}'"]
    return [truth, *OTHERS[label]]


def turned_by_hand(x):
    module = VSSModule(8, 2, dwconv="causal", scan_backend="reference")
    return module(x.flip(1), (5, 7)).flip(1)


def scan_in_lists(u, delta, A, B, C):
    h = [[0.0] * len(row) for row in A]
    out = []
    for u_t, delta_t, B_t, C_t in zip(u, delta, B, C, strict=True):
        for d, (x, step) in enumerate(zip(u_t, delta_t, strict=True)):
            h[d] = [math.exp(step * a) * s + step * b * x for a, s, b in zip(A[d], h[d], B_t, strict=True)]
        out.append([sum(c * s for c, s in zip(C_t, row, strict=True)) for row in h])
    return out


def scan_in_float32(*lists):
    u, delta, A, B, C = (np.array(values, np.float32) for values in lists)
    return numpy_scan.scan(u[None], delta[None], A, B[None], C[None])[0][0]


def off_behind_16_tokens(x):
    return torch.from_numpy(numpy_scan.scan(**x)[0] + (np.arange(x["u"].shape[1]) >= 16)[:, None])


def in_the_lower_right(true):
    mask = np.array(true)
    mask[-1, -1] = True
    return mask


OTHERS = {
    "ex-rvm-identity": ["mixer.gate_proj.weight", "mixer.in_proj.weight"],
    "ex-vss-reverse": [turned_by_hand, partial(turned_by_hand)],
    "ex-counting-budget": [Knobs(width=20, bottleneck=1), Knobs(dims=2, size=512, width=20, bottleneck=1)],
    "ex-travel-port": [scan_in_lists, scan_in_float32, lambda *lists: torch.tensor(scan_in_lists(*lists))],
    "ex-travel-wrong": [off_behind_16_tokens, partial(no_carry, chunk=16), lambda x: no_carry(x, 16).tolist()],
    "ex-scores-place": [in_the_lower_right, lambda true: torch.from_numpy(in_the_lower_right(true)).long()],
    "ex-scores-order": [np.array([[0.9, 0.9, 0.9], [1, 0.7, 0.99]]), [torch.full((3,), 0.51), [1, 0.5, 0]]],
}


@pytest.mark.parametrize("label", LABELS)
def test_a_right_answer_passes_in_every_form(label):
    answers = forms(label)
    assert len(answers) >= 3
    assert [judge(label, answer) for answer in answers] == [RIGHT] * len(answers)


@pytest.mark.parametrize("label", LABELS)
def test_each_known_slip_gets_its_own_explanation(label):
    exercise = EXERCISES[label]
    assert len(exercise.slips) >= 2
    for wrong, why in exercise.slips:
        answer = wrong() if isinstance(exercise, Numbers) and callable(wrong) else wrong
        assert judge(label, answer) == why and why not in (RIGHT, MISSING)


@pytest.mark.parametrize("label", LABELS)
def test_what_is_no_answer_at_all_is_refused_without_an_error(label):
    for nothing in (None, ...):
        assert judge(label, nothing) == MISSING
    for nonsense in ("eight", object(), [], lambda *case: "eight", lambda *case: 1 / 0, np.full((2, 3, 4), -77.0)):
        assert judge(label, nonsense) not in (RIGHT, MISSING)


@pytest.mark.parametrize("label", [label for label in LABELS if isinstance(EXERCISES[label], Numbers)])
def test_no_explanation_names_the_answer(label):
    exercise = EXERCISES[label]
    shown = [f"{value:,.4g}" if value % 1 else f"{value:,.0f}" for value in array(exercise.truth()).ravel()]
    shown = [text for text in shown if len(text) > 2]  # 4 and 64 are also numbers of the question
    said = [exercise.hint, *(why for _, why in exercise.slips), judge(label, -12345.678)]
    assert not [(text, sentence) for text in shown for sentence in said if text in sentence]


# What earlier checks accepted, refused or broke on.


def test_padding_by_a_fixed_number_is_not_enough_for_every_row():
    def ring(u, K):
        n = len(u) + 64
        return torch.fft.irfft(torch.fft.rfft(u, n) * torch.fft.rfft(K, n), n)[: len(u)]

    assert "fixed number" in judge("ex-ssm-wrap", ring)


@pytest.mark.parametrize("wrong", [lambda u: u.cummax(0).values, lambda u: torch.cummax(u, 0)[0]])
def test_a_running_maximum_by_one_call_is_no_answer(wrong):
    assert "write the rounds yourself" in judge("ex-scan-max", wrong)


def test_a_running_maximum_with_zeros_in_front_is_wrong_for_negative_tokens():
    def doubling_max(u):
        reach = 1
        while reach < len(u):
            u, reach = torch.maximum(F.pad(u, (reach, 0))[:-reach], u), 2 * reach
        return u

    assert "negative" in judge("ex-scan-max", doubling_max)


def test_the_gradient_of_the_gate_needs_the_gradient_from_above():
    def gate_gradient(y, z, do):
        s = torch.sigmoid(z)
        return y * s * (1 + z * (1 - s))

    assert "chain rule" in judge("ex-scan-gate", gate_gradient)


def test_padding_leaves_a_size_that_fits_as_it_is():
    def pad_to_fit(x):
        return F.pad(x, [n for size in reversed(x.shape[2:]) for n in (0, 8 - size % 8)])

    assert "fits already" in judge("ex-unet-pad", pad_to_fit)


@pytest.mark.parametrize("change", [{"states": 1}, {"expansion": 1}, {"encoder": 1}, {"size": 256}, {"dims": 3}])
def test_a_network_on_a_budget_keeps_what_the_exercise_fixes(change):
    assert "fixes" in judge("ex-counting-budget", Knobs(width=20, bottleneck=1, **change))


def test_a_port_hears_which_cases_it_does_not_pass():
    def cut_after_64_tokens(u, delta, A, B, C):
        halves = (slice(0, 64), slice(64, None))
        return [y for half in halves for y in scan_in_lists(u[half], delta[half], A, B[half], C[half])]

    assert judge("ex-travel-port", cut_after_64_tokens) == "Not passed: long memory. Begin with the first of them."


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_no_fault_of_the_conformance_room_is_ready_made_for_the_exercise_on_long_cases(fault):
    assert judge("ex-travel-wrong", FAULTS[fault]) not in (RIGHT, MISSING)


def test_the_stray_pixel_of_the_exercise_changes_the_mean_distance_and_not_the_percentile():
    true = scores.disc()
    found = score_masks(EXERCISES["ex-scores-place"].truth()(true), true, (1.0, 1.0))
    assert found["dsc"] >= 0.99 and found["hd95"] == 0 and 0 < found["assd"] < 1  # as the solution says


def test_one_number_in_the_place_of_two_is_named_as_such():
    assert judge("ex-scan-compose", 5) == "Here 2 numbers are asked for, not 1."


def test_half_right_says_how_many_are_right():
    assert judge("ex-counting-thop", [192, 5760, 64, 1]).startswith("3 of 4 are right.")


def test_a_function_that_raises_hears_its_own_error():
    assert judge("ex-ssm-sum", lambda u: u.no_such) == (
        "The function raised AttributeError: 'Tensor' object has no attribute 'no_such'"
    )


def test_check_prints_the_verdict_and_raises_in_marking_mode_only(capsys, monkeypatch):
    monkeypatch.delenv("LIGHTM_MARK", raising=False)
    for answer in (0.0027, 1, None):
        check("ex-ssm-row", answer)
    right, wrong, missing = capsys.readouterr().out.splitlines()
    assert (right, missing) == (RIGHT, MISSING) and wrong.startswith("Not yet. ")
    monkeypatch.setenv("LIGHTM_MARK", "1")
    check("ex-ssm-row", 0.0027)
    for answer in (1, None):
        with pytest.raises(NotRight, match="ex-ssm-row: "):
            check("ex-ssm-row", answer)


def test_an_unknown_exercise_is_named():
    with pytest.raises(LightMError, match="no exercise 'ex-ssm-rows'"):
        check("ex-ssm-rows", 1)


def test_every_exercise_that_tests_by_itself_has_other_right_answers_here():
    assert {label for label in LABELS if isinstance(EXERCISES[label], Probed)} == set(OTHERS)
