"""Where a number comes from: versions, hardware, commit. Never a path, a user's or a machine's name."""

import ctypes
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import lightm

PACKAGES = ("torch", "numpy", "monai", "accelerate", "numba", "safetensors")


def environment() -> dict[str, Any]:
    """Versions, hardware and commit as plain values for a record."""
    return {"versions": versions(), "hardware": hardware(), "git": git_state()}


def versions() -> dict[str, str]:
    """Python, lightm and the packages whose version can change a result; "-" for one that is not installed."""
    found = {"python": platform.python_version(), "lightm": lightm.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "-"
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, torch's threads, accelerator, operating system."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": cpu_model(),
        "cores": usable,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def cpu_model() -> str:
    """The processor's name as the system gives it, or its architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def git_state() -> dict[str, Any]:
    """Commit of the package's checkout and whether tracked files differ from it; both None outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _git(*command: str) -> str:
    here = Path(lightm.__file__).parent
    if not (here.parents[1] / ".git").exists():
        raise OSError("installed, not checked out")  # a foreign repository around site-packages is not ours to name
    done = subprocess.run(["git", "-C", here, *command], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def peak_memory(device: torch.device) -> int:
    """Most bytes held so far: of GPU memory on a CUDA device, else of this process's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        import psutil  # comes with accelerate

        return psutil.Process().memory_info().peak_wset
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def total_memory(device: torch.device) -> int:
    """Bytes of a CUDA device's memory, else of this machine's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    import psutil  # comes with accelerate

    return psutil.virtual_memory().total


def restart_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` begin anew from what is held now: another run in the same process has a peak of its own.

    For the memory of a process only Linux can do that; elsewhere the highest of all runs stays.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what is free already is not held
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        pass  # not Linux with glibc, or not allowed
