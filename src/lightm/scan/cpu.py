"""The CPU backend: kernels compiled by numba on first use (no compiler needed) and cached on disk.

The arithmetic is in cpu_forward.py and cpu_backward.py, its vectors and threads in lightm.cpu. Here tensors are brought
into the layout of the kernels: channels are padded to whole vectors and states to whole tiles (LightM-UNet's need no
padding), and the scan is cut into tasks, a task being some blocks of channels of one batch item.

Results are the same bits from run to run and for any number of threads: where the channels are cut, and so the order in
which they are summed (dB, dC), depends on the number of processors that the process may use, not on its threads.
"""

import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightm.cpu import threads
from lightm.cpu.arrays import flat, rows, why_not_compiled
from lightm.cpu.cores import processors
from lightm.cpu.memory import new_empty
from lightm.cpu.vectors import lanes_of
from lightm.scan.cpu_backward import backward_task
from lightm.scan.cpu_forward import KEPT, TILE, forward_task
from lightm.scan.inputs import ScanInputs

MOST_LANES = 16  # of any processor and dtype, so that the shape of the kept states depends on neither
MOST_BLOCKS = 32  # of a task: its share of a chunk must fit in the second-level cache, but long rows are read faster


def unavailable(device: torch.device) -> str:
    """Why this backend can't run on `device`; empty if it can."""
    return why_not_compiled() if device.type == "cpu" else "it is for CPU tensors"


def states_shape(batch: int, length: int, channels: int, d_state: int) -> tuple[int, ...]:
    """Shape of what `forward` keeps for `backward`: the state before each chunk, padded."""
    padded_channels = (channels + MOST_LANES - 1) // MOST_LANES * MOST_LANES
    padded_states = (d_state + TILE - 1) // TILE * TILE
    return (batch, (length + KEPT - 1) // KEPT, padded_channels * padded_states)


class _Problem:
    """The inputs in the layout of the kernels, and the tasks into which the scan is cut."""

    def __init__(self, inputs: ScanInputs):
        u, delta, A, B, C, D, z, delta_bias, delta_softplus = inputs
        self.dtype = np.float32 if u.dtype == torch.float32 else np.float64
        self.W = W = lanes_of(self.dtype)
        self.batch, self.L, self.channels = u.shape
        self.d_state = A.shape[1]
        self.blocks, self.N = -(-self.channels // W), -(-self.d_state // TILE) * TILE
        self.shape = (self.L, self.N, self.blocks)
        per_channel = [torch.zeros(self.channels, dtype=u.dtype) if x is None else x for x in (D, delta_bias)]
        self.D, self.bias = (flat(_pad(x, W).contiguous()) for x in per_channel)
        A_blocks = self.to_blocks(A[None] / math.log(2))  # (1, blocks, N, W), padded with zeros
        self.A, self.fastest = flat(A_blocks), flat(F.pad(A_blocks, (0, 0, 0, 1)).abs().amax(2))
        self.u, self.delta = rows(_pad(u, W)), rows(_pad(delta, W))
        self.z = self.u if z is None else rows(_pad(z, W))  # never read if there is no gate
        self.B, self.C = rows(_pad(B, TILE)), rows(_pad(C, TILE))
        self.use_softplus, self.gated = delta_softplus, z is not None

        # As many tasks for a batch item as give every processor one, but at least so many that none is too large.
        tasks_an_item = 1 if self.batch % processors() == 0 else -(-processors() // self.batch)
        self.splits = min(self.blocks, max(tasks_an_item, -(-self.blocks // MOST_BLOCKS)))
        self.tasks = [
            (i, self.blocks * s // self.splits, self.blocks * (s + 1) // self.splits)
            for i in range(self.batch)
            for s in range(self.splits)
        ]

    def to_blocks(self, x: Tensor) -> Tensor:
        """(X, D, N) -> (X, blocks, N, W), padded with zeros."""
        x = F.pad(x, (0, self.N - self.d_state, 0, self.blocks * self.W - self.channels))
        return x.view(x.shape[0], self.blocks, self.W, self.N).transpose(2, 3).contiguous()

    def from_blocks(self, x: Tensor) -> Tensor:
        """(X, blocks, N, W) -> (X, D, N), the inverse."""
        x = x.transpose(2, 3).reshape(x.shape[0], self.blocks * self.W, self.N)
        return x[:, : self.channels, : self.d_state].contiguous()

    def rows_of_channels(self, like: Tensor) -> Tensor:
        """An uninitialised (B, L, D) tensor, D padded."""
        return new_empty(like, self.batch, self.L, self.blocks * self.W)


def forward(inputs: ScanInputs, keep_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """y (B, L, D), last state (B, D, N), kept states (`states_shape`) or an empty tensor; see chunked.forward."""
    u, p = inputs.u, _Problem(inputs)
    y = p.rows_of_channels(u)
    h = u.new_zeros(p.batch, p.blocks, p.N, p.W)
    states = new_empty(u, *(states_shape(p.batch, p.L, p.channels, p.d_state) if keep_states else (0,)))
    tensors = (p.u, p.delta, p.z, p.B, p.C, p.A, p.fastest, p.D, p.bias, rows(y), flat(h), flat(states))
    threads.run(
        [partial(forward_task, task, p.shape, *tensors, p.use_softplus, p.gated, keep_states) for task in p.tasks]
    )
    return _unpad(y, p.channels), p.from_blocks(h), states


def backward(
    grad_y: Tensor, grad_last_state: Tensor | None, inputs: ScanInputs, states: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of u, delta, A, B, C, D, z, delta_bias (None where the input is None), in the layout of `forward`."""
    u, p = inputs.u, _Problem(inputs)
    du, ddelta = p.rows_of_channels(u), p.rows_of_channels(u)
    dz = p.rows_of_channels(u) if p.gated else du  # never written if there is no gate
    # Each split of the channels sums dB and dC over its own; they are added in a fixed order below.
    dB, dC = ([new_empty(u, p.batch, p.L, p.N) for _ in range(p.splits)] for _ in "BC")
    if grad_last_state is None:
        grad_last_state = u.new_zeros(p.batch, p.channels, p.d_state)
    g = p.to_blocks(grad_last_state)
    dA = torch.empty_like(g)
    dD, dbias = (u.new_empty(p.batch, p.blocks * p.W) for _ in range(2))
    read = (p.u, p.delta, p.z, p.B, p.C, p.A, p.fastest, p.D, p.bias, flat(states), rows(_pad(grad_y, p.W)))
    by_token = (rows(du), rows(ddelta), rows(dz))
    totals = (flat(g), flat(dA), flat(dD), flat(dbias))
    sums = [(rows(dB[s]), rows(dC[s])) for s in range(p.splits)]
    threads.run(
        [
            partial(
                backward_task, task, p.shape, *read, *by_token, *sums[i % p.splits], *totals, p.use_softplus, p.gated
            )
            for i, task in enumerate(p.tasks)
        ]
    )
    dB, dC = (_unpad(_sum(x) if x else u.new_zeros(p.batch, p.L, p.N), p.d_state) for x in (dB, dC))
    return (
        _unpad(du, p.channels),
        _unpad(ddelta, p.channels),
        p.from_blocks(dA).sum(0),
        dB,
        dC,
        None if inputs.D is None else dD.sum(0)[: p.channels],
        None if inputs.z is None else _unpad(dz, p.channels),
        None if inputs.delta_bias is None else dbias.sum(0)[: p.channels],
    )


def _pad(x: Tensor, multiple: int) -> Tensor:
    """The last axis padded with zeros to a multiple, if it is not one."""
    return F.pad(x, (0, -x.shape[-1] % multiple)) if x.shape[-1] % multiple else x


def _sum(parts: list[Tensor]) -> Tensor:
    """The sum, in the order of the list, in the memory of the first."""
    for part in parts[1:]:
        parts[0] += part
    return parts[0]


def _unpad(x: Tensor, size: int) -> Tensor:
    return x if x.shape[-1] == size else x[..., :size].contiguous()
