"""What a run shows and leaves for its reader: a progress bar or lines with time and memory, log.csv, curves.png."""

import csv
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm  # the plain one: tqdm.auto becomes a widget in notebooks and loads a script from another host

from lightm.files import whole_file

Row = dict[str, Any]  # one epoch: the columns of log.csv
COLUMNS = (
    *("epoch", "iteration", "lr", "train_loss", "val_loss", "val_dsc", "val_iou", "val_dsc_native"),
    *("images_per_second", "seconds"),
)


class Progress:
    """A bar on a terminal, one line an epoch elsewhere, nothing when `quiet`; with the time left and peak memory."""

    def __init__(self, iterations: int, done: int, quiet: bool):
        self.iterations, self.first, self.began = iterations, done, time.monotonic()
        self.lines = not quiet and not sys.stderr.isatty()
        self.bar = tqdm(total=iterations, initial=done, unit="it", disable=quiet or self.lines, dynamic_ncols=True)

    def step(self, epoch: int, epochs: int, loss: float) -> None:
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
            self.say(f"{line}  {peak_bytes / 1e9:.1f} GB")

    def say(self, text: str) -> None:
        if self.lines or not self.bar.disable:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()

    def close(self) -> None:
        self.bar.close()


class Counting:
    """`what 12/141`: a bar on a terminal that goes when all is counted, elsewhere a line every half minute.

    Called with (done, total).
    """

    def __init__(self, what: str, quiet: bool = False):
        self.what, self.quiet, self.told = what, quiet, time.monotonic()
        self.bar: tqdm | None = None

    def __call__(self, done: int, total: int) -> None:
        if self.quiet:
            return
        if sys.stderr.isatty():
            self.bar = self.bar or tqdm(total=total, desc=self.what, unit="case", leave=False, dynamic_ncols=True)
            self.bar.update(done - self.bar.n)
            if done == total:
                self.bar.close()
        elif time.monotonic() - self.told > 30:
            self.told = time.monotonic()
            print(f"{self.what} {done}/{total}", file=sys.stderr, flush=True)


def write_log(rows: list[Row], path: Path) -> None:
    """The whole log anew, so that it holds each epoch once, however often the run was interrupted."""
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)  # None becomes an empty cell


def draw_curves(rows: list[Row], path: Path, title: str) -> None:
    """Loss and validation scores over the epochs, as a PNG; nothing where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # not pyplot's: no global state, no display needed
    except ImportError:
        return  # a bare GPU machine; log.csv has the same numbers

    from lightm.figures_training import draw_training

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    draw_training(figure, rows)
    figure.suptitle(title)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120, metadata={"Software": None})
