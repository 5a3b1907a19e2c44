"""What this machine does in a second: bytes moved, multiply-adds, exponentials.

Measured with the scan's own vectors (lightm.cpu.vectors) on all threads that torch uses, operands in registers, enough
independent ones to keep the units busy. The best of a few tries counts: a roof is what can be reached.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from time import perf_counter

import numpy as np
import torch

from lightm.cpu import threads

TRIES = 15
TRIAD = 2**23  # elements of each of three arrays: 32 MiB, more than caches hold of all three


@dataclass(frozen=True)
class Machine:
    """A second's worth, all cores together; `how` says where the numbers are from."""

    exponentials: float
    operations: float  # floating-point; a multiply-add is two
    bytes: float
    how: str

    def or_better(self, other: "Machine") -> "Machine":
        """The higher of each, from two measurements: a machine that others share has slow moments."""
        return Machine(
            max(self.exponentials, other.exponentials),
            max(self.operations, other.operations),
            max(self.bytes, other.bytes),
            self.how,
        )


def machine(device: torch.device) -> Machine:
    """What `device` does. On a CPU all is measured; on a GPU the bytes, and the rest is counted from its properties."""
    if device.type == "cuda":
        return _gpu(device)
    from lightm.cpu.vectors import lanes_of
    from lightm_book.bench import machine_kernels as kernels  # numba takes a while to import

    exponentials = _rate(kernels.exponentials, 2**14, 4096)  # 16 KiB, in the fastest cache
    operations = 2 * _rate(kernels.multiply_adds, 2**23, kernels.PARTS * lanes_of(np.float32))
    return Machine(exponentials, operations, _triad(kernels), "measured in numba: exp2, multiply-adds, and c = a + b")


def _best(tasks: list[Callable[[], None]]) -> float:
    """Seconds of the fastest of a few runs of all tasks side by side, after one that compiles."""
    threads.run(tasks)
    seconds = []
    for _ in range(TRIES):
        start = perf_counter()
        threads.run(tasks)
        seconds.append(perf_counter() - start)
    return min(seconds)


def _rate(kernel: Callable, rounds: int, size: int) -> float:
    """Values a second that `kernel(array, rounds)` makes of an array of `size` numbers, on every thread."""
    count = torch.get_num_threads()
    arrays = [np.full(size, -0.5, np.float32) for _ in range(count)]
    return count * size * rounds / _best([partial(kernel, array, rounds) for array in arrays])


def _triad(kernels) -> float:
    """Bytes a second of c = a + b, two read and one written as in the scan."""
    a, b, c = (np.ones(TRIAD, np.float32) for _ in range(3))  # zeros would all lie in one page of memory
    cuts = np.linspace(0, TRIAD, torch.get_num_threads() + 1).astype(int) // 256 * 256
    parts = [slice(first, last) for first, last in pairwise(cuts)]
    return 3 * a.nbytes / _best([partial(kernels.add, a[part], b[part], c[part]) for part in parts])


def _gpu(device: torch.device) -> Machine:
    """CUDA: 128 multiply-adds and 16 exponentials a multiprocessor and clock (since compute capability 8.6 and 9.0)."""
    properties = torch.cuda.get_device_properties(device)
    clock = 1e3 * properties.clock_rate  # Hz
    per_second = properties.multi_processor_count * clock
    a, b = (torch.zeros(2**28, device=device) for _ in range(2))
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    seconds = []
    for _ in range(TRIES + 1):
        start.record()
        b.copy_(a)
        end.record()
        torch.cuda.synchronize(device)
        seconds.append(start.elapsed_time(end) / 1e3)
    how = f"bytes: a copy; 16 exponentials, 128 multiply-adds a multiprocessor and clock, {clock / 1e9:.2f} GHz"
    return Machine(16 * per_second, 256 * per_second, 2 * a.nbytes / min(seconds), how)
