"""lightm.ssm: every formulation gives the same output, and it is the one of the differential equation."""

import math

import numpy as np
import pytest
import torch
from numpy.polynomial import legendre

from lightm.errors import LightMError
from lightm.scan import selective_scan
from lightm.ssm import (
    RULES,
    bilinear,
    convolve,
    convolve_fft,
    discretise,
    euler,
    hippo_legs,
    impulse_response,
    kernel,
    mamba,
    recurrence,
    s4d_lin,
    s4d_real,
    spectral_radius,
    states,
    transfer_function,
    zoh,
)

f64 = torch.float64
D = 0.7


def close(a, b, atol=1e-10):
    torch.testing.assert_close(a, b, atol=atol, rtol=0)


def random(*shape, seed=0, dtype=f64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(N=5):
    """A random matrix whose eigenvalues, some complex, have real parts of at most -0.2."""
    A = random(N, N)
    return A - (torch.linalg.eigvals(A).real.max() + 0.2) * torch.eye(N, dtype=f64)


SYSTEMS = {
    "dense": (dense(), random(5, seed=1), random(5, seed=2)),
    "diagonal": (s4d_real(4), random(4, seed=1), random(4, seed=2)),
    "complex": (s4d_lin(6), random(3, seed=1) + 1j * random(3, seed=3), random(3, seed=2) + 1j * random(3, seed=4)),
    "hippo": (*hippo_legs(6), random(6, seed=2)),
    "one state": (torch.tensor([-2.0], dtype=f64), torch.ones(1, dtype=f64), torch.ones(1, dtype=f64)),
}
each_system = pytest.mark.parametrize("A, B, C", SYSTEMS.values(), ids=SYSTEMS)
each_rule = pytest.mark.parametrize("rule", RULES)


def exact(A, B, C, u, delta):
    """y at the ends of the steps for an input that is constant in each, by quadrature of ∫ exp(A(t - s)) B u(s) ds."""
    nodes, weights = (torch.from_numpy(part) for part in legendre.leggauss(24))
    lags = delta * (nodes + 1) / 2  # t - s within one step
    pushed = torch.stack([impulse_response_vector(A, B, lag) for lag in lags.tolist()], -1) @ (delta * weights / 2).to(
        B.dtype
    )
    carry = matrix_exp(A, delta)
    h, y = torch.zeros_like(B), []
    for u_t in u:
        h = carry @ h + pushed * u_t
        y.append(h @ C)
    y = torch.stack(y)
    return 2 * y.real if y.is_complex() else y


def matrix_exp(A, t):
    return torch.linalg.matrix_exp(t * (torch.diag(A) if A.dim() == 1 else A))


def impulse_response_vector(A, B, t):
    return matrix_exp(A, t) @ B


@each_rule
@each_system
@pytest.mark.parametrize("L", [1, 2, 61])
def test_recurrence_is_convolution_direct_and_by_fft(A, B, C, rule, L):
    A_bar, B_bar = discretise(A, B, 0.1, rule)
    u = random(2, 3, L, seed=5)  # any leading axes
    y = recurrence(A_bar, B_bar, C, u, D)
    K = kernel(A_bar, B_bar, C, L, D)
    assert y.shape == u.shape and K.shape == (L,)
    close(y, convolve(u, K))
    close(y, convolve_fft(u, K))


@each_system
def test_zero_order_hold_is_the_exact_solution_for_a_held_input(A, B, C):
    u = random(20, seed=6)
    for delta in (0.01, 0.5, 3.0):
        close(recurrence(*zoh(A, B, delta), C, u), exact(A, B, C, u, delta))


@each_rule
@each_system
def test_transfer_function_is_the_sum_over_the_kernel(A, B, C, rule):
    L = 64
    A_bar, B_bar = discretise(A, B, 0.05, rule)
    K = kernel(A_bar, B_bar, C, L, D)
    # The kernel has no end, K has: it is that of C minus C Ā^L, because z^L = 1.
    rest = C - (C * A_bar**L if A_bar.dim() == 1 else C @ torch.linalg.matrix_power(A_bar, L))
    z = torch.exp(2j * math.pi * torch.arange(L, dtype=f64) / L)
    close(transfer_function(A_bar, B_bar, rest, z, D), torch.fft.fft(K))


def errors_when_steps_are_halved(rule, A, B, C):
    """Largest error in y at the ends of 6 pixels of width 1, each cut into 32, 64, … steps."""
    u = random(6, seed=7)
    truth = exact(A, B, C, u, 1.0)
    for parts in (32, 64, 128):
        A_bar, B_bar = discretise(A, B, 1 / parts, rule)
        y = recurrence(A_bar, B_bar, C, u.repeat_interleave(parts))
        yield (y[parts - 1 :: parts] - truth).abs().max().item()


@pytest.mark.parametrize("rule, order", [("bilinear", 2), ("euler", 1), ("mamba", 1)])
@pytest.mark.parametrize("name", ["dense", "diagonal", "complex"])
def test_order_of_convergence(rule, order, name):
    errors = np.array(list(errors_when_steps_are_halved(rule, *SYSTEMS[name])))
    slopes = np.log2(errors[:-1] / errors[1:])
    assert errors[-1] > 1e-8 and abs(slopes[-1] - order) < 0.15


@each_system
def test_zero_order_hold_has_no_error_at_any_step(A, B, C):
    assert max(errors_when_steps_are_halved("zoh", A, B, C)) < 1e-10


def test_singular_matrices():
    one = torch.ones(1, dtype=f64)
    for integrator in (torch.zeros(1, dtype=f64), torch.zeros(1, 1, dtype=f64)):  # diagonal and dense
        for rule in RULES:
            A_bar, B_bar = discretise(integrator, one, 0.25, rule)
            close(A_bar, torch.ones_like(integrator))
            close(B_bar, 0.25 * one)
    u = random(9)
    close(recurrence(A_bar, B_bar, one, u), 0.25 * u.cumsum(0))
    fall = torch.tensor([[0, 1], [0, 0]], dtype=f64)  # position and speed, pushed by u
    A_bar, B_bar = zoh(fall, torch.tensor([0, 1], dtype=f64), 0.5)
    close(A_bar, torch.tensor([[1, 0.5], [0, 1]], dtype=f64))
    close(B_bar, torch.tensor([0.125, 0.5], dtype=f64))


def test_a_slow_state_loses_no_digits():
    A = torch.tensor([-1e-12, -1e-7], dtype=f64)
    _, B_bar = zoh(A, torch.ones(2, dtype=f64), 1e-3)
    torch.testing.assert_close(B_bar, 1e-3 * (1 + 1e-3 * A / 2), rtol=1e-15, atol=0)


@each_rule
def test_a_diagonal_system_is_the_dense_one_with_that_diagonal(rule):
    A, B, C = SYSTEMS["diagonal"]
    A_bar, B_bar = discretise(A, B, 0.3, rule)
    full_A_bar, full_B_bar = discretise(torch.diag(A), B, 0.3, rule)
    close(torch.diag(A_bar), full_A_bar)
    close(B_bar, full_B_bar)
    close(
        impulse_response(A, B, C, torch.arange(4.0, dtype=f64)),
        impulse_response(torch.diag(A), B, C, torch.arange(4.0, dtype=f64)),
    )


def test_a_complex_system_is_the_real_one_of_twice_the_size():
    A, B, C = SYSTEMS["complex"]
    real = torch.cat(
        [
            torch.cat([torch.diag(A.real), -torch.diag(A.imag)], 1),
            torch.cat([torch.diag(A.imag), torch.diag(A.real)], 1),
        ]
    )
    u = random(40, seed=8)
    y = recurrence(*zoh(real, torch.cat([B.real, B.imag]), 0.1), 2 * torch.cat([C.real, -C.imag]), u)
    close(recurrence(*zoh(A, B, 0.1), C, u), y)


@each_system
def test_mambas_kernel_is_delta_times_the_sampled_impulse_response(A, B, C):
    delta, L = 0.2, 30
    K = kernel(*mamba(A, B, delta), C, L)
    close(K, delta * impulse_response(A, B, C, delta * torch.arange(L, dtype=f64)))


def test_mambas_states_are_those_of_zero_order_hold_times_a_constant():
    A, B, _ = SYSTEMS["diagonal"]
    u, z = random(25, seed=9), 0.2 * A
    close(states(*mamba(A, B, 0.2), u), states(*zoh(A, B, 0.2), u) * z / torch.expm1(z))


def test_mambas_rule_is_the_selective_scan_with_constants():
    A, B, C = SYSTEMS["diagonal"]
    u = random(2, 3, 37, seed=10)  # (B, D, L)
    L = u.shape[-1]
    y = selective_scan(
        u,
        torch.full_like(u, 0.1),
        A.expand(3, 4),
        B[:, None].expand(2, 4, L),
        C[:, None].expand(2, 4, L),
        torch.full((3,), D, dtype=f64),
        backend="reference",
    )
    close(y, recurrence(*mamba(A, B, 0.1), C, u, D))


@each_system
def test_stability(A, B, C):
    for delta in (1e-3, 1.0, 1e3):
        for rule in (zoh, bilinear, mamba):
            assert spectral_radius(rule(A, B, delta)[0]) < 1
    assert spectral_radius(euler(A, B, 1e-3)[0]) < 1 < spectral_radius(euler(A, B, 1e3)[0])


def test_euler_is_unstable_beyond_two_time_constants():
    A, B = torch.tensor([-4.0], dtype=f64), torch.ones(1, dtype=f64)
    assert spectral_radius(euler(A, B, 0.499)[0]) < 1 < spectral_radius(euler(A, B, 0.501)[0])


def test_a_sequence_can_be_continued_from_its_last_state():
    A, B, C = SYSTEMS["dense"]
    A_bar, B_bar = zoh(A, B, 0.1)
    u = random(2, 30)
    h = states(A_bar, B_bar, u[:, :11])[:, -1]
    close(recurrence(A_bar, B_bar, C, u)[:, 11:], recurrence(A_bar, B_bar, C, u[:, 11:], h0=h))


@pytest.mark.parametrize("length", [1, 5, 16, 40])
def test_a_kernel_of_any_length_is_causal(length):
    u = torch.zeros(16, dtype=f64)
    u[9] = 1
    K = random(length)
    for y in (convolve(u, K), convolve_fft(u, K)):
        assert y.shape == u.shape
        close(y[:9], torch.zeros(9, dtype=f64))
        close(y[9 : 9 + length], K[: min(length, 7)])


def test_hippo_states_are_legendre_coefficients_of_the_past():
    A, B = hippo_legs(6)
    t = torch.linspace(0, 4, 9, dtype=f64)
    for n in range(6):
        C = torch.eye(6, dtype=f64)[n]
        x = torch.exp(-t)
        L_n = math.sqrt(2 * n + 1) * torch.from_numpy(legendre.legval(2 * x.numpy() - 1, np.eye(6)[n]))
        close(impulse_response(A, B, C, t), x * L_n)


def test_initial_matrices():
    close(s4d_real(3), torch.tensor([-1, -2, -3], dtype=f64))
    close(s4d_lin(4), torch.tensor([-0.5, -0.5 + math.pi * 1j], dtype=torch.complex128))
    A, B = hippo_legs(3)
    r = math.sqrt
    close(A, -torch.tensor([[1, 0, 0], [r(3), 2, 0], [r(5), r(15), 3]], dtype=f64))
    close(B, torch.tensor([1, r(3), r(5)], dtype=f64))


def test_float32_stays_float32():
    A, B, C = (part.float() for part in SYSTEMS["diagonal"])
    u = random(8).float()
    for rule in RULES:
        A_bar, B_bar = discretise(A, B, 0.1, rule)
        assert recurrence(A_bar, B_bar, C, u).dtype == kernel(A_bar, B_bar, C, 8).dtype == torch.float32


def v(n, dtype=f64):
    return torch.ones(n, dtype=dtype)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: discretise(-v(2), v(2), 0.1, "zho"), "Did you mean 'zoh'"),
        (lambda: discretise(-v(2), v(2), 0.0), "delta = 0.0"),
        (lambda: discretise(-v(2), v(2), math.nan), "delta = nan"),
        (lambda: discretise(v((2, 3)), v(2), 0.1), r"A has shape \(2, 3\)"),
        (lambda: discretise(-v(2), v(3), 0.1), r"B has shape \(3,\).* must be \(2,\)"),
        (lambda: recurrence(v(2), v(2), v(1), v(5)), r"C has shape \(1,\)"),
        (lambda: recurrence(v(2), v(2), v(2), v(0)), "at least one value"),
        (lambda: recurrence(v(2), v(2), v(2), v(5, torch.float32)), r"u is torch.float32 .* u.to\(torch.float64\)"),
        (lambda: kernel(v(2), v(2), v(2), 0), "length = 0"),
        (lambda: convolve(v(5), v((2, 2))), r"K has shape \(2, 2\)"),
        (lambda: convolve_fft(v(5), v(5, torch.complex128)), "must be real"),
        (lambda: impulse_response(-v(2), v(2), v(2), -v(1)), "none before 0"),
        (lambda: s4d_lin(5), "N = 5"),
    ],
)
def test_bad_arguments_are_named(call, says):
    with pytest.raises(LightMError, match=says):
        call()
