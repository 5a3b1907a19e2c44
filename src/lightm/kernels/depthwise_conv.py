"""Depthwise 3^d convolutions, each channel with its own filter, whose backward pass is fast on a CPU, too."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightm.cpu.arrays import under_torch_func


def depthwise_conv(channels: int, spatial_dims: int, bias: bool = True) -> nn.Module:
    """A 3^d convolution of each channel with its own filter, size kept: (B, C, *S) -> (B, C, *S).

    It takes the channels_last view of the tokens as it is: in 2D oneDNN's channels_last kernel is faster on a CPU
    than a copy, the contiguous kernel and a copy back, at every stage of the network.
    """
    conv = nn.Conv2d if spatial_dims == 2 else DepthwiseConv3d
    return conv(channels, channels, 3, padding=1, groups=channels, bias=bias)


class DepthwiseConv3d(nn.Conv3d):
    """nn.Conv3d(C, C, 3, padding=1, groups=C) whose backward pass on a CPU is as fast as its forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        if (
            x.device.type == "cpu"
            and torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and not under_torch_func()
        ):
            return _DepthwiseConv3dOnCPU.apply(x, self.weight, self.bias)
        return super().forward(x)


class _DepthwiseConv3dOnCPU(torch.autograd.Function):
    """oneDNN has no fast backward kernel for depthwise 3D convolutions.

    The gradient of the input is the convolution of the output's gradient with the mirrored filter, which has the fast
    forward kernel. The gradient of the filter is that of three 2D convolutions, one for each of its planes, which have
    a fast kernel.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv3d(x, weight, bias, padding=1, groups=len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors  # (B, C, H, W, Z), (C, 1, 3, 3, 3)
        C, H = x.shape[1:3]
        need_x, need_weight, need_bias = ctx.needs_input_grad
        grad_x = F.conv3d(grad, weight.flip(2, 3, 4), padding=1, groups=C) if need_x else None
        grad_weight = torch.zeros_like(weight) if need_weight else None
        for plane in range(3) if need_weight else ():
            first, last = max(0, 1 - plane), min(H, H + 1 - plane)  # rows of the output that see an input row by it
            if first < last:
                inputs, outputs = (
                    volume[:, :, rows].movedim(2, 1).flatten(0, 1)  # (B * rows, C, W, Z)
                    for volume, rows in ((x, slice(first + plane - 1, last + plane - 1)), (grad, slice(first, last)))
                )
                shape = weight[:, :, plane].shape
                grad_weight[:, :, plane] = nn.grad.conv2d_weight(inputs, shape, outputs, padding=1, groups=C)
        return grad_x, grad_weight, grad.sum((0, 2, 3, 4)) if need_bias else None
