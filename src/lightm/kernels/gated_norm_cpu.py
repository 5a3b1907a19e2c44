"""The CPU kernels of `gated_norm`.

With n = (y - mean) / std of a token's channels, a = weight n + bias, and the output a SiLU(z), of a gradient G:

    dz = G a SiLU'(z)      e = G SiLU(z) weight      dy = (e - mean(e) - n mean(e n)) / std
    dweight = sum_t G SiLU(z) n                      dbias = sum_t G SiLU(z)

A token's row stays in the fastest cache, so mean and deviation are computed again rather than kept. The last vector of
a row may begin before the one before it ends; `fresh` is 1 where a lane counts and 0 where it did already.
"""

from functools import partial

import numpy as np
import torch
from numba import njit
from torch import Tensor

from lightm.cpu import threads
from lightm.cpu.arrays import flat, pieces, rows
from lightm.cpu.cache import kernel
from lightm.cpu.math import add_compensated, sigmoid
from lightm.cpu.memory import new_empty
from lightm.cpu.vectors import lanes, lanes_of, load, scratch, store, zeros

PIECE = 4096  # tokens of a task
CHUNK = 32  # tokens between compensated sums


@njit(inline="always")
def lane_sum(vector, place, W):
    """The sum over the lanes; `place` is an array of W to do it in."""
    store(place, 0, vector)
    total = place[0]
    for i in range(1, W):
        total += place[i]
    return total


@njit(inline="always")
def statistics(y_data, row, fresh, channels, eps, place):
    """Mean and reciprocal deviation of a token's channels."""
    W = lanes(y_data)
    total = zeros(y_data, 1)
    for j in range((channels + W - 1) // W):
        total = total + load(fresh, j * W, 1) * load(y_data, row + min(j * W, channels - W), 1)
    mean = lane_sum(total, place, W) / channels
    total = zeros(y_data, 1)
    for j in range((channels + W - 1) // W):
        away = (load(y_data, row + min(j * W, channels - W), 1) - mean) * load(fresh, j * W, 1)
        total = total + away * away
    return mean, 1.0 / np.sqrt(lane_sum(total, place, W) / channels + eps)


@kernel
def forward_task(task, y, z, weight, bias, fresh, out, channels, eps):
    """out = LayerNorm(y) SiLU(z) for tokens `start` to `stop` of an item; task = (item, start, stop).

    y, z, out: (flat array, stride of an item, stride of a token)   weight, bias: (channels,)   fresh: (blocks * W,)
    """
    item, start, stop = task
    y_data, y_item, y_token = y
    z_data, z_item, z_token = z
    out_data, out_item, out_token = out
    W = lanes(y_data)
    place = scratch(y_data, W)
    for t in range(start, stop):
        y_row = item * y_item + t * y_token
        z_row = item * z_item + t * z_token
        out_row = item * out_item + t * out_token
        mean, scale = statistics(y_data, y_row, fresh, channels, eps, place)
        for block in range(0, channels, W):
            d = min(block, channels - W)
            n = (load(y_data, y_row + d, 1) - mean) * scale
            z_t = load(z_data, z_row + d, 1)
            a = n * load(weight, d, 1) + load(bias, d, 1)
            store(out_data, out_row + d, a * (z_t * sigmoid(z_t)))


@kernel
def backward_task(task, grad, y, z, weight, bias, fresh, dy, dz, dweight, dbias, channels, eps):
    """dy, dz for tokens `start` to `stop` of an item, and their share of dweight, dbias (blocks * W)."""
    item, start, stop = task
    grad_data, grad_item, grad_token = grad
    y_data, y_item, y_token = y
    z_data, z_item, z_token = z
    dy_data, dy_item, dy_token = dy
    dz_data, dz_item, dz_token = dz
    W = lanes(y_data)
    size = fresh.size
    place = scratch(y_data, W)
    e_row = scratch(y_data, size)
    n_row = scratch(y_data, size)
    dweight_chunk = scratch(y_data, size)
    dbias_chunk = scratch(y_data, size)
    error = scratch(y_data, 2 * size)
    for i in range(0, size, W):
        store(error, i, zeros(y_data, 1))
        store(error, size + i, zeros(y_data, 1))

    for first in range(start, stop, CHUNK):
        for i in range(0, size, W):
            store(dweight_chunk, i, zeros(y_data, 1))
            store(dbias_chunk, i, zeros(y_data, 1))
        for t in range(first, min(first + CHUNK, stop)):
            grad_row = item * grad_item + t * grad_token
            y_row = item * y_item + t * y_token
            z_row = item * z_item + t * z_token
            dy_row = item * dy_item + t * dy_token
            dz_row = item * dz_item + t * dz_token
            mean, scale = statistics(y_data, y_row, fresh, channels, eps, place)
            sum_e = zeros(y_data, 1)
            sum_en = zeros(y_data, 1)
            for i in range(0, size, W):
                d = min(i, channels - W)
                n = (load(y_data, y_row + d, 1) - mean) * scale
                w = load(weight, d, 1)
                z_t = load(z_data, z_row + d, 1)
                s = sigmoid(z_t)
                G = load(grad_data, grad_row + d, 1)
                store(dz_data, dz_row + d, G * (n * w + load(bias, d, 1)) * (s * (1.0 + z_t * (1.0 - s))))
                da = G * (z_t * s)
                e = da * w
                store(dweight_chunk, i, load(dweight_chunk, i, 1) + da * n)
                store(dbias_chunk, i, load(dbias_chunk, i, 1) + da)
                store(e_row, i, e)
                store(n_row, i, n)
                e = e * load(fresh, i, 1)
                sum_e = sum_e + e
                sum_en = sum_en + e * n
            mean_e = lane_sum(sum_e, place, W) / channels
            mean_en = lane_sum(sum_en, place, W) / channels
            for i in range(0, size, W):
                d = min(i, channels - W)
                store(dy_data, dy_row + d, (load(e_row, i, 1) - mean_e - load(n_row, i, 1) * mean_en) * scale)
        for i in range(0, size, W):
            add_compensated(dweight, i, error, i, load(dweight_chunk, i, 1), 1)
            add_compensated(dbias, i, error, size + i, load(dbias_chunk, i, 1), 1)


def forward(y: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """y, z (B, L, D), weight, bias (D,), of one dtype -> (B, L, D), contiguous."""
    out = new_empty(y, *y.shape)
    arguments = rows(y), rows(z), flat(weight), flat(bias), _fresh(weight), rows(out), y.shape[2], eps
    threads.run([partial(forward_task, task, *arguments) for task in pieces(*y.shape[:2], PIECE)])
    return out


def backward(grad: Tensor, y: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
    """Gradients of y, z, weight and bias."""
    fresh = _fresh(weight)
    tasks = pieces(*y.shape[:2], PIECE)
    dy, dz = new_empty(y, *y.shape), new_empty(y, *y.shape)
    dweight, dbias = (y.new_zeros(len(tasks), fresh.size) for _ in range(2))
    inputs = rows(grad), rows(y), rows(z), flat(weight), flat(bias), fresh, rows(dy), rows(dz)
    threads.run(
        [
            partial(backward_task, task, *inputs, flat(dw), flat(db), y.shape[2], eps)
            for task, dw, db in zip(tasks, dweight, dbias, strict=True)
        ]
    )
    counted = torch.from_numpy(fresh) > 0
    return dy, dz, dweight.sum(0)[counted], dbias.sum(0)[counted]


def _fresh(weight: Tensor) -> np.ndarray:
    """1 for the lanes that count, 0 for those of the last vector that the one before it has covered: (blocks * W,)."""
    channels, W = len(weight), lanes_of(flat(weight).dtype)
    blocks = -(-channels // W)
    fresh = np.ones(blocks * W, flat(weight).dtype)
    fresh[(blocks - 1) * W : blocks * W - (channels - (blocks - 1) * W)] = 0
    return fresh
