"""The CPU kernels of `causal_conv_silu`: forward, and the backward pass that computes the convolution again.

With p_t = bias + sum_k w_k x_{t-k} (tap k looks k tokens back) and y_t = SiLU(p_t),

    g_t = dy_t SiLU'(p_t)    dx_t = sum_k w_k g_{t+k}    dw_k = sum_t g_t x_{t-k}    dbias = sum_t g_t.

Tokens come in pieces, one a task, and a piece in chunks that stay in the fastest caches; a vector holds neighbouring
channels. The last vector of a row may begin before the one before it ends, so that any number of channels is covered;
what overlaps is computed twice and written twice, the same. Sums over tokens are compensated, as the scan's.
"""

from functools import partial

import torch
from torch import Tensor

from lightm.cpu import threads
from lightm.cpu.arrays import flat, pieces, rows
from lightm.cpu.cache import kernel
from lightm.cpu.math import add_compensated, sigmoid
from lightm.cpu.memory import new_empty
from lightm.cpu.vectors import lanes, lanes_of, load, scratch, store, zeros

PIECE = 4096  # tokens of a task
CHUNK = 32


@kernel
def forward_task(task, x, weight, bias, y, channels, taps):
    """y = SiLU(conv(x)) for tokens `start` to `stop` of an item; task = (item, start, stop).

    x, y: (flat array, stride of an item, stride of a token)   weight: (taps, channels), tap k looks k tokens back
    """
    item, start, stop = task
    x_data, x_item, x_token = x
    y_data, y_item, y_token = y
    W = lanes(x_data)
    for t in range(start, stop):
        x_row = item * x_item + t * x_token
        y_row = item * y_item + t * y_token
        for block in range(0, channels, W):
            d = min(block, channels - W)
            p = load(bias, d, 1)
            for k in range(min(taps, t + 1)):
                p = p + load(weight, k * channels + d, 1) * load(x_data, x_row - k * x_token + d, 1)
            store(y_data, y_row + d, p * sigmoid(p))


@kernel
def backward_task(task, length, x, weight, bias, dy, dx, dweight, dbias, channels, taps):
    """dx for tokens `start` to `stop` of an item, and their share of dweight (taps, blocks * W), dbias (blocks * W)."""
    item, start, stop = task
    x_data, x_item, x_token = x
    dy_data, dy_item, dy_token = dy
    dx_data, dx_item, dx_token = dx
    W = lanes(x_data)
    blocks = (channels + W - 1) // W
    past = taps - 1  # tokens that a chunk sees beyond its ends
    x_rows, g_rows = CHUNK + 2 * past, CHUNK + past
    xs = scratch(x_data, blocks * x_rows * W)  # x from `past` tokens before the chunk, block after block
    gs = scratch(x_data, blocks * g_rows * W)  # g of the chunk and of `past` tokens behind it
    error = scratch(x_data, blocks * (taps + 1) * W)
    for i in range(0, error.size, W):
        store(error, i, zeros(x_data, 1))

    for first in range(start, stop, CHUNK):
        last = min(first + CHUNK, stop)
        end = min(last + past, length)
        for t in range(first - past, end):
            for j in range(blocks):
                d = min(j * W, channels - W)
                at = (j * x_rows + t - first + past) * W
                if t >= 0:
                    store(xs, at, load(x_data, item * x_item + t * x_token + d, 1))
                else:
                    store(xs, at, zeros(x_data, 1))
        for t in range(first, end):
            dy_row = item * dy_item + t * dy_token
            for j in range(blocks):
                d = min(j * W, channels - W)
                at = (j * x_rows + t - first + past) * W
                p = load(bias, d, 1)
                for k in range(taps):
                    p = p + load(weight, k * channels + d, 1) * load(xs, at - k * W, 1)
                s = sigmoid(p)
                g = load(dy_data, dy_row + d, 1) * (s * (1.0 + p * (1.0 - s)))
                store(gs, (j * g_rows + t - first) * W, g)
        for t in range(first, last):
            dx_row = item * dx_item + t * dx_token
            for j in range(blocks):
                d = min(j * W, channels - W)
                at = (j * g_rows + t - first) * W
                total = load(weight, d, 1) * load(gs, at, 1)
                for k in range(1, min(taps, end - t)):
                    total = total + load(weight, k * channels + d, 1) * load(gs, at + k * W, 1)
                store(dx_data, dx_row + d, total)
        for j in range(blocks):
            at_g, at_x = j * g_rows * W, (j * x_rows + past) * W
            total = zeros(x_data, 1)
            for t in range(last - first):
                total = total + load(gs, at_g + t * W, 1)
            add_compensated(dbias, j * W, error, (j * (taps + 1) + taps) * W, total, 1)
            for k in range(taps):
                total = zeros(x_data, 1)
                for t in range(last - first):
                    total = total + load(gs, at_g + t * W, 1) * load(xs, at_x + (t - k) * W, 1)
                add_compensated(dweight, (k * blocks + j) * W, error, (j * (taps + 1) + k) * W, total, 1)


def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (B, L, D), weight (D, 1, K), bias (D,), of one dtype -> (B, L, D), contiguous."""
    x, weight, bias, channels = _whole_vectors(x, weight, bias)
    y = new_empty(x, *x.shape)
    arguments = rows(x), flat(_taps(weight)), flat(bias), rows(y), x.shape[2], weight.shape[2]
    threads.run([partial(forward_task, task, *arguments) for task in pieces(*x.shape[:2], PIECE)])
    return y[..., :channels] if channels < y.shape[2] else y


def backward(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias."""
    x, weight, bias, channels = _whole_vectors(x, weight, bias)
    grad = torch.nn.functional.pad(grad, (0, x.shape[2] - channels)) if channels < x.shape[2] else grad
    batch, length, size = x.shape
    taps, W = weight.shape[2], lanes_of(flat(bias).dtype)
    blocks = -(-size // W)
    tasks = pieces(batch, length, PIECE)
    dx = new_empty(x, *x.shape)
    dweight, dbias = x.new_zeros(len(tasks), taps, blocks * W), x.new_zeros(len(tasks), blocks * W)
    inputs = length, rows(x), flat(_taps(weight)), flat(bias), rows(grad), rows(dx)
    threads.run(
        [
            partial(backward_task, task, *inputs, flat(dw), flat(db), size, taps)
            for task, dw, db in zip(tasks, dweight, dbias, strict=True)
        ]
    )
    keep = [*range((blocks - 1) * W), *range(blocks * W - (size - (blocks - 1) * W), blocks * W)]  # no lane twice
    dweight, dbias = (total.sum(0)[..., keep][..., :channels] for total in (dweight, dbias))
    return dx[..., :channels], dweight.flip(0).t().unsqueeze(1).contiguous(), dbias.contiguous()


def _taps(weight: Tensor) -> Tensor:
    """(D, 1, K) -> (K, D), tap k looking k tokens back."""
    return weight[:, 0].flip(1).t().contiguous()


def _whole_vectors(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
    """Padded with zeros where there are fewer channels than a vector has lanes; and how many there are."""
    bias = bias.contiguous()
    channels, missing = x.shape[2], lanes_of(flat(bias).dtype) - x.shape[2]
    if missing > 0:
        pad = torch.nn.functional.pad
        x, weight, bias = pad(x, (0, missing)), pad(weight, (0, 0, 0, 0, 0, missing)), pad(bias, (0, missing))
    return x, weight, bias, channels
