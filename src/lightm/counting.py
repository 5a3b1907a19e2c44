"""Parameters and operations of a network, counted exactly and without computing anything.

`count` runs the network once on PyTorch's meta device, where tensors have shapes and no memory, and adds up the cost
of every operation that it sees. Because it watches operations, not module types, nothing hides: a weight used through
a functional call (as the fused Mamba path does) counts as much as one used by an `nn.Linear`.

Convention
    Parameters. Every `nn.Parameter` once, trainable or frozen, also when several modules share it or one module is
    registered under several names. Buffers are no parameters.
    MAC (multiply-accumulate). One multiplication, with the addition that takes it up, if there is one. One MAC is
    about two FLOPs. Counted: one forward pass in evaluation mode, for one image:
      convolution             one MAC per output position, kernel element, output channel and input channel of its
                              group; zero padding counts like any other input
      transposed convolution  the same per *input* position
      matrix product          n m k for (n x k)(k x m): linear layers, and both products of attention (with a mask or
                              causal, too: the full square)
      selective scan          per token and inner channel, with N states:
                                N   Δ A        the exponent of Ā = exp(Δ A)
                                1   Δ u
                                N   (Δ u) B    the input's share of the new state
                                N   Ā h        the state update  h <- Ā h + Δ u B
                                N   C h        the output        y = C h
                                1   D u        the skip, where there is a D
                              so B D L (4 N + 2) with a skip for u (B, D, L); see `scan_macs`
    Left out, as is usual: additions of biases and residuals, normalisation, activations (so also exp, softplus and
    SiLU in the scan), softmax, element-wise products (so also the scan's gate z, which other networks write
    outside of it), pooling, interpolation, padding and copying.

Operations are counted by `torch.utils.flop_counter` (two FLOPs a MAC), which has the formulas of convolutions and
matrix products; added here are the scan, whose exponentials and additions are no MACs, and products with a vector.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import prod

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import lightm.scan  # noqa: F401  (defines the operators torch.ops.lightm)
from lightm.errors import LightMError

__all__ = ["Complexity", "ModuleCount", "count", "scan_macs"]


@dataclass(frozen=True)
class ModuleCount:
    """What one module owns and does itself, without its children.

    path    its name in the model, as in `named_modules()`; "" is the model itself
    kind    the name of its class
    params  its own parameters
    macs    MACs of the operations that run in its own forward
    """

    path: str
    kind: str
    params: int
    macs: int


@dataclass(frozen=True)
class Complexity:
    """The counts of one network for one image. All numbers are exact integers; the convention is the module's.

    input_shape   the image: (C, *S)
    params, macs  totals
    by_module     modules that own parameters or do MACs themselves, in order of registration; sums to the totals
    by_operation  MACs of "convolution", "matmul" (linear layers and attention) and "scan"; sums to `macs`
    """

    input_shape: tuple[int, ...]
    params: int
    macs: int
    by_module: tuple[ModuleCount, ...]
    by_operation: dict[str, int]

    def at(self, path: str) -> ModuleCount:
        """The module at `path` together with everything below it; "" gives the whole model."""
        own = [m for m in self.by_module if m.path == path or path == "" or m.path.startswith(path + ".")]
        if not own:
            raise LightMError(f"No module {path!r} with parameters or operations of its own or below it.")
        kind = next((m.kind for m in own if m.path == path), "")
        return ModuleCount(path, kind, sum(m.params for m in own), sum(m.macs for m in own))

    def rows(self, depth: int = 1) -> list[ModuleCount]:
        """Modules down to `depth` names deep, each with all that lies deeper; they sum to the totals."""
        rows: dict[str, ModuleCount] = {}
        for m in self.by_module:
            path = ".".join(m.path.split(".")[:depth]) if depth else ""
            kind = m.kind if path == m.path else ""
            old = rows.get(path, ModuleCount(path, kind, 0, 0))
            rows[path] = ModuleCount(path, old.kind or kind, old.params + m.params, old.macs + m.macs)
        return list(rows.values())

    def table(self, depth: int = 1) -> str:
        """A plain text table of `rows(depth)` and the totals, ready to print."""
        cells = [("module", "parameters", "MACs")]
        cells += [(row.path or "(itself)", f"{row.params:,}", f"{row.macs:,}") for row in self.rows(depth)]
        cells += [("total", f"{self.params:,}", f"{self.macs:,}")]
        widths = [max(len(row[i]) for row in cells) for i in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in cells]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    def as_dict(self) -> dict:
        """Everything as plain lists, dicts, strings and ints, for `json.dumps`."""
        return asdict(self) | {"input_shape": list(self.input_shape), "by_module": [asdict(m) for m in self.by_module]}

    def to_json(self) -> str:
        """`as_dict` as indented JSON."""
        return json.dumps(self.as_dict(), indent=2)


def count(model: nn.Module, input_shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Complexity:
    """Count the parameters of `model` and the MACs of one forward pass over one image.

    model        any network that takes one tensor (1, C, *S). It is neither moved nor changed nor run: a copy on the
                 meta device is. To count a large network without ever allocating it, build it there too
                 (`with torch.device("meta"): model = build_model(...)`), where its constructor allows that
    input_shape  the image without a batch axis, (C, *S)
    dtype        of the image, for networks that are not in float32

    Raises LightMError for an impossible shape and for an operation of `lightm` that has no cost formula, and
    whatever the network itself raises if the shape does not suit it.

    >>> count(nn.Conv2d(3, 8, 3, padding=1), (3, 10, 10)).macs
    21600
    """
    shape = checked_shape(input_shape)
    twin = meta_copy(model).eval()
    paths = {module: path for path, module in twin.named_modules()}
    params = _own_parameters(twin)
    counter = _MACCounter()
    for module, path in paths.items():
        module.register_forward_pre_hook(partial(counter.enter, path), prepend=True)
        module.register_forward_hook(counter.leave)
    with torch.no_grad(), counter:
        twin(torch.empty(1, *shape, dtype=dtype, device="meta"))  # (1, C, *S)
    counter.attribute()
    macs = counter.by_module
    by_operation = dict.fromkeys(("convolution", "matmul", "scan"), 0)
    for operation, flops in counter.get_flop_counts().get("Global", {}).items():
        by_operation[_GROUPS.get(operation, "matmul")] += flops // 2
    by_module = tuple(
        ModuleCount(path, type(module).__name__, params[path], macs[path])
        for module, path in paths.items()
        if params[path] or macs[path]
    )
    return Complexity(shape, params.total(), macs.total(), by_module, by_operation)


def checked_shape(input_shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of one image as a tuple; LightMError if it is none."""
    shape = tuple(input_shape)
    if len(shape) < 2 or not all(type(n) is int and n > 0 for n in shape):
        raise LightMError(f"input_shape is {shape}; give one image's channels and sizes as positive integers, (C, *S).")
    return shape


def meta_copy(model: nn.Module) -> nn.Module:
    """A copy of `model` on the meta device that shares no tensor with it and allocates none."""
    if any(nn.parameter.is_lazy(p) for p in model.parameters()):
        raise LightMError("The model has lazy parameters without a shape; run it once on an image before counting it.")
    # deepcopy asks this memo first, so that it finds a meta tensor for every tensor and never copies data; a tensor
    # that the original shares, the copy shares too.
    memo = {id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in model.parameters()}
    plain = [t for m in model.modules() for t in vars(m).values() if isinstance(t, torch.Tensor)]  # not registered
    memo |= {id(t): t.detach().to("meta") for t in [*model.buffers(), *plain] if id(t) not in memo}
    twin = copy.deepcopy(model, memo)
    for module in twin.modules():
        if hasattr(module, "scan_backend"):  # it changes the time, not the count: let the scan stay one operation
            module.scan_backend = "auto"
    return twin


def _own_parameters(model: nn.Module) -> Counter[str]:
    """Elements of the parameters that belong to each module path; a shared one belongs to the first that has it."""
    params: Counter[str] = Counter()
    for name, parameter in model.named_parameters():  # each one once
        params[name.rpartition(".")[0]] += parameter.numel()
    return params


def scan_macs(u_shape: Sequence[int], n_states: int, skip: bool = True) -> int:
    """MACs of one selective scan over u (B, D, L) with `n_states` states per inner channel, D skip or not."""
    return prod(u_shape) * (4 * n_states + 1 + skip)


def _scan_flops(u, delta, A, B, C, D=None, *rest, out_shape, **named) -> int:
    return 2 * scan_macs(u, A[1], skip=D is not None)


# What torch's counter lacks, or counts otherwise: operation -> FLOPs, from the shapes of its arguments.
_MORE = {
    torch.ops.lightm.selective_scan: _scan_flops,
    torch.ops.aten.mv: lambda matrix, vector, out_shape: 2 * prod(matrix),
    torch.ops.aten.addmv: lambda x, matrix, vector, out_shape, **_: 2 * prod(matrix),
    torch.ops.aten.dot: lambda x, y, out_shape: 2 * prod(x),
    torch.ops.aten.addbmm: lambda x, a, b, out_shape, **_: 2 * prod(a) * b[-1],
}
# All other operations are matrix products, those of attention included.
_GROUPS = {
    torch.ops.lightm.selective_scan: "scan",
    torch.ops.aten.convolution: "convolution",
    torch.ops.aten._convolution: "convolution",
}


class _MACCounter(FlopCounterMode):
    """torch's counter; at the borders of modules it notes what has been counted since the last one, by module path."""

    def __init__(self):
        super().__init__(display=False, custom_mapping=_MORE)
        self.running = [""]  # paths of the modules whose forward has begun and not ended, innermost last
        self.by_module: Counter[str] = Counter()
        self.noted = 0

    def enter(self, path: str, *_) -> None:
        self.attribute()
        self.running.append(path)

    def leave(self, *_) -> None:
        self.attribute()
        self.running.pop()

    def attribute(self) -> None:
        """Give the innermost running module the MACs that were counted since the last call."""
        total = self.get_total_flops() // 2
        self.by_module[self.running[-1]] += total - self.noted
        self.noted = total

    def _count_flops(self, func_packet, out, args, kwargs):
        if str(func_packet).startswith("lightm.") and func_packet not in self.flop_registry:
            raise LightMError(f"lightm.counting has no cost for the operation {func_packet}; add it to _MORE.")
        return super()._count_flops(func_packet, out, args, kwargs)
