"""The GPU backend: Triton kernels, parallel over the sequence, for NVIDIA and AMD (Triton comes with PyTorch for both).

The mathematics is in gpu_forward.py and gpu_backward.py. Here the work is cut: chunks of K tokens, blocks of 32
channels, one warp for a block of up to 16 states. Few channels and a long sequence, as in LightM-UNet, still give
thousands of programs, because the chunks run side by side.

Inputs are read where they lie, with their strides and in their own dtypes, and converted in registers; float64 anywhere
makes the arithmetic float64. The lengths below depend on the shape alone, never on a measurement, and nothing is added
by atomics, so results are the same bits from run to run and from process to process on one kind of GPU.
"""

from functools import cache

import torch
import triton
from torch import Tensor

from lightm.scan import chunked
from lightm.scan.gpu_backward import gradients, sweep
from lightm.scan.gpu_forward import carry, chunk_ends, outputs
from lightm.scan.gpu_math import LOG2_E
from lightm.scan.inputs import ScanInputs

READS_ANY_DTYPE = True  # see ops.py

TILE = 4  # S: tokens in registers at a time; the backward keeps their states and decays there, 8 S registers per state
SUB = 64  # tokens between two states that the backward keeps in memory, while it runs
SHORTEST, LONGEST = SUB, 1024  # chunks
PROGRAMS = 8192  # of a kernel at least, if the sequence can be cut so far: twice what fits on today's largest chips
GRADIENT_ITEMS = 2048  # likewise for the last kernel, of which fewer fit
READABLE = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def unavailable(device: torch.device) -> str:
    """Why this backend can't run on `device`; empty if it can."""
    if interpreted():
        return "" if device.type == "cpu" else "with TRITON_INTERPRET=1 it is for CPU tensors"
    if device.type != "cuda":
        return "it is for CUDA and ROCm tensors"
    if not torch.cuda.is_available():
        return "PyTorch sees no GPU here"
    if torch.version.hip is None and torch.cuda.get_device_capability(device) < (7, 5):
        return "it needs compute capability 7.5 or newer (T4, RTX 20, ...)"
    return ""


def interpreted() -> bool:
    """Whether the kernels run on the CPU in Triton's interpreter (TRITON_INTERPRET=1 when this module was imported)."""
    return not isinstance(outputs, triton.runtime.JITFunction)


def chunk_length(batch: int, length: int, channels: int) -> int:
    """K: the longest power of two that still gives `PROGRAMS` programs."""
    K = LONGEST
    while K > SHORTEST and batch * channel_blocks(channels) * _cdiv(length, K) < PROGRAMS:
        K //= 2
    return K


def channel_blocks(channels: int) -> int:
    """Into how many blocks of up to 32 channels, a warp's lanes, the channels are cut."""
    return _cdiv(channels, 32)


def states_shape(batch: int, length: int, channels: int, d_state: int) -> tuple[int, ...]:
    """Shape of what `forward` keeps for `backward`: the states between the chunks."""
    chunks = _cdiv(length, chunk_length(batch, length, channels))
    return (batch, max(chunks - 1, 0), d_state, channels)


def forward(inputs: ScanInputs, keep_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """y (B, L, D) in u's dtype, last state (B, D, N), states between chunks or an empty tensor; see chunked.forward."""
    u, p = inputs.u, _Problem(inputs)
    states = p.new(*states_shape(p.batch, p.L, p.channels, p.d_state))
    if p.empty:
        y, last_state, _ = chunked.forward(p.widened(), False)
        return y, last_state, states if keep_states else p.new(0)
    y = torch.empty_like(u, memory_format=torch.contiguous_format)
    last_state = p.new(p.batch, p.channels, p.d_state)
    with p.on_device():
        if p.M > 1:
            sums = p.new(p.batch, p.M - 1, p.channels)
            grid = (p.batch * (p.M - 1) * p.blocks,)
            chunk_ends[grid](
                p.u, p.delta, p.A2, p.B, p.bias, states, sums,
                *p.u.stride(), *p.delta.stride(), *p.B.stride(), *p.sizes,
                **p.flags("SOFTPLUS", "HAS_BIAS"), **p.tiles,
            )  # fmt: skip
            _carry(p, states, sums, None, reverse=False)
        outputs[(p.batch * p.M * p.blocks,)](
            p.u, p.delta, p.A2, p.B, p.C, p.D, p.z, p.bias, states, y, last_state,
            *p.u.stride(), *p.delta.stride(), *p.B.stride(), *p.C.stride(), *p.z.stride(), p.L, *p.sizes,
            **p.flags("SOFTPLUS", "HAS_BIAS", "HAS_D", "HAS_Z"), **p.tiles,
        )  # fmt: skip
    return y, last_state, states if keep_states else p.new(0)


def backward(
    grad_y: Tensor, grad_last_state: Tensor | None, inputs: ScanInputs, states: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of u, delta, A, B, C, D, z, delta_bias (None where the input is None), in the layout of `forward`."""
    u, delta, z, p = inputs.u, inputs.delta, inputs.z, _Problem(inputs)
    if p.empty:
        _, _, states = chunked.forward(p.widened(), True)
        grad_last_state = None if grad_last_state is None else grad_last_state.to(p.dtype)
        return chunked.backward(grad_y.to(p.dtype), grad_last_state, p.widened(), states)
    grad_y = _readable(grad_y)
    du, ddelta = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (u, delta))
    dz = None if z is None else torch.empty_like(z, memory_format=torch.contiguous_format)
    groups, group_blocks = p.groups()
    dBC = p.new(2, groups, p.batch, p.L, p.d_state)
    per_chunk = p.batch * p.M
    dA = p.new(per_chunk, p.d_state, p.channels)
    dD, dbias = p.new(per_chunk, p.channels), p.new(per_chunk, p.channels)
    kept = p.new(p.batch, _cdiv(p.L, SUB), p.d_state, p.channels)
    states = states.view(states_shape(p.batch, p.L, p.channels, p.d_state))
    arriving, sums = torch.empty_like(states), p.new(p.batch, p.M - 1, p.channels)
    last = p.new(1, 1, 1) if grad_last_state is None else _readable(grad_last_state)
    items = per_chunk * groups
    programs = min(items, _gradient_programs(u.device))
    scratch = p.new(programs, SUB // TILE, p.tiles["BLOCK_N"], p.tiles["BLOCK_D"])
    strides = tuple(stride for x in (p.u, p.delta, p.B, p.C, p.z, grad_y) for stride in x.stride())
    with p.on_device():
        sweep[(per_chunk * p.blocks,)](
            p.u, p.delta, p.A2, p.B, p.C, p.z, p.bias, grad_y, states, arriving, sums, kept,
            *strides, p.L, *p.sizes,
            **p.flags("SOFTPLUS", "HAS_BIAS", "HAS_Z"), SUB=SUB, **p.tiles,
        )  # fmt: skip
        if p.M > 1:
            _carry(p, arriving, sums, grad_last_state, reverse=True)
        gradients[(programs,)](
            p.u, p.delta, p.A2, p.B, p.C, p.D, p.z, p.bias, grad_y, arriving, last, kept, scratch,
            du, ddelta, du if dz is None else dz, dBC[0], dBC[1], dA, dD, dbias,
            *strides, *last.stride(), p.L, *p.sizes[:4], p.batch, groups, group_blocks, 0,
            **p.flags("SOFTPLUS", "HAS_BIAS", "HAS_D", "HAS_Z"), HAS_LAST=grad_last_state is not None,
            SUB=SUB, **p.tiles,
        )  # fmt: skip
    dB, dC = (x[0] if groups == 1 else x.sum(0) for x in dBC)
    return (
        du,
        ddelta,
        dA.sum(0).t(),
        dB,
        dC,
        None if inputs.D is None else dD.sum(0),
        dz,
        None if inputs.delta_bias is None else dbias.sum(0),
    )


class _Problem:
    """The inputs in the layout of the kernels, and how the scan is cut."""

    def __init__(self, inputs: ScanInputs):
        u, delta, A, B, C, D, z, delta_bias, delta_softplus = self.inputs = inputs
        wide = any(x is not None and x.dtype == torch.float64 for x in inputs.tensors)
        self.dtype = torch.float64 if wide else torch.float32
        self.u, self.delta, self.B, self.C = (_readable(x) for x in (u, delta, B, C))
        self.z = self.u if z is None else _readable(z)  # a stand-in is never read
        self.A2 = (A.to(self.dtype) * LOG2_E.value).t().contiguous()  # (N, D)
        self.D, self.bias = (self.A2 if x is None else x.to(self.dtype).contiguous() for x in (D, delta_bias))
        self.present = {
            "SOFTPLUS": delta_softplus,
            "HAS_BIAS": delta_bias is not None,
            "HAS_D": D is not None,
            "HAS_Z": z is not None,
        }
        self.batch, self.L, self.channels = u.shape
        self.d_state = A.shape[1]
        self.blocks = channel_blocks(self.channels)
        self.K = chunk_length(self.batch, self.L, self.channels)
        self.M = _cdiv(self.L, self.K)
        self.sizes = (self.channels, self.d_state, self.K, self.M, self.blocks, 0)
        block_n = triton.next_power_of_2(max(self.d_state, 1))
        self.tiles = {
            "S": TILE,
            "BLOCK_N": block_n,
            "BLOCK_D": triton.next_power_of_2(min(max(self.channels, 1), 32)),
            "ACC": triton.language.float64 if self.dtype == torch.float64 else triton.language.float32,
            "num_warps": min(max(block_n // 16, 1), 16),  # 16 states a thread
        }

    @property
    def empty(self) -> bool:
        """Whether there is nothing for a kernel: then plain PyTorch gives the zeros, and what D and z make of them."""
        return 0 in (self.batch, self.L, self.channels, self.d_state)

    def widened(self) -> ScanInputs:
        return self.inputs.map(lambda x: x.to(self.dtype))

    def new(self, *shape) -> Tensor:
        return self.u.new_empty(shape, dtype=self.dtype)

    def flags(self, *names: str) -> dict[str, bool]:
        return {name: self.present[name] for name in names}

    def on_device(self):
        """Triton launches on the current device, which may be another than the tensors'."""
        return torch.cuda.device(self.u.device if self.u.is_cuda else -1)

    def groups(self) -> tuple[int, int]:
        """(groups, blocks of channels a group): as few groups as give the last kernel enough work items."""
        wanted = min(self.blocks, _cdiv(GRADIENT_ITEMS, self.batch * self.M))
        blocks = _cdiv(self.blocks, wanted)
        return _cdiv(self.blocks, blocks), blocks


def _carry(p: _Problem, values: Tensor, sums: Tensor, first: Tensor | None, reverse: bool) -> None:
    start = values[..., 0] if first is None else _readable(first)
    block = 64
    carry[(p.batch * _cdiv(p.d_state * p.channels, block),)](
        values, sums, p.A2, start, *start.stride(), p.M - 1, p.channels, p.d_state, 0,
        REVERSE=reverse, HAS_FIRST=first is not None, ROWS=16, BLOCK=block, ACC=p.tiles["ACC"], num_warps=1,
    )  # fmt: skip


@cache
def _gradient_programs(device: torch.device) -> int:
    """How many programs of the last kernel stay on the chip at once; it uses nearly all registers a thread may have."""
    if interpreted():
        return 3
    properties = torch.cuda.get_device_properties(device)
    return 8 * properties.multi_processor_count


def _readable(x: Tensor) -> Tensor:
    return x if x.dtype in READABLE else x.float()


def _cdiv(a: int, b: int) -> int:
    return (a + b - 1) // b
