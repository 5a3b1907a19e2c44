"""lightm.kernels: each kernel is the plain PyTorch beside it, forward and backward, on shapes that fit nothing."""

import pytest
import torch
import torch.nn.functional as F

from lightm.kernels import causal_conv, gated_norm
from lightm.kernels import linear as linear_module
from lightm.kernels.linear import Linear, linear
from lightm.models.vss import VSSModule

SHAPES = [(2, 37, 16), (1, 1, 40), (3, 70, 44), (1, 5, 3), (1, 4100, 24)]  # (B, L, D); the last has two tasks
KERNELS = {
    "causal_conv_silu": (causal_conv.causal_conv_silu, causal_conv.composed),
    "gated_norm": (gated_norm.gated_norm, gated_norm.composed),
}


def arguments(name: str, shape: tuple[int, int, int], dtype: torch.dtype, taps: int = 4) -> list[torch.Tensor]:
    torch.manual_seed(0)
    B, L, D = shape
    x = torch.randn(B, L, 2 * D, dtype=dtype)[..., :D] * 2 + 1  # every token a slice of a wider one
    vector = torch.randn(D, dtype=dtype)
    if name == "causal_conv_silu":
        return [x, torch.randn(D, 1, taps, dtype=dtype), vector]
    return [x, torch.randn(B, L, D, dtype=dtype), torch.randn(D, dtype=dtype), vector]


def run(function, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """The output and the gradient of every input."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    y = function(*inputs)
    torch.manual_seed(1)
    weight = torch.randn(y.shape, dtype=torch.float64).to(y.dtype)
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), inputs)]


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(
    ("dtype", "forward", "backward"), [(torch.float32, 1e-6, 1e-5), (torch.float64, 1e-14, 1e-13)], ids=["f32", "f64"]
)
def test_output_and_gradients_are_those_of_plain_pytorch_in_float64(name, shape, dtype, forward, backward):
    kernel, composed = KERNELS[name]
    inputs = arguments(name, shape, dtype)
    ours, theirs = run(kernel, inputs), run(composed, [x.double() for x in inputs])
    assert relative(ours[0], theirs[0]) < forward
    assert all(relative(a, b) < backward for a, b in zip(ours[1:], theirs[1:], strict=True))
    assert all(a.dtype == dtype for a in ours)


@pytest.mark.parametrize("taps", [1, 2, 7])
def test_the_convolution_has_any_width(taps):
    inputs = arguments("causal_conv_silu", (2, 9, 24), torch.float64, taps)
    x, weight, bias = inputs
    expected = F.silu(F.conv1d(F.pad(x.mT, (taps - 1, 0)), weight, bias, groups=24)).mT
    torch.testing.assert_close(causal_conv.causal_conv_silu(*inputs), expected)
    for a, b in zip(*(run(f, inputs) for f in KERNELS["causal_conv_silu"]), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", KERNELS)
def test_bits_depend_neither_on_the_run_nor_on_the_number_of_threads(name):
    inputs, before = arguments(name, (1, 9000, 24), torch.float32), torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(run(KERNELS[name][0], inputs))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("name", KERNELS)
def test_sums_over_many_tokens_are_as_exact_as_over_few(name):
    kernel, composed = KERNELS[name]
    inputs = arguments(name, (1, 2**17, 16), torch.float32)
    ours, theirs = run(kernel, inputs), run(composed, [x.double() for x in inputs])
    assert all(relative(a, b) < 1e-6 for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", KERNELS)
def test_bfloat16_tokens_are_computed_in_float32_and_come_back_as_bfloat16(name):
    kernel, composed = KERNELS[name]
    inputs = [x.bfloat16() if x.shape[:2] == (2, 8) else x for x in arguments(name, (2, 8, 16), torch.float32)]
    y = kernel(*inputs)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, composed(*(x.float() for x in inputs)).bfloat16())


@pytest.mark.parametrize("name", KERNELS)
def test_no_tokens_and_the_meta_device_go_through_plain_pytorch(name):
    inputs = [x[:0] if x.shape[:2] == (2, 8) else x for x in arguments(name, (2, 8, 16), torch.float32)]
    assert KERNELS[name][0](*inputs).shape == (0, 8, 16)
    assert KERNELS[name][0](*(x.to("meta") for x in inputs)).shape == (0, 8, 16)


@pytest.mark.parametrize("name", KERNELS)
def test_torch_knows_the_operators(name):
    inputs = [x.requires_grad_() for x in arguments(name, (2, 9, 24), torch.float64)]
    extra = [1e-5] if name == "gated_norm" else []
    operator = getattr(torch.ops.lightm, name)
    checks = ["test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic"]
    torch.library.opcheck(operator.default, (*inputs, *extra), test_utils=checks)


@pytest.mark.parametrize("name", KERNELS)
def test_gradients_can_be_differentiated_again(name):
    inputs = [x.requires_grad_() for x in arguments(name, (1, 3, 16), torch.float64)]
    assert torch.autograd.gradgradcheck(KERNELS[name][0], inputs)


@pytest.mark.parametrize("dwconv", ["spatial", "causal"])
def test_second_derivatives_reach_through_a_vss_module(dwconv):
    torch.manual_seed(0)
    module = VSSModule(8, 2, d_state=2, dwconv=dwconv, scan_backend="reference").double()
    tokens = torch.randn(1, 4, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: module(x, (2, 2)), tokens)


def test_the_gradient_of_linear_can_be_differentiated_again():
    torch.manual_seed(0)
    x, weight = torch.randn(2, 5, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    second = []
    for function in (linear, F.linear):
        gradients = torch.autograd.grad(function(x, weight).square().sum(), (x, weight), create_graph=True)
        second.append(torch.autograd.grad(sum(g.square().sum() for g in gradients), (x, weight)))
    torch.testing.assert_close(second[0], second[1])


def test_on_a_gpu_the_convolution_goes_to_causal_conv1d_where_it_can(monkeypatch):
    calls = []

    class Package:
        @staticmethod
        def causal_conv1d_fn(x, weight, bias, activation):
            calls.append((tuple(x.shape), tuple(weight.shape), activation))
            return causal_conv.composed(x.mT, weight[:, None], bias).mT

    x, weight, bias = arguments("causal_conv_silu", (2, 9, 24), torch.float32)
    assert causal_conv._suits(x, weight) and not causal_conv._suits(x[..., :20], weight[:20])
    y = causal_conv._by_package(Package, x, weight, bias)
    assert calls == [((2, 24, 9), (24, 4), "silu")]
    torch.testing.assert_close(y, causal_conv.composed(x, weight, bias))


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize(("C", "K", "with_bias"), [(2, 64, False), (64, 34, True), (32, 64, False)])
def test_linear_is_torchs_by_either_library(monkeypatch, onednn, C, K, with_bias):
    if onednn and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(linear_module, "_onednn_multiplies_faster", lambda: onednn)
    torch.manual_seed(0)
    x = torch.randn(2, 700, C + 3)[..., :C]  # the rows of Δ are a slice, too
    inputs = [x, torch.randn(K, C), *([torch.randn(K)] if with_bias else [])]
    ours, theirs = run(linear, inputs), run(F.linear, [x.double() for x in inputs])
    assert relative(ours[0], theirs[0]) < 1e-6
    assert all(relative(a, b) < 1e-5 for a, b in zip(ours[1:], theirs[1:], strict=True))


def test_linear_computes_only_the_gradients_that_are_wanted():
    x, layer = torch.randn(3, 4, 5, requires_grad=True), Linear(5, 6)
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None and layer.bias.grad is not None and x.grad is not None
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand_as(x))


def test_linear_leaves_float64_autocast_and_torch_func_to_torch():
    layer, x = Linear(5, 6), torch.randn(3, 5)
    assert torch.equal(layer.double()(x.double()), F.linear(x.double(), layer.weight, layer.bias))
    layer = layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    gradient = torch.func.grad(lambda x: layer(x).square().sum())(x)
    torch.testing.assert_close(gradient, 2 * (x @ layer.weight.T + layer.bias) @ layer.weight)
    assert layer(x[:0]).shape == (0, 6)
