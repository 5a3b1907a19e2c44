"""The backward kernels of the GPU backend: one sweep over the chunks, carry, gradients.

With g_t = dLoss/dh_t and r_t = a_t g_t, the recurrence of the backward runs from the last token to the first:

    g_t = C_t dy_t + r_{t+1}
    dC_t = sum_d dy_t h_t          d(delta_t u_t) = sum_n g_t B_t
    dB_t = sum_d delta_t u_t g_t   d(delta_t)     = sum_n A q_t + u_t d(delta_t u_t)     with q_t = g_t a_t h_{t-1}
                                   dA             = sum_t delta_t q_t

It is affine in r, so it has the forward's three phases: over a chunk, r at its first token is P r_{end} + G, with the
forward's P and G = sum_t (a_first ... a_t) C_t dy_t, what the chunk makes of an r of zero.
  1. `sweep`: forward in time over every chunk, from the state that enters it. It sums G, with the running product of
     the decays, and leaves the state at every SUB-th token, so that the last phase can begin there;
  2. `carry` (gpu_forward.py), from the last chunk to the first;
  3. `gradients`: every chunk from right to left. The states are needed in reverse order; dividing by a_t would lose
     them to rounding, keeping all of them costs N times the memory of u. So each SUB tokens are swept once more,
     leaving a state at every S-th token in a scratch that stays in the cache, and S tokens at a time are in registers.

Sums in a fixed order, and no atomics: dB and dC add up over the channels inside a program, block after block; where
the channels must be split into groups to fill the chip, each group writes sums of its own. dA, dD and d bias are
written per chunk. gpu.py adds what is left, in a fixed order too: gradients are the same bits from run to run.
"""

import triton
import triton.language as tl

from lightm.scan.gpu_forward import place
from lightm.scan.gpu_math import LN_2, load_tokens, put_token, sigmoid, step_sizes, sum_over_channels, token


@triton.jit(do_not_specialize=["zero"])
def sweep(
    u,
    delta,
    A2,
    B,
    C,
    z,
    bias,
    grad_y,
    entering,
    ends,
    sums,
    kept,
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
    grad_y_b,
    grad_y_l,
    grad_y_d,
    L,
    D,
    N,
    K,
    M,
    channel_blocks,
    zero,
    SOFTPLUS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_Z: tl.constexpr,
    SUB: tl.constexpr,
    S: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ACC: tl.constexpr,
):
    """Of every chunk: G into ends (B, M - 1, N, D) and the sum of delta into sums (B, M - 1, D), at slot chunk - 1 (the
    first chunk hands nothing on); and the state before every SUB-th token into kept (B, ceil(L / SUB), N, D)."""
    item, chunk, block = place(M, channel_blocks)
    s, n, lanes = tl.arange(0, S), tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_D) + zero
    index = s[:, None, None]
    first_d = block * BLOCK_D
    d = first_d + lanes
    d_mask, n_mask = d < D, n < N
    nd_mask = n_mask[:, None] & d_mask[None, :]
    nd = n[:, None] * D + d[None, :]
    a2 = tl.load(A2 + nd, mask=nd_mask, other=0.0)
    bias_d = tl.load(bias + d, mask=d_mask, other=0.0) if HAS_BIAS else 0.0
    u += item * u_b + first_d * u_d
    delta += item * delta_b + first_d * delta_d
    B += item * B_b
    C += item * C_b
    z += item * z_b + first_d * z_d
    grad_y += item * grad_y_b + first_d * grad_y_d
    kept += item * tl.cdiv(L, SUB) * N * D

    slot = item * (M - 1) + chunk - 1
    h = tl.load(entering + slot * N * D + nd, mask=nd_mask & (chunk > 0), other=0.0)
    product = tl.full([BLOCK_N, BLOCK_D], 1.0, ACC)
    G = tl.zeros([BLOCK_N, BLOCK_D], ACC)
    total = tl.zeros([BLOCK_D], ACC)
    start = chunk * K
    for sub in range(start, tl.minimum(start + K, L), SUB):
        tl.store(kept + sub // SUB * N * D + nd, h, mask=nd_mask)
        for t0 in range(sub, tl.minimum(sub + SUB, L), S):
            exists = (s < L - t0)[:, None]
            mask, n_rows = exists & d_mask[None, :], exists & n_mask[None, :]
            dt = load_tokens(delta, t0, delta_l, delta_d, s, lanes, mask, ACC)  # (S, D)
            u_t = load_tokens(u, t0, u_l, u_d, s, lanes, mask, ACC)
            dy = load_tokens(grad_y, t0, grad_y_l, grad_y_d, s, lanes, mask, ACC)
            B_t = load_tokens(B, t0, B_l, B_n, s, n, n_rows, ACC)  # (S, N)
            C_t = load_tokens(C, t0, C_l, C_n, s, n, n_rows, ACC)
            if HAS_Z:
                z_t = load_tokens(z, t0, z_l, z_d, s, lanes, mask, ACC)
                dy *= z_t * sigmoid(z_t)
            dt = step_sizes(dt, bias_d, mask, HAS_BIAS, SOFTPLUS, ACC)
            a = tl.exp2(dt[:, None, :] * a2[None, :, :])  # (S, N, D)
            x = (dt * u_t)[:, None, :] * B_t[:, :, None]
            w = dy[:, None, :] * C_t[:, :, None]
            for k in tl.static_range(S):
                h = token(a, index, k) * h + token(x, index, k)
                product *= token(a, index, k)
                G += product * token(w, index, k)
            total += tl.sum(dt, 0)

    if chunk > 0:
        tl.store(ends + slot * N * D + nd, G, mask=nd_mask)
        tl.store(sums + slot * D + d, total, mask=d_mask)


@triton.jit(do_not_specialize=["zero"])
def gradients(
    u,
    delta,
    A2,
    B,
    C,
    D_skip,
    z,
    bias,
    grad_y,
    arriving,
    grad_last,
    kept,
    scratch,
    du,
    ddelta,
    dz,
    dB,
    dC,
    dA,
    dD,
    dbias,
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
    grad_y_b,
    grad_y_l,
    grad_y_d,
    grad_last_b,
    grad_last_d,
    grad_last_n,
    L,
    D,
    N,
    K,
    M,
    batch,
    groups,
    group_blocks,
    zero,
    SOFTPLUS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_D: tl.constexpr,
    HAS_Z: tl.constexpr,
    HAS_LAST: tl.constexpr,
    SUB: tl.constexpr,
    S: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ACC: tl.constexpr,
):
    """Gradients of `group_blocks` blocks of channels over one chunk, work item after work item.

    arriving (B, M - 1, N, D): r from the right of chunks 0..M - 2; grad_last (B, D, N): that of the last chunk
    scratch: SUB / S tiles of states for every program
    du, ddelta, dz (B, L, D): written, in their own dtypes   dB, dC (groups, B, L, N): sums over the group's channels
    dA (B M, N, D), dD, dbias (B M, D): sums over the chunk's tokens
    """
    s, n, lanes = tl.arange(0, S), tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_D) + zero
    index = s[:, None, None]
    n_mask = n < N
    tile = n[:, None] * BLOCK_D + lanes[None, :]
    scratch += tl.program_id(0).to(tl.int64) * (SUB // S) * BLOCK_N * BLOCK_D
    for work in range(tl.program_id(0), batch * M * groups, tl.num_programs(0)):
        group = (work % groups).to(tl.int64)
        chunk = (work // groups % M).to(tl.int64)
        item = (work // groups // M).to(tl.int64)
        start = chunk * K
        subs = tl.cdiv(tl.minimum(K, L - start), SUB)
        B_i, C_i = B + item * B_b, C + item * C_b
        sums_bc = (group * batch + item) * L * N
        for nth in range(0, group_blocks):
            first_d = (group * group_blocks + nth) * BLOCK_D
            d = first_d + lanes
            d_mask = d < D
            nd_mask = n_mask[:, None] & d_mask[None, :]
            nd = n[:, None] * D + d[None, :]
            a2 = tl.load(A2 + nd, mask=nd_mask, other=0.0)
            bias_d = tl.load(bias + d, mask=d_mask, other=0.0) if HAS_BIAS else 0.0
            skip = tl.load(D_skip + d, mask=d_mask, other=0.0) if HAS_D else 0.0
            u_i = u + item * u_b + first_d * u_d
            delta_i = delta + item * delta_b + first_d * delta_d
            z_i = z + item * z_b + first_d * z_d
            grad_y_i = grad_y + item * grad_y_b + first_d * grad_y_d
            kept_i = kept + item * tl.cdiv(L, SUB) * N * D

            slot = item * (M - 1) + chunk
            r = tl.load(arriving + slot * N * D + nd, mask=nd_mask & (chunk < M - 1), other=0.0)
            if HAS_LAST:
                at_last = grad_last + item * grad_last_b + d[None, :] * grad_last_d + n[:, None] * grad_last_n
                r += tl.load(at_last, mask=nd_mask & (chunk == M - 1), other=0.0).to(ACC)
            sum_A = tl.zeros([BLOCK_N, BLOCK_D], ACC)
            sum_D = tl.zeros([BLOCK_D], ACC)
            sum_bias = tl.zeros([BLOCK_D], ACC)

            for sub_back in range(0, subs):
                sub = start + (subs - 1 - sub_back) * SUB
                tiles = tl.cdiv(tl.minimum(SUB, L - sub), S)
                h = tl.load(kept_i + sub // SUB * N * D + nd, mask=nd_mask, other=0.0)
                tl.debug_barrier()  # the scratch, dB and dC are shared by the program's threads
                for i in range(0, tiles):
                    tl.store(scratch + i * BLOCK_N * BLOCK_D + tile, h)
                    t0 = sub + i * S
                    exists = (s < L - t0)[:, None]
                    mask = exists & d_mask[None, :]
                    dt = load_tokens(delta_i, t0, delta_l, delta_d, s, lanes, mask, ACC)  # (S, D)
                    u_t = load_tokens(u_i, t0, u_l, u_d, s, lanes, mask, ACC)
                    B_t = load_tokens(B_i, t0, B_l, B_n, s, n, exists & n_mask[None, :], ACC)  # (S, N)
                    dt = step_sizes(dt, bias_d, mask, HAS_BIAS, SOFTPLUS, ACC)
                    a = tl.exp2(dt[:, None, :] * a2[None, :, :])  # (S, N, D)
                    x = (dt * u_t)[:, None, :] * B_t[:, :, None]
                    for k in tl.static_range(S):
                        h = token(a, index, k) * h + token(x, index, k)
                tl.debug_barrier()

                for back in range(0, tiles):
                    i = tiles - 1 - back
                    t0 = sub + i * S
                    h = tl.load(scratch + i * BLOCK_N * BLOCK_D + tile)
                    exists = (s < L - t0)[:, None]
                    mask, n_rows = exists & d_mask[None, :], exists & n_mask[None, :]
                    raw = load_tokens(delta_i, t0, delta_l, delta_d, s, lanes, mask, ACC)  # (S, D)
                    u_t = load_tokens(u_i, t0, u_l, u_d, s, lanes, mask, ACC)
                    dy = load_tokens(grad_y_i, t0, grad_y_l, grad_y_d, s, lanes, mask, ACC)
                    B_t = load_tokens(B_i, t0, B_l, B_n, s, n, n_rows, ACC)  # (S, N)
                    C_t = load_tokens(C_i, t0, C_l, C_n, s, n, n_rows, ACC)
                    out = t0 * D + first_d + (s[:, None] * D + lanes[None, :])
                    if HAS_Z:
                        z_t = load_tokens(z_i, t0, z_l, z_d, s, lanes, mask, ACC)
                        gate = sigmoid(z_t)
                        dgate = dy * gate * (1.0 + z_t * (1.0 - gate))
                        dy *= z_t * gate
                    dt = step_sizes(raw, bias_d, mask, HAS_BIAS, SOFTPLUS, ACC)
                    dt_u = dt * u_t

                    # The S states again, without what their own token adds: e_t = a_t h_{t-1}, h_t = e_t + x_t.
                    a = tl.exp2(dt[:, None, :] * a2[None, :, :])  # (S, N, D)
                    x = dt_u[:, None, :] * B_t[:, :, None]
                    w = dy[:, None, :] * C_t[:, :, None]
                    es = tl.zeros([S, BLOCK_N, BLOCK_D], ACC)
                    gs = tl.zeros([S, BLOCK_N, BLOCK_D], ACC)
                    for k in tl.static_range(S):
                        e = token(a, index, k) * h
                        h = e + token(x, index, k)
                        es = put_token(es, index, k, e)
                    for k in tl.static_range(S - 1, -1, -1):
                        g = token(w, index, k) + r
                        r = token(a, index, k) * g
                        gs = put_token(gs, index, k, g)

                    q = gs * es
                    sum_A += tl.sum(q * dt[:, None, :], 0)
                    d_dt_u = tl.sum(gs * B_t[:, :, None], 1)  # (S, D)
                    d_delta = tl.sum(q * a2[None, :, :], 1) * LN_2 + d_dt_u * u_t
                    if SOFTPLUS:
                        d_delta *= sigmoid(raw + bias_d[None, :]) if HAS_BIAS else sigmoid(raw)
                    if HAS_BIAS:
                        sum_bias += tl.sum(tl.where(mask, d_delta, 0.0), 0)
                    d_u = d_dt_u * dt
                    if HAS_D:
                        d_u += skip[None, :] * dy
                        sum_D += tl.sum(dy * u_t, 0)
                    if HAS_Z:
                        y = tl.sum(es * C_t[:, :, None], 1) + dt_u * tl.sum(B_t * C_t, 1)[:, None]
                        if HAS_D:
                            y += skip[None, :] * u_t
                        tl.store(dz + item * L * D + out, dgate * y, mask=mask)
                    tl.store(du + item * L * D + out, d_u, mask=mask)
                    tl.store(ddelta + item * L * D + out, d_delta, mask=mask)

                    d_B = sum_over_channels(gs * dt_u[:, None, :])  # (S, N)
                    d_C = sum_over_channels(es * dy[:, None, :]) + B_t * tl.sum(dt_u * dy, 1)[:, None]
                    rows = sums_bc + t0 * N + (s[:, None] * N + n[None, :])
                    if nth > 0:
                        d_B += tl.load(dB + rows, mask=n_rows, other=0.0)
                        d_C += tl.load(dC + rows, mask=n_rows, other=0.0)
                    tl.store(dB + rows, d_B, mask=n_rows)
                    tl.store(dC + rows, d_C, mask=n_rows)

            at = item * M + chunk
            tl.store(dA + at * N * D + nd, sum_A, mask=nd_mask)
            if HAS_D:
                tl.store(dD + at * D + d, sum_D, mask=d_mask)
            if HAS_BIAS:
                tl.store(dbias + at * D + d, sum_bias, mask=d_mask)
