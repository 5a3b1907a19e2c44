"""A run folder: one process at a time trains in it, what was edited or damaged is named, and others begin with it."""

import json
import random
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import MODEL, cheaply, tiny_config, train

from lightm.data import load_dataset
from lightm.data.download import write_folder
from lightm.errors import LightMError
from lightm.inference import Predictor, evaluate_run
from lightm.training.checkpoint import load_state
from lightm.training.interrupts import Interrupted
from lightm.training.run_folder import load_run, locked
from lightm.training.trainer import Trainer


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run that was interrupted in its second epoch."""
    out = tmp_path_factory.mktemp("begun") / "run"

    def stop(number):
        if number == 5:
            trainer.stop.deadline = 0.0

    with cheaply():
        trainer = Trainer(tiny_config(), out, on_iteration=stop, quiet=True)
        with pytest.raises(Interrupted):
            trainer.fit()
    shutil.rmtree(out / "last.previous", ignore_errors=True)
    return out


def copied(run, folder):
    shutil.copytree(run, folder / "run")
    return folder / "run"


def test_two_processes_can_not_train_in_one_folder(begun, tmp_path):
    out = copied(begun, tmp_path)
    hold = "import sys, time; from pathlib import Path; from lightm.training.run_folder import locked\n"
    hold += "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", hold, str(out)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        before = {path: path.read_bytes() for path in out.rglob("*.*") if path.name != ".lock"}
        with pytest.raises(LightMError, match=r"Another process trains in .*run now; wait for it"):
            train(tiny_config(), out, resume=True)
        assert {path: path.read_bytes() for path in before} == before
    finally:
        holder.kill()
        holder.wait()
    train(tiny_config(), out, resume=True)  # the system takes the lock back from the dead


def test_a_trainer_that_has_been_overtaken_does_not_train_over_the_newer_state(begun, tmp_path):
    out = copied(begun, tmp_path)
    late = Trainer(tiny_config(), out, resume=True, quiet=True)
    with pytest.raises(Interrupted), cheaply():
        trainer = Trainer(tiny_config(), out, resume=True, quiet=True, deadline=0.0)
        trainer.fit()
    with pytest.raises(LightMError, match="was trained in meanwhile; start this command again"):
        late.fit()
    with locked(out):  # and it leaves the folder free
        pass


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("last", lambda state: state["position"].update(step=3)),
        ("last", lambda state: state.pop("position")),
        ("last", lambda state: state["optimizer"][0].update(weight_decay=0.5)),
        ("last", lambda state: state["position"]["best"].update(val_dsc_native=0.123)),
        ("last", lambda state: state["config"]["optim"].update(lr=0.5)),
        ("best", lambda state: state["task"]["classes"].append("third")),
        ("last", lambda state: state.pop("sha256")),
        ("last", lambda state: state.update(sha256=1)),
    ],
)
def test_an_edited_state_is_refused_by_name(begun, tmp_path, part, change):
    path = copied(begun, tmp_path) / part / "state.json"
    state = json.loads(path.read_text())
    change(state)
    path.write_text(json.dumps(state))
    with pytest.raises(LightMError, match=r"state\.json is missing, damaged or was edited"):
        Trainer(tiny_config(), tmp_path / "run", resume=True) if part == "last" else load_run(tmp_path / "run")


def as_before(folder, **changes):
    """Make a checkpoint look like one of an older version."""
    path = folder / "state.json"
    state = json.loads(path.read_text())
    del state["sha256"], state["start"], state["identity"]["cases"]
    state["position"]["sittings"] = len(state["position"].pop("sessions"))
    path.write_text(json.dumps(state | {"format": 1} | changes))


def test_checkpoints_of_older_versions_still_load(begun, tiny_run, tmp_path):
    out = copied(begun, tmp_path)
    as_before(out / "last"), as_before(out / "best")
    assert load_run(out).epoch == 1
    record = train(tiny_config(), out, resume=True)
    assert record["cost"]["sessions"] == 2 and record["test"] == tiny_run[1]["test"]
    weights = [(folder / "last" / "model.safetensors").read_bytes() for folder in (out, tiny_run[0])]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    "position", [{}, {"epoch": 1}, {"epoch": "1", "step": None}, [1, 2], "x", {"sittings": "many"}]
)
def test_an_older_state_with_parts_missing_is_named(begun, tmp_path, position):
    out = copied(begun, tmp_path)
    as_before(out / "last", position=position)
    with pytest.raises(LightMError, match=r"state\.json is missing, damaged or was edited"):
        Trainer(tiny_config(), out, resume=True)


def test_any_flipped_bit_of_a_checkpoint_is_one_sentence_or_means_nothing(begun, tmp_path):
    folder, rng, refused = copied(begun, tmp_path) / "last", random.Random(0), 0
    whole = load_state(folder)
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for _ in range(120):
            bit = rng.randrange(8 * len(content))
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            try:
                assert load_state(folder) == whole  # a space became another one
            except LightMError as error:
                assert path.name in str(error) and "\n" not in str(error)
                refused += 1
        path.write_bytes(content)
    assert refused > 340


def test_a_run_is_found_from_another_folder_though_its_data_had_a_relative_root(tmp_path, monkeypatch):
    write_folder(load_dataset("phantom-cxr", cases=12, size=16), tmp_path / "mine")
    config = tiny_config(data__name="folder", data__root="mine", data__options={}, train__epochs=1)
    monkeypatch.chdir(tmp_path)
    record = train(config, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    assert evaluate_run(tmp_path / "run")["scores"] == record["test"]


def test_a_test_file_that_was_damaged_can_be_repaired_after_the_training(tmp_path):
    write_folder(load_dataset("phantom-cxr", cases=12, size=16), tmp_path / "mine")
    config = tiny_config(data__name="folder", data__root=str(tmp_path / "mine"), data__options={}, train__epochs=1)
    trainer = Trainer(config, tmp_path / "run", quiet=True)
    image = next((tmp_path / "mine" / "images").glob(f"{trainer.data.cases('test')[0]}*"))
    content = image.read_bytes()
    image.write_bytes(content[:-30])
    del trainer
    with pytest.raises(LightMError, match="The training is done and kept: after the repair --resume scores it"):
        train(config, tmp_path / "run")
    image.write_bytes(content)
    record = train(config, tmp_path / "run", resume=True)
    assert record["test"]["summary"]["cases"] == len(record["test"]["cases"]) > 0
    assert evaluate_run(tmp_path / "run")["scores"] == record["test"]


def test_another_training_case_is_refused_although_the_split_is_the_same(tmp_path):
    write_folder(load_dataset("phantom-cxr", cases=12, size=16), tmp_path / "mine")
    config = tiny_config(data__name="folder", data__root=str(tmp_path / "mine"), data__options={}, train__epochs=1)
    trainer = Trainer(config, tmp_path / "run", quiet=True, deadline=0.0)
    with pytest.raises(Interrupted):
        trainer.fit()
    image = next((tmp_path / "mine" / "images").glob(f"{trainer.data.cases('train')[0]}*"))
    Image.fromarray(np.zeros((16, 16), np.uint8) + np.eye(16, dtype=np.uint8)).save(image)
    with pytest.raises(LightMError, match="its split was"):
        Trainer(config, tmp_path / "run", resume=True)


def test_a_run_can_begin_with_the_weights_of_another(tiny_run, tmp_path):
    config = tiny_config(train__epochs=1, optim__lr=1e-4)
    trainer = Trainer(config, tmp_path / "longer", start_from=tiny_run[0], quiet=True)
    best = Predictor(tiny_run[0], device="cpu").model.state_dict()
    assert all(torch.equal(value, best[name]) for name, value in trainer.net.state_dict().items())
    with cheaply():
        record = trainer.fit()
    assert record["start"]["name"] == "tiny" and record["start"]["new"] == []
    assert record["start"]["epoch"] == tiny_run[1]["best"]["epoch"]
    assert record["curve"][0]["train_loss"] < tiny_run[1]["curve"][0]["train_loss"]


def test_where_the_classes_differ_the_head_is_new_and_the_record_says_so(volume_run, tmp_path):
    config = tiny_config(
        data__name="folder", data__root=str(tmp_path / "mine"), data__options={}, data__size=[8, 8, 8], train__epochs=1
    )
    write_folder(load_dataset("phantom-ct", cases=10, size=[20, 16, 24]), tmp_path / "mine")
    description = tmp_path / "mine" / "dataset.json"
    description.write_text(description.read_text().replace('"0": "background"', '"0": "background", "3": "vessel"'))
    trainer = Trainer(config, tmp_path / "run", start_from=volume_run[0], quiet=True)
    before, there = trainer.net.state_dict(), Predictor(volume_run[0], device="cpu").model.state_dict()
    new = {name for name in before if before[name].shape != there[name].shape}
    assert new and set(trainer.start["new"]) == new
    assert all(torch.equal(before[name], there[name]) for name in before if name not in new)


def test_weights_of_another_network_are_refused_by_name(tiny_run, tmp_path):
    wider = tiny_config(model__options=MODEL | {"width": 16})
    with pytest.raises(LightMError, match="are of another architecture"):
        Trainer(wider, tmp_path / "run", start_from=tiny_run[0])
    assert not list(tmp_path.iterdir())


def test_a_finished_run_that_shall_go_on_is_pointed_to_a_new_one(tiny_run):
    sentence = f"train.epochs is 9, there 3; a new run can begin with its weights: --from {tiny_run[0]} --out ANOTHER"
    with pytest.raises(LightMError, match=re.escape(sentence)):
        Trainer(tiny_config(train__epochs=9), tiny_run[0], resume=True)
