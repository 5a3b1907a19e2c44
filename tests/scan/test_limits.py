"""Where arithmetic or memory ends: exponents out of range, 2**21 tokens, more than 2**31 elements, other vectors."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from lightm.scan import backends, selective_scan
from lightm.scan.cpu_forward import CHUNK, NORMAL

FAST = [name for name, status in backends().items() if status.available and name != "reference"]
CPU_LIKE = [name for name in FAST if name in ("cpu", "chunked")]


def error(found, expected):
    difference = torch.linalg.norm(found.double() - expected.double())
    return float(difference / torch.linalg.norm(expected.double()).clamp(min=1e-300))


def free_gigabytes() -> float:
    """What the system could still give; 0 where it can't be told."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (ValueError, OSError, AttributeError):
        return 0.0


def test_two_million_tokens_keep_outputs_and_gradients_exact():
    L = 2**21
    random = torch.Generator().manual_seed(0)
    u, delta, B, C = (torch.randn(1, 1, L, generator=random, dtype=torch.float64) for _ in range(4))
    tensors = [u, 0.02 * delta.abs(), torch.tensor([[-0.5]], dtype=torch.float64), B, C]

    def outputs_and_gradients(backend, dtype):
        leaves = [x.to(dtype).requires_grad_() for x in tensors]
        y = selective_scan(*leaves, backend=backend)
        return [y.detach(), *torch.autograd.grad(y.sum(), leaves)]

    expected = outputs_and_gradients("chunked", torch.float64)
    found = outputs_and_gradients("cpu", torch.float32)
    assert max(error(x, y) for x, y in zip(found, expected, strict=True)) < 1e-6


def impulse_response(exponents, backend="cpu", dtype=torch.float32):
    """Channel d: one impulse at the first token, then a decay by 2**exponents[d] at every token."""
    D, L = len(exponents), 4
    u = torch.zeros(1, D, L, dtype=dtype)
    u[..., 0] = 1
    A = torch.tensor(exponents, dtype=torch.float64).mul(torch.log(torch.tensor(2.0, dtype=torch.float64))).to(dtype)
    ones = torch.ones(1, 1, L, dtype=dtype)
    return selective_scan(u, torch.ones_like(u), A[:, None], ones, ones, backend=backend)[0]


def test_decays_are_right_on_both_sides_of_where_exponents_are_checked():
    exponents = [-1.0, -100.0, -NORMAL + 0.5, -NORMAL - 0.5, -127.0, -128.5, -150.0, -1e6]
    y = impulse_response(exponents)
    expected = impulse_response(exponents, backend="reference", dtype=torch.float64)
    assert torch.allclose(y.double(), expected, rtol=1e-4, atol=1.2e-38)  # 2**-126: below, float32 loses digits
    assert (y >= 0).all() and (y[-1, 1:] == 0).all()
    for d, exponent in enumerate(exponents):  # alone, each is in a chunk of its own kind
        assert torch.equal(impulse_response([exponent])[0], y[d])


def test_growing_states_reach_infinity_and_not_nonsense():
    exponents = [1.0, 60.0, 127.0, 128.5, 1e4]
    y = impulse_response(exponents)
    assert torch.allclose(y[0], torch.tensor([1.0, 2, 4, 8]))
    # Infinity times the state before the first token, zero, is NaN in the definition too.
    expected = impulse_response(exponents, backend="reference")
    assert torch.allclose(y, expected, rtol=1e-4, equal_nan=True) and not torch.isfinite(y[3:]).any()


def test_the_largest_growths_stay_numbers_until_they_are_infinite():
    growths = [126.5, 127.5, 127.97, 127.99]  # 2**127.99 is the last of these below the largest float32
    y = impulse_response(growths)
    assert torch.allclose(y[:, 1].double(), torch.tensor(growths, dtype=torch.float64).exp2(), rtol=1e-4)
    assert (y[:, 2:] == torch.inf).all()  # the square of each is above it


@pytest.mark.parametrize("backend", CPU_LIKE)
def test_one_huge_step_forgets_the_past_and_changes_nothing_before_it(backend):
    random = torch.Generator().manual_seed(0)
    D, L, N = 20, 5 * CHUNK, 4
    u, delta = (torch.randn(1, D, L, generator=random) for _ in range(2))
    B, C = (torch.randn(1, N, L, generator=random) for _ in range(2))
    A = -torch.rand(D, N, generator=random) - 0.5
    jump = 2 * CHUNK + 3
    delta = delta.abs() * 0.1
    shocked = delta.clone()
    shocked[:, 7, jump] = 1e6
    leaves = [x.clone().requires_grad_() for x in (u, shocked, A, B, C)]
    y = selective_scan(*leaves, backend=backend)
    undisturbed = selective_scan(u, delta, A, B, C, backend=backend)
    assert torch.equal(y[:, :7], undisturbed[:, :7]) and torch.equal(y[:, 8:], undisturbed[:, 8:])
    assert torch.equal(y[:, 7, :jump], undisturbed[:, 7, :jump])
    forgotten = torch.autograd.grad(y[:, 7, jump + 1 :].sum(), leaves[0])[0]
    assert (forgotten[:, 7, :jump] == 0).all() and (forgotten[:, 7, jump:] != 0).any()


def test_offsets_above_two_to_the_31_are_read():
    """Rows so far apart that the last begins beyond 2**31 elements; nearly all of the buffer is never touched."""
    L, D, N, stride = 140, 8, 4, 2**24
    try:
        buffer = torch.empty((L - 1) * stride + D)
    except RuntimeError as error:
        pytest.skip(f"the system does not lend 9 GB of address space: {error}")
    assert buffer.numel() > 2**31
    random = torch.Generator().manual_seed(0)
    tokens = torch.randn(1, L, D, generator=random)
    far = buffer.as_strided((1, L, D), (0, stride, 1))
    far.copy_(tokens)
    A, B, C = -torch.rand(D, N), torch.randn(1, N, L), torch.randn(1, N, L)

    def outputs_and_gradients(u):
        leaves = [x.detach().requires_grad_() for x in (A, B, C)]
        y = selective_scan(u.transpose(1, 2), u.transpose(1, 2), *leaves, delta_softplus=True, backend="cpu")
        return [y.detach(), *torch.autograd.grad(y.sum(), leaves)]

    pairs = zip(outputs_and_gradients(far), outputs_and_gradients(tokens), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.skipif(
    os.environ.get("LIGHTM_BIG_TESTS") != "1" or free_gigabytes() < 10,
    reason="writes 9 GB: set LIGHTM_BIG_TESTS=1 and have 10 GB of free memory",
)
def test_more_than_two_to_the_31_outputs():
    L, D, N = 2**21 + 1, 1024, 1
    random = torch.Generator().manual_seed(0)
    row = torch.rand(1, 1, D, generator=random) + 0.5  # every token is the same, without a copy
    A, ones = -torch.rand(D, N, generator=random) - 0.5, torch.ones(1, 1, N)

    def scan(L):
        u, BC = row.expand(1, L, D).transpose(1, 2), ones.expand(1, L, N).transpose(1, 2)
        with torch.no_grad():
            return selective_scan(u, u, A, BC, BC, backend="cpu").transpose(1, 2)

    y, short = scan(L), scan(500)
    assert y.numel() > 2**31
    assert torch.equal(y[:, :500], short)
    for t in (2**20, 2**21 - 1, 2**21):  # long since constant
        assert torch.equal(y[:, t], short[:, -1])


WIDER = """
import torch
import lightm.cpu.vectors as simd
simd.REGISTER_BYTES = 64
from lightm.scan import selective_scan
random = torch.Generator().manual_seed(0)
def normal(*shape): return torch.randn(*shape, generator=random, dtype=torch.float64)
D, L, N = 21, 70, 5
tensors = [normal(2, D, L), normal(2, D, L), -normal(D, N).exp(), normal(2, N, L), normal(2, N, L), normal(D),
           normal(2, D, L), normal(D)]
def results(backend, dtype):
    leaves = [x.to(dtype).requires_grad_() for x in tensors]
    y = selective_scan(*leaves, delta_softplus=True, backend=backend)
    return [y.detach(), *torch.autograd.grad(y.sum(), leaves)]
pairs = zip(results("cpu", torch.float32), results("chunked", torch.float64), strict=True)
worst = max(float((x.double() - y).norm() / y.norm()) for x, y in pairs)
assert worst < 2e-6, worst
print("lanes", simd.lanes_of("float32"))
"""


WITHOUT_AVX512 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+sse4.2,+avx,+avx2,+fma"}


@pytest.mark.parametrize(
    "processor",
    [
        {},
        pytest.param(
            WITHOUT_AVX512,
            marks=pytest.mark.skipif(platform.machine() != "x86_64", reason="of this family, this processor is none"),
        ),
    ],
    ids=["this processor", "one without AVX-512"],
)
def test_wider_vectors_give_the_same_results(tmp_path, processor):
    """Those of AVX-512, which every processor can run, in pieces."""
    environment = {**os.environ, **processor, "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", WIDER], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "lanes 16"
