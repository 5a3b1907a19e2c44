"""The backward kernel of the CPU backend.

With g_t = dLoss/dh_t and a_t = exp(delta_t A), for every channel d and state n,

    g_t = C_t dy_t + a_{t+1} g_{t+1}

runs from the last token to the first, and gives every gradient on its way:

    dC_t = sum_d dy_t h_t          d(delta_t u_t) = sum_n g_t B_t
    dB_t = sum_d delta_t u_t g_t   d(delta_t)     = sum_n A q_t + u_t d(delta_t u_t)     with q_t = a_t g_t h_{t-1}
                                   dA             = sum_t delta_t q_t

It needs the states h_t in reverse order. Dividing by a_t would lose them to rounding, storing all of them costs N times
the memory of u; so the states of a chunk are recomputed from the one kept before it, chunk by chunk from the last.
Sums over all tokens (dA, dD, d bias) are compensated: plain float32 sums over 262144 tokens are off by 1e-5.
"""

import math

import numpy as np

from lightm.cpu.cache import kernel
from lightm.cpu.math import add_compensated, sigmoid, softplus
from lightm.cpu.vectors import (
    add_parts,
    all_below,
    lanes,
    largest,
    load,
    prefetch,
    prefetch_to_write,
    scratch,
    spread,
    store,
    store_lane_sums,
    zeros,
)
from lightm.scan.cpu_forward import KEPT, NORMAL, TILE, prefetch_rows, store_decays

CHUNK = KEPT  # tokens
LN_2 = math.log(2)


@kernel
def backward_task(
    task,
    shape,
    u,
    delta,
    z,
    B,
    C,
    A,
    fastest,
    D,
    bias,
    states,
    dy,
    du,
    ddelta,
    dz,
    dB,
    dC,
    g,
    dA,
    dD,
    dbias,
    use_softplus,
    gated,
):
    """Gradients of channel blocks `first` to `last` of batch item `item`; arguments as in `forward_task`, and

    dy, du, ddelta, dz: like u   dB, dC: like B, sums over the channels of this task only
    g: (batch, blocks, N, W), a_{t+1} g_{t+1}: in, the gradient of the last state; out, that of the first
    dA: (batch, blocks, N, W), dD, dbias: (batch, blocks * W), written
    """
    item, first, last = task
    L, N, blocks = shape
    u_data, u_item, u_token = u
    delta_data, delta_item, delta_token = delta
    z_data, z_item, z_token = z
    B_data, B_item, B_token = B
    C_data, C_item, C_token = C
    dy_data, dy_item, dy_token = dy
    du_data, du_item, du_token = du
    ddelta_data, ddelta_item, ddelta_token = ddelta
    dz_data, dz_item, dz_token = dz
    dB_data, dB_item, dB_token = dB
    dC_data, dC_item, dC_token = dC
    W = lanes(u_data)
    chunks = (L + CHUNK - 1) // CHUNK
    count = last - first

    # A chunk of the task, block after block: (count, CHUNK, W)
    step = scratch(u_data, count * CHUNK * W)  # delta after bias and softplus
    step_slope = scratch(u_data, step.size)  # its derivative by delta
    step_u = scratch(u_data, step.size)  # delta u
    u_t = scratch(u_data, step.size)
    grad = scratch(u_data, step.size)  # dy, before the gate
    sum_gB = scratch(u_data, step.size)  # sum_n g B
    sum_qA = scratch(u_data, step.size)  # sum_n q A log2(e)
    out = scratch(u_data, step.size)  # y before the gate
    gate_grad = scratch(u_data, step.size)  # z, then dy * d SiLU(z) / dz
    # One tile of one block: (CHUNK, TILE, W), and h also after the last token
    decays = scratch(u_data, CHUNK * TILE * W)
    hs = scratch(u_data, (CHUNK + 1) * TILE * W)
    # dB and dC of one tile before the sum over lanes: (CHUNK, TILE, W)
    gx = scratch(u_data, CHUNK * TILE * W)
    hdy = scratch(u_data, gx.size)
    normal = np.empty(count, np.bool_)  # whether no exponent of the chunk exceeds NORMAL
    # What compensated sums lost, and the sums over a chunk
    dA_error = np.zeros(count * N * W, u_data.dtype)
    dD_error = np.zeros(count * W, u_data.dtype)
    dbias_error = np.zeros_like(dD_error)
    dD_chunk = np.zeros_like(dD_error)
    dbias_chunk = np.zeros_like(dD_error)

    for j in range(first, last):
        for n in range(N):
            store(dA, ((item * blocks + j) * N + n) * W, zeros(A, 1))
        store(dD, (item * blocks + j) * W, zeros(A, 1))
        store(dbias, (item * blocks + j) * W, zeros(A, 1))

    for chunk in range(chunks - 1, -1, -1):
        start = chunk * CHUNK
        tokens = min(CHUNK, L - start)
        before = max(start - CHUNK, 0)

        # 1. Row by row, as memory lies.
        for k in range(tokens):
            u_row = item * u_item + (start + k) * u_token
            delta_row = item * delta_item + (start + k) * delta_token
            z_row = item * z_item + (start + k) * z_token
            dy_row = item * dy_item + (start + k) * dy_token
            for j in range(first, last):
                at = ((j - first) * CHUNK + k) * W
                store(step, at, load(delta_data, delta_row + j * W, 1) + load(bias, j * W, 1))
                store(u_t, at, load(u_data, u_row + j * W, 1))
                store(grad, at, load(dy_data, dy_row + j * W, 1))
                if gated:
                    store(gate_grad, at, load(z_data, z_row + j * W, 1))

        for j in range(first, last):
            # 2. What does not depend on the states, four tokens at a time.
            rows = (j - first) * CHUNK * W
            longest = zeros(A, 4)
            for k in range(0, tokens, 4):
                at = rows + k * W
                dt = load(step, at, 4)
                if use_softplus:
                    store(step_slope, at, sigmoid(dt))
                    dt = softplus(dt)
                u_k = load(u_t, at, 4)
                longest = largest(longest, dt)
                store(step, at, dt)
                store(step_u, at, dt * u_k)
                store(sum_gB, at, zeros(A, 4))
                store(sum_qA, at, zeros(A, 4))
                if gated:
                    z_k = load(gate_grad, at, 4)
                    dy_k = load(grad, at, 4)
                    s = sigmoid(z_k)
                    store(out, at, u_k * load(D, j * W, 1))
                    store(gate_grad, at, dy_k * (s * (1.0 + z_k * (1.0 - s))))
                    store(grad, at, dy_k * (z_k * s))
            normal[j - first] = all_below(longest * load(fastest, j * W, 1), NORMAL)

        # 3. The states, forwards, and the gradients, backwards, for one tile of states and one block at a time. Tiles
        # are the outer loop, so that the sums over channels stay in the fastest cache. Meanwhile each token fetches a
        # few lines: of the chunk before this one, to be read, and of results, to be written.
        for n in range(0, N, TILE):
            for j in range(first, last):
                rows = (j - first) * CHUNK * W
                if n == 0 and N < 4 * TILE:  # see forward_task
                    prefetch_rows(u, item, before, CHUNK, j * W)
                    prefetch_rows(delta, item, before, CHUNK, j * W)
                    prefetch_rows(dy, item, before, CHUNK, j * W)
                a = load(A, (j * N + n) * W, 4)
                store_decays(decays, step, rows, a, tokens, normal[j - first])
                h = load(states, (((item * chunks + chunk) * blocks + j) * N + n) * W, 4)
                store(hs, 0, h)
                for i in range(TILE):
                    prefetch(states, (((item * chunks + max(chunk - 1, 0)) * blocks + j) * N + n + i) * W)
                for k in range(tokens):
                    at = rows + k * W
                    if n == 0:
                        prefetch(u_data, item * u_item + (before + k) * u_token + j * W)
                        if j == first:
                            prefetch(B_data, item * B_item + (before + k) * B_token)
                    elif n == TILE:
                        prefetch(delta_data, item * delta_item + (before + k) * delta_token + j * W)
                        if j == first:
                            prefetch(C_data, item * C_item + (before + k) * C_token)
                    elif n == 2 * TILE:
                        prefetch(dy_data, item * dy_item + (before + k) * dy_token + j * W)
                    elif gated and n == 3 * TILE:
                        prefetch(z_data, item * z_item + (before + k) * z_token + j * W)
                    B_k = spread(B_data, item * B_item + (start + k) * B_token + n, 4)
                    h = load(decays, k * TILE * W, 4) * h + load(step_u, at, 1) * B_k
                    store(hs, (k + 1) * TILE * W, h)
                    if gated:
                        C_k = spread(C_data, item * C_item + (start + k) * C_token + n, 4)
                        store(out, at, load(out, at, 1) + add_parts(h * C_k))
                at_g = ((item * blocks + j) * N + n) * W
                g_k = load(g, at_g, 4)
                dA_chunk = zeros(A, 4)
                for k in range(tokens - 1, -1, -1):
                    at = rows + k * W
                    tile = k * TILE * W
                    if n == 0:
                        if j == first:
                            prefetch_to_write(dB_data, item * dB_item + (before + k) * dB_token)
                            prefetch_to_write(dC_data, item * dC_item + (before + k) * dC_token)
                    elif n == TILE:
                        prefetch_to_write(du_data, item * du_item + (start + k) * du_token + j * W)
                    elif n == 2 * TILE:
                        prefetch_to_write(ddelta_data, item * ddelta_item + (start + k) * ddelta_token + j * W)
                    elif gated and n == 3 * TILE:
                        prefetch_to_write(dz_data, item * dz_item + (start + k) * dz_token + j * W)
                    dt = load(step, at, 1)
                    x = load(step_u, at, 1)
                    dy_k = load(grad, at, 1)
                    B_k = spread(B_data, item * B_item + (start + k) * B_token + n, 4)
                    C_k = spread(C_data, item * C_item + (start + k) * C_token + n, 4)
                    g_k = dy_k * C_k + g_k
                    if j == first:
                        store(hdy, tile, dy_k * h)
                        store(gx, tile, x * g_k)
                    else:
                        store(hdy, tile, load(hdy, tile, 4) + dy_k * h)
                        store(gx, tile, load(gx, tile, 4) + x * g_k)
                    store(sum_gB, at, load(sum_gB, at, 1) + add_parts(g_k * B_k))
                    g_k = g_k * load(decays, tile, 4)
                    h = load(hs, tile, 4)
                    q = g_k * h
                    dA_chunk = dA_chunk + q * dt
                    store(sum_qA, at, load(sum_qA, at, 1) + add_parts(q * a))
                store(g, at_g, g_k)
                add_compensated(dA, at_g, dA_error, ((j - first) * N + n) * W, dA_chunk, 4)
            for k in range(tokens):
                store_lane_sums(dB_data, item * dB_item + (start + k) * dB_token + n, load(gx, k * TILE * W, 4))
                store_lane_sums(dC_data, item * dC_item + (start + k) * dC_token + n, load(hdy, k * TILE * W, 4))

        # 4. Row by row again: what the sums over states and channels give.
        for k in range(tokens):
            du_row = item * du_item + (start + k) * du_token
            ddelta_row = item * ddelta_item + (start + k) * ddelta_token
            dz_row = item * dz_item + (start + k) * dz_token
            for j in range(first, last):
                at = ((j - first) * CHUNK + k) * W
                u_k = load(u_t, at, 1)
                dy_k = load(grad, at, 1)
                gB = load(sum_gB, at, 1)
                store(du_data, du_row + j * W, load(step, at, 1) * gB + load(D, j * W, 1) * dy_k)
                ddelta_k = u_k * gB + load(sum_qA, at, 1) * LN_2
                if use_softplus:
                    ddelta_k = ddelta_k * load(step_slope, at, 1)
                store(ddelta_data, ddelta_row + j * W, ddelta_k)
                store(dD_chunk, (j - first) * W, load(dD_chunk, (j - first) * W, 1) + dy_k * u_k)
                store(dbias_chunk, (j - first) * W, load(dbias_chunk, (j - first) * W, 1) + ddelta_k)
                if gated:
                    store(dz_data, dz_row + j * W, load(out, at, 1) * load(gate_grad, at, 1))
        for j in range(first, last):
            at = (j - first) * W
            add_compensated(dD, (item * blocks + j) * W, dD_error, at, load(dD_chunk, at, 1), 1)
            add_compensated(dbias, (item * blocks + j) * W, dbias_error, at, load(dbias_chunk, at, 1), 1)
            store(dD_chunk, at, zeros(A, 1))
            store(dbias_chunk, at, zeros(A, 1))
