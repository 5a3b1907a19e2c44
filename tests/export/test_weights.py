"""One weights file does what the run does that it was made from; weights of the package go by their names."""

import json
import shutil

import pytest
import torch
from networks import halved
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from tiny import cheaply

import lightm
from lightm.cli import main
from lightm.data.phantoms import PhantomCXR
from lightm.errors import LightMError
from lightm.export import export_html, export_weights
from lightm.hub import HubNetwork
from lightm.inference import Predictor, evaluate_run
from lightm.training import weights as shipped
from lightm.training.task import build_network
from lightm.training.weights import open_trained, take_weights


@pytest.fixture(scope="module")
def file(tiny_run, tmp_path_factory):
    return export_weights(tiny_run[0], tmp_path_factory.mktemp("weights") / "lungs.safetensors")


@pytest.fixture
def package(file, tmp_path, monkeypatch):
    """The package, as if it came with these weights."""
    shutil.copy(file, tmp_path / "tiny-lungs.safetensors")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    shipped._introduce.cache_clear()


def test_the_file_holds_the_runs_network_rounded_to_half_precision(tiny_run, file):
    expected = halved(Predictor(tiny_run[0], "cpu").model).state_dict()
    with safe_open(file, "pt") as stored:
        assert {stored.get_tensor(name).dtype for name in stored.keys()} == {torch.float16}
        words = json.loads(stored.metadata()["lightm"])
    assert "curve" not in words["record"] and words["record"]["test_native"] == tiny_run[1]["test_native"]
    for network in (lightm.load(file), Predictor(file, "cpu").model):
        assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_the_same_run_gives_the_same_file_and_full_precision_keeps_every_bit(tiny_run, file, tmp_path):
    again = export_weights(tiny_run[0], tmp_path / "again.safetensors")
    assert again.read_bytes() == file.read_bytes()
    full = export_weights(tiny_run[0], tmp_path / "full.safetensors", precision="float32")
    expected = Predictor(tiny_run[0], "cpu").model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in lightm.load(full).state_dict().items())
    assert export_weights(full, tmp_path / "half.safetensors").read_bytes() == file.read_bytes()


def test_every_command_takes_it_for_a_run(tiny_run, file, tmp_path, capsys):
    phantoms = PhantomCXR(cases=1, size=24, seed=9)
    Image.fromarray(phantoms.read(phantoms.case_ids[0]).image[0].astype("uint8")).save(tmp_path / "thorax.png")
    assert main(["predict", str(file), str(tmp_path / "thorax.png"), str(tmp_path / "lungs.png")]) == 0
    made = [tmp_path / "file.html", tmp_path / "run.html"]
    for source, path in zip((file, tiny_run[0]), made, strict=True):
        assert main(["export", str(source), "--html", str(path)]) == 0
    assert made[0].read_bytes() == made[1].read_bytes(), "the page of the file is the page of the run"
    assert main(["export", str(file), "--bundle", str(tmp_path / "bundle")]) == 0
    found, expected = (lightm.load(path).state_dict() for path in (tmp_path / "bundle/models/model.safetensors", file))
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert HubNetwork.from_run(file).about["classes"] == ["background", "lung"]
    assert main(["export", str(tiny_run[0]), "--weights", str(tmp_path / "w.safetensors")]) == 0
    assert "in the place of a run folder" in capsys.readouterr().out


def test_a_training_begins_with_its_weights(package, file):
    found = open_trained("tiny-lungs")
    net, expected = build_network(found.config, found.task), lightm.load(file).state_dict()
    said = take_weights("tiny-lungs", net, found.task)
    assert said["new"] == [] and said["epoch"] == found.epoch
    assert all(torch.equal(value, expected[name]) for name, value in net.state_dict().items())


def test_its_scores_are_those_of_its_run(tiny_run, tmp_path):
    full = export_weights(tiny_run[0], tmp_path / "full.safetensors", precision="float32")
    with cheaply():
        assert evaluate_run(full)["native"] == tiny_run[1]["test_native"]


def test_weights_of_the_package_go_by_name_and_say_once_what_they_are_not_for(package, file, caplog, tmp_path):
    assert shipped.list_weights() == ["tiny-lungs"]
    for _ in range(2):
        network = lightm.load("tiny-lungs")
    assert all(map(torch.equal, network.state_dict().values(), lightm.load(file).state_dict().values()))
    (said,) = [record.getMessage() for record in caplog.records]
    assert "not a medical device" in said and "SYNTHETIC" in said and "\n" not in said
    assert export_html("tiny-lungs", tmp_path / "page.html").is_file()


def test_a_mistyped_name_gets_the_right_one(package, capsys, tmp_path):
    assert main(["predict", "tiny-lunges", "a.png", str(tmp_path / "b.png")]) == 2
    with pytest.raises(LightMError, match=r"Did you mean 'tiny-lungs'\?"):
        Predictor("tiny-lunges")


def test_a_checkpoints_own_file_is_enough_unless_it_is_of_an_older_version(tiny_run, tmp_path):
    checkpoint = tiny_run[0] / "best" / "model.safetensors"
    found = Predictor(checkpoint, "cpu")
    assert found.config.data.size == Predictor(tiny_run[0], "cpu").config.data.size
    with safe_open(checkpoint, "pt") as file:
        said = json.loads(file.metadata()["lightm"])
        del said["config"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    save_file(tensors, tmp_path / "old.safetensors", {"lightm": json.dumps(said)})
    lightm.load(tmp_path / "old.safetensors")
    with pytest.raises(LightMError, match=r"how its images are prepared: give the run folder"):
        Predictor(tmp_path / "old.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(LightMError, match="no safetensors file, or a damaged one"):
        Predictor(tmp_path / "cut.safetensors")
    with pytest.raises(LightMError, match=r"ends in \.safetensors"):
        export_weights(tiny_run[0], tmp_path / "weights.bin")


def test_a_file_whose_split_is_another_one_is_not_scored(tiny_run, file, monkeypatch):
    found = shipped.read_weights(file)
    found.about["data"]["split_sha256"] = "0" * 64
    monkeypatch.setattr("lightm.inference.held_out.open_trained", lambda source: found)
    with pytest.raises(LightMError, match="The split of"):
        evaluate_run("lungs")
