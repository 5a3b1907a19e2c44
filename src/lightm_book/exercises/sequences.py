"""Exercises of chapters 1 and 2: state-space models and the selective scan."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lightm_book.exercises.answers import RIGHT, Exercise, Function, Numbers


def random(*shape: int, seed: int = 0) -> Tensor:
    """Numbers of either sign, float64, the same in every call."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def convolve_with_room(u: Tensor, K: Tensor, n: int) -> Tensor:
    """The convolution of u and K (L,) through a ring of n places, its first L values."""
    return torch.fft.irfft(torch.fft.rfft(u, n) * torch.fft.rfft(K, n), n)[: len(u)]  # (L,)


def vandermonde(A_bar: Tensor, B_bar: Tensor, C: Tensor, length: int) -> Tensor:
    return A_bar ** torch.arange(length)[:, None] @ (C * B_bar)  # (length, N) @ (N,) -> (length,)


def doubling_max(u: Tensor, fill: float = -math.inf, rounds: int = 64) -> Tensor:
    reach = 1
    while reach < u.shape[-1] and rounds:
        u = torch.maximum(F.pad(u, (reach, 0), value=fill)[..., :-reach], u)
        reach, rounds = 2 * reach, rounds - 1
    return u


class _Calls(TorchFunctionMode):
    """The names of the torch functions that run inside."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.names.append(getattr(function, "__name__", str(function)))
        return function(*args, **(kwargs or {}))


ONE_CALL = "The numbers are right, but torch's own running maximum does the work: write the rounds yourself."
A_LOOP = "The numbers are right, but twice the tokens take twice the calls: in each round let all tokens work at once."


def in_rounds(function: Callable) -> str:
    """RIGHT if `function` needs few more calls for many more tokens, and isn't one ready-made call."""
    calls = {}
    for length in (32, 1024):
        with _Calls() as calls[length]:
            function(random(length))
    if {"cummax", "logcumsumexp"} & set(calls[1024].names):
        return ONE_CALL
    return RIGHT if len(calls[1024].names) < 4 * len(calls[32].names) else A_LOOP


def max_in_a_loop(u: Tensor) -> Tensor:
    kept = [u[..., 0]]
    for t in range(1, u.shape[-1]):
        kept.append(torch.maximum(kept[-1], u[..., t]))
    return torch.stack(kept, -1)


def gate_gradient(y: Tensor, z: Tensor, do: Tensor) -> Tensor:
    s = torch.sigmoid(z)
    return do * y * s * (1 + z * (1 - s))


EXERCISES: dict[str, Exercise] = {
    "ex-ssm-row": Numbers(
        truth=lambda: math.log(2) / 256,
        rel=0.03,
        slips=[
            (math.log(2), "With this step half is gone after one pixel; a row has 256 of them."),
            (1 / 256, "With this step 1/e is left after a row, which is less than half: where does ln 2 come in?"),
            (256 / math.log(2), "A larger step forgets faster: the number of pixels belongs below the fraction line."),
            (0.5 / 256, "The memory falls exponentially, not in equal portions: solve exp(−256 Δ) = 1/2."),
        ],
        hint="What is left after a row is exp(−256 Δ). For which Δ is that one half?",
    ),
    "ex-ssm-sum": Function(
        reference=lambda u: u.cumsum(0),
        cases=lambda: [(random(20),), (random(7, seed=1),)],
        slips=[
            (lambda u: u, "That is the input itself: with a factor of 1 the state keeps all earlier values, too."),
            (
                lambda u: u.cumsum(0) / torch.arange(1, len(u) + 1),
                "That is the mean so far. Nothing in the recurrence divides by the number of tokens.",
            ),
            (lambda u: u.sum().expand(len(u)), "That is the last state everywhere: token t sees tokens 1 to t only."),
            (lambda u: u.cumprod(0), "The factor multiplies the state; the new input is added to it."),
        ],
        hint="Write down the first three states: h₁, h₂ and h₃ as sums of inputs.",
    ),
    "ex-ssm-vandermonde": Function(
        reference=vandermonde,
        cases=lambda: [
            (random(n).sigmoid(), random(n, seed=1), random(n, seed=2), length) for n, length in ((4, 12), (3, 5))
        ],
        slips=[
            (
                lambda A, B, C, n: A ** torch.arange(1, n + 1)[:, None] @ (C * B),
                "The powers begin with k = 0: a token reaches its own output without any decay.",
            ),
            (lambda A, B, C, n: A ** torch.arange(n)[:, None] @ C, "The input enters through B̄: it is missing here."),
            (lambda A, B, C, n: A ** torch.arange(n)[:, None] @ B, "The state is read through C: it is missing here."),
            (
                lambda A, B, C, n: A ** torch.arange(n)[:, None] * (C * B),
                "These are the kernels of the single states: their sum over n is asked for.",
            ),
        ],
        hint="Build the matrix Ā_n^k, one row for each k from 0 on, and multiply it with the vector C_n B̄_n.",
    ),
    "ex-ssm-wrap": Function(
        reference=lambda u, K: convolve_with_room(u, K, 2 * len(u) - 1),
        # Kernels that forget nothing: room for only a part of the tail is not enough, however long the row.
        cases=lambda: [(random(n, seed=n), 1 + random(n).abs()) for n in (5, 64, 300)],
        slips=[
            (
                lambda u, K: convolve_with_room(u, K, len(u)),
                "Without padding the end of the row still runs into its beginning.",
            ),
            (
                lambda u, K: convolve_with_room(u, K, len(u) + 64),
                "A fixed number of zeros is enough for short memories only. How long is the full convolution?",
            ),
            (
                lambda u, K: convolve_with_room(u, K, len(u) + len(u) // 2),
                "The tail of the convolution is longer than that: two rows of L values overlap in how many places?",
            ),
            (
                lambda u, K: torch.fft.irfft(torch.fft.rfft(u, 2 * len(u)) * torch.fft.rfft(K, 2 * len(u))),
                "The padding is right; now cut the result to the pixels of the row.",
            ),
        ],
        hint="The first pixels are wrong if the ring is too small; the result has as many values as the row.",
        abs=1e-4,
    ),
    "ex-scan-compose": Numbers(
        truth=lambda: (0, 5),
        slips=[
            ((0, 2), "These are the steps from the last to the first. Token 1 acts first, token 3 last."),
            ((0, 6), "The offsets aren't simply added: what a token has added passes through the factors after it."),
            ((1.5, 6), "Factors multiply, and an offset passes through the factors of the tokens after it."),
            ((0, 3), "That is what token 3 adds. What token 2 has added is still there: its factor is 1."),
        ],
        hint="Apply the three functions h ↦ a h + b, one after the other, to an unknown h.",
    ),
    "ex-scan-max": Function(
        reference=doubling_max,
        cases=lambda: [(-random(13).abs() - 1,), (random(32),), (random(1),), (random(37, seed=1),)],
        slips=[
            (
                lambda u: doubling_max(u, fill=0.0),
                "Right for positive numbers only: 0 in front of the row wins against negative tokens.",
            ),
            (lambda u: doubling_max(u, rounds=1), "That is one round: it sees one token back. Double the reach."),
            (lambda u: u.cummax(-1).values, ONE_CALL),
            (max_in_a_loop, A_LOOP),
        ],
        also=in_rounds,
        hint="Compare with tokens.cummax(-1).values, also for negative tokens and for lengths that aren't powers of 2.",
    ),
    "ex-scan-stream": Function(
        reference=lambda h, delta, A, C: C * torch.exp(A * delta.cumsum(0)) * h,
        cases=lambda: [(0.7, random(6).abs(), -1.3, random(6, seed=1)), (-2.0, random(3).abs(), -0.2, random(3))],
        slips=[
            (
                lambda h, delta, A, C: C * torch.exp(A * delta) * h,
                "The state decays at every token: after t of them the steps add up.",
            ),
            (
                lambda h, delta, A, C: C * torch.exp(A * (delta.cumsum(0) - delta)) * h,
                "The state decays at the first token, too, before it is read there.",
            ),
            (
                lambda h, delta, A, C: torch.exp(A * delta.cumsum(0)) * h,
                "That is what is left of the state; the output reads it through C.",
            ),
        ],
        hint="How much of h is left after t tokens, and through what is it read?",
    ),
    "ex-scan-gate": Function(
        reference=gate_gradient,
        cases=lambda: [(random(9), random(9, seed=1), random(9, seed=2))],
        slips=[
            (
                lambda y, z, do: gate_gradient(y, z, torch.ones_like(y)),
                "The gradient of what comes after the gate is missing: the chain rule multiplies by it.",
            ),
            (
                lambda y, z, do: do * y * torch.sigmoid(z),
                "That is the first term of the product rule: σ(z) depends on z, too.",
            ),
            (
                lambda y, z, do: do * y * torch.sigmoid(z) * (1 - torch.sigmoid(z)),
                "That is the derivative of σ(z); SiLU is z σ(z).",
            ),
            (
                lambda y, z, do: gate_gradient(torch.ones_like(y), z, do),
                "The gate multiplies y: its derivative with respect to z contains y.",
            ),
        ],
        hint="Differentiate y z σ(z) with respect to z by the product rule, then multiply by the gradient from above.",
    ),
}
