"""Sessions of a run: one or several processes, started as the book says; what changes between them is said."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import tiny_config, train

from lightm.training import session
from lightm.training.record import load_record
from lightm.training.session import CoreWatch, warn_of_changes

BOOK = Path(__file__).parents[2] / "book"
BIN = Path(sys.executable).parent


def launched(command, folder):
    """Run a command line with the tiny recipe, in a folder, with the programs of this environment."""
    (folder / "tiny.toml").write_text(tiny_config().to_toml())
    words = re.sub(r"experiments/\S+|(?<=train )\w+$", "tiny.toml", command).split()
    environment = {key: value for key, value in os.environ.items() if key not in ("WORLD_SIZE", "RANK", "MASTER_ADDR")}
    environment |= {"OMP_NUM_THREADS": "1", "MASTER_PORT": "0", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


def documented():
    """Every line of the book that starts several processes."""
    lines = [line for path in sorted(BOOK.glob("*.md")) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line.startswith(("torchrun", "accelerate launch"))]


def test_the_book_says_how_several_processes_are_started():
    assert documented()


@pytest.mark.skipif(sys.platform == "win32", reason="torch has no gloo for torchrun there")
@pytest.mark.parametrize("command", documented())
def test_the_documented_command_trains_with_two_processes_what_one_trains_to_rounding(command, tiny_run, tmp_path):
    done = launched(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "strides do not match" not in done.stderr and done.stdout.count("best validation DSC") == 1
    record = load_record(tmp_path / "runs" / "tiny" / "record.json")
    assert record["cost"]["processes"] == 2 and record["sessions"][0]["threads"] == 1
    for row, expected in zip(record["curve"], tiny_run[1]["curve"], strict=True):
        assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-4)
        assert row["val_dsc"] == pytest.approx(expected["val_dsc"], abs=0.01)
    scored, alone = ([case["case"] for case in r["test"]["cases"]] for r in (record, tiny_run[1]))
    assert scored == alone


@pytest.mark.skipif(torch.cuda.is_available(), reason="with GPUs `accelerate launch` starts all processes")
@pytest.mark.parametrize("flags", ["--cpu", ""])
def test_a_launcher_that_starts_one_process_where_two_were_asked_for_is_refused(flags, tmp_path):
    done = launched(f"accelerate launch --num_processes 2 {flags} -m lightm train experiments/smoke.toml", tmp_path)
    assert done.returncode != 0 and not (tmp_path / "runs").exists()
    assert "lightm: `accelerate launch` has started one process where several were asked for" in done.stderr


def test_a_world_that_has_not_met_is_refused(monkeypatch):
    from lightm.errors import LightMError

    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setattr(session, "Accelerator", lambda **options: type("One", (), {"num_processes": 1}))
    with pytest.raises(LightMError, match="3 processes were asked for and 1 have met"):
        session.start_processes()


def test_a_resume_under_other_conditions_says_what_differs(tmp_path, caplog):
    out = tmp_path / "run"

    class Killed(BaseException):
        """Stands for `kill -9`."""

    def die(number):
        if number == 2:
            raise Killed

    with pytest.raises(Killed):
        train(tiny_config(), out, on_iteration=die)
    with caplog.at_level(logging.WARNING, logger="lightm"):
        record = train(tiny_config(), out, resume=True)
        assert not [message for message in caplog.messages if "other conditions" in message]
        then, now = record["sessions"]
        warn_of_changes(then, now | {"threads": 7, "versions": now["versions"] | {"torch": "9.9"}})
    [message] = [message for message in caplog.messages if "other conditions" in message]
    assert "threads 1 then and 7 now" in message and f"torch {then['versions']['torch']} then and 9.9 now" in message
    warn_of_changes({}, now)  # an older checkpoint: nothing is known
    json.dumps(record["sessions"])


def test_busy_cores_are_noticed_once_with_the_remedy(monkeypatch, caplog):
    seconds = iter([(0.0, 0.0), (20.0, 1.0), (20.0, 1.0), (30.0, 11.0)])  # run and waited: quiet, then busy
    clock = iter([0.0, 21.0, 42.0, 63.0, 84.0])
    monkeypatch.setattr(CoreWatch, "_times", staticmethod(lambda: next(seconds)))
    monkeypatch.setattr(session.time, "monotonic", lambda: next(clock))
    watch = CoreWatch(2)
    with caplog.at_level(logging.WARNING, logger="lightm"):
        for _ in range(5):
            watch.look()
    assert ["OMP_NUM_THREADS=1" in message for message in caplog.messages] == [True]


def test_linux_counts_how_long_threads_wait_for_a_core():
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("only Linux counts it")
    run, waited = CoreWatch._times()
    assert run > 0 and waited >= 0
