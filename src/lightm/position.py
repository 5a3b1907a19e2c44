"""Where a run stands."""

import dataclasses
from typing import Any

from lightm.logs import Row


@dataclasses.dataclass
class Position:
    """All that changes during a run besides weights and optimiser; a checkpoint's state.json holds it."""

    epoch: int = 0  # epochs completed
    step: int = 0  # iterations completed of the epoch after those
    loss_sum: float = 0.0  # over those iterations
    epoch_seconds: float = 0.0  # spent on them
    rows: list[Row] = dataclasses.field(default_factory=list)
    best: dict[str, Any] | None = None  # {"epoch", "val_dsc", "val_dsc_native", "val_loss"}
    wall_seconds: float = 0.0
    peak_memory_bytes: int = 0
    sittings: int = 0  # processes that the run has had, one after the other
