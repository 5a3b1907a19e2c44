"""When the numba kernels can take tensors, and how their tokens are cut into tasks."""

from importlib.util import find_spec

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
