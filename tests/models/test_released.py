"""lightm.models.released: the authors' uploads, against values that their own code computed."""

import hashlib
import json
import math
from pathlib import Path

import pytest
import torch

from lightm.counting import count
from lightm.errors import LightMError
from lightm.models.released import UPLOADS, ReleasedLightMUNet, ReleasedRVMLayer, released_attention, released_conv3

CASES = json.loads((Path(__file__).with_name("released_outputs.json")).read_text())["cases"]

# sha256 of the lines "name<tab>shape" of a state_dict that the authors' code saved: 3 -> 2 channels in 2D, 1 -> 3 in 3D
STATE_DICTS = {
    ("2024-03-17", 2): "e7d9025e8a6aefcb4ff8e6c385dacd9577ca94beec0c82cf3bd1f85c090f470e",
    ("2024-03-17", 3): "2a88a315794a7c16d61932a1611485c288f78870535c084c576b9f9563193e8f",
    ("2024-03-29", 2): "b213eafdb7915e23f7bf0551c5831e7ccde24bd4f32c068cdde183a093313339",
    ("2024-03-29", 3): "28103968f06ee5771a9a8a3bd2adf405a438c9fc80d0adee3b4224ab3bea15ed",
}


@pytest.fixture(autouse=True)
def one_thread():
    """The tensors are tiny: with more threads, most of the time goes into waiting for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fill(model, seed):
    """Weights that depend on nothing but the seed and the parameters' names and shapes; returns the generator."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, p in sorted(model.named_parameters()):
            r = torch.rand(p.shape, generator=generator, dtype=torch.float64)
            p.copy_(r + 0.5 if p.ndim == 1 else (2 * r - 1) / math.sqrt(p.numel() / p.shape[0]))
    return generator


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['upload']}-{case['spatial_dims']}d")
def test_outputs_and_gradients_are_those_of_the_authors_code(case):
    shape = case["input_shape"]
    model = ReleasedLightMUNet(case["spatial_dims"], shape[1], case["out_channels"], case["upload"]).double()
    generator = fill(model, case["seed"])
    x = torch.rand(shape, generator=generator, dtype=torch.float64).requires_grad_()
    y = model(x)
    (y * (2 * torch.rand(y.shape, generator=generator, dtype=torch.float64) - 1)).sum().backward()
    close = {"rel": 1e-9, "abs": 1e-9}
    assert y.flatten()[:4].tolist() == pytest.approx(case["output"]["first"], **close)
    assert y.flatten()[-4:].tolist() == pytest.approx(case["output"]["last"], **close)
    assert y.norm().item() == pytest.approx(case["output"]["norm"], **close)
    gradients = {name: p.grad for name, p in sorted(model.named_parameters())} | {"input": x.grad}
    for name, norm in case["gradient_norms"].items():
        assert gradients[name].norm().item() == pytest.approx(norm, **close), name
    random = ((g, 2 * torch.rand(g.shape, generator=generator, dtype=torch.float64) - 1) for g in gradients.values())
    assert sum((g * r).sum().item() for g, r in random) == pytest.approx(case["gradients_dot_random"], **close)


def build(upload, dims):
    with torch.device("meta"):
        return ReleasedLightMUNet(dims, *((3, 2) if dims == 2 else (1, 3)), upload)


@pytest.mark.parametrize(("upload", "dims"), STATE_DICTS)
def test_names_and_shapes_are_those_of_the_authors_state_dict(upload, dims):
    tensors = build(upload, dims).state_dict().items()
    lines = ["name\tshape", *(f"{name}\t{'x'.join(map(str, tensor.shape))}" for name, tensor in tensors)]
    text = "".join(line + "\n" for line in lines)
    assert hashlib.sha256(text.encode()).hexdigest() == STATE_DICTS[upload, dims]


@pytest.mark.parametrize("upload", UPLOADS)
def test_macs_of_the_pieces_of_an_rvm_layer_are_those_by_hand(upload):
    layer = count(build(upload, 2), (3, 64, 64)).at("down_layers.3.1.conv1")
    L, C, D, N, R = 64, 256, 512, 16, 16
    mamba = C * 2 * D + 4 * D + D * (R + 2 * N) + R * D + D * (4 * N + 2) + D * C
    assert layer.macs == L * (mamba + C * C)
    mamba = 2 * D * C + 5 * D + D * (R + 2 * N) + R * D + D + D * N + D + D * C
    assert layer.params == mamba + 1 + 2 * C + C * C + C  # s, LayerNorm, projection


@pytest.mark.parametrize("dims", [2, 3])
def test_the_ablations_of_table_3_compute_and_differ_where_they_should(dims):
    torch.manual_seed(0)
    shape = (2, 1, *(16,) * dims)
    full = ReleasedLightMUNet(dims, 1, 3, width=8)
    sizes = {
        "conv3": (released_conv3(dims, 1, 3, width=8), None),
        "attention": (released_attention(dims, 1, 3, width=8, heads=4), None),
        "no adjustment": (ReleasedLightMUNet(dims, 1, 3, width=8, adjustment=False), -21),
        "no residual": (ReleasedLightMUNet(dims, 1, 3, width=8, residual=False), -21),
    }
    for model, difference in sizes.values():
        y = model(torch.randn(shape))
        assert y.shape == (2, 3, *(16,) * dims) and y.isfinite().all()
        if difference is not None:
            assert count(model, shape[1:]).params - count(full, shape[1:]).params == difference
    kinds = [m.kind for m in count(sizes["conv3"][0], shape[1:]).by_module]
    assert "Mamba" not in kinds and "LayerNorm" not in kinds  # the whole layer gave way, not its VSSM alone
    attention = count(sizes["attention"][0], shape[1:])
    assert {m.path[:13] for m in attention.by_module if m.kind == "QKVAttention"} == {"down_layers.3"}
    assert attention.at("down_layers.3.0").macs == count(full, shape[1:]).at("down_layers.3.0").macs


def test_without_its_residual_a_layer_forgets_its_input():
    torch.manual_seed(0)
    layers = {on: ReleasedRVMLayer(8, 8, residual=on) for on in (True, False)}
    for layer in layers.values():
        torch.nn.init.zeros_(layer.mamba.out_proj.weight)
    x = torch.randn(1, 8, 4, 4)
    assert layers[False](x).std(dim=(2, 3)).max() < 1e-6
    assert layers[True](x).std(dim=(2, 3)).max() > 1e-2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"upload": "2024-03-18"}, "2024-03-1"),
        ({"width": 12}, "width=12"),
        ({"spatial_dims": 1}, "spatial_dims"),
        ({"blocks_up": (1, 1)}, "blocks_up"),
        ({"out_channels": 0}, "out_channels"),
    ],
)
def test_impossible_arguments_are_one_sentence(arguments, message):
    with pytest.raises(LightMError, match=message):
        ReleasedLightMUNet(**({"spatial_dims": 2, "in_channels": 1, "out_channels": 2} | arguments))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 20, 16), r"pad or resize to \(24, 16\) or crop to \(16, 16\)"),
        ((1, 1, 16, 16), "in_channels=1"),
        ((3, 16, 16), "add or remove axes"),
        ((1, 3, 4, 16), r"pad or resize to \(8, 16\)\."),
    ],
)
def test_an_image_that_does_not_fit_is_refused_with_the_remedy(shape, message):
    with pytest.raises(LightMError, match=message):
        build("2024-03-29", 2)(torch.empty(shape, device="meta"))


def test_integers_are_refused():
    with pytest.raises(LightMError, match="float"):
        build("2024-03-17", 2)(torch.empty(1, 3, 16, 16, dtype=torch.uint8, device="meta"))
