"""Time, measured so that two numbers of one table can be compared.

All contenders run in one process, in turns: a slow minute of the machine hits each of them. Of a contender's calls the
median counts. What other programs took of the processor meanwhile is measured, too (on Linux); a sample that
was disturbed counts only if there are not enough others.
"""

import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DISTURBED = 0.25  # cores that others used during a sample, from which on it counts as disturbed
ENOUGH = 3  # undisturbed samples that make the disturbed ones unnecessary
SHORTEST = 0.1  # seconds of a sample: short calls are repeated, and their mean is the sample
HELPERS: set[int] = set()  # ids of running processes in which a contender computes

Call = Callable[[], Any]


class OthersLoad:
    """Cores that others kept busy since the last look; None where the system does not know.

    Others are all processes but this one and its HELPERS.
    """

    def __init__(self) -> None:
        self.last = self._look()

    def __call__(self) -> float | None:
        before, self.last = self.last, self._look()
        if before is None or self.last is None:
            return None
        busy, own, wall = (now - then for now, then in zip(self.last, before, strict=True))
        return max(busy - own, 0.0) / wall

    @staticmethod
    def _look() -> tuple[float, float, float] | None:
        try:
            ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
            helpers = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for pid in HELPERS]
        except (OSError, ValueError):
            return None
        idle = ticks[3] + ticks[4]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        second = os.sysconf("SC_CLK_TCK")
        own = usage.ru_utime + usage.ru_stime + sum(int(word) for words in helpers for word in words) / second
        return (sum(ticks) - idle) / second, own, time.perf_counter()


def alternate(
    calls: dict[str, Call],
    repeats: int,
    patience: float,
    on_call: Callable[[str, float], None] = lambda name, seconds: None,
    synchronize: Call = lambda: None,
) -> dict[str, dict[str, Any]]:
    """Call everything in turns; name -> {"median_s", "samples_s", "disturbed", "warm"}.

    Args:
        calls: what to time, by name.
        repeats: samples of each, after one call that is not counted.
        patience: seconds that one contender may take; slower ones are called less often. One whose first call takes
            longer than that is not called again: that call is its sample, and "warm" is false.
        on_call: called with the name and the duration after each call.
        synchronize: called before the clock is read (a GPU works on when a call has returned).
    """
    samples: dict[str, list[tuple[float, float | None]]] = {}
    planned, cold = {}, set()
    for name, call in calls.items():
        first = _timed(call, synchronize, shortest=0)
        on_call(name, first[0])
        planned[name] = min(repeats, max(1, int(patience / first[0])))
        samples[name] = []
        if first[0] > patience:
            samples[name], planned[name] = [first], 1
            cold.add(name)
    while waiting := [name for name in calls if len(samples[name]) < planned[name]]:
        for name in waiting:
            samples[name].append(_timed(calls[name], synchronize))
            on_call(name, samples[name][-1][0])
    return {name: {**_summary(taken), "warm": name not in cold} for name, taken in samples.items()}


def _timed(call: Call, synchronize: Call, shortest: float = SHORTEST) -> tuple[float, float | None]:
    """Seconds a call, and the cores that others used meanwhile."""
    others, calls = OthersLoad(), 0
    synchronize()
    start = now = time.perf_counter()
    while not calls or now - start < shortest:
        call()
        synchronize()
        calls, now = calls + 1, time.perf_counter()
    return (now - start) / calls, others()


def _summary(samples: list[tuple[float, float | None]]) -> dict[str, Any]:
    clean = [seconds for seconds, load in samples if load is None or load < DISTURBED]
    counted = clean if len(clean) >= min(ENOUGH, len(samples)) else [seconds for seconds, _ in samples]
    return {
        "median_s": statistics.median(counted),
        "samples_s": [float(f"{seconds:.6g}") for seconds, _ in samples],
        "disturbed": len(samples) - len(clean),
    }
