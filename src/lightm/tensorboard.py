"""The log of a run for TensorBoard, beside log.csv: `tensorboard --logdir runs`."""

import logging
import shutil
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]

# Column of log.csv -> name in TensorBoard, where "a/b" is panel b of group a.
SCALARS = {
    "train_loss": "loss/training",
    "val_loss": "loss/validation",
    "val_dsc": "score/DSC",
    "val_iou": "score/IoU",
    "lr": "course/learning rate",
    "seconds": "course/seconds an epoch",
    "images_per_second": "course/images a second",
}
_told = False


class TensorBoardLog:
    """Scalars by epoch in `folder`. It starts from `rows`, all that is known so far, and replaces what was there.

    folder None: nothing is written (all processes but the first). So a run that was killed and goes on has each epoch
    once, whatever was or wasn't written when it died. Without the package tensorboard nothing is written, and a line
    says so once.
    """

    def __init__(self, folder: Path | None, rows: list[Row]):
        self.writer = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            global _told
            if not _told:
                logging.getLogger("lightm").info("No TensorBoard log is written: `pip install tensorboard` for one.")
            _told = True
            return
        shutil.rmtree(folder, ignore_errors=True)
        self.writer = SummaryWriter(folder)
        moment = time.time() - sum(row["seconds"] for row in rows)
        for row in rows:
            moment += row["seconds"]
            self._add(row, moment)
        self.writer.flush()

    def epoch(self, row: Row) -> None:
        """Append one epoch."""
        if self.writer:
            self._add(row, time.time())
            self.writer.flush()

    def close(self) -> None:
        if self.writer:
            self.writer.close()

    def _add(self, row: Row, moment: float) -> None:
        for column, name in SCALARS.items():
            if row.get(column) is not None:
                self.writer.add_scalar(name, row[column], row["epoch"], walltime=moment)
