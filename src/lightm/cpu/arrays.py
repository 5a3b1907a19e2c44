"""Tensors as the numba kernels see them: which they can take, as flat arrays and strides, cut into tasks."""

import logging

import numpy as np
import torch
from torch import Tensor

log = logging.getLogger("lightm.kernels")

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
MOST_LANES = 16  # of a vector, on any processor


_reason: list[str] = []  # of why_not_compiled, once asked; not functools.cache, about which torch.compile warns


def why_not_compiled() -> str:
    """Why numba can't compile kernels here; empty if it can."""
    if not _reason:
        try:
            from numba import config

            _reason.append("numba compiles nothing while NUMBA_DISABLE_JIT is set" if config.DISABLE_JIT else "")
        except (ImportError, OSError) as error:  # it is missing, or doesn't fit the NumPy or the system here
            _reason.append(f"numba can't be imported ({error})")
        if _reason[0] and not torch.compiler.is_compiling():
            log.info("the kernels run as plain PyTorch: %s", _reason[0])
    return _reason[0]


def compiled(*tensors: Tensor) -> bool:
    """Whether numba kernels can take these tensors: in the memory of the CPU (or traced as if), and not empty."""
    taken = all(x.device.type == "cpu" and x.dtype in FLOATS and x.numel() for x in tensors)
    return taken and not under_torch_func() and not why_not_compiled()


def under_torch_func() -> bool:
    """Whether a transform of torch.func (grad, vmap) is at work, for which only PyTorch's own operators have rules.

    There is no public way to ask; this private one is what torch.autograd.Function itself asks. It stays because
    without it torch.func fails on every network here. (A compiler traces our operators whole.)
    """
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()


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
