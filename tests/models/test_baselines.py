"""The baselines: the networks of the tables train at small sizes, and U-Mamba is as its authors published it."""

import hashlib
import json
import math
from pathlib import Path

import pytest
import torch
from test_released import fill

from lightm.counting import count
from lightm.errors import LightMError
from lightm.models import build_model

LIBRARY = "dynamic_network_architectures"
SMALL = {
    "nnunet": {"n_stages": 3, "width": 8},
    "segresnet": {"init_filters": 8},
    "unetr": {"feature_size": 4, "hidden_size": 24, "mlp_dim": 32, "num_heads": 2},
    "swin-unetr": {"feature_size": 12, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8)},
    "u-mamba-bot": {"n_stages": 3, "width": 8, "scan_backend": "chunked"},
    "u-mamba-enc": {"n_stages": 3, "width": 8, "scan_backend": "chunked"},
}
IMAGE = {2: (32, 64), 3: (32, 32, 64)}  # the smallest that SwinUNETR takes


@pytest.fixture(autouse=True)
def one_thread():
    """The tensors are tiny: with more threads, most of the time goes into waiting for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(name, dims, in_channels=2, out_channels=3, **options):
    if name in ("nnunet", "u-mamba-bot", "u-mamba-enc"):
        pytest.importorskip(LIBRARY)
    return build_model(name, dims, in_channels, out_channels, **options)


def small(name, dims, **options):
    size = {"img_size": IMAGE[dims]} if name == "unetr" else {}
    return build(name, dims, **(SMALL[name] | size | options))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", SMALL)
def test_every_weight_of_a_small_network_gets_a_gradient(name, dims):
    torch.manual_seed(0)
    model = small(name, dims)
    size = IMAGE[dims] if name in ("unetr", "swin-unetr") else {2: (16, 16), 3: (8, 8, 16)}[dims]
    logits = model(torch.randn(2, 2, *size))
    assert logits.shape == (2, 3, *size) and logits.isfinite().all()
    logits.square().mean().backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    # the coarse head is for deep supervision, which is off; MONAI's ViT has norms for cross-attention that never run
    assert all(n.startswith("decoder.seg_layers.0.") or ".norm_cross_attn." in n for n in without)


@pytest.mark.parametrize("name", ["nnunet", "u-mamba-bot", "u-mamba-enc"])
def test_deep_supervision_gives_logits_at_every_resolution_but_the_lowest(name):
    shapes = [tuple(y.shape) for y in small(name, 2, deep_supervision=True)(torch.randn(1, 2, 16, 16))]
    assert shapes == [(1, 3, 16, 16), (1, 3, 8, 8)]


U_MAMBA = json.loads(Path(__file__).with_name("u_mamba_outputs.json").read_text())["cases"]


@pytest.mark.parametrize("case", U_MAMBA, ids=lambda case: f"{case['model']}-{case['spatial_dims']}d")
def test_u_mamba_computes_what_its_published_code_does(case):
    model = small(case["model"], case["spatial_dims"], deep_supervision=True).double()
    names = "".join(f"{k}\t{'x'.join(map(str, t.shape))}\n" for k, t in sorted(model.state_dict().items()))
    assert hashlib.sha256(names.encode()).hexdigest() == case["names_sha256"]
    generator = fill(model, case["seed"])
    x = torch.rand(case["input_shape"], generator=generator, dtype=torch.float64).requires_grad_()
    outputs = model(x)
    sum(((i + 1) * y * y.cos()).sum() for i, y in enumerate(outputs)).backward()
    close = {"rel": 1e-9, "abs": 1e-9}
    assert outputs[0].flatten()[:4].tolist() == pytest.approx(case["output"]["first"], **close)
    assert [y.norm().item() for y in outputs] == pytest.approx(case["output"]["norms"], **close)
    assert x.grad.norm().item() == pytest.approx(case["gradient_norms"]["input"], **close)
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in model.parameters()))
    assert norm == pytest.approx(case["gradient_norms"]["all"], **close)


@pytest.mark.parametrize("name", SMALL)
def test_an_image_that_does_not_fit_is_refused_with_the_remedy(name):
    with torch.device("meta"):
        model = small(name, 2)
    for shape, message in {
        (1, 2, 31, 32): "31",
        (1, 3, 32, 32): "in_channels=3",
        (2, 32, 32): "add or remove axes",
    }.items():
        with pytest.raises(LightMError, match=message):
            model(torch.empty(shape, device="meta"))


@pytest.mark.parametrize(("name", "size"), [("nnunet", (4, 4)), ("u-mamba-bot", (4, 4)), ("swin-unetr", (32, 32))])
def test_an_image_that_shrinks_to_a_voxel_is_refused(name, size):
    with pytest.raises(LightMError, match="larger"):
        small(name, 2)(torch.zeros(1, 2, *size))


def test_the_defaults_are_what_nnu_nets_planner_chooses():
    with torch.device("meta"):
        plans = {dims: build("nnunet", dims).encoder.output_channels for dims in (2, 3)}
    assert plans == {2: [32, 64, 128, 256, 512, 512, 512, 512], 3: [32, 64, 128, 256, 320, 320]}


def test_a_network_with_each_weight_once_has_the_parameters_that_pytorch_sees():
    for name in SMALL:
        with torch.device("meta"):
            model = small(name, 2)
        assert count(model, (2, *IMAGE[2])).params == sum(p.numel() for p in model.parameters()), name


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("unetr", {"img_size": (30, 32)}, "img_size"),
        ("unetr", {"img_size": (32, 32, 32)}, "img_size"),
        ("swin-unetr", {"feature_size": 10}, "feature_size"),
        ("segresnet", {"init_filters": 0}, "init_filters"),
        ("nnunet", {"n_stages": 0}, "n_stages"),
    ],
)
def test_impossible_options_are_one_sentence(name, options, message):
    with pytest.raises(LightMError, match=message):
        build(name, 2, **options)


def test_a_missing_library_is_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, f"{LIBRARY}.architectures.unet", None)
    with pytest.raises(LightMError, match="pip install dynamic-network-architectures"):
        build_model("nnunet", 2, 1, 2)
