"""Which runs belong together."""

import copy

import pytest
from made_up import record, runs

from lightm.errors import LightMError
from lightm_book.compare.costs import costs
from lightm_book.compare.rows import experiments, label, runs_of, scores
from lightm_book.paper.coverage import row_of


def test_only_network_and_seed_may_differ_within_an_experiment():
    records = {
        "a": record(seed=1),
        "b": record(seed=0),
        "c": record("segresnet"),
        "d": record("unetr", options={"img_size": 64}),
        "other recipe": record(epochs=3),
    }
    records["other split"] = copy.deepcopy(records["a"])
    records["other split"]["data"]["split_sha256"] = "t"
    first, *others = experiments(records)
    assert list(first.systems) == ["lightm-unet", "segresnet", "unetr, img_size 64"]
    assert [run["seed"] for run in first.systems["lightm-unet"]] == [0, 1]
    assert sorted(len(other.systems) for other in others) == [1, 1]
    assert first.title == "montgomery-shenzhen at 64 × 64: adamw 0.001, batch 4, fp32, 10 epochs of 100 iterations"
    assert first.size == (64, 64) and first.cases == ["c0", "c1", "c2"] and first.native and not first.synthetic


def test_a_learning_rate_of_its_own_does_not_set_a_network_apart():
    (experiment,) = experiments({"a": record(), "b": record("segresnet", lr=3e-3)})
    assert len(experiment.systems) == 2 and "lr" not in experiment.recipe["optim"]
    assert "adamw at each network's rate" in experiment.title
    (common,) = experiments({"a": record(lr=3e-3), "b": record("segresnet", lr=3e-3)})
    assert common.recipe["optim"]["lr"] == 3e-3


def test_a_key_that_an_older_record_lacks_does_not_split_an_experiment():
    old, new = record(), record(seed=1)
    del old["config"]["train"]["accumulate"]
    assert len(experiments({"old": old, "new": new})) == 1


def test_the_same_run_twice_is_refused():
    with pytest.raises(LightMError, match="same recipe and seed"):
        experiments({"a": record(), "b": record()})


def test_scores_are_runs_by_cases_the_mean_of_the_classes_at_the_cases_own_size():
    found = [record(dsc=(0.5, 0.7)), record(seed=1, dsc=(0.6, 0.8))]
    found[1]["test_native"]["cases"][0]["dsc"] = {"liver": 0.4, "tumour": 0.8}
    assert scores(found).tolist() == [[0.5, 0.7], pytest.approx([0.6, 0.8])]
    assert scores(found, "iou").shape == (2, 2)


def test_scores_on_other_cases_are_refused():
    with pytest.raises(LightMError, match="can't be compared"):
        scores([record(), record(seed=1, dsc=(0.9, 0.8))])


def test_passes_are_counted_over_the_training_cases():
    (short,) = experiments({"a": record(epochs=2)})
    assert short.passes == 2 * 100 * 4 / 80 and not short.carries_verdicts
    (whole,) = experiments({"a": record(epochs=12, iterations_per_epoch=0)})
    assert whole.passes == 12 and whole.carries_verdicts


def test_comparisons_that_were_trained_to_the_end_are_read_first():
    records = runs("lightm-unet", 0.8, epochs=2) | {"s": record("segresnet", epochs=2), "n": record("nnunet", epochs=2)}
    records |= {"long": record(), "long rival": record("segresnet"), "alone": record(epochs=99)}
    assert [len(e.systems) for e in experiments(records)] == [2, 3, 1]


def test_the_runs_of_a_row_are_all_seeds_of_one_recipe_without_variants():
    records = runs("lightm-unet", 0.8, 0.9) | runs("lightm-unet", 0.7, options={"directions": 2})
    records |= {"short": record(epochs=2), "fitted": record("nnunet", options={"n_stages": 5})}
    records["small only"] = record(seed=7)
    records["small only"]["test_native"] = None
    assert list(runs_of("lightm-unet", "montgomery-shenzhen", records)) == ["lightm-unet-0", "lightm-unet-1"]
    assert list(runs_of("nnunet", "montgomery-shenzhen", records)) == ["fitted"]
    assert runs_of("lightm-unet", "hippocampus", records) == runs_of("unetr", "montgomery-shenzhen", records) == {}
    by_recipe = runs_of("lightm-unet", "montgomery-shenzhen", records, records["short"]["config"])
    assert list(by_recipe) == ["short"]
    (experiment, *_) = experiments(records)
    assert len(runs_of("lightm-unet", "montgomery-shenzhen", records, experiment.recipe)) == 2


def test_synthetic_runs_stand_for_no_row():
    synthetic = record()
    synthetic["data"]["synthetic"] = True
    assert runs_of("lightm-unet", "montgomery-shenzhen", {"a": synthetic}) == {}


def test_the_row_of_the_paper_is_only_that_of_an_unchanged_network():
    assert row_of("lightm-unet") == "LightM-UNet" and row_of("nnunet, n_stages 5") == "nnU-Net"
    assert row_of("lightm-unet, directions 2") is None and row_of("lightm-unet-1m") is None
    assert label(record(options={"directions": 2, "d_state": 8})) == "lightm-unet, d_state 8, directions 2"


def test_costs_of_a_system():
    (experiment,) = experiments({"a": record(), "b": record(seed=1)})
    assert costs(experiment) == {"lightm-unet": {"minutes": 1.5, "seconds_an_epoch": 38.0, "gib": 1.0}}
