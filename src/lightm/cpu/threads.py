"""Runs compiled tasks side by side, on the threads that torch itself uses.

Skip this file on a first reading: `run` calls every task once, and the rest is about which threads do it. It is here
because torch's OpenMP threads spin for a while after each operation, waiting for the next one. A second pool of threads
would compete with them for the cores (up to 1.7 times slower on short scans), so tasks run on OpenMP's own threads
where they can be reached; elsewhere, and in forked children, where OpenMP's threads no longer exist, on Python's.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Lock, local

import torch

_here = local()

Task = Callable[[], None]
_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_forked = False


def run(tasks: list[Task]) -> None:
    """Calls every task, at most `torch.get_num_threads()` at a time; the first exception is raised at the end."""
    threads = min(torch.get_num_threads(), len(tasks))
    if threads <= 1:
        for task in tasks:
            task()
        return
    queue, lock, errors = iter(tasks), Lock(), []

    def work(_=None) -> None:
        _here.inside = True
        try:
            while (task := _next(queue, lock)) is not None:
                task()
        except BaseException as error:  # must not leave a thread that is not Python's
            errors.append(error)
        finally:
            _here.inside = False

    parallel = _openmp() if are_torchs() else None
    if parallel is not None:
        parallel(_Callback(work), None, threads, 0)
    else:
        waiting = [_pool(os.getpid(), threads).submit(work) for _ in range(threads - 1)]
        work()
        for future in waiting:
            future.result()
    if errors:
        raise errors[0]


def are_torchs() -> bool:
    """Whether `run` uses torch's own threads, within which an operation of torch is not cut for several threads."""
    return not _forked and _openmp() is not None


def inside() -> bool:
    """Whether this thread is running a task of `run`, where a second division of the work would gain nothing."""
    return getattr(_here, "inside", False)


def _next(queue: Iterator[Task], lock: Lock) -> Task | None:
    with lock:
        return next(queue, None)


@cache
def _pool(pid: int, threads: int) -> ThreadPoolExecutor:
    """Threads of our own; `pid` is part of the key because a forked child inherits the pool without its threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="lightm-scan")


@cache
def _openmp() -> Callable | None:
    """GNU OpenMP's `GOMP_parallel` of the library that torch has loaded, or None."""
    if not sys.platform.startswith("linux") or not torch.backends.openmp.is_available():
        return None
    maps = Path("/proc/self/maps").read_text(errors="surrogateescape")  # proc(5): the path is the sixth field
    loaded = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if "libgomp" in line}
    ours = [path for path in loaded if Path(torch.__file__).parent in Path(path).parents] or list(loaded)
    if len(ours) != 1:  # none, or it is unknown which one torch uses
        return None
    try:
        parallel = ctypes.CDLL(ours[0]).GOMP_parallel
    except (OSError, AttributeError):
        return None
    parallel.argtypes = (_Callback, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None
    return parallel


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
