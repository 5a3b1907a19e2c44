"""Memory of one training step, counted byte by byte and without allocating it.

`count_memory` runs forward and backward pass once on *fake* tensors: they have shapes, strides, dtypes and a device,
and no memory (torch's FakeTensorMode). It watches every operation, adds the bytes of each storage that an operation
makes, and takes them away when the storage dies, which happens as in a real step, because it is the same code and the
same autograd graph. So a step that needs more
memory than there is can be counted on a laptop.

Convention
    parameters, gradients   one number each; buffers are counted with the parameters
    optimizer               copies of the parameters that it keeps: two for Adam and AdamW, one for SGD with momentum
    activations             bytes alive after the forward pass that were not before it: what autograd keeps for the
                            backward pass, wherever it is kept (saved inputs and outputs, masks, indices, states)
    peak                    the most bytes alive at any moment of the step, all of the above included
    The loss is cross entropy on float32 logits.
Not counted, since no tensor of the program holds it: workspaces inside of kernels (cuDNN, oneDNN, MKL), what an
allocator rounds up, caches and can't use for fragmentation, the CUDA context, the libraries, the data set. The
operations are those of the CPU; where a GPU takes another kernel it may keep something else for its backward pass.
"""

import copy
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import ceil
from weakref import finalize

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from lightm.errors import LightMError, suggest
from lightm.models.mamba import Mamba
from lightm.training.execution import recompute_blocks

COPIES = {"sgd": 1, "adam": 2, "adamw": 2}  # of each parameter, in the optimiser's state
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class StepMemory:
    """The bytes of one training step; the convention is the module's. All are exact integers.

    input_shape, batch     the images (C, *S), and how many at once
    parameters, gradients, optimizer, activations, peak    see the module
    by_module              path of the module that made them -> bytes of `activations`
    by_operation           name of the operation that made them -> bytes of `activations`
    """

    input_shape: tuple[int, ...]
    batch: int
    parameters: int
    gradients: int
    optimizer: int
    activations: int
    peak: int
    by_module: dict[str, int]
    by_operation: dict[str, int]

    def rows(self, depth: int = 1) -> dict[str, int]:
        """`by_module` with modules taken together down to `depth` names; sums to `activations`."""
        rows: Counter[str] = Counter()
        for path, size in self.by_module.items():
            rows[".".join(path.split(".")[:depth])] += size
        return dict(rows)


def count_memory(
    model: nn.Module,
    input_shape: Sequence[int],
    batch: int = 1,
    precision: str = "fp32",
    optimizer: str = "adamw",
    checkpointing: bool = False,
) -> StepMemory:
    """Count the memory of one training step of `model` on `batch` images of `input_shape`.

    model        images (B, C, *S) -> logits (B, K, *S), best built under `torch.device("meta")`; it is neither moved
                 nor changed nor run: a copy of fake tensors is
    input_shape  the image without a batch axis, (C, *S)
    precision    "fp32", or "bf16" for autocast as `lightm train` does it on a CPU
    checkpointing  the network's blocks run again in the backward pass, see `lightm.training.execution.recompute_blocks`

    Raises LightMError for an unknown precision or optimiser, and whatever the network raises if the shape does not
    suit it.

    >>> layer = nn.Conv2d(3, 8, 3, padding=1)
    >>> step = count_memory(layer, (3, 10, 10))
    >>> step.parameters, step.activations  # the logits (8, 10, 10) are kept by the loss, as log-probabilities
    (896, 3208)
    """
    if precision not in PRECISIONS:
        raise LightMError(f"precision={precision!r} is unknown. {suggest(str(precision), PRECISIONS)}")
    if optimizer not in COPIES:
        raise LightMError(f"optimizer={optimizer!r} is unknown. {suggest(str(optimizer), COPIES)}")
    live = LiveBytes()
    with FakeTensorMode(allow_non_fake_inputs=True):
        twin = _fake_copy(model).train()
        images = torch.empty(batch, *input_shape)  # (B, C, *S)
        owned = [*twin.parameters(), *twin.buffers()]
        for tensor in (*owned, images):
            live.watch(tensor, "", "")
        if checkpointing:
            recompute_blocks(twin)
        for path, module in twin.named_modules():
            module.register_forward_pre_hook(partial(live.enter, path), prepend=True)
            module.register_forward_hook(live.leave)
        with live:
            with torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext():
                logits = twin(images)  # (B, K, *S)
        labels = torch.empty(batch, *logits.shape[2:], dtype=torch.long)  # (B, *S), no work of the network's
        live.watch(labels, "", "")
        with live:
            loss = F.cross_entropy(logits.float(), labels)
            del logits
            by_module, by_operation = live.kept()
            loss.backward()
    trained = [p for p in twin.parameters() if p.requires_grad]
    state = COPIES[optimizer] * _bytes(trained)
    return StepMemory(
        tuple(input_shape),
        batch,
        parameters=_bytes(owned),
        gradients=sum(p.grad.nbytes for p in trained if p.grad is not None),
        optimizer=state,
        activations=sum(by_module.values()),
        peak=live.peak + state,
        by_module=by_module,
        by_operation=by_operation,
    )


def measure_peak(model: nn.Module, input_shape: Sequence[int], batch: int = 1) -> int:
    """The most bytes that PyTorch's allocator held at once during a real step on the CPU, beyond what it held before.

    To hold `count_memory` against: it should be `peak` less parameters, optimiser and images, plus what kernels borrow.
    """
    images = torch.zeros(batch, *input_shape)  # (B, C, *S)

    def step() -> None:
        logits = model(images)  # (B, K, *S)
        F.cross_entropy(logits, torch.zeros(batch, *logits.shape[2:], dtype=torch.long)).backward()
        model.zero_grad(set_to_none=True)

    step()  # what is made once and kept is made now
    with _silence(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()  # negative where memory is given back
        peak = max(peak, now)
    return peak


@contextmanager
def _silence() -> Iterator[None]:
    """The profiler's C++ library writes two lines to stderr each time, past Python; they go nowhere."""
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def largest_batch(capacity: int, one: StepMemory, many: StepMemory) -> int:
    """The most images whose step stays within `capacity` bytes, 0 if not even one does.

    one, many: counts of the same step with one image and with more; in between and beyond a straight line is taken.
    """
    each = (many.peak - one.peak) / max(many.batch - 1, 1)
    if one.batch != 1 or each <= 0:
        raise LightMError("largest_batch needs the counts of one and the same step with 1 and with more images.")
    return 1 + int((capacity - one.peak) // each) if one.peak <= capacity else 0


def with_fused_mamba(model: nn.Module) -> nn.Module:
    """A copy of `model` on the meta device that keeps and makes in each Mamba block what mamba_ssm's fused kernel does.

    For counting only: it computes nothing. The tensors are those of `MambaInnerFn` in mamba_ssm 1.2.0 with its default
    checkpoint_lvl of 1 (github.com/state-spaces/mamba, mamba_ssm/ops/selective_scan_interface.py), which releases the
    convolution's output and Δ after the forward pass and makes them again in the backward pass.
    """
    with torch.device("meta"):
        twin = copy.deepcopy(model).to("meta")
    for module in twin.modules():
        if isinstance(module, Mamba):
            module.forward = partial(_fused_forward, module)
    return twin


class LiveBytes(TorchDispatchMode):
    """While active, knows which storages are alive, how large they are, and which module and operation made them."""

    def __init__(self):
        super().__init__()
        self.bytes = self.peak = 0
        self.known = WeakIdKeyDictionary()  # storage -> (bytes, path of the module, name of the operation)
        self.running = [""]  # paths of the modules whose forward has begun and not ended, innermost last

    def enter(self, path: str, *_) -> None:
        self.running.append(path)

    def leave(self, *_) -> None:
        self.running.pop()

    def watch(self, tensor: Tensor, path: str, operation: str) -> None:
        storage = tensor.untyped_storage()
        if storage not in self.known:  # else the tensor is a view, or was changed in place
            size = storage.nbytes()
            self.known[storage] = (size, path, operation)
            finalize(storage, self._died, size)
            self.bytes += size
            self.peak = max(self.peak, self.bytes)

    def _died(self, size: int) -> None:
        self.bytes -= size

    def kept(self) -> tuple[dict[str, int], dict[str, int]]:
        """Bytes of the living storages that operations made, by module and by operation."""
        by_module, by_operation = Counter(), Counter()
        for size, path, operation in self.known.values():
            if operation:
                by_module[path] += size
                by_operation[operation] += size
        return dict(by_module), dict(by_operation)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.watch(tensor, self.running[-1], func.overloadpacket.__name__)
        return out


def _fake_copy(model: nn.Module) -> nn.Module:
    """A copy of `model` whose tensors are fake ones on the CPU; what the original shares, the copy shares too."""
    memo: dict[int, object] = {}
    for p in model.parameters():
        memo[id(p)] = nn.Parameter(_fake(p), p.requires_grad)
    plain = [t for module in model.modules() for t in vars(module).values() if isinstance(t, Tensor)]
    for t in (*model.buffers(), *plain):
        memo.setdefault(id(t), _fake(t))
    twin = copy.deepcopy(model, memo)
    for module in twin.modules():
        if isinstance(module.__dict__.get("forward"), partial):  # a method that was replaced belongs to the copy
            module.forward = partial(module.forward.func, module)
    return twin


def _fake(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(t.nbytes for t in tensors)


def _fused_forward(block: Mamba, x: Tensor) -> Tensor:
    """(B, L, C) -> (B, L, C), the memory of `Mamba.forward` in mamba_ssm."""
    batch, length, _ = x.shape
    xz = block.in_proj.weight @ x.permute(2, 0, 1).flatten(1)  # (2D, B L)
    xz = xz.unflatten(1, (batch, length)).transpose(0, 1)  # (B, 2D, L)
    weights = (block.x_proj.weight, block.dt_proj.weight, block.out_proj.weight)
    return _FusedMamba.apply(xz, *weights, -torch.exp(block.A_log))


class _FusedMamba(torch.autograd.Function):
    """What mamba_ssm's `MambaInnerFn` allocates and keeps; every value is missing."""

    @staticmethod
    def forward(ctx, xz, x_proj, dt_proj, out_proj, A):
        (batch, _, length), (D, N), width = xz.shape, A.shape, x_proj.shape[0]
        u = xz.new_empty(batch, D, length)  # the convolution's output
        x_dbl = xz.new_empty(batch * length, width)  # Δ before its projection, B and C
        delta = xz.new_empty(batch, D, length)
        B, C = (xz.new_empty(batch, 1, N, length) for _ in range(2))  # copies, with time last
        y, gated = (xz.new_empty(batch, D, length) for _ in range(2))
        states = xz.new_empty(batch, D, ceil(length / 2048), 2 * N)
        ctx.save_for_backward(xz, x_dbl, x_proj, dt_proj, out_proj, A, B, C, states, y)
        del u, delta
        return F.linear(gated.transpose(1, 2), out_proj)  # (B, L, C)

    @staticmethod
    def backward(ctx, grad):
        xz, x_dbl, x_proj, dt_proj, out_proj, A, B, C, _states, y = ctx.saved_tensors
        u, delta, dxz = torch.empty_like(y), torch.empty_like(y), torch.empty_like(xz)  # the first two made again
        dy = torch.empty_like(y)
        du, ddelta, gated = (torch.empty_like(y) for _ in range(3))
        dB, dC, dx_dbl = (torch.empty_like(t) for t in (B, C, x_dbl))
        del u, delta, dy, du, ddelta, gated, dB, dC, dx_dbl
        return dxz, *(torch.empty_like(t) for t in (x_proj, dt_proj, out_proj, A))
