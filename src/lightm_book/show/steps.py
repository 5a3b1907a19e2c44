"""The forward passes of two networks as lists of steps, and the difference of the lists.

The steps are not typed by hand: the network runs on the meta device, and each step that changes numbers is written down
as it happens, in the same words whichever module makes it (a 1^d convolution and a linear layer are both "linear").
"""

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from lightm.errors import LightMError

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
NORMS = {"layer_norm": "LayerNorm", "group_norm": "GroupNorm"}
PLAIN = {"silu": "SiLU", "relu": "ReLU", "softmax": "softmax", "sigmoid": "sigmoid"}
SUMS = {
    "add": "add",
    "__iadd__": "add",
    "add_": "add",
    "mul": "multiply",
    "__rmul__": "multiply",
    "__mul__": "multiply",
    "__add__": "add",
}


def steps(
    model: nn.Module, *inputs: Tensor | Sequence[int] | tuple, fold: tuple[type[nn.Module], ...] = ()
) -> list[str]:
    """What `model(*inputs)` does, one step a line.

    Args:
        model: runs as it is, so best built under `torch.device("meta")`. inputs: of its forward, tensors on its device.
        fold: modules of these classes become one step with their name for channels, "RVM layer 32 → 64".

    Raises:
        LightMError: no step was seen.
    """
    trace = _Trace()
    handles: list[RemovableHandle] = []
    for module in model.modules():
        if isinstance(module, fold):
            handles += [module.register_forward_pre_hook(trace.enter), module.register_forward_hook(trace.leave)]
    try:
        with torch.no_grad(), trace:
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not trace.lines:
        raise LightMError(f"{type(model).__name__} did nothing that steps() has a word for: give it tensors as input.")
    return trace.lines


def diff(a: Sequence[str], b: Sequence[str], names: tuple[str, str], around: int | None = None) -> str:
    """The unified diff of two lists of steps: "-" only in the first, "+" only in the second.

    around: how many equal steps are shown beside a difference, with "…" for those left out; None: all of them.
    """
    lines = difflib.unified_diff(a, b, *names, n=len(a) + len(b) if around is None else around, lineterm="")
    shown = (" …" if line.startswith("@@") else line for line in lines)
    return "\n".join(line for line in shown if around is not None or line != " …")


class _Trace(TorchFunctionMode):
    """Writes a line for each function that changes numbers; views, reshapes and checks leave no line."""

    def __init__(self):
        super().__init__()
        self.lines: list[str] = []
        self.norms: set[int] = set()  # the ids of the weights of norms that were used: one may serve twice
        self.depth = 0

    def enter(self, module: nn.Module, args: tuple) -> None:
        self.depth += 1

    def leave(self, module: nn.Module, args: tuple, out: Tensor) -> None:
        self.depth -= 1
        if not self.depth:
            proj = module.proj
            self.lines.append(f"RVM layer {proj.in_features} → {proj.out_features}")

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not self.depth:
            line = self.describe(func, args, kwargs or {})
            if line:
                self.lines.append(line)
        return out

    def describe(self, func, args: tuple, kwargs: dict) -> str:
        name = getattr(func, "__name__", "")
        if "selective_scan" in str(func):
            gated = (len(args) > 6 and isinstance(args[6], Tensor)) or isinstance(kwargs.get("z"), Tensor)
            return "selective scan, its output gated by SiLU of the other half" if gated else "selective scan"
        if name == "linear":
            return _linear(args[1])
        if name in CONVOLUTIONS:
            return _convolution(args[1])
        if name in NORMS:
            weight = next((v for v in (*args, *kwargs.values()) if isinstance(v, nn.Parameter)), None)
            again = weight is not None and id(weight) in self.norms
            self.norms.add(id(weight))
            return f"the same {NORMS[name]} again" if again else NORMS[name]
        if "max_pool" in name:
            return "max-pool by 2"
        if name == "interpolate":
            return f"interpolate, {kwargs['mode']}"
        if name in SUMS:
            return _sum(SUMS[name], args)
        return PLAIN.get(name, "")


def _linear(weight: Tensor) -> str:
    return f"linear {weight.shape[1]} → {weight.shape[0]}"


def _convolution(weight: Tensor) -> str:
    """weight (C_out, C_in / groups, *kernel)."""
    out, each, *kernel = weight.shape
    if kernel[1:] == [1] and kernel[0] > 1:
        return f"causal convolution over {kernel[0]} tokens, depthwise, {out} channels"
    size = "×".join(map(str, kernel))
    if set(kernel) == {1} and (each > 1 or out == 1):
        return _linear(weight)
    return f"convolution {size}, " + (f"depthwise, {out} channels" if each == 1 else f"{each} → {out}")


def _sum(word: str, args: tuple) -> str:
    """A sum or product of two tensors, or with a learnt factor; of a tensor and a number there is none in a network."""
    if not all(isinstance(arg, Tensor) for arg in args[:2]):
        return ""
    sizes = [arg.numel() for arg in args[:2]]
    if word == "multiply" and min(sizes) < max(sizes):
        return f"multiply by a learnt factor, {min(sizes)} value{'s' if min(sizes) > 1 else ''}"
    return f"{word} two tensors"
