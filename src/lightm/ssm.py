"""The mathematics of chapter 1: a linear state-space model in continuous time, sampled, as recurrence and convolution.

    h'(t) = A h(t) + B u(t)            h_t = Ā h_{t-1} + B̄ u_t
     y(t) = C h(t) + D u(t)             y_t = C h_t + D u_t

One input u, one output y, N states h that start at zero. A is (N, N), or (N,) if it is diagonal; B and C are (N,), D is
a number. A complex A stands for itself and its conjugate, so the output is 2 Re(C h), as in S4D.

Everything here is time-invariant: A, B, C and the step Δ (`delta`) are constants. The selective scan, where they depend
on the input, is `lightm.scan`. Sources: Gu et al., S4 (arXiv 2111.00396); Gu et al., S4D (arXiv 2206.11893); Gu and
Dao, Mamba (arXiv 2312.00752), Section 2.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lightm.errors import LightMError, suggest

# ---- continuous time ------------------------------------------------------------------------------------------------


def impulse_response(A: Tensor, B: Tensor, C: Tensor, t: Tensor) -> Tensor:
    """C exp(A t) B at the times t (T,) >= 0: (T,).

    It is the output after an infinitely short pulse of area 1 at time 0.
    """
    _check_system(A, B, C)
    if t.dim() != 1 or (t < 0).any():
        raise LightMError("t must be times (T,), none before 0, when the pulse comes.")
    if A.dim() == 1:
        return read_out(C, torch.exp(t[:, None] * A) * B)  # (T, N) -> (T,)
    return read_out(C, torch.linalg.matrix_exp(t[:, None, None] * A) @ B)


# ---- discretisation: (A, B, delta) -> (A_bar, B_bar) ----------------------------------------------------------------


def zoh(A: Tensor, B: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    """Zero-order hold: exact for an input that is constant during each step.

    Source: Mamba, equation 4. Ā = exp(ΔA), B̄ = (ΔA)⁻¹ (exp(ΔA) - I) ΔB, without the inverse: A may be singular.
    """
    if A.dim() == 1:
        return torch.exp(delta * A), delta * _phi(delta * A) * B
    N = len(A)
    held = A.new_zeros(N + 1, N + 1)  # d/dt of (h, u) where u is held: [[A, B], [0, 0]]
    held[:N, :N], held[:N, N] = A, B
    step = torch.linalg.matrix_exp(delta * held)  # [[Ā, B̄], [0, 1]]
    return step[:N, :N], step[:N, N]


def bilinear(A: Tensor, B: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    """The trapezoidal rule, which S4 uses: Ā = (I - ΔA/2)⁻¹ (I + ΔA/2), B̄ = (I - ΔA/2)⁻¹ ΔB. Error O(Δ²)."""
    if A.dim() == 1:
        return (1 + delta * A / 2) / (1 - delta * A / 2), delta * B / (1 - delta * A / 2)
    eye = torch.eye(len(A), dtype=A.dtype)
    right = torch.column_stack([eye + delta * A / 2, delta * B])  # (N, N + 1)
    step = torch.linalg.solve(eye - delta * A / 2, right)
    return step[:, :-1], step[:, -1]


def euler(A: Tensor, B: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    """Forward Euler: Ā = I + ΔA, B̄ = ΔB. Error O(Δ), and unstable when Δ is too long for A."""
    eye = torch.ones_like(A) if A.dim() == 1 else torch.eye(len(A), dtype=A.dtype)
    return eye + delta * A, delta * B


def mamba(A: Tensor, B: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    """What Mamba's code computes: Ā = exp(ΔA) as zero-order hold, B̄ = ΔB as Euler.

    Error O(Δ), stable whenever A is. Its kernel is Δ times samples of the impulse response; a diagonal state is that of
    `zoh`, times z / (exp(z) - 1) with z = ΔA. Equation 4 of the paper is `zoh`; this is `selective_scan_ref` of
    mamba_ssm, and `lightm.scan`.
    """
    return zoh(A, B, delta)[0], delta * B


RULES = {"zoh": zoh, "bilinear": bilinear, "euler": euler, "mamba": mamba}


def discretise(A: Tensor, B: Tensor, delta: float, rule: str = "zoh") -> tuple[Tensor, Tensor]:
    """(A_bar, B_bar), of the shapes of A and B, for steps of length `delta`; `rule` is a name in `RULES`.

    LightMError for an unknown rule, shapes that do not fit, or a step that is not positive.
    """
    if rule not in RULES:
        raise LightMError(f"There is no discretisation {rule!r}. {suggest(str(rule), RULES)}")
    if not 0 < delta < math.inf:
        raise LightMError(f"delta = {delta} is not the length of a step; give a number above 0.")
    _check_system(A, B)
    return RULES[rule](A, B, delta)


def spectral_radius(A_bar: Tensor) -> float:
    """The largest |eigenvalue| of A_bar: below 1 the state forgets, above 1 it grows without limit."""
    return (A_bar if A_bar.dim() == 1 else torch.linalg.eigvals(A_bar)).abs().max().item()


# ---- discrete time: recurrence and convolution ----------------------------------------------------------------------


def states(A_bar: Tensor, B_bar: Tensor, u: Tensor, h0: Tensor | None = None) -> Tensor:
    """Every state h_1 … h_L of the recurrence: u (..., L) -> (..., L, N).

    h0 (..., N) is the state before the first step; without it, zero.
    """
    _check_system(A_bar, B_bar)
    _check_input(u, B_bar, "B_bar")
    h = torch.zeros_like(B_bar) if h0 is None else h0  # (N,) or (..., N)
    history = []
    for u_t in u.unbind(-1):  # u_t (...)
        carried = A_bar * h if A_bar.dim() == 1 else h @ A_bar.T  # (..., N)
        h = carried + u_t[..., None] * B_bar
        history.append(h)
    return torch.stack(history, dim=-2)


def read_out(C: Tensor, h: Tensor) -> Tensor:
    """C h for states h (..., N) -> (...); for a complex system 2 Re(C h)."""
    y = (h * C).sum(-1)
    return 2 * y.real if y.is_complex() else y


def recurrence(A_bar: Tensor, B_bar: Tensor, C: Tensor, u: Tensor, D: float = 0.0, h0: Tensor | None = None) -> Tensor:
    """The output step by step, L (3 N + 1) multiplications if A is diagonal: u (..., L) -> y (..., L)."""
    _check_system(A_bar, B_bar, C)
    return read_out(C, states(A_bar, B_bar, u, h0)) + D * u


def kernel(A_bar: Tensor, B_bar: Tensor, C: Tensor, length: int, D: float = 0.0) -> Tensor:
    """K = (C B̄ + D, C Ā B̄, C Ā² B̄, …), (length,): the answer to the input 1, 0, 0, …

    Source: S4, equation 5; Mamba, equation 3a.
    """
    _check_system(A_bar, B_bar, C)
    if length < 1:
        raise LightMError(f"length = {length}: a kernel has at least one value.")
    if A_bar.dim() == 1:
        powers = A_bar ** torch.arange(length)[:, None] * B_bar  # (length, N)
    else:
        column, columns = B_bar, []
        for _ in range(length):
            columns.append(column)
            column = A_bar @ column
        powers = torch.stack(columns)
    K = read_out(C, powers)
    K[0] += D
    return K


def convolve(u: Tensor, K: Tensor) -> Tensor:
    """Causal convolution, y_t = Σ_k K_k u_{t-k}: u (..., L) -> y (..., L).

    The kernel K may have any length; L len(K) multiplications.
    """
    _check_kernel(u, K)
    past = F.pad(u, (len(K) - 1, 0)).unfold(-1, len(K), 1)  # (..., L, len(K)), a view
    return past @ K.flip(0)


def convolve_fft(u: Tensor, K: Tensor) -> Tensor:
    """`convolve` by the fast Fourier transform, O(L log L).

    Padded with zeros, so that the end of the sequence can't meet its start.
    """
    _check_kernel(u, K)
    L = u.shape[-1]
    n = L + len(K) - 1
    return torch.fft.irfft(torch.fft.rfft(u, n) * torch.fft.rfft(K, n), n)[..., :L]


def transfer_function(A_bar: Tensor, B_bar: Tensor, C: Tensor, z: Tensor, D: float = 0.0) -> Tensor:
    """H(z) = Σ_k K_k z^-k = C (I - Ā/z)⁻¹ B̄ + D, for complex z (...) outside the spectral radius -> (...), complex.

    On the unit circle, z = exp(iω), it gives what becomes of an oscillation of ω radians per step.
    """
    _check_system(A_bar, B_bar, C)
    if A_bar.is_complex():  # with its conjugate, which the outputs elsewhere have as 2 Re
        A_bar, B_bar, C = (torch.cat([part, part.conj()]) for part in (A_bar, B_bar, C))
    if A_bar.dim() == 1:
        return (C * B_bar / (1 - A_bar / z[..., None])).sum(-1) + D
    A_bar, B_bar, C = (part.to(z.dtype) for part in (A_bar, B_bar, C))
    inverse = torch.linalg.inv(torch.eye(len(A_bar)) - A_bar / z[..., None, None])  # (..., N, N)
    return inverse @ B_bar @ C + D


# ---- matrices A to start from ---------------------------------------------------------------------------------------


def s4d_real(N: int) -> Tensor:
    """A_n = -1, -2, …, -N (N,), float64: N rates of forgetting (S4D-Real; Mamba, Section 3.6)."""
    return -torch.arange(1, N + 1, dtype=torch.float64)


def s4d_lin(N: int) -> Tensor:
    """A_n = -1/2 + iπn (N/2,), complex128: N/2 fading oscillations with their conjugates (S4D-Lin of the S4D paper)."""
    if N % 2:
        raise LightMError(f"N = {N} states can't be pairs of conjugates; give an even number.")
    return -0.5 + 1j * math.pi * torch.arange(N // 2, dtype=torch.float64)


def hippo_legs(N: int) -> tuple[Tensor, Tensor]:
    """A (N, N) and B (N,), float64, that keep the past as N coefficients of Legendre polynomials (HiPPO-LegS).

    State n is ∫ e^-τ L_n(e^-τ) u(t - τ) dτ, L_n orthonormal on [0, 1]; so u(t - τ) ≈ Σ_n h_n(t) L_n(e^-τ).
    Sources: Gu et al., HiPPO (arXiv 2008.07669), Theorem 2; in this time-invariant form S4, equation 2.
    """
    root = (2 * torch.arange(N, dtype=torch.float64) + 1).sqrt()  # sqrt(2n + 1)
    below = torch.outer(root, root).tril(-1)
    return -below - torch.diag(torch.arange(1, N + 1, dtype=torch.float64)), root


# ---- small parts ----------------------------------------------------------------------------------------------------


def _phi(z: Tensor) -> Tensor:
    """(exp(z) - 1) / z, and 1 at z = 0."""
    safe = torch.where(z == 0, 1, z)
    return torch.where(z == 0, 1, torch.expm1(safe) / safe)


def _check_system(A: Tensor, B: Tensor, C: Tensor | None = None) -> None:
    if A.dim() not in (1, 2) or A.shape[0] != A.shape[-1]:
        raise LightMError(f"A has shape {tuple(A.shape)}; it must be (N, N), or (N,) for a diagonal matrix.")
    for name, vector in (("B", B), ("C", C)):
        if vector is not None and vector.shape != A.shape[:1]:
            raise LightMError(
                f"{name} has shape {tuple(vector.shape)}; with A of {tuple(A.shape)} it must be ({len(A)},)."
            )


def _check_input(u: Tensor, other: Tensor, name: str) -> None:
    if u.dim() < 1 or u.shape[-1] < 1:
        raise LightMError(f"u has shape {tuple(u.shape)}; its last axis is the sequence and has at least one value.")
    if u.dtype != other.real.dtype:
        raise LightMError(f"u is {u.dtype} and {name} is {other.dtype}; convert one: u.to({other.real.dtype}).")


def _check_kernel(u: Tensor, K: Tensor) -> None:
    if K.dim() != 1 or not len(K) or K.is_complex():
        raise LightMError(
            f"The kernel K has shape {tuple(K.shape)}, {K.dtype}; it must be real numbers (L,), at least one."
        )
    _check_input(u, K, "K")
