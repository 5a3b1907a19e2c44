"""Every backend against a float64 loop written here, on odd shapes and every combination of the optional inputs."""

import itertools

import numpy as np
import pytest
import torch

from lightm.scan import backends, selective_scan

BACKENDS = [name for name, status in backends().items() if status.available]
FAST = [name for name in BACKENDS if name != "reference"]


@pytest.fixture(autouse=True)
def _one_thread_for_small_torch_operations(request):
    """The plain PyTorch backends run many tiny operations, whose threads would only wait for each other."""
    threads = torch.get_num_threads()
    if "backend" not in request.fixturenames or request.getfixturevalue("backend") != "cpu":
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def inputs(batch=2, D=5, L=13, N=3, dtype=torch.float32, seed=0, leave_out=(), grad=True):
    """Inputs as a Mamba block makes them: slow and fast states, steps from 0.001 to 1 after the softplus."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    tensors = {
        "u": normal(batch, D, L),
        "delta": normal(batch, D, L),
        "A": -torch.arange(1, N + 1).repeat(D, 1) * torch.exp(0.2 * normal(D, N)),
        "B": normal(batch, N, L),
        "C": normal(batch, N, L),
        "D": normal(D),
        "z": normal(batch, D, L),
        "delta_bias": normal(D) - 3,
    }
    return {name: tensor.to(dtype).requires_grad_(grad) for name, tensor in tensors.items() if name not in leave_out}


def loop64(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    """The definition once more, in numpy and float64, one scalar formula at a time."""
    u, delta, A, B, C = (x.detach().double().numpy() for x in (u, delta, A, B, C))
    optional = [None if x is None else x.detach().double().numpy() for x in (D, z, delta_bias)]
    D, z, delta_bias = optional
    if delta_bias is not None:
        delta = delta + delta_bias[None, :, None]
    if delta_softplus:
        delta = np.logaddexp(0, delta)
    h = np.zeros((u.shape[0], *A.shape))
    y = np.zeros_like(u)
    for t in range(u.shape[2]):
        h = np.exp(np.einsum("bd,dn->bdn", delta[..., t], A)) * h
        h = h + np.einsum("bd,bn->bdn", delta[..., t] * u[..., t], B[..., t])
        y[..., t] = np.einsum("bdn,bn->bd", h, C[..., t])
    if D is not None:
        y = y + D[:, None] * u
    if z is not None:
        y = y * z / (1 + np.exp(-z))
    return torch.from_numpy(y), torch.from_numpy(h)


def error(found, expected):
    """Relative error in the norm."""
    difference = torch.linalg.norm(found.detach().double() - expected.detach().double())
    return float(difference / torch.linalg.norm(expected.detach().double()).clamp(min=1e-300))


def scan_and_gradients(backend, tensors, delta_softplus=True, seed=1):
    """y, the last state, and the gradients of a random linear function of both."""
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in tensors.items()}
    y, last_state = selective_scan(**leaves, delta_softplus=delta_softplus, return_last_state=True, backend=backend)
    random = torch.Generator().manual_seed(seed)
    weights = [torch.randn(x.shape, generator=random, dtype=torch.float64).to(x.dtype) for x in (y, last_state)]
    grads = torch.autograd.grad([y, last_state], list(leaves.values()), weights, allow_unused=True)
    return {"y": y, "last state": last_state, **dict(zip(leaves, grads, strict=True))}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize(
    "leave_out", [("D", "z", "delta_bias"), ("D",), ("z",), ("delta_bias",), ()], ids=lambda names: "-".join(names)
)
def test_equals_the_float64_loop_with_every_combination_of_optional_inputs(backend, dtype, tolerance, leave_out):
    tensors = inputs(leave_out=leave_out, dtype=dtype)
    for softplus in (False, True):
        if not softplus:  # then steps must not be negative by themselves, or states grow without bound
            tensors["delta"] = tensors["delta"].detach().abs()
            if "delta_bias" in tensors:
                tensors["delta_bias"] = tensors["delta_bias"].detach().abs()
        expected_y, expected_state = loop64(**tensors, delta_softplus=softplus)
        y, state = selective_scan(**tensors, delta_softplus=softplus, return_last_state=True, backend=backend)
        assert y.dtype == dtype
        assert error(y, expected_y) < tolerance
        assert error(state, expected_state) < tolerance


SHAPES = [
    *((2, 5, L, 3) for L in (1, 2, 31, 32, 33, 97)),
    *((1, 16, 67, N) for N in (1, 3, 16, 17, 64)),
    *((2, D, 41, 4) for D in (1, 5, 16, 33)),
    (3, 300, 37, 2),
    (5, 48, 64, 16),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "B{}-D{}-L{}-N{}".format(*shape))
def test_outputs_and_gradients_equal_the_reference_in_float64(shape):
    tensors = inputs(*shape, leave_out=("z",) if sum(shape) % 2 else ())
    expected = scan_and_gradients("reference", {k: v.double() for k, v in tensors.items()})
    for backend, (dtype, tolerance) in itertools.product(FAST, [(torch.float32, 1e-6), (torch.float64, 1e-13)]):
        found = scan_and_gradients(backend, {k: v.to(dtype) for k, v in tensors.items()})
        worst = {name: error(found[name], expected[name]) for name in expected}
        assert max(worst.values()) < tolerance, (backend, worst)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("softplus", [False, True])
def test_gradients_pass_gradcheck(backend, softplus):
    tensors = inputs(batch=1, D=2, L=5, N=2, dtype=torch.float64)
    tensors["delta_bias"] = (
        tensors["delta_bias"].detach() + 5
    ).requires_grad_()  # steps of a size that shows everything

    def scan(*arguments):
        named = dict(zip(tensors, arguments, strict=True))
        return selective_scan(**named, delta_softplus=softplus, return_last_state=True, backend=backend)

    assert torch.autograd.gradcheck(scan, tuple(tensors.values()))


@pytest.mark.parametrize("backend", FAST)
def test_any_subset_of_inputs_may_require_gradients(backend):
    tensors = inputs(grad=False)
    expected = scan_and_gradients(backend, tensors)
    assert not selective_scan(**tensors, backend=backend).requires_grad
    for wanted in itertools.combinations(tensors, 2):
        leaves = {name: tensor.clone().requires_grad_(name in wanted) for name, tensor in tensors.items()}
        y, state = selective_scan(**leaves, delta_softplus=True, return_last_state=True, backend=backend)
        random = torch.Generator().manual_seed(1)
        weights = [torch.randn(x.shape, generator=random, dtype=torch.float64).to(x.dtype) for x in (y, state)]
        torch.autograd.backward([y, state], weights)
        for name, leaf in leaves.items():
            assert (leaf.grad is not None) == (name in wanted), name
            assert name not in wanted or torch.equal(leaf.grad, expected[name]), name


@pytest.mark.parametrize("backend", FAST)
def test_strides_do_not_matter(backend):
    tensors = inputs(batch=2, D=16, L=50, N=4, grad=False)
    expected = scan_and_gradients(backend, tensors)

    def token_major(x):  # a (B, L, D) buffer
        return x.transpose(1, 2).contiguous().transpose(1, 2)

    def slice_of_wider(x):  # what a linear layer with several outputs gives
        wide = torch.cat([torch.full_like(x, torch.nan), x, torch.full_like(x, torch.nan)], dim=1)
        return token_major(wide)[:, x.shape[1] : 2 * x.shape[1]]

    def every_other(x):
        return x.repeat_interleave(2, dim=-1)[..., ::2]

    for change in (token_major, slice_of_wider, every_other):
        changed = {name: change(x) if x.dim() == 3 else x for name, x in tensors.items()}
        found = scan_and_gradients(backend, changed)
        for name in expected:
            assert torch.equal(found[name], expected[name]), (change.__name__, name)


@pytest.mark.parametrize("backend", FAST)
def test_expanded_inputs(backend):
    tensors = inputs(batch=1, D=1, L=40, N=3, grad=False)
    expanded = {name: x.expand(3, -1, -1) if x.dim() == 3 else x for name, x in tensors.items()}
    for name in ("u", "delta", "z"):
        expanded[name] = expanded[name].expand(3, 4, 40)
    for name in ("A", "D", "delta_bias"):
        expanded[name] = expanded[name].expand(4, *tensors[name].shape[1:])
    y = selective_scan(**expanded, delta_softplus=True, backend=backend)
    expected = selective_scan(**tensors, delta_softplus=True, backend=backend)
    assert torch.allclose(y, expected.expand(3, 4, 40), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("backend", FAST)
def test_token_major_tensors_are_not_copied(backend):
    tokens = torch.randn(2, 30, 16)  # (B, L, D)
    y = selective_scan(
        *(tokens.transpose(1, 2),) * 2, -torch.ones(16, 4), *(torch.randn(2, 4, 30),) * 2, backend=backend
    )
    assert y.transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_are_scanned_in_float32(backend, dtype):
    tensors = inputs(dtype=dtype)
    y, state = selective_scan(**tensors, delta_softplus=True, return_last_state=True, backend=backend)
    assert y.dtype == dtype and state.dtype == torch.float32
    expected_y, expected_state = loop64(**tensors, delta_softplus=True)
    assert error(state, expected_state) < 1e-6
    assert torch.equal(y, expected_y.float().to(dtype)) or error(y, expected_y) < torch.finfo(dtype).eps / 2
    y.sum().backward()
    assert all(tensor.grad.dtype == dtype for tensor in tensors.values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_mixed_dtypes_and_autocast(backend):
    tensors = inputs(grad=False)
    tensors["B"] = tensors["B"].bfloat16()
    tensors["u"] = tensors["u"].half()
    expected, _ = loop64(**tensors, delta_softplus=True)
    with torch.autocast("cpu", torch.bfloat16):
        y, state = selective_scan(**tensors, delta_softplus=True, return_last_state=True, backend=backend)
    assert y.dtype == torch.float16 and state.dtype == torch.float32
    assert error(y, expected) < 1e-3
    tensors["A"] = tensors["A"].double()
    _, state = selective_scan(**tensors, delta_softplus=True, return_last_state=True, backend=backend)
    assert state.dtype == torch.float64


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("shape", [(2, 5, 0, 3), (0, 5, 7, 3), (2, 0, 7, 3), (2, 5, 7, 0)])
def test_zero_sizes(backend, shape):
    tensors = inputs(*shape)
    y, state = selective_scan(**tensors, delta_softplus=True, return_last_state=True, backend=backend)
    expected_y, expected_state = loop64(**tensors, delta_softplus=True)
    assert torch.allclose(y.double(), expected_y, atol=1e-6)
    assert torch.allclose(state.double(), expected_state, atol=1e-6)
    (y.sum() + state.sum()).backward()
    for tensor in tensors.values():
        assert tensor.grad.shape == tensor.shape and tensor.grad.isfinite().all()


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(
    "delta, A",
    [(-40.0, -1.0), (1e-8, -1.0), (90.0, -1.0), (1e4, -1e4), (3.0, -1e-6), (1.0, 0.0), (2.0, 0.5)],
    ids=["tiny softplus", "half", "large", "decays vanish", "slow", "sum", "growing"],
)
def test_extreme_steps_and_decays_equal_the_float64_loop(backend, delta, A):
    tensors = inputs(L=70, dtype=torch.float64, leave_out=("delta_bias",))
    tensors["delta"] = torch.full_like(tensors["delta"], delta)
    tensors["A"] = torch.full_like(tensors["A"], A)
    expected = scan_and_gradients("reference", tensors)
    found = scan_and_gradients(backend, {k: v.float() for k, v in tensors.items()})
    for name in expected:
        assert found[name].isfinite().all(), name
        scale = expected[name].abs().max()
        assert (found[name].double() - expected[name]).abs().max() <= 2e-5 * scale + 1e-30, name


@pytest.mark.parametrize("backend", FAST)
def test_nan_reaches_what_depends_on_it_and_nothing_else(backend):
    tensors = inputs(batch=2, D=20, L=80, grad=False)
    clean = selective_scan(**tensors, delta_softplus=True, backend=backend)
    for name in ("u", "delta"):
        bad = {k: v.clone() for k, v in tensors.items()}
        bad[name][1, 7, 40] = torch.nan
        y = selective_scan(**bad, delta_softplus=True, backend=backend)
        assert y[1, 7, 40:].isnan().all()
        assert torch.equal(y[0], clean[0]) and torch.equal(y[1, :7], clean[1, :7])
        assert torch.equal(y[1, 7, :40], clean[1, 7, :40])


@pytest.mark.parametrize("backend", FAST)
def test_same_bits_from_run_to_run(backend):
    tensors = inputs(batch=2, D=48, L=300, N=16)
    first = scan_and_gradients(backend, tensors)
    for _ in range(3):
        again = scan_and_gradients(backend, tensors)
        assert all(torch.equal(first[name], again[name]) for name in first)


def test_long_sequences_keep_float32_gradients_exact():
    tensors = inputs(batch=1, D=3, L=70_001, N=2)
    tensors["delta_bias"] = tensors["delta_bias"].detach() - 2
    expected = scan_and_gradients("chunked", {k: v.double() for k, v in tensors.items()})
    for backend in FAST:
        found = scan_and_gradients(backend, tensors)
        worst = {name: error(found[name], expected[name]) for name in expected}
        assert max(worst.values()) < 1e-6, (backend, worst)
