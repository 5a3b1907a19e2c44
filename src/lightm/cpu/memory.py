"""Memory for large tensors: where it comes from, and what becomes of it when it is no longer needed.

glibc gives large blocks back at once and fetches new ones for the next operation. The system has to clear these page by
page, far more slowly than memory is written otherwise; `lightm-book bench step`, with and without --keep-freed-memory,
shows what that takes of a training step here. Keeping the memory changes no number and costs what has been freed but
not yet asked for again. It concerns all of torch, not only this package; `new_empty`, which asks for large pages, only
what this package's kernels return.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line calls `keep_freed_memory` before it loads torch
    from torch import Tensor

LARGEST, NEVER = 2**31 - 1, -1  # mallopt takes an int; for trimming -1 means never (mallopt(3))
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
MADV_HUGEPAGE = 14  # sys/mman.h
WORTH_IT = 2**22  # bytes, from which on a tensor holds a large page (2 MiB) wherever it begins


def keep_freed_memory() -> bool:
    """From now on this process keeps the CPU memory that it frees; returns whether it does.

    `lightm`'s commands call this first. The same without a line of code, for any program, are the variables
    ``MALLOC_MMAP_THRESHOLD_=4294967296`` and ``MALLOC_TRIM_THRESHOLD_=4294967296`` in its environment; where one of
    them is set already, nothing is changed. Only Linux's glibc has such thresholds (mallopt(3)): elsewhere the answer
    is False.
    """
    if any(name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")):
        return True
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries (musl) have none
    return mallopt is not None and mallopt(M_MMAP_THRESHOLD, LARGEST) == 1 and mallopt(M_TRIM_THRESHOLD, NEVER) == 1


def new_empty(like: "Tensor", *shape: int) -> "Tensor":
    """`like.new_empty(shape)`, in large pages where Linux has them: one of 2 MiB is cleared faster than 512 small.

    It changes no value, and at most the last large page is memory that was not asked for. Where the system is set to
    never use large pages, or is not Linux, nothing happens.
    """
    tensor = like.new_empty(shape)
    if tensor.device.type == "cpu" and tensor.numel() * tensor.element_size() >= WORTH_IT:
        advise = _madvise()
        if advise is not None:
            page = os.sysconf("SC_PAGE_SIZE")
            first = -(-tensor.data_ptr() // page) * page
            last = (tensor.data_ptr() + tensor.numel() * tensor.element_size()) // page * page
            advise(first, last - first, MADV_HUGEPAGE)
    return tensor


@cache
def _madvise() -> Callable | None:
    """The system's madvise(2), if it has large pages and gives them to who asks."""
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    try:
        if not sys.platform.startswith("linux") or "[madvise]" not in setting.read_text():
            return None  # never, or always without asking
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    advise.argtypes, advise.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), ctypes.c_int
    return advise
