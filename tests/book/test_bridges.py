"""The examples of book/bridges.md run as they stand there, and what it says of the recorded run is so."""

import json
import math
import re

import pytest
import torch

from lightm.models.unet import LightMUNet
from lightm_book import ROOT

PAGE = (ROOT / "book/bridges.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def run(word: str, folder, monkeypatch) -> dict:
    """What the one example that has the word leaves behind, run in a folder of its own."""
    [code] = [example for example in EXAMPLES if word in example]
    monkeypatch.chdir(folder)
    names: dict = {"__name__": "example"}
    exec(compile(code, "book/bridges.md", "exec"), names)
    return names


def test_the_page_has_the_examples_that_are_run_here():
    assert len(EXAMPLES) == 3


def test_the_example_of_hugging_face_runs(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub", reason="needs the extra hub: pip install 'lightm[hub]'")
    found = run("lightm.hub", tmp_path, monkeypatch)
    assert found["logits"].shape == (1, 2, 64, 64) and isinstance(found["again"].network, LightMUNet)
    assert (tmp_path / "lungs-hub/model.safetensors").is_file()


def test_the_example_of_monai_trains_and_scores(tmp_path, monkeypatch):
    found = run("monai.losses", tmp_path, monkeypatch)
    assert math.isfinite(found["loss"].item()) and 0 <= found["dsc"] <= 1
    assert all(parameter.grad is not None for parameter in found["model"].parameters())


@pytest.mark.filterwarnings("ignore")
def test_the_example_of_lightning_trains(tmp_path, monkeypatch):
    pytest.importorskip("lightning", reason="needs Lightning, no requirement of ours: pip install lightning")
    found = run("lightning.Trainer", tmp_path, monkeypatch)
    trainer = found["trainer"]
    assert trainer.global_step == 2 and torch.isfinite(trainer.callback_metrics["loss"])


def test_the_recorded_run_shows_what_the_page_says_of_it():
    record = json.loads((ROOT / "results/nnunet.json").read_text("utf-8"))
    done = {(training["model"], training["configuration"]) for training in record["trainings"]}
    # the page names what is still to come
    assert done == {("lightm-unet", "3d_fullres"), ("lightm-unet-released-2024-03-29", "2d")}
    for scored in (record["moved_labels"], *record["trainings"]):
        assert [case["case"] for case in scored["cases"]] == sorted(record["data"]["test"])
        pairs = [pair for case in scored["cases"] for pair in zip(case["nnunet"], case["lightm"], strict=True)]
        assert max(abs(a - b) for a, b in pairs) == scored["largest_difference"] < 1e-12
    moved = [value for case in record["moved_labels"]["cases"] for value in case["nnunet"]]
    assert all(0.1 < value < 0.95 for value in moved)  # what is compared there is neither nothing nor everything
    assert record["environment"]["git"] == {**record["environment"]["git"], "dirty": False}
    assert not set(record["data"]["train"]) & set(record["data"]["test"])
