"""Timings beside others' software: `bench_scan`, `bench_step`, `step_parts`; what each module does stands at its head.

measure.py   alternating calls in one process, medians, what other programs did meanwhile
memory.py    peak memory, each contender in a process of its own
peers.py     the contenders: this package's backends, and what else is installed here
roofline.py  operations, exponentials and bytes by formula; machine.py: what the machine does of each in a second
scan.py, step.py, parts.py   the measurements: a scan, a training step, a training step by part
record.py    what a record of results/bench holds
"""

from importlib import import_module
from typing import Any

_HOMES = {"bench_scan": "scan", "bench_step": "step", "step_parts": "parts", "PARTS": "parts"}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import what is asked for: the processes that measure the memory of a scan need no network."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lightm.bench.{_HOMES[name]}"), name)
