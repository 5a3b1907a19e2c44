"""The scan in plain PyTorch, for every device: all chunks of the sequence advance together, one token at a time.

The tokens are cut into M chunks of K, K about sqrt(L). Three sweeps, each over (batch, chunks, channels, states):
  1. from a zero state, the state at the end of every chunk (K steps);
  2. the state that enters every chunk, H_{m+1} = P_m H_m + h_m with P_m = exp(A * sum of delta in chunk m) (M steps);
  3. the outputs, from the right entering states (K steps).
Every decay is the exponential of a sum; nothing is divided by a decay, so nothing underflows when delta A is large.
Memory beside the inputs: some (B, M, N, D) arrays, and for the backward pass one state in SPACING tokens, where the
textbook's parallel scans need several (B, L, D, N) arrays.

Inside, states lie as (N, D), channels fastest: PyTorch's broadcast products then run over all channels at a time and
the sum over the states, y = C h, is a matrix product. The decays are powers of two, exp(delta A) = 2^(delta A log2
e), which PyTorch computes faster than exp.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightm.cpu import threads
from lightm.cpu.cores import processors
from lightm.cpu.memory import new_empty
from lightm.scan.inputs import ScanInputs

SPACING = 16  # tokens between the states that are kept for the backward pass: for N = 16, as many numbers as u has


def unavailable(device: torch.device) -> str:
    """Why this backend can't run on `device`; empty if it can. It runs wherever torch runs."""
    return ""


def chunk_length(length: int) -> int:
    """K: the power of two next to sqrt(L), so that K steps and M steps are about as many."""
    K = 8
    while 2 * K * K < length:
        K *= 2
    return K


def states_shape(batch: int, length: int, channels: int, d_state: int) -> tuple[int, ...]:
    """Shape of what `forward` keeps for `backward`: every chunk's state before every SPACING-th of its tokens."""
    K = chunk_length(length)
    return (max(1, K // SPACING), batch, (length + K - 1) // K, d_state, channels)


def forward(inputs: ScanInputs, keep_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """y (B, L, D), last state (B, D, N), what `states_shape` describes or an empty tensor. Inputs are of one dtype."""
    parts = _on_all_cores(lambda part: _forward(inputs.channels(part), keep_states), inputs.u)
    if len(parts) == 1:
        return parts[0]
    y, last_state, states = zip(*parts, strict=True)
    return torch.cat(y, 2), torch.cat(last_state, 1), torch.cat(states, -1)


def backward(
    grad_y: Tensor, grad_last_state: Tensor | None, inputs: ScanInputs, states: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of u, delta, A, B, C, D, z, delta_bias (None where the input is None), in the layout of `forward`."""

    def gradients(part: slice) -> tuple[Tensor | None, ...]:
        last = None if grad_last_state is None else grad_last_state[:, part]
        return _backward(grad_y[..., part], last, inputs.channels(part), states[..., part])

    parts = _on_all_cores(gradients, inputs.u)
    if len(parts) == 1:
        return parts[0]
    u, delta, A, B, C, *others = zip(*parts, strict=True)
    others = (None if x[0] is None else torch.cat(x, -1) for x in others)  # D, z, delta_bias
    return torch.cat(u, 2), torch.cat(delta, 2), torch.cat(A), sum(B[1:], B[0]), sum(C[1:], C[0]), *others


def _on_all_cores(work: Callable[[slice], Any], u: Tensor) -> list[Any]:
    """What `work` returns for each part of the channels; on a CPU a core computes a part from beginning to end.

    The loops over tokens are thousands of small operations. If torch cut every one of them for all cores, the cores
    would have to meet after each, and where other programs keep a core busy, all would wait for it each time.
    """
    channels = u.shape[2]
    count = min(max(2, processors()), channels // 16) if u.device.type == "cpu" else 1
    if count <= 1 or threads.inside():
        return [work(slice(None))]
    cuts = [channels * i // count for i in range(count + 1)]
    results: list[Any] = [None] * count
    inference = torch.is_inference_mode_enabled()

    def task(i: int) -> None:
        with torch.inference_mode(inference), torch.no_grad():  # a matter of each thread
            results[i] = work(slice(cuts[i], cuts[i + 1]))

    tasks = [partial(task, i) for i in range(count)]
    if threads.are_torchs():
        threads.run(tasks)
    else:  # one part after the other: torch cuts their operations
        for part in tasks:
            part()
    return results


def _forward(inputs: ScanInputs, keep_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """`forward` of some channels."""
    u, delta, A, B, C, D, z, delta_bias, delta_softplus = inputs
    batch, L, channels = u.shape
    K = chunk_length(L)
    dt, _ = _step_sizes(delta, delta_bias, delta_softplus)
    dt_u, B_k, C_k, dt = (_by_step(x, K) for x in (dt * u, B, C, dt))  # (K, B, M, D or N)
    A2 = _base_two(A)  # (N, D)
    decay = u.new_empty((batch, dt.shape[2], A.shape[1], channels))  # (B, M, N, D), overwritten at every step

    h = torch.zeros_like(decay)
    for k in range(K):
        _advance(h, decay, dt[k], dt_u[k], A2, B_k[k])
    h, last_state = _carry(h, _chunk_decay(dt, A2), u.new_zeros(batch, A.shape[1], channels))

    states = new_empty(u, *(states_shape(batch, L, channels, A.shape[1]) if keep_states else (0,)))
    y = new_empty(u, *dt.shape)  # (K, B, M, D)
    for k in range(K):
        if keep_states and k % SPACING == 0:
            states[k // SPACING] = h
        _advance(h, decay, dt[k], dt_u[k], A2, B_k[k])
        torch.matmul(C_k[k].unsqueeze(2), h, out=y[k].unsqueeze(2))
    y = _by_token(y, L)
    if D is not None:
        y = torch.addcmul(y, D, u)
    if z is not None:
        y = y * F.silu(z)
    return y, last_state.mT.contiguous(), states


def _backward(
    grad_y: Tensor, grad_last_state: Tensor | None, inputs: ScanInputs, states: Tensor
) -> tuple[Tensor | None, ...]:
    """`backward` of some channels.

    With g_t = dLoss/dh_t the recurrence runs backwards, g_t = dy_t C_t + a_{t+1} g_{t+1}, a_t = exp(delta_t A), and
        dC_t = sum_d dy_t h_t    dB_t = sum_d g_t delta_t u_t    d(delta_t u_t) = sum_n g_t B_t
        d(delta_t A) = g_t a_t h_{t-1}
    """
    u, delta, A, B, C, D, z, delta_bias, delta_softplus = inputs
    batch, L, channels = u.shape
    N = A.shape[1]
    K = chunk_length(L)
    dt_tokens, dt_slope = _step_sizes(delta, delta_bias, delta_softplus)
    gate = torch.ones_like(u[:, :1]) if z is None else F.silu(z)
    dy = grad_y * gate  # (B, L, D): gradient of the output before the gate
    dt_u, B_k, C_k, dy_k, dt = (_by_step(x, K) for x in (dt_tokens * u, B, C, dy, dt_tokens))  # (K, B, M, D or N)
    A_t, A2 = A.t().contiguous(), _base_two(A)  # (N, D)
    decay = torch.empty_like(states[0])  # (B, M, N, D)

    # What each chunk hands to the one before it, had it received a zero gradient; then the carries, from right to left.
    g = torch.zeros_like(decay)
    for k in reversed(range(K)):
        g.addcmul_(dy_k[k].unsqueeze(2), C_k[k].unsqueeze(-1))
        g.mul_(_decay(dt[k], A2, decay))
    first = u.new_zeros(batch, N, channels) if grad_last_state is None else grad_last_state.mT
    g, _ = _carry(g.flip(1), _chunk_decay(dt, A2).flip(1), first)
    g = g.flip(1).contiguous()  # (B, M, N, D): a_{t+1} g_{t+1} at each chunk's last token t

    grad_dt, grad_dt_u = new_empty(u, *dt.shape), new_empty(u, *dt.shape)  # (K, B, M, D)
    grad_B, grad_C = new_empty(u, *B_k.shape), new_empty(u, *B_k.shape)  # (K, B, M, N)
    grad_A = torch.zeros_like(decay)  # a sum for each chunk, so that rounding errors don't grow with L
    y = new_empty(u, *dt.shape) if z is not None else None
    q = torch.empty_like(decay)
    # The states are needed in reverse order: they are computed again, SPACING tokens of every chunk at a time.
    S = min(K, SPACING)
    hs, decays = new_empty(u, S + 1, *decay.shape), new_empty(u, S, *decay.shape)  # filled again and again
    for first in reversed(range(0, K, S)):
        steps = range(first, first + S)
        hs[0] = states[first // S]
        for i, k in enumerate(steps):
            torch.mul(_decay(dt[k], A2, decays[i]), hs[i], out=hs[i + 1])
            hs[i + 1].addcmul_(dt_u[k].unsqueeze(2), B_k[k].unsqueeze(-1))
        for k in reversed(steps):
            h, h_before = hs[k - first + 1], hs[k - first]
            if y is not None:
                torch.matmul(C_k[k].unsqueeze(2), h, out=y[k].unsqueeze(2))
            g.addcmul_(dy_k[k].unsqueeze(2), C_k[k].unsqueeze(-1))  # now dLoss/dh_t
            torch.matmul(h, dy_k[k].unsqueeze(-1), out=grad_C[k].unsqueeze(-1))
            torch.matmul(g, dt_u[k].unsqueeze(-1), out=grad_B[k].unsqueeze(-1))
            torch.matmul(B_k[k].unsqueeze(2), g, out=grad_dt_u[k].unsqueeze(2))
            g.mul_(decays[k - first])
            torch.mul(g, h_before, out=q)
            grad_A.addcmul_(q, dt[k].unsqueeze(2))
            torch.sum(q.mul_(A_t), 2, out=grad_dt[k])

    grad_dt, grad_dt_u, grad_B, grad_C = (_by_token(x, L) for x in (grad_dt, grad_dt_u, grad_B, grad_C))
    grad_delta = torch.addcmul(grad_dt, grad_dt_u, u).mul_(dt_slope)
    grad_u = grad_dt_u.mul_(dt_tokens)
    grad_D = grad_z = grad_bias = None
    if z is not None:
        y = _by_token(y, L)
        y = y if D is None else torch.addcmul(y, D, u)
        sigma = torch.sigmoid(z)
        grad_z = grad_y * y * sigma * (1 + z * (1 - sigma))
    if D is not None:
        grad_u.addcmul_(D, dy)
        grad_D = (dy * u).sum((0, 1))
    if delta_bias is not None:
        grad_bias = grad_delta.sum((0, 1))
    return grad_u, grad_delta, grad_A.sum((0, 1)).t().contiguous(), grad_B, grad_C, grad_D, grad_z, grad_bias


def _step_sizes(delta: Tensor, delta_bias: Tensor | None, delta_softplus: bool) -> tuple[Tensor, Tensor]:
    """The discretisation steps (B, L, D) and their derivative by delta."""
    if delta_bias is not None:
        delta = delta + delta_bias
    if delta_softplus:
        return F.softplus(delta, threshold=40), torch.sigmoid(delta)
    return delta, torch.ones_like(delta[:, :1])


def _by_step(x: Tensor, K: int) -> Tensor:
    """(B, L, X) -> (K, B, M, X): token k of every chunk side by side. Padded tokens, all zero, change nothing."""
    x = F.pad(x, (0, 0, 0, -x.shape[1] % K)).unflatten(1, (-1, K)).permute(2, 0, 1, 3)
    return new_empty(x, *x.shape).copy_(x)


def _by_token(x: Tensor, L: int) -> Tensor:
    """(K, B, M, X) -> (B, L, X), the inverse of `_by_step`."""
    K, batch, M, X = x.shape
    tokens = new_empty(x, batch, M, K, X).copy_(x.permute(1, 2, 0, 3))
    return tokens.view(batch, M * K, X)[:, :L].contiguous()


def _base_two(A: Tensor) -> Tensor:
    """A (D, N) -> A log2(e), (N, D)."""
    return (A * math.log2(math.e)).t().contiguous()


def _decay(dt: Tensor, A2: Tensor, out: Tensor) -> Tensor:
    """exp(dt A) into `out` (B, M, N, D), from dt (B, M, D) and A2 (N, D)."""
    return torch.mul(dt.unsqueeze(2), A2, out=out).exp2_()


def _advance(h: Tensor, decay: Tensor, dt: Tensor, dt_u: Tensor, A2: Tensor, B: Tensor) -> None:
    """One token of every chunk, in place: h (B, M, N, D) <- exp(dt A) h + dt u B. `decay` is scratch memory."""
    h.mul_(_decay(dt, A2, decay)).addcmul_(dt_u.unsqueeze(2), B.unsqueeze(-1))


def _chunk_decay(dt: Tensor, A2: Tensor) -> Tensor:
    """P (B, M, N, D): how much of the state that enters a chunk is left at its end."""
    return torch.exp2(dt.sum(0).unsqueeze(2) * A2)


def _carry(ends: Tensor, decays: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """What enters each chunk (B, M, N, D), and what leaves the last (B, N, D), from `ends`, reached from zero."""
    entering = torch.empty_like(ends)
    carried = first
    for m in range(ends.shape[1]):
        entering[:, m] = carried
        carried = torch.addcmul(ends[:, m], decays[:, m], carried)
    return entering, carried
