"""A run is reproducible, is never lost, and says what does not fit before it touches anything."""

import csv
import hashlib
import os
import signal

import pytest
import torch
from tiny import cheaply, tiny_config, train

from lightm.data import load_dataset
from lightm.data.splits import make_split, save_split
from lightm.errors import LightMError
from lightm.training.interrupts import Interrupted
from lightm.training.losses import NonFiniteLoss
from lightm.training.metrics import merit
from lightm.training.randomness import draws_to_come, epoch_batches
from lightm.training.record import load_record
from lightm.training.trainer import Trainer


class Killed(BaseException):
    """Stands for `kill -9`: nothing in the trainer may catch it."""


def die_at(iteration):
    """An `on_iteration` that dies before that iteration, counted from 1 over all epochs."""

    def hook(number):
        if number == iteration:
            raise Killed

    return hook


def killed_run(config, out, iteration, **options):
    """Train until that iteration, and die there."""
    with pytest.raises(Killed):
        train(config, out, on_iteration=die_at(iteration), **options)


def no_iteration(number):
    raise AssertionError(f"iteration {number} was run again")


def weights_hash(folder):
    return [hashlib.sha256((folder / f / "model.safetensors").read_bytes()).hexdigest() for f in ("last", "best")]


def log_without_times(folder):
    with open(folder / "log.csv", newline="") as file:
        times = ("seconds", "images_per_second")
        return [{k: v for k, v in row.items() if k not in times} for row in csv.DictReader(file)]


@pytest.fixture
def whole(tiny_run):
    return tiny_run


def test_a_run_leaves_what_a_reader_needs(whole):
    out, record = whole
    names = {path.name for path in out.iterdir()}
    assert names == {
        "config.toml",
        "split.json",
        "log.csv",
        "curves.png",
        "record.json",
        "tensorboard",
        "last",
        "last.previous",
        "best",
    } | (names & {"best.previous"})
    assert load_record(out / "record.json") == record
    assert [row["epoch"] for row in record["curve"]] == [1, 2, 3]
    assert record["curve"][-1]["train_loss"] < record["curve"][0]["train_loss"]
    assert record["data"]["cases"] == {"train": 14, "val": 2, "test": 4}
    assert record["test"]["size"] == [16, 16] and record["test_native"]["size"] == "native"
    split_test = {case["case"] for case in record["test_native"]["cases"]}
    assert len(split_test) == 4
    assert record["best"]["val_dsc_native"] == max(row["val_dsc_native"] for row in record["curve"]) > 0.5


def test_the_best_epoch_is_the_best_at_the_cases_own_size_and_ties_are_broken_by_the_loss():
    small, lost = {"val_dsc": 0.9, "val_dsc_native": 0.8}, {"val_dsc": 1.0, "val_dsc_native": 0.0}
    assert merit(small) > merit(lost)
    assert merit(lost | {"val_loss": 0.2}) > merit(lost | {"val_loss": 0.3}) > merit({"epoch": 1, **lost})
    assert merit({"val_dsc": 0.7}) > merit({"val_dsc": 0.6, "val_dsc_native": None, "val_loss": 0.1})


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(whole, tmp_path):
    train(tiny_config(), tmp_path / "again")
    assert weights_hash(tmp_path / "again") == weights_hash(whole[0])
    assert log_without_times(tmp_path / "again") == log_without_times(whole[0])
    train(tiny_config(train__seed=1), tmp_path / "other")
    assert weights_hash(tmp_path / "other") != weights_hash(whole[0])


@pytest.mark.parametrize("iteration", [1, 4, 9])
def test_a_killed_run_resumes_bit_for_bit(whole, tmp_path, iteration):
    out = tmp_path / "run"
    killed_run(tiny_config(), out, iteration)
    record = train(tiny_config(), out, resume=True)
    assert weights_hash(out) == weights_hash(whole[0])
    assert log_without_times(out) == log_without_times(whole[0])
    assert record["test"] == whole[1]["test"] and record["test_native"] == whole[1]["test_native"]
    assert record["cost"]["sessions"] == len(record["sessions"]) == 2
    assert record["sessions"][0]["versions"] == record["sessions"][1]["versions"] == record["environment"]["versions"]
    assert not (out / ".lock").exists()


def test_ctrl_c_saves_within_the_epoch_and_resumes_bit_for_bit(whole, tmp_path):
    before = signal.getsignal(signal.SIGINT)  # a shell that starts the tests in the background has it ignored

    def interrupt(number):
        if number == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="iteration 5"):
        train(tiny_config(), tmp_path / "run", on_iteration=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    resumed = Trainer(tiny_config(), tmp_path / "run", resume=True, quiet=True)
    assert (resumed.position.epoch, resumed.position.step) == (1, 2)
    with cheaply():
        resumed.fit()
    assert weights_hash(tmp_path / "run") == weights_hash(whole[0])
    assert log_without_times(tmp_path / "run") == log_without_times(whole[0])


def test_a_kill_between_the_two_renames_of_a_checkpoint_loses_nothing(whole, tmp_path):
    out = tmp_path / "run"
    killed_run(tiny_config(), out, 8)
    (out / "last.previous").rename(out / "older")
    (out / "last").rename(out / "last.previous")
    train(tiny_config(), out, resume=True)
    assert weights_hash(out) == weights_hash(whole[0])


def test_a_run_killed_before_it_scores_the_test_cases_only_scores_them(whole, tmp_path):
    out = tmp_path / "run"

    def die(epoch, row):
        if epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        train(tiny_config(), out, on_epoch=die)
    record = train(tiny_config(), out, resume=True, on_iteration=no_iteration)
    assert record["test"] == whole[1]["test"] and record["curve"][-1]["val_dsc"] == whole[1]["curve"][-1]["val_dsc"]
    assert train(tiny_config(), out, resume=True) == record  # all done: nothing is done again


def test_a_batch_run_in_parts_gives_the_same_losses_to_rounding(whole, tmp_path):
    record = train(tiny_config(train__accumulate=2), tmp_path / "run")
    for row, expected in zip(record["curve"], whole[1]["curve"], strict=True):
        assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-4)


def test_workers_do_not_change_the_result(whole, tmp_path):
    train(tiny_config(train__workers=2), tmp_path / "run")
    assert weights_hash(tmp_path / "run") == weights_hash(whole[0])


def test_a_non_finite_loss_stops_before_the_update_and_names_the_cases(tmp_path):
    trainer = Trainer(tiny_config(), tmp_path / "run", quiet=True)
    before = {name: value.clone() for name, value in trainer.net.state_dict().items()}
    bad = trainer.train_data.case_ids[3]
    trainer.train_data.images[3] = float("nan")
    # Everything before the bad case's batch is left out, so that the first update would be the poisoned one.
    batches = epoch_batches(14, 4, 1, 3, seed=0, epoch=0)
    trainer.position.step = next(i for i, [part] in enumerate(batches) if 3 in [case for case, _, _ in part])
    with pytest.raises(NonFiniteLoss, match=bad):
        trainer.fit()
    assert all(torch.equal(value, before[name]) for name, value in trainer.net.state_dict().items())


def test_nothing_is_overwritten_and_a_resume_that_does_not_fit_names_the_difference(whole, tmp_path):
    out = whole[0]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(LightMError, match="exists already; go on in it with --resume"):
        Trainer(tiny_config(), out)
    with pytest.raises(LightMError, match=r"optim\.lr is 0\.02, there 0\.03"):
        Trainer(tiny_config(optim__lr=0.02), out, resume=True)
    with pytest.raises(LightMError, match=r"model\.name is \"paper-conv3\", there \"lightm-unet\""):
        Trainer(tiny_config(model__name="paper-conv3", model__options={}), out, resume=True)
    with pytest.raises(LightMError, match=r"data\.split_seed is 1, there 0"):
        Trainer(tiny_config(data__split_seed=1), out, resume=True)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    with pytest.raises(LightMError, match="nothing to resume"):
        Trainer(tiny_config(), tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()


def test_a_changed_split_file_is_noticed_on_resume(tmp_path):
    data = load_dataset("phantom-cxr", cases=20, size=24)
    config = tiny_config(data__split=str(tmp_path / "mine.json"))
    save_split(make_split(data, seed=0), tmp_path / "mine.json")
    killed_run(config, tmp_path / "run", 2)
    save_split(make_split(data, seed=5), tmp_path / "mine.json")
    with pytest.raises(LightMError, match="its split was"):
        Trainer(config, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data__size": [15, 16]}, "divisible"),
        ({"data__size": [16, 16, 16]}, "3 axes, but phantom-cxr is 2D"),
        ({"train__batch_size": 16}, "more than the 14 cases"),
        ({"data__name": "phantom-cx"}, "Did you mean 'phantom-cxr'"),
        ({"model__name": "lightm"}, "Did you mean 'lightm-unet'"),
        ({"data__options": {"cases": 3}}, "part of the split is empty"),
        ({"data__split": "nowhere.json"}, "correct the path"),
        ({"data__name": "folder", "data__root": "nowhere", "data__options": {}}, "there is no folder .*nowhere"),
        ({"data__name": "folder", "data__options": {"root": "mine"}}, r"write root = \.\.\. in \[data\] itself"),
    ],
)
def test_what_does_not_fit_is_said_before_a_folder_is_made(tmp_path, changes, sentence):
    with pytest.raises(LightMError, match=sentence):
        Trainer(tiny_config(**changes), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_case_that_comes_twice_in_an_epoch_is_varied_anew():
    train_config = tiny_config(train__iterations_per_epoch=6).train
    draws = [draw for part in draws_to_come(train_config, 14, 6, epoch=2, step=0, rank=0, world=1) for draw in part]
    assert len(draws) == len(set(draws)) == 24 > len({case for case, _, _ in draws}) == 14


def test_what_is_drawn_from_the_middle_is_the_rest_of_what_is_drawn_from_the_start():
    train_config = tiny_config(train__accumulate=2).train
    everything = list(draws_to_come(train_config, 14, 3, epoch=0, step=0, rank=0, world=1))
    assert list(draws_to_come(train_config, 14, 3, epoch=1, step=2, rank=0, world=1)) == everything[10:]
    assert everything[:6] == [p for parts in epoch_batches(14, 4, 2, 3, seed=0, epoch=0) for p in parts]


def test_checkpointing_may_change_when_a_run_goes_on_and_compilation_may_not(whole, tmp_path):
    out = tmp_path / "run"
    killed_run(tiny_config(), out, 5)
    with pytest.raises(LightMError, match=r"train\.compile is true, there false"):
        Trainer(tiny_config(train__compile=True), out, resume=True)
    train(tiny_config(train__checkpointing=True), out, resume=True)
    assert weights_hash(out) == weights_hash(whole[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU: on a CPU the other tests say the same")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_gives_the_same_bits_twice(tmp_path, precision):
    for name in ("one", "two"):
        train(tiny_config(train__precision=precision), tmp_path / name)
    assert weights_hash(tmp_path / "one") == weights_hash(tmp_path / "two")
    assert log_without_times(tmp_path / "one") == log_without_times(tmp_path / "two")


def test_a_live_curve_gets_every_row(tmp_path):
    rows = []
    record = train(
        tiny_config(train__validate_every=3, train__epochs=4),
        tmp_path / "run",
        on_epoch=lambda epoch, row: rows.append(row),
    )
    assert rows == record["curve"]
    assert [row["val_dsc"] is None for row in rows] == [False, True, False, False]  # the first and the last always


def test_bf16_trains_and_stays_finite(tmp_path):
    record = train(tiny_config(train__precision="bf16", train__epochs=1), tmp_path / "run")
    assert 0 < record["curve"][0]["train_loss"] < 3


def test_processes_share_each_batch_and_every_case_comes_once_a_pass():
    alone = epoch_batches(10, 4, 1, 5, seed=3, epoch=2)
    shares = [epoch_batches(10, 4, 1, 5, seed=3, epoch=2, rank=rank, world=2) for rank in (0, 1)]
    for step in range(5):
        assert alone[step][0] == shares[0][step][0] + shares[1][step][0]
    drawn = [draw for [part] in alone for draw in part]
    first, second = ([case for case, _, _ in half] for half in (drawn[:10], drawn[10:]))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert [(epoch, again) for _, epoch, again in drawn] == [(2, 0)] * 10 + [(2, 1)] * 10
