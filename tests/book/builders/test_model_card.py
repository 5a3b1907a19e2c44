"""The model card says of the shipped weights what their record says, and the record is the one under results/."""

import json
import statistics

import pytest

from lightm.training.record import load_record
from lightm.training.weights import FOLDER, list_weights, read_weights
from lightm_book import ROOT
from lightm_book.builders import model_card as page
from lightm_book.builders.build_try_it import WEIGHTS

needs_weights = pytest.mark.skipif(WEIGHTS not in list_weights(), reason=f"the weights {WEIGHTS} are not in this copy")


@pytest.fixture
def record():
    return load_record(ROOT / "results" / "runs" / f"{WEIGHTS}.json")


def test_without_the_weights_the_card_says_how_they_are_made():
    assert "`lightm train nothing` makes them" in page.model_card("nothing")


@needs_weights
def test_the_weights_carry_the_record_that_the_repository_has(record):
    carried = read_weights(FOLDER / f"{WEIGHTS}.safetensors").record()
    assert carried == {key: value for key, value in record.items() if key in carried}
    assert carried["test_native"]["summary"]["cases"] == 141


@needs_weights
def test_the_card_has_scores_interval_worst_cases_data_and_terms(record):
    card = page.model_card(WEIGHTS)
    scores = {case["case"]: case["dsc"]["lung"] for case in record["test_native"]["cases"]}
    assert f"| all | 141 | {statistics.mean(scores.values()):.4f} |" in card
    for case in sorted(scores, key=scores.get)[: page.WORST]:
        assert f"`{case}` {scores[case]:.3f}" in card
    assert "not for commercial use" in card and record["environment"]["git"]["commit"][:12] in card


@needs_weights
def test_rounding_to_half_precision_costs_less_than_two_ten_thousandths_and_was_measured_on_these_weights(record):
    rounding = json.loads(page.ROUNDING.read_text("utf-8"))
    assert rounding["config_sha256"] == record["config_sha256"] and rounding["epoch"] == record["best"]["epoch"]
    assert rounding["as_trained"] == record["test_native"]["summary"]["dsc"]["mean"]
    assert abs(rounding["change"]) < 0.0002
    assert f"changes the mean DSC on the 141 test cases by {rounding['change']:+.6f}" in page.model_card(WEIGHTS)
