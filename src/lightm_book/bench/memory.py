"""Peak memory: what a call adds, at its highest, to the inputs that are already there.

On a GPU torch counts it. On a CPU the peak of a process can only grow, so each contender gets a process of its own:
`python -m lightm_book.bench.memory_process REQUEST`.
"""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lightm.training.provenance import peak_memory

TO_START = 60  # seconds that such a process may take before its call begins


def free_memory(device: torch.device) -> int:
    """Bytes that could be had now: of the GPU's memory, or of the machine's without swapping."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil  # comes with accelerate

    return psutil.virtual_memory().available


def added_by(call: Callable[[], Any], device: torch.device) -> int:
    """Bytes that `call` holds at its highest, its results included, beyond what was held before it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        result = call()
        torch.cuda.synchronize(device)
        del result
        return torch.cuda.max_memory_allocated(device) - before
    before = _restart_peak()
    result = call()
    after = _peak()
    del result
    return max(after - before, 0)


def in_own_process(request: dict[str, Any], patience: float) -> int | None:
    """The bytes for a request to memory_process.py; None if the process fails or the call outlasts `patience`."""
    command = [sys.executable, "-m", "lightm_book.bench.memory_process", json.dumps(request)]
    threads = {"OMP_NUM_THREADS": str(request["threads"])}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TO_START + patience, env=os.environ | threads
        )
        return int(done.stdout.split()[-1]) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return None


def _restart_peak() -> int:
    """Bytes held now, from which the peak is counted; on Linux the peak itself is set back to it."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what is free already must not hide what the call takes
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except (OSError, AttributeError):
        return peak_memory(torch.device("cpu"))


def _peak() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        return peak_memory(torch.device("cpu"))


def _status(key: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{key}:"))
    return 1024 * int(line.split()[1])
