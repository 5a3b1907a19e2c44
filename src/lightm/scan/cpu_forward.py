"""The forward kernel of the CPU backend.

A task scans some blocks of channels of one batch item from the first token to the last. A block is as many neighbouring
channels as fit in a vector register, W. Tokens come in chunks, so short that a chunk's rows stay in the fastest cache;
in a chunk, tokens are the innermost loop, with TILE of the N states in registers:

    for each chunk:  for each block:  for each TILE of the N states:
        for each token:  decay = exp(delta A)
        for each token:  h = decay h + delta u B

The innermost loop is split in two because an exponential needs all registers, and does not depend on the token before
it: the processor works on the exponentials of several tokens at once, where the recurrence has to wait.
"""

from numba import njit

from lightm.cpu.cache import kernel
from lightm.cpu.math import exp2, exp2_normal, sigmoid, softplus
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
    zeros,
)

CHUNK = 16  # tokens whose rows are in the fastest cache at a time
KEPT = 32  # tokens between the states that are kept for the backward pass, whose chunks are as long; some CHUNKs
TILE = 4  # states in registers at a time
NORMAL = 126.0  # below it, the magnitude of an exponent makes 2**x a normal number in any format


@njit(inline="always")
def store_decays(decays, step, at, a, tokens, normal):
    """decays[k] = 2**(step[k] a) for a tile of states; step begins at `at`, and decays is (tokens, TILE, W).

    normal: no exponent of the chunk exceeds NORMAL, which in practice is always so; then each one goes unchecked.
    """
    W = lanes(decays)
    if normal:
        for k in range(tokens):
            store(decays, k * TILE * W, exp2_normal(load(step, at + k * W, 1) * a))
    else:
        for k in range(tokens):
            store(decays, k * TILE * W, exp2(load(step, at + k * W, 1) * a))


@njit(inline="always")
def prefetch_rows(rows, item, start, tokens, column):
    """Asks for one cache line of each of `tokens` rows, long before they are read; rows is (flat array, strides)."""
    data, item_stride, token_stride = rows
    for t in range(start, start + tokens):
        prefetch(data, item * item_stride + t * token_stride + column)


@kernel
def forward_task(task, shape, u, delta, z, B, C, A, fastest, D, bias, y, h, states, use_softplus, gated, keep):
    """Scans channel blocks `first` to `last` of batch item `item`; task = (item, first, last), shape = (L, N, blocks).

    u, delta, z, B, C, y: (flat array, stride of a batch item, stride of a token)   A: (blocks, N, W), times log2(e)
    fastest: (blocks * W), the largest |A| of a channel   D, bias: (blocks * W)
    h: (batch, blocks, N, W), the state, in and out   states: (batch, kept chunks, blocks, N, W)
    """
    item, first, last = task
    L, N, blocks = shape
    u_data, u_item, u_token = u
    delta_data, delta_item, delta_token = delta
    z_data, z_item, z_token = z
    B_data, B_item, B_token = B
    C_data, C_item, C_token = C
    y_data, y_item, y_token = y
    W = lanes(u_data)
    chunks, kept_chunks = (L + CHUNK - 1) // CHUNK, (L + KEPT - 1) // KEPT

    # A chunk of one block, (CHUNK, W): small enough for the fastest cache, with the rows that are fetched meanwhile
    step = scratch(u_data, CHUNK * W)  # delta after bias and softplus
    step_u = scratch(u_data, CHUNK * W)  # delta u
    out = scratch(u_data, CHUNK * W)
    decays = scratch(u_data, CHUNK * TILE * W)  # of one tile

    for chunk in range(chunks):
        start = chunk * CHUNK
        tokens = min(CHUNK, L - start)
        for j in range(first, last):
            # What is read after this: the next block, or the first one of the next chunk.
            next_start = start if j + 1 < last else start + tokens
            next_j = j + 1 if j + 1 < last else first
            tokens_ahead = min(CHUNK, L - next_start)

            # 1. The rows of the block, side by side.
            for k in range(tokens):
                t = start + k
                store(step, k * W, load(delta_data, item * delta_item + t * delta_token + j * W, 1))
                store(step_u, k * W, load(u_data, item * u_item + t * u_token + j * W, 1))

            # 2. What does not depend on the states, four tokens at a time (a few behind the last one do no harm).
            longest = zeros(u_data, 4)
            for k in range(0, tokens, 4):
                at = k * W
                dt = load(step, at, 4) + load(bias, j * W, 1)
                if use_softplus:
                    dt = softplus(dt)
                u_t = load(step_u, at, 4)
                longest = largest(longest, dt)
                store(step, at, dt)
                store(step_u, at, dt * u_t)
                store(out, at, u_t * load(D, j * W, 1))
            normal = all_below(longest * load(fastest, j * W, 1), NORMAL)

            # 3. The recurrence, for one tile of states at a time. Meanwhile each token fetches a line or so: many at
            # once would be more than the processor keeps track of. (With few states there are too few tiles for that.)
            if N < 4 * TILE:
                prefetch_rows(u, item, next_start, tokens_ahead, next_j * W)
                prefetch_rows(delta, item, next_start, tokens_ahead, next_j * W)
                prefetch_rows(z, item, next_start, tokens_ahead, next_j * W)
            for n in range(0, N, TILE):
                at_h = ((item * blocks + j) * N + n) * W
                h_t = load(h, at_h, 4)
                if keep and start % KEPT == 0:
                    at_kept = (((item * kept_chunks + start // KEPT) * blocks + j) * N + n) * W
                    store(states, at_kept, h_t)
                    for i in range(TILE):
                        prefetch_to_write(states, at_kept + (blocks * N + i) * W)
                store_decays(decays, step, 0, load(A, (j * N + n) * W, 4), tokens, normal)
                for k in range(tokens):
                    at = k * W
                    if n == 0:
                        prefetch(u_data, item * u_item + (next_start + k) * u_token + next_j * W)
                        if j == first:
                            prefetch(B_data, item * B_item + (start + CHUNK + k) * B_token)
                            prefetch(C_data, item * C_item + (start + CHUNK + k) * C_token)
                    elif n == TILE:
                        prefetch(delta_data, item * delta_item + (next_start + k) * delta_token + next_j * W)
                    elif n == 2 * TILE:
                        prefetch_to_write(y_data, item * y_item + (start + k) * y_token + j * W)
                    elif gated and n == 3 * TILE:
                        prefetch(z_data, item * z_item + (next_start + k) * z_token + next_j * W)
                    B_t = spread(B_data, item * B_item + (start + k) * B_token + n, 4)
                    C_t = spread(C_data, item * C_item + (start + k) * C_token + n, 4)
                    h_t = load(decays, k * TILE * W, 4) * h_t + load(step_u, at, 1) * B_t
                    store(out, at, load(out, at, 1) + add_parts(h_t * C_t))
                store(h, at_h, h_t)

            # 4. The gate.
            for k in range(tokens):
                y_t = load(out, k * W, 1)
                if gated:
                    z_t = load(z_data, item * z_item + (start + k) * z_token + j * W, 1)
                    y_t = y_t * (z_t * sigmoid(z_t))
                store(y_data, item * y_item + (start + k) * y_token + j * W, y_t)
