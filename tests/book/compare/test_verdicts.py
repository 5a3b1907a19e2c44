"""Verdicts: over runs, corrected for every comparison of the book, and only for runs that were trained to the end."""

import pytest
from made_up import record, runs

from lightm.errors import LightMError
from lightm_book.compare.rows import experiments
from lightm_book.compare.statistics import detectable_difference, difference, holm
from lightm_book.compare.verdicts import family, standings

BASE = (0.80, 0.81, 0.82)


def rows_of(records, number=0):
    return {row.system: row for row in standings(experiments(records)[number], family(records))}


def test_a_clear_difference_over_runs_is_better_or_worse():
    records = runs("lightm-unet", *BASE) | runs("segresnet", 0.90, 0.91, 0.92) | runs("unetr", 0.70, 0.71, 0.72)
    rows = rows_of(records)
    assert list(rows) == ["segresnet", "lightm-unet", "unetr"]
    assert rows["lightm-unet"].verdict == "the base" and rows["lightm-unet"].against is None
    best = rows["segresnet"]
    assert best.verdict == "better" and rows["unetr"].verdict == "worse"
    raw = difference(BASE, (0.90, 0.91, 0.92))
    assert (best.against.low, best.against.high) == pytest.approx((raw.low, raw.high))
    assert best.p == pytest.approx(2 * raw.p)  # the smaller of two, which happen to be equal
    assert best.dsc[0] == pytest.approx(0.91) and best.dsc[1] < 0.90 < 0.92 < best.dsc[2]
    assert best.detectable == pytest.approx(detectable_difference(0.01, 3, 0.05 / 2))


def test_runs_that_overlap_show_no_difference():
    rows = rows_of(runs("lightm-unet", *BASE) | runs("segresnet", 0.805, 0.815, 0.83))
    assert rows["segresnet"].verdict == "no difference shown"


def test_a_difference_that_other_patients_might_turn_around_is_not_shown():
    records = runs("lightm-unet", *BASE)
    for seed, shift in enumerate((0.0, 0.001, 0.002)):
        records[f"rival {seed}"] = record("segresnet", seed, (0.95 + shift, 0.86 + shift, 0.74 + shift))
    row = rows_of(records)["segresnet"]
    assert row.p < 0.05 and row.over_cases[0] < 0 < row.over_cases[1] and row.verdict == "no difference shown"


def test_a_single_run_of_either_gives_no_verdict_and_no_question():
    records = runs("lightm-unet", *BASE) | runs("segresnet", 0.95)
    assert rows_of(records)["segresnet"].verdict == "too few runs" and not family(records).p


def test_the_first_minute_of_training_carries_no_verdict():
    records = runs("lightm-unet", *BASE, epochs=2) | runs("segresnet", 0.90, 0.91, 0.92, epochs=2)
    row = rows_of(records)["segresnet"]
    assert row.verdict == "too short for a verdict" and row.p is None and not family(records).p
    assert row.against.mean == pytest.approx(0.10)


@pytest.mark.parametrize("learning", ["lightm-unet", "segresnet"])
def test_a_network_that_still_learns_gets_no_verdict_but_is_a_question(learning):
    rising = {"curve": {1: 0.5, 8: 0.90, 10: 0.902}}
    records = runs("lightm-unet", *BASE, **rising if learning == "lightm-unet" else {})
    records |= runs("segresnet", 0.90, 0.91, 0.92, **rising if learning == "segresnet" else {})
    assert rows_of(records)["segresnet"].verdict == "still learning" and len(family(records).p) == 1


def test_one_correction_serves_both_chapters():
    table = runs("lightm-unet", *BASE) | runs("segresnet", 0.83, 0.84, 0.85)
    ablations = runs("paper-conv3", 0.83, 0.84, 0.86)
    volumes = {
        f"3d {name}": run for name, run in (runs("lightm-unet", *BASE) | runs("nnunet", 0.84, 0.85, 0.86)).items()
    }
    for run in volumes.values():
        run["data"] = run["data"] | {"name": "hippocampus", "fingerprint": "h"}
        run["config"]["data"]["name"] = "hippocampus"
    book = family(table | ablations | volumes)
    assert len(book.p) == 3 and book.level == pytest.approx(0.05 / 3)
    raw = {
        name: difference(BASE, found).p
        for name, found in {"s": (0.83, 0.84, 0.85), "c": (0.83, 0.84, 0.86), "n": (0.84, 0.85, 0.86)}.items()
    }
    assert sorted(book.p.values()) == pytest.approx(sorted(holm(raw).values()))
    xrays, other = experiments(table | ablations | volumes)
    assert len(xrays.systems) == 3
    for part in (xrays, xrays.only(["lightm-unet", "paper-conv3"]), other):  # what a chapter shows changes no p-value
        for row in standings(part, book):
            assert row.p == (book.p[part.key, row.system] if row.against else None)


def test_an_experiment_without_the_base_can_not_be_judged():
    records = runs("segresnet", 0.8, 0.9)
    with pytest.raises(LightMError, match="no run of 'lightm-unet'"):
        standings(experiments(records)[0], family(records))


def test_systems_scored_on_other_cases_are_not_compared():
    records = runs("lightm-unet", *BASE) | {"b": record("segresnet", dsc=(0.9, 0.8))}
    with pytest.raises(LightMError, match="can't be compared"):
        standings(experiments(records)[0], family(records))
