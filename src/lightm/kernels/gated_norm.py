"""LayerNorm of one branch times SiLU of the other, in one pass: the product W1 * W2 of equation (3).

As three operations they write two intermediates of (B, L, D) and keep four tensors for the backward pass; as one they
keep only their two inputs.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from lightm.cpu.arrays import MOST_LANES, compiled
from lightm.kernels.twice import differentiable_gradients


def gated_norm(y: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """LayerNorm(y) * SiLU(z) over the channels: y, z (B, L, D), weight, bias (D,) -> (B, L, D) in z's dtype.

    W1 * W2 of equation (3), where y is what the SSM gives and z what the second branch's linear layer gives:

        F.layer_norm(y, (D,), weight, bias, eps) * F.silu(z)

    The arithmetic is in float32 or better.
    """
    if compiled(y, z, weight, bias) and len(weight) >= MOST_LANES:
        dtype = torch.float64 if torch.float64 in (y.dtype, z.dtype) else torch.float32
        return torch.ops.lightm.gated_norm(*(t.to(dtype) for t in (y, z, weight, bias)), eps).to(z.dtype)
    return composed(y, z, weight, bias, eps)


def composed(y: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """The same in plain PyTorch."""
    return F.layer_norm(y, weight.shape, weight, bias, eps) * F.silu(z)  # equation (3), W1 * W2


torch.library.define("lightm::gated_norm", "(Tensor y, Tensor z, Tensor weight, Tensor bias, float eps) -> Tensor")
torch.library.define(
    "lightm::gated_norm_backward",
    "(Tensor grad, Tensor y, Tensor z, Tensor weight, Tensor bias, float eps) -> (Tensor, Tensor, Tensor, Tensor)",
)


@torch.library.impl("lightm::gated_norm", "CPU")
def _forward(y: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    from lightm.kernels import gated_norm_cpu

    return gated_norm_cpu.forward(y, z, weight, bias, eps)


@torch.library.impl("lightm::gated_norm_backward", "CPU")
def _backward(grad: Tensor, y: Tensor, z: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
    from lightm.kernels import gated_norm_cpu

    return gated_norm_cpu.backward(grad, y, z, weight, bias, eps)


@torch.library.register_fake("lightm::gated_norm")
def _(y, z, weight, bias, eps):
    return y.new_empty(y.shape)


@torch.library.register_fake("lightm::gated_norm_backward")
def _(grad, y, z, weight, bias, eps):
    return tuple(t.new_empty(t.shape) for t in (y, z, weight, bias))


def _keep_for_backward(ctx, inputs, output):
    *tensors, ctx.eps = inputs
    ctx.save_for_backward(*tensors)


def _gradients(ctx, grad):
    if torch.is_grad_enabled():  # create_graph=True
        return *differentiable_gradients(partial(composed, eps=ctx.eps), ctx.saved_tensors, grad), None
    return *torch.ops.lightm.gated_norm_backward(grad, *ctx.saved_tensors, ctx.eps), None


torch.library.register_autograd("lightm::gated_norm", _gradients, setup_context=_keep_for_backward)
