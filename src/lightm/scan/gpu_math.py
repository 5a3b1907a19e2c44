"""What the Triton kernels of the GPU backend share: loads, softplus and sigmoid, and tiles of tokens.

A program works on tiles of S tokens x N states x D channels, as one 3-D tensor. Triton spreads the last axis over the
32 lanes of a warp, so a thread holds all tokens and all states of one channel: the recurrence over the tokens and the
sums over the states stay inside a thread, and only sums over channels (dB, dC) cross lanes.

Triton cannot index a register tensor by token. `token` and `put_token` use a comparison instead; as the token
axis lies inside a thread, the compiler knows every comparison and nothing is left of them.
"""

import triton
import triton.language as tl

LOG2_E: tl.constexpr = tl.constexpr(1.4426950408889634)
LN_2: tl.constexpr = tl.constexpr(0.6931471805599453)


@triton.jit
def load_tokens(x, t0, stride_l, stride_x, s, xs, mask, ACC: tl.constexpr):
    """x[t0 + s, xs] (S, X) in the dtype of the arithmetic, zero where masked; t0 has 64 bits."""
    loaded = tl.load(x + t0 * stride_l + (s[:, None] * stride_l + xs[None, :] * stride_x), mask=mask, other=0.0)
    return tl.where(mask, loaded.to(ACC), 0.0)  # converted here, not in every thread that gets a copy of the value


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp2(-x * LOG2_E))


@triton.jit
def softplus(x, ACC: tl.constexpr):
    """log(1 + e**x) = max(x, 0) + log(1 + w) with w = e**-|x|.

    log(1 + w) = 2 artanh(s) = 2 s (1 + s^2/3 + s^4/5 + ...) with s = w / (2 + w) <= 1/3, accurate also for tiny w.
    """
    w = tl.exp2(-tl.abs(x) * LOG2_E)
    s = w / (2.0 + w)
    s2 = s * s
    if ACC == tl.float64:
        series = 2.0 / 33 + tl.zeros_like(x)
        for k in tl.static_range(15, -1, -1):
            series = series * s2 + 2.0 / (2 * k + 1)
    else:
        series = 2.0 / 15 + tl.zeros_like(x)
        for k in tl.static_range(6, -1, -1):
            series = series * s2 + 2.0 / (2 * k + 1)
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL) + s * series


@triton.jit
def step_sizes(delta, bias, mask, HAS_BIAS: tl.constexpr, SOFTPLUS: tl.constexpr, ACC: tl.constexpr):
    """The discretisation steps (S, D) of raw `delta` (S, D), zero where masked: such a token changes no state."""
    if HAS_BIAS:
        delta = delta + bias[None, :]
    if SOFTPLUS:
        delta = softplus(delta, ACC)
    return tl.where(mask, delta, 0.0)


@triton.jit
def minus_zero(dtype: tl.constexpr):
    """-0.0, which added to a number changes nothing, not even a zero's sign, so that the compiler drops the sum."""
    if dtype == tl.float64:  # two returns, one in each branch: Triton would compile a return after the `if` as well
        return tl.full((1, 1, 1), -(2**63), tl.int64).to(tl.float64, bitcast=True)
    else:
        return tl.full((1, 1, 1), -(2**31), tl.int32).to(tl.float32, bitcast=True)


@triton.jit
def token(x, index, K: tl.constexpr):
    """x[K] (N, D) of a tile x (S, N, D); index (S, 1, 1) counts its tokens."""
    return tl.sum(tl.where(index == K, x, minus_zero(x.dtype)), 0)


@triton.jit
def put_token(x, index, K: tl.constexpr, row):
    """The tile x (S, N, D) with x[K] = row (N, D)."""
    return tl.where(index == K, row[None, :, :], x)


@triton.jit
def add_pairs(x):
    """(R, 2 C) -> (R, C): neighbours added."""
    even, odd = tl.split(tl.reshape(x, (x.shape[0], x.shape[1] // 2, 2)))
    return even + odd


@triton.jit
def sum_over_channels(x):
    """(S, N, D) -> (S, N), D at most 32.

    `tl.sum` would exchange every value five times between lanes. Splitting makes the compiler transpose the tile once
    through shared memory, and every thread then adds values of its own, in fewer instructions.
    """
    y = tl.reshape(x, (x.shape[0] * x.shape[1], x.shape[2]))
    if y.shape[1] == 32:
        y = add_pairs(y)
    if y.shape[1] == 16:
        y = add_pairs(y)
    if y.shape[1] == 8:
        y = add_pairs(y)
    if y.shape[1] == 4:
        y = add_pairs(y)
    if y.shape[1] == 2:
        y = add_pairs(y)
    return tl.reshape(y, (x.shape[0], x.shape[1]))
