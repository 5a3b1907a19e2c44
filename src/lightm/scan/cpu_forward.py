"""The forward kernel of the CPU backend.

A task scans some blocks of channels of one batch item from the first token to the last. A block is as many neighbouring
channels as fit in a vector register, W. Tokens come in chunks, so short that a chunk's rows stay in the fastest cache;
in a chunk, tokens are the innermost loop, with TILE of the N states in registers:

    for each chunk:  for each block:  for each TILE of the N states:  for each token:  h = exp(delta A) h + delta u B
"""

from lightm.scan.simd import add_parts, kernel, lanes, load, scratch, spread, store
from lightm.scan.simd_math import exp2, sigmoid, softplus

CHUNK = 32  # tokens; also the distance between the states that are kept for the backward pass
TILE = 4  # states in registers at a time


@kernel
def forward_task(task, shape, u, delta, z, B, C, A, D, bias, y, h, states, use_softplus, gated, keep):
    """Scans channel blocks `first` to `last` of batch item `item`; task = (item, first, last), shape = (L, N, blocks).

    u, delta, z, B, C, y: (flat array, stride of a batch item, stride of a token)   A: (blocks, N, W), times log2(e)
    D, bias: (blocks * W)   h: (batch, blocks, N, W), the state, in and out   states: (batch, chunks, blocks, N, W)
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
    chunks = (L + CHUNK - 1) // CHUNK

    # A chunk of the task, block after block: (last - first, CHUNK, W)
    step = scratch(u_data, (last - first) * CHUNK * W)  # delta after bias and softplus
    step_u = scratch(u_data, step.size)  # delta u
    out = scratch(u_data, step.size)

    for chunk in range(chunks):
        start = chunk * CHUNK
        tokens = min(CHUNK, L - start)

        # 1. Row by row, as memory lies: what does not depend on the states.
        for k in range(tokens):
            u_row = item * u_item + (start + k) * u_token
            delta_row = item * delta_item + (start + k) * delta_token
            for j in range(first, last):
                at = ((j - first) * CHUNK + k) * W
                dt = load(delta_data, delta_row + j * W, 1) + load(bias, j * W, 1)
                if use_softplus:
                    dt = softplus(dt)
                u_t = load(u_data, u_row + j * W, 1)
                store(step, at, dt)
                store(step_u, at, dt * u_t)
                store(out, at, load(D, j * W, 1) * u_t)

        # 2. The recurrence, for one tile of states at a time.
        for j in range(first, last):
            for n in range(0, N, TILE):
                a = load(A, (j * N + n) * W, 4)
                at_h = ((item * blocks + j) * N + n) * W
                h_t = load(h, at_h, 4)
                if keep:
                    store(states, (((item * chunks + chunk) * blocks + j) * N + n) * W, h_t)
                for k in range(tokens):
                    at = ((j - first) * CHUNK + k) * W
                    B_t = spread(B_data, item * B_item + (start + k) * B_token + n, 4)
                    C_t = spread(C_data, item * C_item + (start + k) * C_token + n, 4)
                    h_t = exp2(load(step, at, 1) * a) * h_t + load(step_u, at, 1) * B_t
                    store(out, at, load(out, at, 1) + add_parts(h_t * C_t))
                store(h, at_h, h_t)

        # 3. Row by row again: the gate.
        for k in range(tokens):
            y_row = item * y_item + (start + k) * y_token
            z_row = item * z_item + (start + k) * z_token
            for j in range(first, last):
                y_t = load(out, ((j - first) * CHUNK + k) * W, 1)
                if gated:
                    z_t = load(z_data, z_row + j * W, 1)
                    y_t = y_t * (z_t * sigmoid(z_t))
                store(y_data, y_row + j * W, y_t)
