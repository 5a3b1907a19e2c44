"""What can be exported is described whole; what can't is refused by name."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from networks import random_network

from lightm.errors import LightMError
from lightm.export import Card, describe, export_html
from lightm.export.html import page
from lightm.models import build_model

TINY = {"width": 4, "depths": [1], "bottleneck_depth": 1}
CARD = Card(("background", "lung"), (32, 32), "zscore", "nothing: the weights are random")


def test_every_tensor_is_stored_once_and_rounded_to_half_precision():
    model = build_model("lightm-unet", 2, 1, 2, **TINY)
    found = describe(model)
    description = json.loads(json.dumps(found.description))
    assert list(description["tensors"]) == list(model.state_dict())
    at = 0
    for name, entry in description["tensors"].items():
        assert entry["offset"] == at
        at += 2 * np.prod(entry["shape"], dtype=int)
        values = np.frombuffer(found.weights[entry["offset"] : at], "<f2").reshape(entry["shape"])
        np.testing.assert_array_equal(values, model.state_dict()[name].half().numpy())
    assert at == len(found.weights) == description["bytes"]


def test_operations_have_the_shapes_that_flow_through_the_network():
    description = describe(build_model("lightm-unet", 2, 3, 4)).description
    operations = description["operations"]
    assert [op["stage"] for op in operations if "stage" in op] == [
        *("stem", "encoder 1", "encoder 2", "encoder 3", "bottleneck"),
        *("decoder 3", "decoder 2", "decoder 1", "head"),
    ]
    assert description["step"] == 8 and operations[0]["channels"] == 3 and operations[-1]["out"] == 4
    for before, after in pairwise(operations):
        assert before["out"] == after["channels"]


@pytest.mark.parametrize("name", ["lightm-unet", "lightm-unet-1m", "paper-no-adjustment", "paper-no-residual"])
def test_the_papers_networks_can_be_exported(name):
    assert describe(build_model(name, 2, 1, 2)).weights


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("paper-conv3", "encoder.0.stack.layers.0 has a Conv3"),
        ("paper-attention", "bottleneck.layers.0 has a SelfAttention"),
        ("lightm-unet-released-2024-03-29", "ReleasedLightMUNet can't be exported"),
        ("segresnet", "SegResNet can't be exported"),
    ],
)
def test_what_the_runtime_does_not_have_is_refused_by_name(name, complaint):
    with pytest.raises(LightMError, match=complaint):
        describe(build_model(name, 2, 1, 2))


def test_volumes_bad_weights_and_unknown_precisions_are_refused():
    with pytest.raises(LightMError, match="3D volumes"):
        describe(build_model("lightm-unet", 3, 1, 2, **TINY))
    model = build_model("lightm-unet", 2, 1, 2, **TINY)
    with pytest.raises(LightMError, match=r"precision='int8'.*float16"):
        describe(model, "int8")
    with torch.no_grad():
        model.decoder[0].s[0] = 1e5
    with pytest.raises(LightMError, match=r"decoder\.0\.s .*precision='float32'"):
        describe(model)
    describe(model, "float32")
    with torch.no_grad():
        model.decoder[0].s[0] = torch.nan
    with pytest.raises(LightMError, match=r"decoder\.0\.s .*NaN"):
        describe(model, "float32")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"classes": ("background", "lung", "heart")}, "names 3 classes and the network has 2"),
        ({"size": (30, 32)}, "size=30x32 .* divisible by 2|divisible by"),
        ({"normalise": "zscor"}, "no normalisation 'zscor'. Did you mean 'zscore'"),
        ({"normalise": "window:5:5"}, "window:LOW:HIGH with two rising numbers"),
        ({"trained_on": " "}, "trained_on"),
        ({"example": np.zeros((2, 4, 4))}, r"shape \(2, 4, 4\)"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(change, complaint):
    model = random_network(**{**TINY, "depths": [1, 1]})
    with pytest.raises(LightMError, match=complaint):
        page(describe(model), Card(**{**CARD.__dict__, **change}))


def test_paths_are_checked_before_anything_is_done(tmp_path):
    model = random_network(**TINY)
    for path, complaint in ((tmp_path / "a.txt", r"ends in \.html"), (tmp_path / "no" / "a.html", "no folder")):
        with pytest.raises(LightMError, match=complaint):
            export_html(model, path, CARD)
    with pytest.raises(LightMError, match="give a card"):
        export_html(model, tmp_path / "a.html")
    export_html(model, tmp_path / "a.html", CARD)
    first = (tmp_path / "a.html").read_bytes()
    with pytest.raises(LightMError, match="exists already"):
        export_html(model, tmp_path / "a.html", CARD)
    export_html(model, tmp_path / "a.html", CARD, force=True)
    assert (tmp_path / "a.html").read_bytes() == first, "the same network gives the same bytes"
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_text_of_the_card_can_not_become_markup():
    model = random_network(**TINY)
    evil = "</script><img src=x onerror=alert(1)>"
    card = Card(("background", evil), (32, 32), "zscore", evil, title=evil, lead=evil, facts=((evil, evil),))
    text = page(describe(model), card)
    assert "<img" not in text and text.count("</script>") == 6
