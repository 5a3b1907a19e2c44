"""A program of torch.export answers as the network does, at other sizes too, and says what it is."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from networks import random_network

import lightm
from lightm.errors import LightMError
from lightm.export import Card, export_pt2
from lightm.models import build_model

TINY = {"width": 16, "depths": [1], "bottleneck_depth": 1}  # wide enough for every operator of ours to be in it
RELEASED = {"width": 8, "blocks_down": [1, 1], "blocks_up": [1]}


def card(dims: int) -> Card:
    return Card(("background", "lung"), (16,) * dims, "ct", "SYNTHETIC images.")


@pytest.mark.parametrize(
    ("name", "dims", "options"),
    [
        ("lightm-unet", 2, {**TINY, "directions": 4}),
        ("lightm-unet", 3, {**TINY, "dwconv": "causal"}),
        ("lightm-unet-released-2024-03-29", 2, RELEASED),
    ],
)
def test_the_program_answers_as_the_network_at_two_sizes(name, dims, options, tmp_path):
    model = random_network(name, dims=dims, **options)
    files = {"metadata.json": ""}
    program = torch.export.load(export_pt2(model, tmp_path / "a.pt2", card(dims)), extra_files=files)
    run = program.module()
    for batch, *size in ((1, 8, 6, 4)[: dims + 1], (3, 4, 16, 10)[: dims + 1]):
        image = torch.randn(batch, 1, *size)
        with torch.no_grad():
            torch.testing.assert_close(run(image), model(image), rtol=0, atol=1e-5)
    words = json.loads(files["metadata.json"])
    assert words["normalise"] == "ct" and "-175 and 250" in words["normalisation"]
    assert words["trained_on"] == "SYNTHETIC images." and "import lightm.export.pt2" in words["loading"]


def test_a_fresh_process_needs_one_import_and_the_file_holds_no_folder_of_this_machine(tmp_path):
    path = export_pt2(random_network(**TINY), tmp_path / "a.pt2", card(2))
    code = "import sys, torch, lightm.export.pt2; program = torch.export.load(sys.argv[1])"
    code += "; print(program.module()(torch.ones(1, 1, 8, 8)).shape)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], text=True, capture_output=True)
    assert "[1, 2, 8, 8]" in done.stdout, done.stderr[-2000:]
    with zipfile.ZipFile(path) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert str(Path(lightm.__file__).parent).encode() not in everything


def test_what_can_not_be_exported_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(LightMError, match="SegResNet can't be exported"):
        export_pt2(build_model("segresnet", 2, 1, 2), tmp_path / "a.pt2", card(2))
    with pytest.raises(LightMError, match=r"ends in \.pt2"):
        export_pt2(random_network(**TINY), tmp_path / "a.onnx", card(2))
    model = random_network(**TINY)
    with torch.no_grad():
        model.decoder[0].s[0] = torch.inf
    with pytest.raises(LightMError, match=r"decoder\.0\.s hold NaN or infinite"):
        export_pt2(model, tmp_path / "a.pt2", card(2))
    assert not list(tmp_path.iterdir())
