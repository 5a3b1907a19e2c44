"""A run folder: how it is made, kept to one process at a time, and read back.

config.toml   the recipe, every key            last/, best/   checkpoints (the newest; the best on validation)
split.json    which case is in which part      curves.png     loss and scores over the epochs
log.csv       one row per epoch                tensorboard/   the same, for TensorBoard
                                               record.json    everything measured, written last
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import nn

from lightm.data.splits import Split, save_split
from lightm.errors import LightMError
from lightm.training.checkpoint import MODEL, find_checkpoint, load_model, load_state, reading
from lightm.training.config import Config, config_from_dict, load_config
from lightm.training.task import RunData, Task, build_network, load_data

SPLIT_FILE, CONFIG_FILE, RECORD_FILE, LOCK_FILE = "split.json", "config.toml", "record.json", ".lock"
TENSORBOARD_FOLDER = "tensorboard"


@dataclass(frozen=True)
class Run:
    """A run folder read back: its recipe, its task, and the checkpoint that was best on the validation cases."""

    folder: Path
    config: Config
    task: Task
    checkpoint: Path
    epoch: int | None  # of that checkpoint; None where a weights file does not say it

    @property
    def weights(self) -> Path:
        """The file that holds its best weights."""
        return self.checkpoint / MODEL

    def network(self) -> nn.Module:
        """The network with its best weights, on the CPU."""
        net = build_network(self.config, self.task)
        load_model(self.checkpoint, net)
        return net

    def record(self) -> dict[str, Any]:
        """What the run measured; empty if it was stopped before its end."""
        try:
            return json.loads((self.folder / RECORD_FILE).read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise LightMError(f"{self.folder / RECORD_FILE} can't be read ({error}); remove or restore it.") from None

    def data(self, root: str | Path | None = None) -> RunData:
        """Its data set with the run's own copy of the split. root: where the data lies, if it has moved."""
        data = replace(self.config.data, split=SPLIT_FILE, root=str(root or self.config.data.root))
        return load_data(replace(self.config, data=data, folder=self.folder))


def load_run(folder: str | Path) -> Run:
    """A run folder; LightMError if it is none, or has no whole checkpoint of the recipe that stands in it."""
    folder = Path(folder)
    if not folder.is_dir():
        raise LightMError(f"There is no run folder {folder}; correct the path, or make one with `lightm train`.")
    if not (folder / CONFIG_FILE).is_file():
        raise LightMError(f"{folder} is not a run folder: it has no {CONFIG_FILE}; `lightm train` makes one.")
    written = load_config(folder / CONFIG_FILE)
    best = find_checkpoint(folder / "best")
    if best is None:
        raise LightMError(
            f"{folder} has no best checkpoint yet: its training ended before the first validation; "
            "go on with `lightm train RECIPE --resume`."
        )
    state = load_state(best)
    with reading(best):
        config, task = config_from_dict(state["config"], folder), Task(**state["task"])
        epoch = state["position"]["best"]["epoch"]
    if changed := written.difference(config):
        raise LightMError(f"{folder / CONFIG_FILE} was edited since the training: {changed}; restore it.")
    return Run(folder, config, task, best, epoch)


def check_free(folder: Path) -> None:
    """LightMError unless a new run can be made in this place."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LightMError(f"{folder} exists already; go on in it with --resume, or choose another folder by --out.")


def state_to_resume(folder: Path, config: Config) -> dict[str, Any]:
    """The state of the checkpoint from which a run goes on; LightMError if there is none, or of another recipe."""
    found = find_checkpoint(folder / "last")
    if not found:
        raise LightMError(f"There is nothing to resume in {folder}; leave out --resume to start there.")
    state = load_state(found)
    with reading(found):
        changed = config.difference(config_from_dict(state["config"]))
    if changed:
        raise LightMError(
            f"Can't resume {folder} with another recipe than its own: {changed}; a new run can begin with its weights: "
            f"--from {folder} --out ANOTHER."
        )
    return state


def create_run(folder: Path, config: Config, split: Split, save: Callable[[Path], None]) -> None:
    """Make a run folder with recipe, split and what `save(folder)` adds: whole, with a checkpoint to resume, or not."""
    beginning = f".{folder.name}.new-"
    new = folder.with_name(f"{beginning}{os.getpid()}")
    try:
        for left in folder.parent.glob(f"{escape(beginning)}*"):  # by a process that was killed here
            shutil.rmtree(left, ignore_errors=True)
        new.mkdir(parents=True)
        (new / CONFIG_FILE).write_text(config.to_toml(), encoding="utf-8")
        save_split(split, new / SPLIT_FILE)
        save(new)
        if folder.is_dir():
            folder.rmdir()  # it is empty; Windows does not rename over a folder
        os.rename(new, folder)
    except OSError as error:
        raise LightMError(f"Can't make the run folder {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within this block no other process trains in the folder; the system takes the lock back if this one is killed."""
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise LightMError(f"Another process trains in {folder} now; wait for it, or choose another --out.") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows: it is open
            (folder / LOCK_FILE).unlink(missing_ok=True)
        lock.release()
