"""onnxruntime alone computes what PyTorch computes, for every network of ours and every size that it takes."""

import copy
import json
import sys

import numpy as np
import pytest
import torch
from networks import random_network

from lightm.errors import LightMError
from lightm.export import Card, export_onnx
from lightm.models import build_model

onnx = pytest.importorskip("onnx", reason="needs the extra onnx: pip install 'lightm[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx: pip install 'lightm[onnx]'")

TINY = {"width": 4, "depths": [1, 1], "bottleneck_depth": 1}
SMALL_RELEASED = {"width": 8, "blocks_down": [1, 2], "blocks_up": [1]}
SIZES = {2: ((1, 16, 16), (3, 8, 40)), 3: ((1, 8, 8, 8), (2, 16, 8, 24))}  # batch and spatial sizes


def card(count: int = 2, dims: int = 2, **changes) -> Card:
    names = ("background", "lung", "heart", "rib")[:count]
    return Card(**{**dict(classes=names, size=(16,) * dims, normalise="zscore", trained_on="nothing"), **changes})


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def assert_same_answers(model, path, channels: int, sizes):
    """As near to the answer in double precision as PyTorch's own in single precision, or nearly so.

    The released networks lose digits by themselves: a LayerNorm divides by a spread that may be close to zero.
    """
    run, exact = session(path), copy.deepcopy(model).double()
    for batch, *size in sizes:
        image = torch.randn(batch, channels, *size)
        [found] = run.run(None, {"image": image.numpy()})
        with torch.no_grad():
            expected, own = exact(image.double()), model(image)
        assert found.shape == expected.shape
        allowed = 4 * (own - expected).abs().max() + 1e-6 * expected.abs().max()
        assert (torch.from_numpy(found) - expected).abs().max() <= allowed


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dwconv": "causal", "expansion": 1, "d_state": 3},
        {"directions": 2, "expansion": 3, "dt_rank": 2},
        {"directions": 4, "d_state": 1, "dwconv": "causal"},
        {"adjustment": False, "depths": [2], "bottleneck_depth": 3, "width": 6},
        {"residual": False, "stem_to_head": True},
    ],
    ids=str,
)
def test_every_option_gives_the_same_answers_at_two_sizes(options, dims, tmp_path):
    model = random_network(in_channels=3, out_channels=4, dims=dims, **{**TINY, **options})
    path = export_onnx(model, tmp_path / "a.onnx", card(4, dims))
    assert_same_answers(model, path, 3, SIZES[dims])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("paper-conv3", TINY),
        ("paper-attention", {**TINY, "heads": 2}),
        ("lightm-unet-released-2024-03-17", SMALL_RELEASED),
        ("lightm-unet-released-2024-03-29", SMALL_RELEASED),
        ("released-conv3", SMALL_RELEASED),
        ("released-attention", {**SMALL_RELEASED, "heads": 2}),
        ("released-no-adjustment", SMALL_RELEASED),
        ("released-no-residual", SMALL_RELEASED),
    ],
)
def test_ablations_and_released_networks_give_the_same_answers(name, options, dims, tmp_path):
    model = random_network(name, dims=dims, **options)
    assert_same_answers(model, export_onnx(model, tmp_path / "a.onnx", card(2, dims)), 1, SIZES[dims])


@pytest.mark.parametrize("dims", [2, 3])
def test_the_network_of_one_million_parameters_gives_the_same_answers(dims, tmp_path):
    model = random_network("lightm-unet-1m", dims=dims)
    sizes = {2: ((1, 128, 96), (2, 8, 8)), 3: ((1, 32, 16, 24), (2, 8, 8, 8))}[dims]
    assert_same_answers(model, export_onnx(model, tmp_path / "a.onnx", card(2, dims)), 1, sizes)


@pytest.mark.parametrize("numbers", [1, 100, 999])
def test_the_state_goes_from_chunk_to_chunk(numbers, tmp_path, monkeypatch):
    monkeypatch.setattr("lightm.export.onnx_scan.CHUNK_NUMBERS", numbers)
    model = random_network(**{**TINY, "d_state": 3, "directions": 2})
    assert_same_answers(model, export_onnx(model, tmp_path / "a.onnx", card()), 1, SIZES[2])


def test_the_decays_of_all_tokens_are_never_there_at_once(tmp_path):
    path = export_onnx(random_network("lightm-unet-1m"), tmp_path / "a.onnx", card())
    graph = onnx.load(path).graph
    assert "LinearAttention" not in {node.op_type for node in graph.node}, "only inside of Scan, a chunk at a time"
    scans = [node for node in graph.node if node.op_type == "Scan"]
    bodies = [attribute.g for node in scans for attribute in node.attribute if attribute.name == "body"]
    assert [[n.op_type for n in body.node].count("LinearAttention") for body in bodies] == [1] * 9


def test_a_size_that_the_network_does_not_take_gives_an_error_and_no_answer(tmp_path):
    run = session(export_onnx(random_network(**TINY), tmp_path / "a.onnx", card()))
    for size in ((9, 8), (8, 10), (2, 8), (7, 7)):
        with pytest.raises(Exception, match="ONNXRuntimeError"):
            run.run(None, {"image": np.zeros((1, 1, *size), np.float32)})


def test_half_precision_halves_the_file_and_rounds_the_weights(tmp_path):
    model = random_network("lightm-unet-1m")  # its weights are rounded already
    path = export_onnx(model, tmp_path / "a.onnx", card(), precision="float16")
    assert_same_answers(model, path, 1, SIZES[2])
    parameters = sum(p.numel() for p in model.parameters())
    assert 2 * parameters < path.stat().st_size < 2.3 * parameters
    with torch.no_grad():
        model.head.pointwise.weight.mul_(1.0001)  # what float16 can't hold does not count as a difference
    export_onnx(model, path, card(), precision="float16", force=True)


def test_the_file_says_what_goes_in_what_comes_out_and_where_it_is_from(tmp_path):
    model = random_network(dims=3, out_channels=3, **TINY)
    facts = (("Held-out scores", "none"),)
    about = card(3, 3, normalise="window:-100:300", trained_on="SYNTHETIC volumes.", facts=facts)
    run = session(export_onnx(model, tmp_path / "a.onnx", about))
    [image], [logits] = run.get_inputs(), run.get_outputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(float)", ["batch", 1, "height", "width", "depth"])
    assert (logits.name, logits.shape) == ("logits", ["batch", 3, "height", "width", "depth"])
    meta = run.get_modelmeta()
    words = meta.custom_metadata_map
    assert json.loads(words["classes"]) == ["background", "lung", "heart"]
    assert json.loads(words["training_size"]) == [16, 16, 16]
    assert words["normalise"] == "window:-100:300" and "-100 and 300" in words["normalisation"]
    assert "divisible by 4" in words["input"] and words["trained_on"] == "SYNTHETIC volumes."
    assert "Apache" in words["terms"] and words["git_commit"] and words["held-out_scores"] == "none"
    assert words["input"] in meta.description and meta.producer_name == "lightm"


def test_the_same_network_gives_the_same_bytes(tmp_path):
    model = random_network(**TINY)
    first, second = (export_onnx(model, tmp_path / name, card()) for name in ("a.onnx", "b.onnx"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ["segresnet", "unetr"])
def test_other_networks_are_refused_by_name(name, tmp_path):
    model = build_model(name, 2, 1, 2, **({"img_size": [32, 32]} if name == "unetr" else {}))
    with pytest.raises(LightMError, match=f"{type(model).__name__} can't be exported"):
        export_onnx(model, tmp_path / "a.onnx", card())


def test_a_layer_that_the_export_does_not_know_is_refused_by_place_and_name(tmp_path):
    model = random_network(**TINY)
    model.bottleneck.layers[0].mixer = torch.nn.Tanh()
    with pytest.raises(LightMError, match=r"bottleneck\.layers\.0\.mixer is a Tanh"):
        export_onnx(model, tmp_path / "a.onnx", card())


def test_bad_weights_paths_precisions_and_cards_are_refused(tmp_path):
    model, path = random_network(**TINY), tmp_path / "a.onnx"
    for change, complaint in (
        ({"classes": ("background",)}, "names 1 classes and the network has 2"),
        ({"size": (16, 18)}, r"16x18 .* divisible by 4"),
        ({"size": (16, 16, 16)}, "give 2 sizes"),
        ({"normalise": "zscor"}, "no normalisation 'zscor'"),
        ({"trained_on": " "}, "trained_on"),
    ):
        with pytest.raises(LightMError, match=complaint):
            export_onnx(model, path, card(**change))
    with pytest.raises(LightMError, match=r"ends in \.onnx"):
        export_onnx(model, tmp_path / "a.html", card())
    with pytest.raises(LightMError, match="precision='int8' is unknown"):
        export_onnx(model, path, card(), precision="int8")
    with pytest.raises(LightMError, match="give a card"):
        export_onnx(model, path)
    with torch.no_grad():
        model.decoder[0].s[0] = torch.nan
    with pytest.raises(LightMError, match=r"decoder\.0\.s hold NaN"):
        export_onnx(model, path, card())
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_if_onnxruntime_answers_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr("lightm.export.onnx_layers.selective_scan", lambda g, u, *rest: u)
    with pytest.raises(LightMError, match="answers otherwise"):
        export_onnx(random_network(**TINY), tmp_path / "a.onnx", card())
    assert not list(tmp_path.iterdir())


def test_missing_and_old_packages_are_said_with_the_remedy(tmp_path, monkeypatch):
    model = random_network(**TINY)
    monkeypatch.setattr(onnxruntime, "__version__", "1.9.0")
    with pytest.raises(LightMError, match=r"onnxruntime 1\.9\.0 .*pip install 'lightm\[onnx\]'"):
        export_onnx(model, tmp_path / "a.onnx", card())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(LightMError, match=r"needs the packages .*pip install 'lightm\[onnx\]'"):
        export_onnx(model, tmp_path / "a.onnx", card())
