"""A program of torch.export answers as the network does, at other sizes too, and says what it is."""

import json
import subprocess
import sys
import zipfile

import pytest
import torch
from networks import random_network

from lightm.errors import LightMError
from lightm.export import Card, export_pt2
from lightm.models import build_model

TINY = {"width": 16, "depths": [1], "bottleneck_depth": 1}  # wide enough for every operator of ours to be in it
RELEASED = {"width": 8, "blocks_down": [1, 1], "blocks_up": [1]}


def contents(path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


def card(dims: int) -> Card:
    return Card(("background", "lung"), (16,) * dims, "ct", "SYNTHETIC images.")


NETWORKS = {  # LightM-UNet in 2D is in test_command.py
    "lightm-unet": (3, {**TINY, "directions": 2}),
    "lightm-unet-released-2024-03-29": (2, RELEASED),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """name -> (network, its .pt2 file)"""
    made = {}
    for name, (dims, options) in NETWORKS.items():
        model = random_network(name, dims=dims, **options)
        made[name] = model, export_pt2(model, tmp_path_factory.mktemp("pt2") / f"{name}.pt2", card(dims))
    return made


@pytest.mark.parametrize("name", NETWORKS)
def test_the_program_answers_as_the_network_at_two_sizes(name, files):
    model, path = files[name]
    extra = {"metadata.json": ""}
    run = torch.export.load(path, extra_files=extra).module()
    for batch, *size in ((1, 8, 6, 4), (3, 4, 16, 10)):
        image = torch.randn(batch, 1, *size[: model.spatial_dims])
        with torch.no_grad():
            torch.testing.assert_close(run(image), model(image), rtol=0, atol=1e-5)
    with pytest.raises(AssertionError, match="Guard"):
        run(torch.zeros(1, 1, *[2] * model.spatial_dims))
    words = json.loads(extra["metadata.json"])
    assert words["input"].endswith("and at least 4")
    assert words["normalise"] == "ct" and "-175 and 250" in words["normalisation"]
    assert words["trained_on"] == "SYNTHETIC images." and "import lightm.export.pt2" in words["loading"]
    assert b"/lightm/models/" not in contents(path), "folders of the machine where it was made"


def test_a_fresh_process_needs_one_import(files):
    code = (
        "import sys, torch, lightm.export.pt2\nfor path in sys.argv[1:]: print(len(torch.export.load(path).state_dict))"
    )
    paths = [str(path) for _, path in files.values()]
    done = subprocess.run([sys.executable, "-c", code, *paths], text=True, capture_output=True)
    assert done.stdout.split() == [str(len(model.state_dict())) for model, _ in files.values()], done.stderr[-2000:]


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
