"""Linear layers over tokens and pixels: torch's products, by the library that multiplies tall, narrow matrices faster.

LightM-UNet's matrices have up to millions of rows and few columns. For these oneDNN is faster on processors other than
Intel's, where PyTorch uses MKL by default. Of the two ways to write the gradient of the weight, x' g and (g' x)', MKL
is far slower with the latter when x has two columns. Which way is taken depends on the processor and the shapes, never
on a timing, so results are the same bits in every run.
"""

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from lightm.cpu.arrays import under_torch_func

NARROW = 8  # columns


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear(x, weight, bias): x (..., C), weight (K, C), bias (K,) -> (..., K)."""
    tensors = (x, weight) if bias is None else (x, weight, bias)
    if (
        all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
        and x.numel()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()  # a compiler chooses by itself
        and not under_torch_func()
    ):
        return _Linear.apply(x, weight, bias)
    return F.linear(x, weight, bias)


class Linear(nn.Linear):
    """nn.Linear by `linear`. (thop, which looks up a layer's exact type, does not count it.)"""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], len(weight))

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad
        g, rows = grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1])  # (M, K), (M, C)
        product = F.linear if torch.is_grad_enabled() else _product  # with create_graph=True autograd must see it
        grad_x = product(g, weight.t(), None).view(x.shape) if need_x else None
        grad_weight = None
        if need_weight:
            grad_weight = torch.mm(rows.t(), g).t() if rows.shape[1] <= NARROW else torch.mm(g.t(), rows)
        return grad_x, grad_weight, g.sum(0) if need_bias else None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (M, C) by weight (K, C), transposed."""
    if _onednn_multiplies_faster():
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


@cache
def _onednn_multiplies_faster() -> bool:
    """Whether torch has its (private) oneDNN product, it runs here, and the processor isn't one of Intel's."""
    try:
        intel = "GenuineIntel" in Path("/proc/cpuinfo").read_text()
        with _disable_current_modes():  # it must really run, also where the caller's tensors are fake
            ones = torch.ones(2, 2)
            product = torch.ops.mkldnn._linear_pointwise(ones, ones, None, "none", [], "")
            return not intel and torch.equal(product, ones + ones)
    except (OSError, AttributeError, RuntimeError):
        return False


class _Pointwise:
    """A 1^d convolution, each pixel by itself: (B, C_in, *S) -> (B, C_out, *S), channels_last in and out.

    It runs as a linear layer, since PyTorch copies a channels_last volume before and after such an nn.Conv3d on a CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)


class Pointwise2d(_Pointwise, nn.Conv2d):
    """`_Pointwise` in 2D, with the parameters of an nn.Conv2d."""


class Pointwise3d(_Pointwise, nn.Conv3d):
    """`_Pointwise` in 3D, with the parameters of an nn.Conv3d."""


POINTWISE = {2: Pointwise2d, 3: Pointwise3d}
