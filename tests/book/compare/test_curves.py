"""Validation curves: ranks on the way, the gain at the end, and learning rates."""

import json

import pytest
from made_up import record

from lightm.errors import LightMError
from lightm_book.compare.curves import late_gain, load_tunings, ranks_after
from lightm_book.compare.rows import experiments

LONG = {"epochs": 100, "iterations_per_epoch": 10}


def run(model, *scores, seed=0):
    """A run of 100 epochs with validation DSC after 1, 5, 20 and 100 of them."""
    return record(model, seed, curve=dict(zip((1, 5, 20, 100), scores, strict=True)), **LONG)


def test_ranks_after_shares_of_the_training():
    records = {
        "a": run("lightm-unet", 0.1, 0.5, 0.8, 0.95),
        "b": run("segresnet", 0.6, 0.7, 0.8, 0.9),
        "c": run("unetr", 0.2, 0.3, 0.4, 0.5),
        "c1": run("unetr", 0.4, 0.3, 0.4, 0.5, seed=1),
    }
    (experiment,) = experiments(records)
    ranks = ranks_after(experiment)
    assert ranks == {"lightm-unet": (3, 2, 1.5, 1), "segresnet": (1, 1, 1.5, 2), "unetr": (2, 3, 3, 3)}
    assert ranks_after(experiment, (20, 100))["unetr"] == (3, 3)


def test_a_run_that_was_not_validated_then_takes_no_part_in_the_ranking():
    (experiment,) = experiments({"a": record(), "b": record("segresnet")})
    assert ranks_after(experiment) == {}


def test_the_gain_of_the_last_fifth_is_that_of_the_best_score():
    assert late_gain(record(curve={1: 0.5, 6: 0.9, 8: 0.8, 10: 0.95})) == pytest.approx(0.05)
    assert late_gain(record(curve={8: 0.9, 10: 0.8})) == 0
    assert late_gain(record(curve={9: 0.9, 10: 0.8})) == float("inf")


def tune(model, lr, best, **train):
    made = record(model, 100, lr=lr, curve={1: 0.5, 10: best}, **train)
    data = {key: made["data"][key] for key in ("fingerprint", "split_sha256")}
    return {
        "kind": "tune",
        "name": f"rate-{model}-{lr:g}",
        "config": made["config"],
        "data": data,
        "curve": made["curve"],
    }


def test_rates_are_read_by_recipe_and_say_whose_they_are(tmp_path):
    assert load_tunings(tmp_path / "not there") == []
    found = [tune("lightm-unet", 1e-3, 0.8), tune("lightm-unet", 3e-3, 0.9), tune("segresnet", 1e-3, 0.7)]
    found.append(tune("lightm-unet", 1e-3, 0.6, batch_size=2))
    for number, one in enumerate(found):
        (tmp_path / f"{number}.json").write_text(json.dumps(one))
    first, other = load_tunings(tmp_path)
    assert first.scores == {"lightm-unet": {1e-3: 0.8, 3e-3: 0.9}, "segresnet": {1e-3: 0.7}}
    assert first.rates == [1e-3, 3e-3] and first.best("lightm-unet") == 3e-3
    assert other.scores == {"lightm-unet": {1e-3: 0.6}}
    (experiment,) = experiments({"longer": record(epochs=40, lr=3e-3)})
    assert first.belongs_to(experiment) and not other.belongs_to(experiment)


def test_a_record_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(LightMError, match=r"a\.json lacks kind"):
        load_tunings(tmp_path)
