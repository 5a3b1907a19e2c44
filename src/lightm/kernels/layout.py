"""How a volume lies in memory: channels last, where convolutions on a CPU are fastest."""

import torch
from torch import Tensor

from lightm.cpu.arrays import under_torch_func

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}  # by the number of axes


def channels_last(x: Tensor) -> Tensor:
    """The same volume (B, C, *S) with its channels side by side in memory; a copy only if they are not already.

    The tokens (B, L, C) of such a volume are a view of it, and what a network computes from it stays channels last.
    Under torch.func channels come first, since its vmap knows no other layout.
    """
    return x.contiguous(memory_format=torch.contiguous_format if under_torch_func() else CHANNELS_LAST[x.ndim])
