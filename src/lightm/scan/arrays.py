"""Tensors as the numba kernels see them: flat arrays and strides."""

import numpy as np
from torch import Tensor


def rows(x: Tensor) -> tuple[np.ndarray, int, int]:
    """(B, L, X) as (flat array, stride of an item, stride of a token); copied only if channels are not neighbours."""
    if x.stride(2) != 1 and x.shape[2] > 1:
        x = x.contiguous()
    batch, length, size = x.shape
    extent = (batch - 1) * x.stride(0) + (length - 1) * x.stride(1) + size if x.numel() else 0
    return x.detach().as_strided((extent,), (1,)).numpy(), x.stride(0), x.stride(1)


def flat(x: Tensor) -> np.ndarray:
    """A contiguous tensor's memory, as one axis."""
    return x.detach().view(-1).numpy()
