"""The printed accuracies against records of runs: what decides, what is shown at reduced scale, and what is refused."""

import copy

import pytest
from paper_evidence import altered, run, verdict, with_runs

from lightm.training.config import config_hash
from lightm_book.paper import CLAIMS, TABLES, Verdict
from lightm_book.paper.distance import not_as_paper, scale
from lightm_book.paper.tables import OURS

ROW, AHEAD = "table-2-lightm-unet-accuracy", "comparative-first-2d"
SMALL = {"data_size": [128, 128], "train_iterations_per_epoch": 20, "train_batch_size": 4}  # 16 passes over the cases
FIRST_MINUTE = {"data_size": [64, 64], "train_iterations_per_epoch": 40, "train_epochs": 4, "train_batch_size": 4}


def changed(path: str, value) -> dict:
    """A run at the paper's settings with one entry of its record changed, the hash of the recipe after it."""
    record = copy.deepcopy(run())
    *sections, key = path.split(".")
    table = record
    for section in sections:
        table = table[int(section) if isinstance(table, list) else section]
    table[key] = value
    record["config_sha256"] = config_hash(record["config"])
    return record


FAKED = {
    "config.data.size": ([256, 256], "size 256 × 256, not 512 × 512"),
    "config.data.ratios": ([8, 1, 1], "recipe: 8:1:1"),
    "config.data.augment": (False, "no augmentation"),
    "config.optim.name": ("adam", "optimiser adam, not SGD"),
    "config.optim.lr": (1e-3, "learning rate 0.001, not 0.0001"),
    "config.optim.power": (0.0, "schedule with power 0, not PolyLRScheduler with 0.9"),
    "config.optim.warmup": (10, "10 iterations of warm-up"),
    "config.train.batch_size": (4, "batch size 4, not 12"),
    "config.train.epochs": (1, "the curve ends at iteration 25,000, the recipe at 250"),
    "config.train.iterations_per_epoch": (1, "the curve ends at iteration 25,000, the recipe at 100"),
    "config.train.loss": ("focal", "loss focal, not Cross Entropy and Dice"),
    "config.model.name": ("segresnet", "the recipe says segresnet"),
    "curve.1.iteration": (160, "160 of 25,000 iterations (their trainer has 250 in each of the text's 100 epochs)"),
    "data.cases": ({"train": 600, "val": 50, "test": 54}, "split 600:50:54"),
    "data.cases.train": (400, "of 704 cases"),
    "data.name": ("hippocampus", "data hippocampus"),
    "data.synthetic": (True, "(synthetic)"),
    "model.params": (1_041_252, "a network of 1.04M parameters, not 2.55M"),
    "test_native.cases": ([], "scored on 0 of 141 test cases"),
    "loss": ("Dice", "loss Dice, not Cross Entropy and Dice"),
}


@pytest.mark.parametrize("path", ["loss", "config.train.loss"])
def test_a_record_may_name_the_papers_loss(path):
    assert not any("loss" in difference for difference in not_as_paper(changed(path, "dice-ce"), 2))


@pytest.mark.parametrize("path", FAKED)
def test_a_record_that_is_called_the_papers_is_refused(path):
    value, reason = FAKED[path]
    found = not_as_paper(changed(path, value), 2)
    assert any(reason in difference for difference in found), found


def test_a_recipe_that_was_changed_after_the_run_is_refused():
    record = run()
    record["config"]["eval"]["batch_size"] = 3  # changes nothing else
    assert not_as_paper(record, 2) == ["the recipe was changed after the run: config_sha256 is the hash of another"]


def test_a_run_at_the_papers_settings_differs_in_nothing():
    assert not_as_paper(run(), 2) == []
    for row in TABLES[2].rows:
        assert not_as_paper(run(row), 2) == [], row


def test_a_smaller_network_of_the_same_name_is_not_the_papers():
    record = run("nnU-Net", model_options={"n_stages": 6})
    record["model"]["params"] = 20_000_000
    assert not_as_paper(record, 2) == ["a network of 20.00M parameters (n_stages 6), not 46.33M"]


def test_accuracy_is_decided_only_by_a_run_at_the_papers_settings():
    assert verdict(ROW) is Verdict.OPEN
    assert verdict(ROW, with_runs(run())) is Verdict.REPRODUCED
    assert verdict(ROW, with_runs(run(shift=-2))) is Verdict.CONTRADICTED
    assert verdict(ROW, with_runs(run("UNETR"))) is Verdict.OPEN
    assert verdict(ROW, with_runs(run(shift=-2, **SMALL), run())) is Verdict.REPRODUCED
    phantom = run()
    phantom["data"]["synthetic"] = True
    assert verdict(ROW, with_runs(phantom)) is Verdict.OPEN


def test_the_interval_is_over_runs_where_there_are_several():
    runs = [run(seed=seed) for seed in range(3)]  # 0.03 points apart; cases spread by 2 points
    finding = CLAIMS[ROW].judge(with_runs(*runs))
    assert finding.verdict is Verdict.REPRODUCED and "over 3 runs" in finding.note and len(finding.records) == 3
    assert "DSC 96.17 (96.10 … 96.24)" in finding.note
    assert verdict(ROW, with_runs(*(run(seed=seed, shift=-0.1) for seed in range(3)))) is Verdict.CONTRADICTED
    assert verdict(ROW, with_runs(run(shift=-0.1))) is Verdict.REPRODUCED  # one run: the cases decide


def test_smaller_runs_are_shown_with_their_scale_and_their_distance():
    runs = [run(seed=seed, shift=-3, optim_name="adamw", **SMALL) for seed in range(3)]
    finding = CLAIMS[ROW].judge(with_runs(*runs, run(**FIRST_MINUTE)))
    assert finding.verdict is Verdict.REDUCED and len(finding.records) == 3
    assert finding.scale == scale(runs, 2) == "128 × 128, 8 % of the paper's iterations, 3 seeds"
    assert "2,000 of 25,000 iterations" in finding.note and "optimiser adamw, not SGD" in finding.note
    assert "Such runs say nothing about the printed numbers" in finding.note


def test_the_beginning_of_a_training_is_no_evidence():
    finding = CLAIMS[ROW].judge(with_runs(run(**FIRST_MINUTE)))
    assert finding.verdict is Verdict.OPEN and "(64 × 64, 160 of 25,000 iterations)" in finding.note
    everyone = [run(row, seed=seed, **FIRST_MINUTE) for row in TABLES[2].rows for seed in range(3)]
    assert verdict(AHEAD, with_runs(*everyone)) is Verdict.OPEN


def test_a_variant_of_the_network_is_no_run_of_it():
    variant = run(model_options={"directions": 2}, **SMALL)
    assert CLAIMS[ROW].judge(with_runs(variant)).note == "No run of this network on montgomery-shenzhen is recorded."


def everyone(shifts=None, **changes) -> list[dict]:
    shifts = shifts or {}
    return [run(row, shifts.get(row, 0), seed, **changes) for row in TABLES[2].rows for seed in range(3)]


def test_being_ahead_is_decided_over_runs_at_the_papers_settings():
    apart = {row: -1.0 for row in TABLES[2].rows if row != OURS}
    assert verdict(AHEAD, with_runs(*everyone(apart))) is Verdict.REPRODUCED
    assert verdict(AHEAD, with_runs(*everyone(apart | {"nnU-Net": 1.0}))) is Verdict.CONTRADICTED
    assert verdict(AHEAD, with_runs(*everyone())) is Verdict.REDUCED  # 0.04 points: no difference shown
    assert verdict(AHEAD, with_runs(*(run(row) for row in TABLES[2].rows))) is Verdict.REDUCED  # one run each
    assert verdict(AHEAD, altered((2, "nnU-Net", "DSC", "96.17"))) is Verdict.CONTRADICTED


@pytest.mark.parametrize(
    ("shifts", "leaning"),
    [
        ({row: -1.0 for row in TABLES[2].rows if row != OURS}, "for"),
        ({"nnU-Net": 1.0}, "against"),
        ({}, "undecided"),
    ],
)
def test_at_reduced_scale_a_comparison_says_what_it_speaks_for(shifts, leaning):
    finding = CLAIMS[AHEAD].judge(with_runs(*everyone(shifts, **SMALL)))
    assert finding.verdict is Verdict.REDUCED
    assert finding.scale == f"128 × 128, 8 % of the paper's iterations, 3 seeds: {leaning}"
    assert len(finding.records) == 18


def test_only_like_runs_are_compared():
    ours = [run(seed=seed, **SMALL) for seed in range(3)]
    apart = dict(shift=-3.0)
    other_size = [run("nnU-Net", seed=seed, **apart, **SMALL | {"data_size": [64, 64]}) for seed in range(3)]
    assert verdict(AHEAD, with_runs(*ours, *other_size)) is Verdict.OPEN
    other_recipe = [run("nnU-Net", seed=seed, **apart, optim_name="adam", **SMALL) for seed in range(3)]
    assert verdict(AHEAD, with_runs(*ours, *other_recipe)) is Verdict.OPEN
    other_rate = [run("nnU-Net", seed=seed, **apart, optim_lr=3e-4, **SMALL) for seed in range(3)]
    finding = CLAIMS[AHEAD].judge(with_runs(*ours, *other_rate))  # chosen for each network
    assert finding.verdict is Verdict.REDUCED and "Not run: SegResNet, UNETR, SwinUNETR, U-Mamba" in finding.note


def test_a_network_that_was_fitted_to_the_size_is_named_so():
    ours = [run(seed=seed, **SMALL) for seed in range(3)]
    fitted = [run("nnU-Net", -1.0, seed, model_options={"n_stages": 6}, **SMALL) for seed in range(3)]
    assert "ahead of: nnU-Net (n_stages 6) +1.04" in CLAIMS["abstract-superior"].judge(with_runs(*ours, *fitted)).note


def test_other_data_stand_in_for_lits_by_name():
    rows = {"w/o Adjustment factors": -1.0, "w/o Residual connections": -1.0}
    ours = [run(seed=seed, **SMALL) for seed in range(3)]
    table = TABLES[2].rows
    assert not set(rows) & set(table)
    others = []
    for name in ("paper-no-adjustment", "paper-no-residual"):
        for seed in range(3):
            record = run(seed=seed, shift=-1, **SMALL, model_name=name)
            record["model"]["name"] = name
            others.append(record)
    finding = CLAIMS["ablation-significantly"].judge(with_runs(*ours, *others))
    assert finding.verdict is Verdict.REDUCED
    assert finding.scale.endswith("on other data, montgomery-shenzhen: for")
