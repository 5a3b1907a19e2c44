"""Tensors as the numba kernels see them: which they can take, as flat arrays and strides, cut into tasks."""

from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
HAS_NUMBA = find_spec("numba") is not None
MOST_LANES = 16  # of a vector, on any processor


def compiled(*tensors: Tensor) -> bool:
    """Whether numba kernels can take these tensors: in the memory of the CPU (or traced as if), and not empty."""
    return HAS_NUMBA and all(x.device.type == "cpu" and x.dtype in FLOATS and x.numel() for x in tensors)


def pieces(batch: int, length: int, tokens: int) -> list[tuple[int, int, int]]:
    """(item, first token, behind the last) of every task: pieces of `tokens` tokens, however many threads there are.

    So a sum over the pieces is taken in the same order, and gives the same bits, on any number of threads.
    """
    return [(i, start, min(start + tokens, length)) for i in range(batch) for start in range(0, length, tokens)]


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
