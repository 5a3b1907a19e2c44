"""A session: the processes that train together from one start of the program to its end. A run has one or more."""

import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from lightm.errors import LightMError
from lightm.training.provenance import hardware, versions

# Whatever differs here between two sessions of a run can change the last bits of what it computes.
DECISIVE = ("threads", "processes", "cpu", "gpu", "versions")
_log = logging.getLogger("lightm")


def start_processes() -> Accelerator:
    """Join the processes that a launcher has started (torchrun, `accelerate launch`); alone if there was none.

    On CPUs they talk through gloo. LightMError if fewer processes have met than were asked for.
    """
    world = int(os.environ.get("WORLD_SIZE") or 1)
    on_cpu = not torch.accelerator.is_available() or torch.accelerator.current_accelerator().type == "mps"
    cpu_asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    # Without GPUs `accelerate launch --num_processes N` sets an address for its processes to meet at, and starts one:
    # it leaves the others to MPI.
    several = any(os.environ.get(name) for name in ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"))
    if "ACCELERATE_MIXED_PRECISION" in os.environ and os.environ.get("MASTER_ADDR") and not several:
        raise LightMError(
            "`accelerate launch` has started one process where several were asked for: on CPUs it does no more; start "
            "them with `torchrun --nproc_per_node 2 -m lightm train ...`."
        )
    local = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    if not (on_cpu or cpu_asked) and torch.cuda.is_available() and local > (gpus := torch.cuda.device_count()):
        raise LightMError(f"{local} processes need {local} GPUs, and {gpus} are here; start fewer.")
    # Precision is the run's own matter (`autocast`), whatever `accelerate launch` was configured to.
    accelerator = Accelerator(mixed_precision="no", cpu=(on_cpu or cpu_asked) and world > 1)
    met = accelerator.num_processes
    if world not in (1, met):
        raise LightMError(f"{world} processes were asked for and {met} have met; start them with torchrun.")
    return accelerator


def describe(accelerator: Accelerator) -> dict[str, Any]:
    """When this session began and what it runs on, as plain values for checkpoint and record."""
    here = hardware()
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": accelerator.device.type,
        "processes": accelerator.num_processes,
        **{key: here[key] for key in ("threads", "cpu", "gpu")},
        "versions": versions(),
    }


def warn_of_changes(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Log how a session differs from the one before it, if that can change bits; old checkpoints don't know theirs."""
    changes = []
    for key in DECISIVE:
        if key not in before or before[key] == now[key]:
            continue
        old, new = (value if isinstance(value, dict) else {key: value} for value in (before[key], now[key]))
        changes += [f"{k} {old.get(k)} then and {new.get(k)} now" for k in new if old.get(k) != new.get(k)]
    if changes:
        _log.warning(
            "This run goes on under other conditions (%s): its last bits may differ from those of an unbroken run.",
            "; ".join(changes),
        )


class CoreWatch:
    """Notices that other programs take the cores from a training on the CPU, and names the remedy, once.

    Linux counts for how long a thread was ready to run and had to wait for a core. torch's threads wait for each
    other after every operation, so one that has no core delays all of them.
    """

    PATIENCE = 20.0  # seconds before the first judgement
    TOO_MUCH = 0.25  # share of the time that threads want to run, and wait

    def __init__(self, threads: int):
        self.threads, self.warned = threads, threads < 2
        self.began: float | None = None
        self.at_first = (0.0, 0.0)

    def look(self) -> None:
        """Called once per iteration."""
        if self.warned:
            return
        now = time.monotonic()
        if self.began is None:
            self.began, self.at_first = now, self._times()
        elif now - self.began > self.PATIENCE:
            run, waited = (b - a for a, b in zip(self.at_first, self._times(), strict=True))
            self.warned = waited > self.TOO_MUCH * (run + waited)
            if self.warned:
                _log.warning(
                    "The cores are busy: the %d threads of this training got %.0f of the %.0f seconds of CPU time that "
                    "they asked for. Training will be faster with OMP_NUM_THREADS=%d in the environment.",
                    *(self.threads, run, run + waited, max(1, self.threads // 2)),
                )
            self.began = None  # the next judgement is on what comes next

    @staticmethod
    def _times() -> tuple[float, float]:
        """Seconds that all threads of this process have run, and have waited for a core; zeros off Linux."""
        run = waited = 0
        for path in Path("/proc/self/task").glob("*/schedstat"):
            try:
                fields = path.read_text().split()
            except OSError:
                continue  # the thread has just ended
            run, waited = run + int(fields[0]), waited + int(fields[1])
        return run / 1e9, waited / 1e9
