"""The forward kernels of the GPU backend: chunk ends, carry, outputs.

The tokens are cut into M chunks of K. With a_t = exp(delta_t A) the recurrence h_t = a_t h_{t-1} + delta_t u_t B_t is
affine in the state, so over chunk m it is H_{m+1} = P_m H_m + E_m, where E_m is the state that the chunk reaches from
zero and P_m, a product of decays, is the exponential of a sum: P_m = exp(A * sum of delta over the chunk).
  1. `chunk_ends`: E_m and the sum of delta, all chunks at once;
  2. `carry`: H_m from chunk to chunk, a short recurrence of M steps, all channels and states at once;
  3. `outputs`: every chunk again, now from its true initial state, which gives y.
Nothing is divided by a decay, so a decay that underflows to zero only means that nothing is left.

A token is read twice, and every decay computed twice (chunk_ends and outputs): that is the price of being parallel over
the sequence. What is kept for the backward are the states between the chunks, (B, M - 1, N, D).

Arguments of all kernels: x_b, x_l, x_d are the strides of x by item, token and channel; A2 (N, D) is A log2(e), so
that a decay is one exp2; u, delta, z, B, C are read in their own dtypes; ACC is the dtype of the arithmetic and of the
rest. `zero` is 0, but Triton must not know it: addresses of unknown alignment are read lane by lane, a channel each,
and that keeps every tensor in the layout of gpu_math.py. Wider reads would cost a pass through shared memory each.
"""

import triton
import triton.language as tl

from lightm.scan.gpu_math import load_tokens, put_token, sigmoid, step_sizes, token


@triton.jit
def place(chunks, channel_blocks):
    """The (item, chunk, block of channels) of this program, of 64 bits; neighbours share a chunk's rows of B and C."""
    program = tl.program_id(0)
    block = program % channel_blocks
    chunk = program // channel_blocks % chunks
    item = program // channel_blocks // chunks
    return item.to(tl.int64), chunk.to(tl.int64), block.to(tl.int64)


@triton.jit(do_not_specialize=["zero"])
def chunk_ends(
    u,
    delta,
    A2,
    B,
    bias,
    ends,
    sums,
    u_b,
    u_l,
    u_d,
    delta_b,
    delta_l,
    delta_d,
    B_b,
    B_l,
    B_n,
    D,
    N,
    K,
    M,
    channel_blocks,
    zero,
    SOFTPLUS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    S: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ACC: tl.constexpr,
):
    """ends (B, M - 1, N, D): from zero, the state after each chunk but the last; sums (B, M - 1, D): of its delta."""
    item, chunk, block = place(M - 1, channel_blocks)
    s, n, lanes = tl.arange(0, S), tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_D) + zero
    index = s[:, None, None]
    first_d = block * BLOCK_D
    d = first_d + lanes
    d_mask, n_mask = d < D, n < N
    nd_mask = n_mask[:, None] & d_mask[None, :]
    a2 = tl.load(A2 + n[:, None] * D + d[None, :], mask=nd_mask, other=0.0)
    bias_d = tl.load(bias + d, mask=d_mask, other=0.0) if HAS_BIAS else 0.0
    u += item * u_b + first_d * u_d
    delta += item * delta_b + first_d * delta_d
    B += item * B_b

    h = tl.zeros([BLOCK_N, BLOCK_D], ACC)
    total = tl.zeros([BLOCK_D], ACC)
    for first in range(0, K, S):
        t0 = chunk * K + first  # all tokens of these chunks exist
        dt = load_tokens(delta, t0, delta_l, delta_d, s, lanes, d_mask[None, :], ACC)  # (S, D)
        dt = step_sizes(dt, bias_d, d_mask[None, :], HAS_BIAS, SOFTPLUS, ACC)
        dt_u = dt * load_tokens(u, t0, u_l, u_d, s, lanes, d_mask[None, :], ACC)
        B_t = load_tokens(B, t0, B_l, B_n, s, n, n_mask[None, :], ACC)  # (S, N)
        a = tl.exp2(dt[:, None, :] * a2[None, :, :])  # (S, N, D)
        x = dt_u[:, None, :] * B_t[:, :, None]
        for k in tl.static_range(S):
            h = token(a, index, k) * h + token(x, index, k)
        total += tl.sum(dt, 0)

    slot = item * (M - 1) + chunk
    tl.store(ends + (slot * N + n[:, None]) * D + d[None, :], h, mask=nd_mask)
    tl.store(sums + slot * D + d, total, mask=d_mask)


@triton.jit(do_not_specialize=["zero"])
def carry(
    values,
    sums,
    A2,
    first,
    first_b,
    first_d,
    first_n,
    slots,
    D,
    N,
    zero,
    REVERSE: tl.constexpr,
    HAS_FIRST: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    ACC: tl.constexpr,
):
    """values[i] <- exp(A sums[i]) values[i - 1] + values[i], in place, slot after slot (or from the last to the first).

    values (B, slots, N, D), sums (B, slots, D); `first` (B, D, N) stands before the first value, zero if absent.
    """
    blocks = tl.cdiv(N * D, BLOCK)
    program = tl.program_id(0).to(tl.int64)
    item = program // blocks
    x = program % blocks * BLOCK + tl.arange(0, BLOCK)
    x_mask = x < N * D
    n, d = x // D, x % D
    a2 = tl.load(A2 + x, mask=x_mask, other=0.0)
    carried = tl.zeros([BLOCK], ACC)
    if HAS_FIRST:
        carried += tl.load(first + item * first_b + d * first_d + n * first_n, mask=x_mask, other=0.0).to(ACC)
    carried = carried[None, :]  # (1, X), as `token` gives it
    rows = tl.arange(0, ROWS)
    index = rows[:, None, None]
    for done in range(0, slots, ROWS):
        i = (slots - 1 - done - rows) if REVERSE else (done + rows)
        mask = ((done + rows) < slots)[:, None] & x_mask[None, :]
        slot = (item * slots + i)[:, None]
        at = values + slot * N * D + x[None, :] + zero
        value = tl.load(at, mask=mask, other=0.0)[:, None, :]  # (rows, 1, X): many slots are on their way at once
        decay = tl.exp2(tl.load(sums + slot * D + d[None, :], mask=mask, other=0.0) * a2[None, :])[:, None, :]
        for k in tl.static_range(ROWS):
            carried = token(decay, index, k) * carried + token(value, index, k)
            value = put_token(value, index, k, carried)
        tl.store(at, tl.reshape(value, (ROWS, BLOCK)), mask=mask)


@triton.jit(do_not_specialize=["zero"])
def outputs(
    u,
    delta,
    A2,
    B,
    C,
    D_skip,
    z,
    bias,
    entering,
    y,
    last_state,
    u_b,
    u_l,
    u_d,
    delta_b,
    delta_l,
    delta_d,
    B_b,
    B_l,
    B_n,
    C_b,
    C_l,
    C_n,
    z_b,
    z_l,
    z_d,
    L,
    D,
    N,
    K,
    M,
    channel_blocks,
    zero,
    SOFTPLUS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_D: tl.constexpr,
    HAS_Z: tl.constexpr,
    S: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ACC: tl.constexpr,
):
    """y (B, L, D) and the last state (B, D, N), from entering (B, M - 1, N, D), the states before chunks 1 to M - 1."""
    item, chunk, block = place(M, channel_blocks)
    s, n, lanes = tl.arange(0, S), tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_D) + zero
    index = s[:, None, None]
    first_d = block * BLOCK_D
    d = first_d + lanes
    d_mask, n_mask = d < D, n < N
    nd_mask = n_mask[:, None] & d_mask[None, :]
    a2 = tl.load(A2 + n[:, None] * D + d[None, :], mask=nd_mask, other=0.0)
    bias_d = tl.load(bias + d, mask=d_mask, other=0.0) if HAS_BIAS else 0.0
    skip = tl.load(D_skip + d, mask=d_mask, other=0.0) if HAS_D else 0.0
    u += item * u_b + first_d * u_d
    delta += item * delta_b + first_d * delta_d
    B += item * B_b
    C += item * C_b
    z += item * z_b + first_d * z_d
    y += item * L * D + first_d

    slot = item * (M - 1) + chunk - 1
    h = tl.load(entering + (slot * N + n[:, None]) * D + d[None, :], mask=nd_mask & (chunk > 0), other=0.0)
    start = chunk * K
    for t0 in range(start, tl.minimum(start + K, L), S):
        exists = (s < L - t0)[:, None]
        mask, n_rows = exists & d_mask[None, :], exists & n_mask[None, :]
        dt = load_tokens(delta, t0, delta_l, delta_d, s, lanes, mask, ACC)  # (S, D)
        u_t = load_tokens(u, t0, u_l, u_d, s, lanes, mask, ACC)
        B_t = load_tokens(B, t0, B_l, B_n, s, n, n_rows, ACC)  # (S, N)
        C_t = load_tokens(C, t0, C_l, C_n, s, n, n_rows, ACC)
        dt = step_sizes(dt, bias_d, mask, HAS_BIAS, SOFTPLUS, ACC)
        a = tl.exp2(dt[:, None, :] * a2[None, :, :])  # (S, N, D)
        x = (dt * u_t)[:, None, :] * B_t[:, :, None]
        hs = tl.zeros([S, BLOCK_N, BLOCK_D], ACC)
        for k in tl.static_range(S):
            h = token(a, index, k) * h + token(x, index, k)
            hs = put_token(hs, index, k, h)
        y_t = tl.sum(hs * C_t[:, :, None], 1)  # (S, D)
        if HAS_D:
            y_t += skip[None, :] * u_t
        if HAS_Z:
            z_t = load_tokens(z, t0, z_l, z_d, s, lanes, mask, ACC)
            y_t *= z_t * sigmoid(z_t)
        tl.store(y + t0 * D + (s[:, None] * D + lanes[None, :]), y_t, mask=mask)

    if chunk == M - 1:
        tl.store(last_state + (item * D + d[None, :]) * N + n[:, None], h, mask=nd_mask)
