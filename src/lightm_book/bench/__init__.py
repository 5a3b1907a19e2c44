"""Timings beside others' software: `bench_scan`, `bench_step`, `step_parts`; what each module does stands at its head.

measure.py   alternating calls in one process, medians, what other programs did meanwhile
memory.py    peak memory, each contender in a process of its own
peers.py     the contenders: this package's backends, and what else is installed here
roofline.py  operations, exponentials and bytes by formula; machine.py: what the machine does of each in a second
scan.py, step.py, parts.py   the measurements: a scan, a training step, a training step by part
record.py    what a record of results/bench holds
loading.py   how many training images a second one core prepares

* Every contender computes the output and all gradients on a short sequence first; what differs from the definition in
  float64 by more than 1e-4 is named and not timed.
* Everybody gets inputs in the memory layout that they work in. The forward pass is timed without gradients.
* Contenders take turns in one process, after one call each that does not count; the median of a contender's samples
  counts. A sample during which other programs used over a quarter of a core is left out if there are enough others.
* Peak memory is what a call adds to its inputs at its highest: on a CPU in its own process, on a GPU as torch says.
* What would take more memory than is free, or more patience than `--patience`, is skipped, and the record says so.
* The bound beside the times: exponentials, operations and bytes by formula, over what this machine does of each in a
  second, the best of several tries, measured in the same run.
"""

from importlib import import_module
from typing import Any

_HOMES = {"bench_scan": "scan", "bench_step": "step", "step_parts": "parts", "PARTS": "parts"}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import what is asked for: the processes that measure the memory of a scan need no network."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lightm_book.bench.{_HOMES[name]}"), name)
