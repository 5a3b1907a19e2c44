"""lightm check: is this machine ready for the book, a class, or a training? Half a minute."""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lightm.cli.parser import AddCommand

DISK, MEMORY = 3.0, 4.0  # GB: the book's build beside an installed environment, and a laptop that does nothing else
PYTHON = (3, 11)


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    command(
        "check",
        _run,
        "is this machine ready: versions, compiler, a training step, disk, memory",
        "Try what the book needs and say in a sentence each what works. Exit code 1 if something does not.",
        "  lightm check",
    )


def _run(args: argparse.Namespace) -> int:
    start, failed = time.monotonic(), 0
    for ready, sentence in checks(Path.cwd()):
        print(f"{'ready  ' if ready else 'NOT YET'}  {sentence}", flush=True)
        failed += not ready
    took = f"{time.monotonic() - start:.0f} s"
    if failed:
        print(f"\n{failed} of these must be put right first ({took}).")
        return 1
    print(f"\nThis machine is ready ({took}).")
    return 0


def checks(folder: Path) -> Iterator[tuple[bool, str]]:
    """(is it ready, a sentence that says so and otherwise what to do), one check after the other."""
    version = ".".join(map(str, sys.version_info[:3]))
    needed = ".".join(map(str, PYTHON))
    new = sys.version_info >= PYTHON
    yield new, f"Python {version}." if new else f"Python is {version}: install {needed} or newer."
    yield disk(shutil.disk_usage(folder).free / 1e9)
    yield memory(available_memory())
    yield packages()
    yield attempt(
        "The selective scan compiles and runs", compile_scan, "read `lightm info`; without numba it is slower"
    )
    yield attempt(
        "A small LightM-UNet takes a training step", training_step, "type `pip install --force-reinstall lightm`"
    )


def disk(free: float) -> tuple[bool, str]:
    text = f"{free:.0f} GB of disk are free here"
    return free >= DISK, f"{text}." if free >= DISK else f"{text}: make room for {DISK:.0f}."


def memory(free: float | None) -> tuple[bool, str]:
    if free is None:
        return True, "How much memory is free can't be asked of this system."
    text = f"{free:.1f} GB of memory are free"
    return free >= MEMORY, f"{text}." if free >= MEMORY else f"{text}: close programs until {MEMORY:.0f} are."


def available_memory() -> float | None:
    """GB that a program can get without swapping; None where the system doesn't say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024 / 1e9
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9  # all of it: macOS has no more to say
    except (OSError, ValueError):
        return None


def packages() -> tuple[bool, str]:
    from importlib.metadata import PackageNotFoundError, version

    names, missing, found = ("torch", "monai", "numba", "matplotlib"), [], []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return False, f"Missing packages: {', '.join(missing)}. Type `pip install {' '.join(missing)}`."
    return True, f"Packages: {', '.join(found)}."


def attempt(what: str, action, remedy: str) -> tuple[bool, str]:
    """Run `action`, which returns a word on how; whatever it raises becomes a sentence."""
    start = time.monotonic()
    try:
        how = action()
    except Exception as error:  # whatever goes wrong on a stranger's machine is the answer to the question
        return (
            False,
            f"{what}: no. {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''} {remedy}.",
        )
    return True, f"{what} ({how}, {time.monotonic() - start:.1f} s)."


def compile_scan() -> str:
    import torch

    from lightm.scan import choose_backend, selective_scan

    u = torch.randn(1, 4, 64)  # (B, D, L)
    A, BC = -torch.rand(4, 2), torch.randn(1, 2, 64)  # (D, N), (B, N, L)
    if not selective_scan(u, torch.rand(1, 4, 64), A, BC, BC).isfinite().all():
        raise ArithmeticError("the result is not finite")
    return f"backend {choose_backend(u)[0]}"


def training_step() -> str:
    import torch
    import torch.nn.functional as F

    from lightm.models import build_model

    torch.manual_seed(0)
    model = build_model("lightm-unet", 2, 1, 2, width=8, depths=[1, 1], bottleneck_depth=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss = F.cross_entropy(model(torch.randn(2, 1, 32, 32)), torch.randint(2, (2, 32, 32)))
    loss.backward()
    optimizer.step()
    if not loss.isfinite():
        raise ArithmeticError("the loss is not finite")
    return f"loss {loss.item():.2f}"
