"""What a finished run says of itself, but for its scores: the record of `lightm.results`, put together."""

import statistics
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lightm.config import Config
from lightm.provenance import environment
from lightm.results import SCHEMA
from lightm.runs import Task
from lightm.scan import choose_backend

if TYPE_CHECKING:
    from lightm.position import Position


def run_record(
    config: Config,
    task: Task,
    identity: dict[str, str],
    net: nn.Module,
    device: torch.device,
    processes: int,
    position: "Position",
) -> dict[str, Any]:
    """Recipe, data, network, environment, cost and curve of a run that has reached its end.

    identity: the hashes of split and data set. cost.seconds_per_epoch counts training and validation,
    cost.images_per_second the training alone, loading included: medians over the epochs.
    """
    asked = config.model.options.get("scan_backend", "auto")
    rows = position.rows
    return {
        "schema": SCHEMA,
        "name": config.name,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config.public(),
        "config_sha256": config.sha256,
        "seed": config.train.seed,
        "data": {
            "name": task.dataset.name,
            "synthetic": task.dataset.synthetic,
            "source": task.dataset.source,
            "classes": list(task.dataset.classes),
            "fingerprint": identity["data set"],
            "split_sha256": task.split.sha256,
            "cases": {part: len(task.cases(part)) for part in ("train", "val", "test")},
        }
        | ({"packed": task.dataset.packed} if task.dataset.packed else {}),
        "model": {
            "name": config.model.name,
            "params": sum(p.numel() for p in net.parameters()),
            "scan": choose_backend(torch.empty(0, 1, 0, device=device), asked)[0],
        },
        "environment": environment(),
        "cost": {
            "wall_seconds": round(position.wall_seconds, 1),
            "seconds_per_epoch": statistics.median(row["seconds"] for row in rows),
            "images_per_second": statistics.median(row["images_per_second"] for row in rows),
            "peak_memory_bytes": position.peak_memory_bytes,
            "device": device.type,
            "processes": processes,
            "sittings": position.sittings,
        },
        "curve": rows,
        "best": position.best,
    }
