"""The GPU kernels on the CPU, in Triton's interpreter, against the definition in float64.

test_gpu.py runs this file in a process of its own, because the interpreter must be chosen before triton is imported:
    TRITON_INTERPRET=1 python -m pytest tests/scan/interpreted_gpu.py
Chunks are cut to 8 tokens here, so that short sequences have many.
"""

import itertools

import pytest
import torch
from test_selective_scan import error, inputs, loop64, scan_and_gradients

from lightm.errors import LightMError
from lightm.scan import backends, gpu, selective_scan
from lightm_book.conformance.interpreted import make_interpreter_usable

assert gpu.interpreted(), "set TRITON_INTERPRET=1"

make_interpreter_usable()


@pytest.fixture(autouse=True)
def _chunks_of_eight_tokens(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(gpu, "SUB", 8)
    monkeypatch.setattr(gpu, "SHORTEST", 8)


CASES = [  # B, D, L, N; what is left out; softplus
    ((1, 1, 1, 1), (), True),
    ((1, 3, 2, 3), ("z",), False),
    ((2, 5, 13, 3), (), True),
    ((1, 33, 9, 16), ("D", "z", "delta_bias"), True),
    ((1, 40, 17, 4), ("delta_bias",), False),
    ((1, 2, 29, 17), ("D",), True),
    ((1, 4, 8, 16), ("z",), True),
    ((1, 16, 25, 2), ("D", "delta_bias"), True),
]


@pytest.mark.parametrize("shape, leave_out, softplus", CASES, ids=lambda x: str(x).replace(" ", ""))
def test_outputs_and_gradients_equal_the_definition(shape, leave_out, softplus):
    tensors = inputs(*shape, leave_out=leave_out, dtype=torch.float64)
    if not softplus:  # then steps must not be negative by themselves, or states grow without bound
        for name in {"delta", "delta_bias"} - set(leave_out):
            tensors[name] = tensors[name].detach().abs()
    expected = scan_and_gradients("reference", tensors, delta_softplus=softplus)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        found = scan_and_gradients("gpu", {k: v.to(dtype) for k, v in tensors.items()}, delta_softplus=softplus)
        worst = {name: error(found[name], expected[name]) for name in expected}
        assert max(worst.values()) < tolerance, (dtype, worst)
        if len(set(shape)) == 1:  # the smallest shape need not be done twice
            break


def test_sub_chunks_inside_a_chunk(monkeypatch):
    monkeypatch.setattr(gpu, "SHORTEST", 16)
    tensors = inputs(1, 4, 39, 2)
    expected = scan_and_gradients("reference", {k: v.double() for k, v in tensors.items()})
    found = scan_and_gradients("gpu", tensors)
    worst = {name: error(found[name], expected[name]) for name in expected}
    assert max(worst.values()) < 1e-6, worst


@pytest.mark.parametrize("items, groups", [(1, 1), (1000, 3)])
def test_dB_and_dC_are_summed_over_blocks_of_channels_inside_and_between_programs(monkeypatch, items, groups):
    monkeypatch.setattr(gpu, "GRADIENT_ITEMS", items)
    tensors = inputs(1, 70, 5, 2, leave_out=("z",))
    asked = []
    real = gpu._Problem.groups
    monkeypatch.setattr(gpu._Problem, "groups", lambda self: asked.append(real(self)) or asked[-1])
    expected = scan_and_gradients("reference", {k: v.double() for k, v in tensors.items()})
    found = scan_and_gradients("gpu", tensors)
    assert asked[0][0] == groups
    worst = {name: error(found[name], expected[name]) for name in expected}
    assert max(worst.values()) < 1e-6, worst


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_as_it_is_and_scanned_in_float32(dtype):
    tensors = inputs(1, 5, 11, 3, dtype=dtype)
    exact = scan_and_gradients("reference", {k: v.double() for k, v in tensors.items()})
    found = scan_and_gradients("gpu", tensors)
    assert found["last state"].dtype == torch.float32 and error(found["last state"], exact["last state"]) < 1e-6
    for name in tensors:
        assert found[name].dtype == dtype and error(found[name], exact[name]) < 2 * torch.finfo(dtype).eps, name


def test_mixed_dtypes():
    tensors = inputs(1, 3, 6, 2, grad=False)
    tensors |= {"u": tensors["u"].half(), "B": tensors["B"].bfloat16(), "delta": tensors["delta"].bfloat16()}
    expected, expected_state = loop64(**tensors, delta_softplus=True)
    found = scan_and_gradients("gpu", tensors)
    assert error(found["y"], expected) < 1e-3 and error(found["last state"], expected_state) < 1e-6
    assert all(found[name].dtype == tensors[name].dtype for name in tensors) and found["y"].dtype == torch.float16
    y, state = selective_scan(**tensors | {"A": tensors["A"].double()}, return_last_state=True, backend="gpu")
    assert y.dtype == torch.float16 and state.dtype == torch.float64


def test_strides_do_not_matter_and_runs_give_the_same_bits():
    tensors = inputs(1, 6, 11, 3, grad=False)
    expected = scan_and_gradients("gpu", tensors)

    def slice_of_wider(x):  # what a linear layer with several outputs gives
        return (
            torch.cat([torch.full_like(x, torch.nan), x], 1)
            .transpose(1, 2)
            .contiguous()
            .transpose(1, 2)[:, x.shape[1] :]
        )

    def every_other(x):
        return x.repeat_interleave(2, dim=-1)[..., ::2]

    for change in (slice_of_wider, every_other, torch.clone):
        changed = {name: change(x) if x.dim() == 3 else x for name, x in tensors.items()}
        found = scan_and_gradients("gpu", changed)
        assert all(torch.equal(found[name], expected[name]) for name in expected), change.__name__


def test_expanded_inputs():
    tensors = inputs(1, 1, 10, 3, grad=False)
    expanded = {name: x.expand(2, -1, -1) if x.dim() == 3 else x for name, x in tensors.items()}
    expanded |= {name: expanded[name].expand(2, 4, 10) for name in ("u", "delta", "z")}
    expanded |= {name: x.expand(4, *x.shape[1:]) for name, x in tensors.items() if name in ("A", "D", "delta_bias")}
    y = selective_scan(**expanded, delta_softplus=True, backend="gpu")
    assert y.transpose(1, 2).is_contiguous()
    expected = selective_scan(**tensors, delta_softplus=True, backend="gpu")
    assert torch.equal(y, expected.expand(2, 4, 10))


def test_extreme_steps_and_decays():
    pairs = torch.tensor([(-40.0, -1.0), (1e-8, -1.0), (90, -1), (1e4, -1e4), (3, -1e-6), (1, 0), (2, 0.5)])
    tensors = inputs(1, len(pairs), 35, 2, dtype=torch.float64, leave_out=("delta_bias", "z"))
    tensors["delta"] = pairs[:, :1].double().expand(-1, 35)[None]
    tensors["A"] = pairs[:, 1:].double().expand(-1, 2)
    expected = scan_and_gradients("reference", tensors)
    found = scan_and_gradients("gpu", {k: v.float() for k, v in tensors.items()})
    for name in ("y", "u", "delta", "last state", "A"):
        ours, exact = (x.reshape(len(pairs), -1) if name == "A" else x[0] for x in (found[name], expected[name]))
        scale = exact.abs().amax(1, keepdim=True)
        assert ((ours.double() - exact).abs() <= 2e-5 * scale + 1e-30).all(), name
    assert found["B"].isfinite().all() and found["C"].isfinite().all()


def test_nan_reaches_what_depends_on_it_and_nothing_else():
    tensors = inputs(1, 4, 18, 2, grad=False)
    clean = selective_scan(**tensors, delta_softplus=True, backend="gpu")
    for name in ("u", "delta"):
        bad = {k: v.clone() for k, v in tensors.items()}
        bad[name][0, 2, 10] = torch.nan
        y = selective_scan(**bad, delta_softplus=True, backend="gpu")
        assert y[0, 2, 10:].isnan().all() and torch.equal(y[0, 2, :10], clean[0, 2, :10])
        assert torch.equal(y[0, [0, 1, 3]], clean[0, [0, 1, 3]])


def test_any_input_may_be_the_only_one_with_a_gradient():
    tensors = inputs(1, 3, 9, 2, grad=False)
    expected = scan_and_gradients("gpu", tensors)
    for wanted in ("A", "B", "z"):
        leaves = {name: tensor.clone().requires_grad_(name == wanted) for name, tensor in tensors.items()}
        y, state = selective_scan(**leaves, delta_softplus=True, return_last_state=True, backend="gpu")
        random = torch.Generator().manual_seed(1)
        weights = [torch.randn(x.shape, generator=random, dtype=torch.float64).to(x.dtype) for x in (y, state)]
        torch.autograd.backward([y, state], weights)
        assert torch.equal(leaves[wanted].grad, expected[wanted])
    leaf = tensors["u"].clone().requires_grad_()
    _, state = selective_scan(**tensors | {"u": leaf}, delta_softplus=True, return_last_state=True, backend="gpu")
    assert torch.autograd.grad(state.sum(), leaf)[0].abs().sum() > 0


@pytest.mark.parametrize("shape", [(2, 5, 0, 3), (0, 5, 7, 3), (2, 0, 7, 3), (2, 5, 7, 0)])
def test_zero_sizes(shape):
    tensors = inputs(*shape)
    y, state = selective_scan(**tensors, delta_softplus=True, return_last_state=True, backend="gpu")
    expected_y, expected_state = loop64(**tensors, delta_softplus=True)
    assert torch.allclose(y.double(), expected_y, atol=1e-6)
    assert torch.allclose(state.double(), expected_state, atol=1e-6)
    (y.sum() + state.sum()).backward()
    for tensor in tensors.values():
        assert tensor.grad.shape == tensor.shape and tensor.grad.isfinite().all()


def test_torch_compile_and_export_keep_the_scan_whole():
    tensors = inputs(1, 3, 9, 2, grad=True)

    def scan(**tensors):
        return selective_scan(**tensors, delta_softplus=True, backend="gpu").sin()

    expected = torch.autograd.grad(scan(**tensors).sum(), list(tensors.values()))
    compiled = torch.compile(scan, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(**tensors).sum(), list(tensors.values()))
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))

    class Scan(torch.nn.Module):
        def forward(self, u, delta, A, B, C):
            return selective_scan(u, delta, A, B, C, backend="gpu")

    arguments = tuple(tensors[name].detach() for name in ("u", "delta", "A", "B", "C"))
    exported = torch.export.export(Scan(), arguments)
    assert [str(n.target) for n in exported.graph.nodes if "scan" in str(n.target)] == ["lightm.selective_scan.default"]


def test_the_operator_passes_torchs_own_checks():
    tensors = {k: v.detach().transpose(1, 2) if v.dim() == 3 else v.detach() for k, v in inputs(1, 3, 9, 2).items()}
    tensors["u"] = tensors["u"].bfloat16()
    arguments = (*(x.clone().requires_grad_() for x in tensors.values()), True, True, "gpu")
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.lightm.selective_scan.default, arguments, test_utils=tests)


def test_the_interpreter_never_runs_unasked():
    assert backends()["gpu"].available and not backends("meta")["gpu"].available
    with pytest.raises(LightMError, match="TRITON_INTERPRET"):
        selective_scan(**{k: v.to("meta") for k, v in inputs(1, 2, 3, 2).items()}, backend="gpu")


def test_the_cut_depends_on_the_shape_alone_and_fills_a_large_chip(monkeypatch):
    monkeypatch.undo()
    for batch, D, L in itertools.product((1, 2, 12), (16, 64, 512), (1, 4096, 65_537, 2**21)):
        K = gpu.chunk_length(batch, L, D)
        assert K % gpu.SUB == 0 and gpu.SUB % gpu.TILE == 0
        programs = batch * gpu.channel_blocks(D) * -(-L // K)
        assert programs >= gpu.PROGRAMS or K == gpu.SHORTEST
    assert gpu.chunk_length(12, 262_144, 64) == 512 and gpu.chunk_length(2, 2**21, 64) == 1024
