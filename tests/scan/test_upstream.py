"""mamba_ssm's kernel as a backend, with a stand-in for its CUDA extension that computes by the definition.

The stand-in checks what selective_scan.cpp checks: argument order, shapes, dtypes, and that tokens lie side by side.
"""

import sys
from types import SimpleNamespace

import pytest
import torch
from test_selective_scan import error, inputs, scan_and_gradients

from lightm.errors import LightMError
from lightm.scan import backends, choose_backend, chunked, reference, registry, selective_scan, upstream
from lightm.scan.inputs import ScanInputs


def checked(u, delta, A, B, C, D, z, delta_bias, delta_softplus):
    batch, dim, length = u.shape
    assert u.dtype in (torch.float32, torch.bfloat16, torch.float16)
    for x, shape in ((delta, u.shape), (B, (batch, 1, A.shape[1], length)), (C, B.shape), (z, u.shape)):
        assert x is None or (x.shape == shape and x.dtype == u.dtype and x.stride(-1) == 1)
    for x in (A, D, delta_bias):
        assert x is None or (x.dtype == torch.float32 and x.shape[0] == dim)
    assert A.shape[1] <= 256 and isinstance(delta_softplus, bool) and u.stride(-1) == 1
    return [None if x is None else x.double() for x in (u, delta, A, B.squeeze(1), C.squeeze(1), D, z, delta_bias)]


def fwd(*arguments):
    u, delta, A, B, C, D, z, bias = checked(*arguments)
    dtype, softplus = arguments[0].dtype, arguments[-1]
    out, state = reference.scan(u, delta, A, B, C, D, None, bias, softplus)
    kept = torch.full((*u.shape[:2], -(-u.shape[2] // 2048), 2 * A.shape[1]), torch.nan)
    kept[:, :, -1, 1::2] = state.float()
    gated = [] if z is None else [(out * torch.nn.functional.silu(z)).to(dtype)]
    return [out.to(dtype), kept, *gated]


def bwd(u, delta, A, B, C, D, z, delta_bias, dout, x, out, dz, delta_softplus, recompute_out_z):
    leaves = checked(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    assert dout.dtype == u.dtype and dout.shape == u.shape and dout.stride(-1) == 1
    assert x.dtype == torch.float32 and x.is_contiguous() and dz is None and recompute_out_z is False
    assert (out is None) == (z is None)
    # Inside an operator there is no autograd, so the gradient is the plain PyTorch backend's, in float64.
    scanned = ScanInputs(*leaves, delta_softplus).turned()
    _, _, states = chunked.forward(scanned, True)
    grads = chunked.backward(dout.double().transpose(1, 2), None, scanned, states)
    grads = [x.transpose(1, 2) if x is not None and x.dim() == 3 else x for x in grads]
    du, ddelta, dA, dB, dC, dD, dz, dbias = grads
    result = [du.to(u.dtype), ddelta.to(u.dtype), dA.float(), dB.to(u.dtype)[:, None], dC.to(u.dtype)[:, None]]
    result += [None if g is None else g.float() for g in (dD, dbias)]
    return result if z is None else [*result, dz.to(u.dtype)]


@pytest.fixture
def extension(monkeypatch):
    """The stand-in, found on CPU tensors."""
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", SimpleNamespace(fwd=fwd, bwd=bwd))
    monkeypatch.setattr(upstream, "unavailable", lambda device: "")


@pytest.mark.parametrize("leave_out", [(), ("z",), ("D", "delta_bias")], ids=["all", "no gate", "no D, no bias"])
def test_outputs_and_gradients_equal_the_definition(extension, leave_out):
    tensors = inputs(2, 5, 13, 3, leave_out=leave_out)
    for name, tolerance in (("float32", 1e-6), ("bfloat16", 0.01)):
        rounded = {k: v.to(getattr(torch, name)) for k, v in tensors.items()}
        expected = scan_and_gradients("reference", {k: v.double() for k, v in rounded.items()})
        found = scan_and_gradients("upstream", rounded)  # a gradient comes in through the last state too
        y_only = [
            torch.autograd.grad(scan(rounded, backend).sum(), rounded["u"])[0] for backend in ("upstream", "reference")
        ]
        assert error(*y_only) < tolerance
        for key in expected:
            assert error(found[key], expected[key]) < tolerance, (name, key)


def scan(tensors, backend):
    tensors["u"].requires_grad_()
    return selective_scan(**tensors, delta_softplus=True, backend=backend)


def test_every_gradient_of_the_output_alone(extension):
    tensors = inputs(2, 5, 13, 3)

    def gradients(backend):
        y = selective_scan(**tensors, delta_softplus=True, backend=backend)
        return torch.autograd.grad(y.square().sum(), list(tensors.values()))

    for name, found, expected in zip(tensors, gradients("upstream"), gradients("reference"), strict=True):
        assert error(found, expected) < 1e-6, name


def test_mixed_dtypes_become_float32(extension):
    tensors = inputs(1, 3, 9, 2, grad=False)
    tensors["u"], tensors["B"] = tensors["u"].half(), tensors["B"].bfloat16()
    found, expected = (scan_and_gradients(backend, tensors) for backend in ("upstream", "reference"))
    assert found["y"].dtype == torch.float16 and found["B"].dtype == torch.bfloat16
    assert error(found["last state"], expected["last state"]) < 1e-6


@pytest.mark.parametrize("shape", [(2, 5, 0, 3), (2, 5, 7, 0)])
def test_zero_sizes(extension, shape):
    tensors = inputs(*shape)
    found = scan_and_gradients("upstream", tensors)
    y, state = selective_scan(**tensors, delta_softplus=True, return_last_state=True, backend="reference")
    assert torch.allclose(found["y"], y, atol=1e-6) and torch.equal(found["last state"], state)
    assert all(found[name].shape == x.shape and found[name].isfinite().all() for name, x in tensors.items())


def test_its_limits_are_named(extension):
    with pytest.raises(LightMError, match=r"257 states.*up to 256"):
        scan(inputs(1, 1, 2, 257), "upstream")
    with pytest.raises(LightMError, match=r"'upstream' can't run.*float64"):
        scan({k: v.double() for k, v in inputs(1, 1, 2, 2, grad=False).items()}, "upstream")


def test_it_is_asked_for_the_extension_and_not_for_mamba_ssm(monkeypatch):
    monkeypatch.setitem(sys.modules, "mamba_ssm", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", None)  # an import of it raises ImportError
    status = backends("cuda")["upstream"]
    assert not status.available and "selective_scan_cuda" in status.reason
    monkeypatch.setitem(sys.modules, "selective_scan_cuda", SimpleNamespace(fwd=fwd, bwd=bwd))
    assert backends("cuda")["upstream"].available
    assert not backends("cpu")["upstream"].available


def test_auto_on_a_gpu_takes_the_first_that_can_run_and_says_why_not_the_others(monkeypatch, extension):
    choose = registry.choose
    cuda = torch.device("cuda")
    if not torch.cuda.is_available():
        assert choose("auto", cuda)[0] == "upstream" and "not gpu" in choose("auto", cuda)[1]
        name, why = choose("auto", cuda, torch.float64)
        assert name == "chunked" and "not upstream: it computes in float32" in why
        with pytest.raises(LightMError, match=r"'gpu' can't run on cuda tensors"):
            choose("gpu", cuda)
    monkeypatch.setattr(registry.module("gpu"), "unavailable", lambda device: "")
    assert choose("auto", cuda)[0] == choose("auto", cuda, torch.float64)[0] == "gpu"
    assert choose("auto", torch.device("mps"))[0] == choose("auto", torch.device("xpu"))[0] == "chunked"
    assert choose_backend(torch.zeros(1))[0] == "cpu"
