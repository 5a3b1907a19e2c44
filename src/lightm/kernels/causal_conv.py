"""Mamba's causal depthwise convolution with its SiLU, in one pass over (B, L, D) tokens.

PyTorch's conv1d takes (B, D, L), so on tokens it costs two transposing copies, a padded one, and a pass for the SiLU.
Where `causal_conv1d` (github.com/Dao-AILab/causal-conv1d) is installed, its kernels run on NVIDIA GPUs.
"""

from functools import cache
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from lightm.cpu.arrays import compiled
from lightm.kernels.twice import differentiable_gradients


def causal_conv_silu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """SiLU of each channel's convolution over its K latest tokens: x (B, L, D) -> (B, L, D).

    weight (D, 1, K) and bias (D,) are those of an nn.Conv1d with groups=D. It equals

        F.silu(F.conv1d(F.pad(x.mT, (K - 1, 0)), weight, bias, groups=D)).mT

    The arithmetic is in float32 or better; the result has x's dtype. x may be a slice of a wider tensor.
    """
    if compiled(x, weight, bias):
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        x_, weight_, bias_ = (t.to(dtype) for t in (x, weight, bias))
        return torch.ops.lightm.causal_conv_silu(x_, weight_, bias_).to(x.dtype)
    if x.device.type == "cuda" and (package := _package()) and _suits(x, weight):
        return _by_package(package, x, weight, bias)
    return composed(x, weight, bias)


def composed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same in plain PyTorch, as a 2D convolution over (L, 1): unlike conv1d, that has a channels_last kernel."""
    past = F.pad(x, (0, 0, weight.shape[2] - 1, 0))  # (B, K - 1 + L, D): zeros before the beginning
    y = F.conv2d(past.transpose(1, 2).unsqueeze(3), weight.unsqueeze(3), bias, groups=weight.shape[0])  # (B, D, L, 1)
    return F.silu(y.squeeze(3).transpose(1, 2))


@cache
def _package() -> ModuleType | None:
    try:
        import causal_conv1d
    except ImportError:
        return None
    return causal_conv1d


def _by_package(package: ModuleType, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = package.causal_conv1d_fn(x.transpose(1, 2), weight[:, 0].to(x.dtype), bias.to(x.dtype), activation="silu")
    return y.transpose(1, 2)


def _suits(x: Tensor, weight: Tensor) -> bool:
    """What the package asks of tokens: 2 to 4 taps, and channels, like the steps between tokens, in eights."""
    return 2 <= weight.shape[2] <= 4 and not any(n % 8 for n in (x.shape[2], x.stride(0), x.stride(1)))


torch.library.define("lightm::causal_conv_silu", "(Tensor x, Tensor weight, Tensor bias) -> Tensor")
torch.library.define(
    "lightm::causal_conv_silu_backward",
    "(Tensor grad, Tensor x, Tensor weight, Tensor bias) -> (Tensor, Tensor, Tensor)",
)


@torch.library.impl("lightm::causal_conv_silu", "CPU")
def _forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    from lightm.kernels import causal_conv_cpu

    return causal_conv_cpu.forward(x, weight, bias)


@torch.library.impl("lightm::causal_conv_silu_backward", "CPU")
def _backward(grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from lightm.kernels import causal_conv_cpu

    return causal_conv_cpu.backward(grad, x, weight, bias)


@torch.library.register_fake("lightm::causal_conv_silu")
def _(x, weight, bias):
    return x.new_empty(x.shape)


@torch.library.register_fake("lightm::causal_conv_silu_backward")
def _(grad, x, weight, bias):
    return tuple(t.new_empty(t.shape) for t in (x, weight, bias))


def _gradients(ctx, grad):
    if torch.is_grad_enabled():  # create_graph=True
        return differentiable_gradients(composed, ctx.saved_tensors, grad)
    return torch.ops.lightm.causal_conv_silu_backward(grad, *ctx.saved_tensors)


def _keep_for_backward(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


torch.library.register_autograd("lightm::causal_conv_silu", _gradients, setup_context=_keep_for_backward)


@register_flop_formula(torch.ops.lightm.causal_conv_silu)
def _(x, weight, bias, *args, out_shape=None, **kwargs) -> int:
    batch, length, channels = x
    return 2 * batch * length * channels * weight[2]


@register_flop_formula(torch.ops.lightm.causal_conv_silu_backward)
def _(grad, x, weight, bias, *args, out_shape=None, **kwargs) -> int:
    batch, length, channels = x
    return 6 * batch * length * channels * weight[2]  # computed again, by the input, by the weight
