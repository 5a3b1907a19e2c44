"""What a run shows and leaves for its reader: a progress bar or lines with time and memory, log.csv, curves.png.

The numbers of log.csv also go to TensorBoard, where that is installed: `tensorboard --logdir runs`.
"""

import csv
import logging
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm  # the plain one: tqdm.auto becomes a widget in notebooks and loads a script from another host

from lightm.files import whole_file

if TYPE_CHECKING:  # a bare GPU machine may have no matplotlib
    from matplotlib.figure import Figure

Row = dict[str, Any]  # one epoch: the columns of log.csv
COLUMNS = (
    *("epoch", "iteration", "lr", "train_loss", "val_loss", "val_dsc", "val_iou", "val_dsc_native"),
    *("images_per_second", "seconds"),
)

# Column of log.csv -> name in TensorBoard, where "a/b" is panel b of group a.
SCALARS = {
    "train_loss": "loss/training",
    "val_loss": "loss/validation",
    "val_dsc": "score/DSC",
    "val_iou": "score/IoU",
    "lr": "schedule/learning rate",
    "seconds": "schedule/seconds per epoch",
    "images_per_second": "schedule/images per second",
}
_announced = False


class Progress:
    """A bar on a terminal, one line per epoch elsewhere, nothing when `quiet`; with the time left and peak memory."""

    def __init__(self, iterations: int, quiet: bool):
        self.iterations, self.quiet = iterations, quiet
        self.lines = not quiet and not sys.stderr.isatty()
        self.first, self.began = 0, time.monotonic()
        self.bar: tqdm | None = None

    def start(self, done: int) -> None:
        """The training begins, with that many iterations behind it."""
        self.first, self.began = done, time.monotonic()
        if not self.quiet and not self.lines:
            self.bar = tqdm(total=self.iterations, initial=done, unit="it", dynamic_ncols=True)

    def step(self, epoch: int, epochs: int, loss: float) -> None:
        """One iteration is done."""
        if self.bar is not None:
            self.bar.set_description(f"epoch {epoch}/{epochs} loss {loss:.4f}", refresh=False)
            self.bar.update()

    def epoch(self, row: Row, epochs: int, peak_bytes: int) -> None:
        """One epoch is done; peak_bytes: most memory so far, the GPU's or else the process's."""
        score = "" if row["val_dsc"] is None else f"  validation DSC {row['val_dsc']:.4f}"
        line = f"epoch {row['epoch']}/{epochs}  loss {row['train_loss']:.4f}{score}"
        if self.lines:
            rate = (time.monotonic() - self.began) / max(row["iteration"] - self.first, 1)
            left = rate * (self.iterations - row["iteration"])
            line += f"  {row['seconds']:.0f} s, {tqdm.format_interval(left)} left"
        if self.lines or score:
            self.message(f"{line}  {peak_bytes / 1e9:.1f} GB")

    def message(self, text: str) -> None:
        """A line of text, above the bar if there is one."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()

    def close(self) -> None:
        """Leave the terminal to others."""
        if self.bar is not None:
            self.bar.close()


class CaseProgress:
    """`what 12/141`: a bar on a terminal that goes when all cases are done, elsewhere a line every half minute.

    Called with (done, total). unit: of the bar's rate. Both say how much time is left.
    """

    def __init__(self, what: str, quiet: bool = False, unit: str = "case"):
        self.what, self.quiet, self.unit = what, quiet, unit
        self.began = self.last = time.monotonic()
        self.first: float | None = None
        self.bar: tqdm | None = None

    def __call__(self, done: float, total: float) -> None:
        if self.quiet:
            return
        if sys.stderr.isatty():
            self.bar = self.bar or tqdm(total=total, desc=self.what, unit=self.unit, leave=False, dynamic_ncols=True)
            self.bar.update(done - self.bar.n)
            if done == total:
                self.bar.close()
            return
        now, self.first = time.monotonic(), done if self.first is None else self.first
        if now - self.last > 30:
            left = (now - self.began) / max(done - self.first, 1e-9) * (total - done)
            after = f", {tqdm.format_interval(left)} left" if done > self.first else ""
            self.last = now
            print(f"{self.what} {done}/{total}{after}", file=sys.stderr, flush=True)


def write_log(rows: list[Row], path: Path) -> None:
    """The whole log anew, so that it holds each epoch once, however often the run was interrupted."""
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)  # None becomes an empty cell


def draw_curves(rows: list[Row], path: Path, title: str) -> None:
    """Loss and validation scores over the epochs, as a PNG; nothing where matplotlib can't be loaded."""
    try:
        from matplotlib.figure import Figure  # not pyplot's: no global state, no display needed
    except (ImportError, ValueError):
        return  # a bare GPU machine, or MPLBACKEND names what is not there; log.csv has the same numbers

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    draw_training(figure, rows)
    figure.suptitle(title)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120, metadata={"Software": None})


def draw_training(figure: "Figure", rows: Sequence[Row], epochs: int = 0) -> None:
    """Loss and validation scores over the epochs, as two panels of `figure`, which is cleared first.

    rows: the log of a run (the columns of log.csv), possibly none yet. epochs: how far the axis reaches at least.
    """
    from matplotlib.ticker import MaxNLocator

    figure.clear()
    left, right = figure.subplots(1, 2)
    scored = [row for row in rows if row["val_dsc"] is not None]
    left.plot([r["epoch"] for r in rows], [r["train_loss"] for r in rows], ".-", label="training")
    left.plot([r["epoch"] for r in scored], [r["val_loss"] for r in scored], ".-", label="validation")
    left.set(title="loss", ylim=(0, None))
    for metric, name in (("val_dsc", "DSC"), ("val_iou", "IoU")):
        right.plot([r["epoch"] for r in scored], [r[metric] for r in scored], ".-", label=name)
    right.set(title="mean score, validation cases", ylim=(None, 1))
    last = max(epochs, len(rows), 1)
    for axes in (left, right):
        axes.set(xlabel="epoch", xlim=(1 - 0.04 * last, last * 1.04))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()


class TensorBoardLog:
    """Scalars by epoch in `folder`, which is replaced. Without the package tensorboard a line says so once.

    folder None: nothing is written (all processes but the first).
    """

    def __init__(self, folder: Path | None):
        self.folder, self.writer = folder, None

    def start(self, rows: list[Row]) -> None:
        """Write all that is known so far: each epoch once, whatever was or wasn't written by a process that died."""
        if self.folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            global _announced
            if not _announced:
                logging.getLogger("lightm").info("No TensorBoard log is written: `pip install tensorboard` for one.")
            _announced = True
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.writer = SummaryWriter(self.folder)
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
        """Nothing more will be written."""
        if self.writer:
            self.writer.close()

    def _add(self, row: Row, moment: float) -> None:
        for column, name in SCALARS.items():
            if row.get(column) is not None:
                self.writer.add_scalar(name, row[column], row["epoch"], walltime=moment)
