"""Where a number comes from: versions, hardware, commit. Never a path, a user's or a machine's name."""

import ctypes
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import torch

PACKAGE = Path(__file__).resolve().parents[1]  # the folder lightm/
PACKAGES = ("lightm", "torch", "numpy", "monai", "accelerate", "numba", "safetensors")


def environment() -> dict[str, Any]:
    """Versions, hardware and commit as plain values for a record."""
    return {"versions": versions(), "hardware": hardware(), "git": git_state()}


def versions() -> dict[str, str]:
    """Python, lightm and the packages whose version can change a result; "-" for one that is not installed."""
    found = {"python": platform.python_version()}
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
    """Commit of the package and whether tracked files differ from it.

    The package lies in a checkout, or pip installed it from a commit (`pip install git+https://…`) and noted which.
    Else both are None, and "why" says what is missing; the version of lightm is then all that is known.
    """
    checkout = PACKAGE.parents[1]
    if not (checkout / ".git").exists():  # a foreign repository around site-packages is not ours to name
        commit = _installed_commit(PACKAGE)
        if commit is None:
            return {"commit": None, "dirty": None, "why": "installed without its repository"}
        return {"commit": commit, "dirty": False}
    try:
        commit = _git(checkout, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(checkout, "status", "--porcelain", "--untracked-files=no"))}
    except FileNotFoundError:
        return {"commit": None, "dirty": None, "why": "git is not installed"}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None, "why": "git could not read its repository"}


def _git(checkout: Path, *command: str) -> str:
    # A checkout of another user (a shared folder, a container's mount) is read all the same; its hooks are not run.
    safe = ("-c", f"safe.directory={checkout.as_posix()}", "-c", "core.fsmonitor=false")
    done = subprocess.run(
        ["git", *safe, "-C", checkout, *command], capture_output=True, timeout=10, check=True, encoding="utf-8"
    )
    return done.stdout.strip()


def _installed_commit(here: Path) -> str | None:
    """The commit in pip's direct_url.json (PEP 610), if that is of the package that runs."""
    try:
        installed = distribution("lightm")
        if not Path(installed.locate_file("lightm")).resolve() == here:
            return None
        return json.loads(installed.read_text("direct_url.json") or "{}")["vcs_info"]["commit_id"]
    except (PackageNotFoundError, KeyError, ValueError, TypeError):
        return None


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
