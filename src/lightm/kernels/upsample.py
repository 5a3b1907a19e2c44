"""Linear up-sampling by 2 whose gradient is the same bits every time, also on a GPU.

PyTorch's own backward pass of bi- and trilinear interpolation adds into the gradient atomically on CUDA, in whatever
order the threads arrive, and float addition depends on the order. The factor 2 makes the sum so regular that it can
be written down: see `_gather`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MODE = {3: "linear", 4: "bilinear", 5: "trilinear"}


def upsample(x: Tensor) -> Tensor:
    """(B, C, *S) -> (B, C, *2S), linear along each axis, voxel centres aligned; F.interpolate's values exactly."""
    return _interpolate(x) if _on_cpu(x) else _Upsample.apply(x)


def _on_cpu(x: Tensor) -> bool:
    """There PyTorch's own backward pass adds in order."""
    return x.device.type == "cpu"


class _Upsample(torch.autograd.Function):
    generate_vmap_rule = True  # torch.func's, from the code of both passes

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return _interpolate(x)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor], output: Tensor) -> None:
        """The gradient needs nothing of the input but its shape, which follows from the output's."""

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        wide = grad.float() if grad.itemsize < 4 else grad  # as PyTorch: sums of half precision in single precision
        for axis in range(2, grad.ndim):
            wide = _gather(wide, axis)
        return wide.to(grad.dtype)


def _gather(grad: Tensor, axis: int) -> Tensor:
    """The gradient along one axis, (…, 2n, …) -> (…, n, …).

    Forward is y[2i] = x[i] 3/4 + x[i-1] 1/4 and y[2i+1] = x[i] 3/4 + x[i+1] 1/4, where x repeats its ends. So x[i] gets
    3/4 of the gradients of its own two, 1/4 of the nearest on either side, and at the ends 1/4 of its own outer one.
    """
    pairs = grad.unflatten(axis, (-1, 2)).movedim((axis, axis + 1), (0, 1))  # (n, 2, …)
    even, odd = pairs.unbind(1)  # (n, …)
    total = 0.75 * (even + odd)
    total[:-1] += 0.25 * even[1:]
    total[1:] += 0.25 * odd[:-1]
    total[0] += 0.25 * even[0]
    total[-1] += 0.25 * odd[-1]
    return total.movedim(0, axis)


def _interpolate(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode=MODE[x.ndim], align_corners=False)


def use_in(net: nn.Module) -> None:
    """Let every nn.Upsample of `net` that doubles the size linearly (MONAI's blocks have some) be `upsample`."""
    for module in net.modules():
        if isinstance(module, nn.Upsample) and module.mode in MODE.values() and not module.align_corners:
            factors = module.scale_factor if isinstance(module.scale_factor, tuple) else (module.scale_factor,)
            if module.size is None and set(factors) == {2.0}:
                module.forward = upsample
