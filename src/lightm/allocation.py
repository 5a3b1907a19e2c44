"""What becomes of memory that a tensor no longer needs: kept for the next tensor, or given back to the system.

glibc gives large blocks back at once and fetches new ones for the next operation. The system has to clear these page by
page, far more slowly than memory is written otherwise; `lightm bench step`, with and without --keep-freed-memory, shows
what that takes of a training step here. Keeping the memory changes no number and costs what has been freed but not yet
asked for again. It concerns all of torch, not only this package.
"""

import ctypes
import os
import sys

LARGEST = 2**31 - 1  # mallopt takes an int
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


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
    return mallopt is not None and all(mallopt(key, LARGEST) == 1 for key in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))
