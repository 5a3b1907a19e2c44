"""Tables from records: what belongs together, what may be compared, and what the verdicts say."""

import copy

import numpy as np
import pytest

from lightm.errors import LightMError
from lightm.training.config import config_from_dict
from lightm_book.compare.experiments import costs, experiments, label, row_of, scores, standings


def record(model="lightm-unet", seed=0, dsc=(0.9, 0.8, 0.7), options=None, **train):
    """The parts of a record that tables read."""
    config = {
        "name": f"{model}-{seed}",
        "data": {"name": "montgomery-shenzhen", "size": [64, 64]},
        "model": {"name": model, "options": options or {}},
        "train": {"seed": seed, "epochs": 2} | train,
    }
    cases = [{"case": f"c{i}", "dsc": {"lung": d}, "iou": {"lung": d / (2 - d)}} for i, d in enumerate(dsc)]
    return {
        "config": config_from_dict(config).public(),
        "seed": seed,
        "data": {"name": "montgomery-shenzhen", "synthetic": False, "fingerprint": "f", "split_sha256": "s"},
        "model": {"name": model, "params": 1000, "scan": "cpu"},
        "cost": {"wall_seconds": 90.0, "peak_memory_bytes": 2**30},
        "curve": [{"seconds": 30.0}, {"seconds": 40.0}, {"seconds": 80.0}],
        "test": {"cases": cases},
    }


def test_only_network_and_seed_may_differ_within_an_experiment():
    runs = {
        "a": record(seed=1),
        "b": record(seed=0),
        "c": record("segresnet"),
        "d": record("unetr", options={"img_size": 64}),
        "other recipe": record(epochs=3),
    }
    runs["other split"] = copy.deepcopy(runs["a"])
    runs["other split"]["data"]["split_sha256"] = "t"
    first, *others = experiments(runs)
    assert list(first.systems) == ["lightm-unet", "segresnet", "unetr, img_size 64"]
    assert [run["seed"] for run in first.systems["lightm-unet"]] == [0, 1]
    assert sorted(len(other.systems) for other in others) == [1, 1]
    assert first.title == "montgomery-shenzhen at 64 × 64: adamw 0.001, batch 4, fp32, 2 epochs"
    assert first.size == (64, 64) and first.cases == ["c0", "c1", "c2"] and not first.native and not first.synthetic


def test_a_key_that_an_older_record_lacks_does_not_split_an_experiment():
    old, new = record(), record(seed=1)
    del old["config"]["train"]["accumulate"]
    assert len(experiments({"old": old, "new": new})) == 1


def test_the_same_run_twice_is_refused():
    with pytest.raises(LightMError, match="same recipe and seed"):
        experiments({"a": record(), "b": record()})


def test_scores_are_runs_by_cases_and_the_mean_of_the_classes():
    runs = [record(dsc=(0.5, 0.7)), record(seed=1, dsc=(0.6, 0.8))]
    runs[1]["test"]["cases"][0]["dsc"] = {"liver": 0.4, "tumour": 0.8}
    assert scores(runs).tolist() == [[0.5, 0.7], pytest.approx([0.6, 0.8])]
    assert scores(runs, "iou").shape == (2, 2)


def test_standings_by_hand():
    cases = np.linspace(0.6, 0.9, 12)
    runs = {f"base{s}": record(seed=s, dsc=cases + 0.001 * s) for s in range(3)}
    runs |= {f"better{s}": record("segresnet", s, cases + 0.05 + 0.001 * s) for s in range(3)}
    runs["single"] = record("unetr", 0, cases - 0.1)
    runs |= {f"same{s}": record("swin-unetr", s, cases + 0.001 * (1 - s) + 0.001) for s in (0, 1, 2)}
    (experiment,) = experiments(runs)
    rows = {row.system: row for row in standings(experiment)}
    assert next(iter(standings(experiment))).system == "segresnet"
    assert rows["lightm-unet"].verdict == "the base" and rows["lightm-unet"].p is None
    best = rows["segresnet"]
    assert best.comparison.difference == pytest.approx(0.05) and best.p == 3 * 2 / 2**12  # Holm: three questions
    assert best.verdict == "better" and best.by_chance == pytest.approx(2 / 20) and best.runs == 3
    assert best.dsc == pytest.approx(np.mean(cases) + 0.051)
    assert best.dsc_cases[0] < best.dsc < best.dsc_cases[1]
    half = 4.302652853 * 0.001 / np.sqrt(3)
    assert best.dsc_runs == pytest.approx((best.dsc - half, best.dsc + half))
    assert rows["swin-unetr"].verdict == "no difference seen"
    assert rows["unetr"].dsc_runs == (-np.inf, np.inf)
    assert rows["unetr"].by_chance == 1 / 2 and rows["unetr"].verdict.endswith("too few runs for the systems")


def test_one_run_of_each_says_nothing_about_the_systems():
    cases = np.linspace(0.6, 0.9, 12)
    (experiment,) = experiments({"a": record(dsc=cases), "b": record("segresnet", dsc=cases + 0.05)})
    (row,) = [row for row in standings(experiment) if row.system == "segresnet"]
    assert row.by_chance == 1 and row.verdict == "these networks differ; too few runs for the systems"


def test_runs_that_overlap_are_not_called_better():
    cases = np.linspace(0.6, 0.9, 12)
    runs = {"a": record(seed=0, dsc=cases), "b": record(seed=1, dsc=cases + 0.06)}
    runs |= {"c": record("segresnet", 0, cases + 0.03), "d": record("segresnet", 1, cases + 0.08)}
    (experiment,) = experiments(runs)
    (row,) = [row for row in standings(experiment) if row.system == "segresnet"]
    assert row.p < 0.05 and row.verdict == "within the spread of the runs"


def test_what_cannot_be_compared_is_refused():
    (experiment,) = experiments({"a": record(), "b": record("segresnet", dsc=(0.9, 0.8))})
    with pytest.raises(LightMError, match=r"can't be paired|not of shapes"):
        standings(experiment)
    with pytest.raises(LightMError, match="no run of 'unetr'"):
        standings(experiment, base="unetr")


def test_a_subset_is_corrected_for_its_own_questions_only():
    cases = np.linspace(0.6, 0.9, 12)
    runs = {name: record(name, dsc=cases + d) for name, d in (("lightm-unet", 0), ("segresnet", 0.1), ("unetr", 0.2))}
    (experiment,) = experiments(runs)
    rows = standings(experiment.only(["segresnet", "lightm-unet", "not there"]))
    assert {row.system for row in rows} == {"lightm-unet", "segresnet"}
    assert next(row.p for row in rows if row.system == "segresnet") == 2 / 2**12


def test_the_row_of_the_paper_is_only_that_of_an_unchanged_network():
    assert row_of("lightm-unet") == "LightM-UNet" and row_of("nnunet, n_stages 5") == "nnU-Net"
    assert row_of("lightm-unet, directions 2") is None and row_of("lightm-unet-1m") is None
    assert label(record(options={"directions": 2, "d_state": 8})) == "lightm-unet, d_state 8, directions 2"


def test_costs_of_a_system():
    (experiment,) = experiments({"a": record(), "b": record(seed=1)})
    assert costs(experiment) == {"lightm-unet": {"minutes": 1.5, "seconds_an_epoch": 40.0, "gib": 1.0}}
