"""The log for TensorBoard holds each epoch once, however often the run was interrupted."""

import builtins

import pytest

from lightm.training import logs
from lightm.training.logs import SCALARS, TensorBoardLog

pytest.importorskip("tensorboard", reason="the TensorBoard log needs tensorboard")


def row(epoch, score=0.5):
    return {
        "epoch": epoch,
        "iteration": 3 * epoch,
        "lr": 0.1 / epoch,
        "train_loss": 1.0 / epoch,
        "val_loss": score and 2.0 / epoch,
        "val_dsc": score,
        "val_iou": score and score / (2 - score),
        "images_per_second": 7.0,
        "seconds": 1.5,
    }


def read(folder):
    """Name -> [(epoch, value)] of everything in a folder, as TensorBoard reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {name: [(e.step, pytest.approx(e.value)) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_a_run_that_goes_on_has_each_epoch_once(tmp_path):
    log = TensorBoardLog(tmp_path / "tensorboard")
    log.start([])
    for epoch in (1, 2):
        log.epoch(row(epoch))
    log.close()  # killed before the checkpoint of epoch 2: the run goes on after epoch 1
    log = TensorBoardLog(tmp_path / "tensorboard")
    log.start([row(1)])
    for epoch in (2, 3):
        log.epoch(row(epoch))
    log.close()
    found = read(tmp_path / "tensorboard")
    assert found.keys() == set(SCALARS.values())
    assert found["loss/training"] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_an_epoch_without_validation_has_no_scores(tmp_path):
    log = TensorBoardLog(tmp_path / "tensorboard")
    log.start([row(1, score=None), row(2)])
    log.close()
    found = read(tmp_path / "tensorboard")
    assert found["score/DSC"] == [(2, 0.5)] and len(found["schedule/learning rate"]) == 2


def test_without_the_package_a_run_goes_on_and_says_so_once(tmp_path, monkeypatch, caplog):
    original = builtins.__import__

    def without(name, *args, **options):
        if name == "torch.utils.tensorboard":
            raise ImportError(name)
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(logs, "_announced", False)
    with caplog.at_level("INFO", logger="lightm"):
        for _ in range(2):
            log = TensorBoardLog(tmp_path / "tensorboard")
            log.start([])
            log.epoch(row(1))
            log.close()
    assert [message for message in caplog.messages if "pip install tensorboard" in message] == caplog.messages[:1]
    assert not (tmp_path / "tensorboard").exists()
