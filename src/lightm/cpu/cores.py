"""How many cores are free, and torch told so before it is loaded: what a command does on a machine that others use.

torch's threads meet after every operation, and one that waits for another spins for some milliseconds before it sleeps.
Where a thread has no core because another program runs there, each of a step's thousands of operations costs whole
spins. So a command that computes takes the cores that are free. A variable that the user has set decides alone.
(Spinning for less, by GOMP_SPINCOUNT, helps on busy cores, too, but was slower on quiet ones.)
"""

import os
import sys
import time
from pathlib import Path

OBSERVED = 0.1  # seconds for which the cores are watched
DECIDED_BY_USER = ("OMP_", "GOMP_", "MKL_NUM_THREADS", "KMP_")


def share_cores(earlier: int | None = None) -> None:
    """Set OMP_NUM_THREADS for the torch that will be imported, and say so, unless all cores are free.

    earlier: the number of threads of the run that goes on; its bits depend on it.
    """
    if "torch" in sys.modules or any(name.startswith(DECIDED_BY_USER) for name in os.environ):
        return
    cores, free = processors(), earlier or free_cores()
    if free >= cores:
        return
    os.environ["OMP_NUM_THREADS"] = str(free)
    why = "as before" if earlier else "others are busy"
    print(
        f"lightm: computing with {free} of {cores} cores ({why}; the variable OMP_NUM_THREADS decides otherwise).",
        file=sys.stderr,
    )


def processors() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_cores() -> int:
    """Of the cores that this process may use, those that its group's quota allows and that others leave; at least 1."""
    cores = min(processors(), _quota() or processors())
    try:
        before = Path("/proc/stat").read_text()
        time.sleep(OBSERVED)
        idle = idle_cores(before, Path("/proc/stat").read_text(), os.sched_getaffinity(0))
    except (OSError, AttributeError):  # not Linux
        return cores
    return max(1, min(cores, idle))


def idle_cores(before: str, after: str, allowed: set[int]) -> int:
    """How many of the `allowed` cores were idle between two readings of /proc/stat; a core in use by half counts."""
    shares = []
    for first, second in zip(_ticks(before, allowed), _ticks(after, allowed), strict=True):
        spent = [b - a for a, b in zip(first, second, strict=True)]
        shares.append((spent[3] + spent[4]) / max(1, sum(spent)))  # idle, and waiting for a disk
    return int(sum(shares) + 0.5)


def _ticks(stat: str, allowed: set[int]) -> list[list[int]]:
    """user, nice, system, idle, iowait, irq, softirq, steal of each core (proc(5))."""
    lines = [line.split() for line in stat.splitlines() if line.startswith("cpu") and line[3].isdigit()]
    return [[int(x) for x in fields[1:9]] for fields in lines if int(fields[0][3:]) in allowed]


def _quota() -> int | None:
    """Cores that a container's quota is worth, rounded up; None without one."""
    root = Path("/sys/fs/cgroup")
    try:
        own = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
        found = next(f for f in (root / own / "cpu.max", root / "cpu.max") if f.is_file()).read_text().split()
    except (OSError, StopIteration):
        try:
            found = [(root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")]
        except OSError:
            return None
    return quota_of(*found)


def quota_of(quota: str, period: str) -> int | None:
    """Cores of a quota in microseconds per period; "max" and -1 mean none."""
    return None if quota == "max" or int(quota) <= 0 else max(1, -(-int(quota) // int(period)))
