"""A run folder and what belongs together in it: the recipe, its data, its split, its network.

config.toml   the recipe, every key            last/, best/   checkpoints (the newest; the best on validation)
split.json    which case is in which part      curves.png     loss and scores over the epochs
log.csv       one row an epoch                 tensorboard/   the same, for TensorBoard
                                               record.json    everything measured, written last
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from lightm.data import Dataset, load_dataset
from lightm.data.loading import SegmentationData
from lightm.data.splits import Split, make_split, read_split, save_split
from lightm.errors import LightMError
from lightm.models import build_model
from lightm.training.config import Config, load_config
from lightm.training.recipes import find_split

SPLIT_FILE, CONFIG_FILE, RECORD_FILE = "split.json", "config.toml", "record.json"
TENSORBOARD_FOLDER = "tensorboard"


@dataclass(frozen=True)
class Task:
    """A recipe with the data set and the split that it names."""

    config: Config
    dataset: Dataset
    split: Split

    def cases(self, part: str) -> tuple[str, ...]:
        """Case names of "train", "val" or "test"."""
        return getattr(self.split, part)

    def data(
        self, part: str, progress: Callable[[int, int], None] | None = None, augment: bool = False
    ) -> SegmentationData:
        """The cases of a part at the training size, as they are, or varied as the recipe says (for training)."""
        data = self.config.data
        return SegmentationData(
            self.dataset,
            self.cases(part),
            size=data.size,
            normalise=self.normalise,
            augment=augment and data.augment,
            seed=self.config.train.seed,
            progress=progress,
        )

    @property
    def normalise(self) -> str:
        chosen = self.config.data.normalise
        return self.dataset.normalise if chosen == "auto" else chosen

    def model(self) -> nn.Module:
        """The network of the recipe, for this data set's channels and classes."""
        return build_network(self.config, self.description())

    def description(self) -> dict[str, Any]:
        """What a prediction needs to know of the data set, so that the data set itself need not be there."""
        return {
            "spatial_dims": self.dataset.spatial_dims,
            "in_channels": self.dataset.in_channels,
            "classes": list(self.dataset.classes),
            "normalise": self.normalise,
        }


def build_network(config: Config, task: dict[str, Any]) -> nn.Module:
    """The network of a recipe for the task that `Task.description` tells of."""
    shape = task["spatial_dims"], task["in_channels"], len(task["classes"])
    return build_model(config.model.name, *shape, **config.model.options)


def load_task(config: Config) -> Task:
    """Data set and split of a recipe; LightMError if they are missing or do not fit it."""
    if "root" in config.data.options:
        raise LightMError("data.options has no place for root: write root = ... in [data] itself.")
    dataset = load_dataset(config.data.name, root=config.data.root or None, **config.data.options)
    if len(config.data.size) != dataset.spatial_dims:
        size = list(config.data.size)
        raise LightMError(f"data.size = {size} has {len(size)} axes, but {dataset.name} is {dataset.spatial_dims}D.")
    if config.data.split:
        split = read_split(find_split(config.data.split, config.folder), dataset)
    else:
        split = make_split(dataset, seed=config.data.split_seed, ratios=config.data.ratios)
    for part in ("train", "val", "test"):
        if not getattr(split, part):
            raise LightMError(
                f"The {part} part of the split is empty: {dataset.name} has {len(dataset)} cases; "
                "use more, or other data.ratios."
            )
    return Task(config, dataset, split)


def create_run(folder: Path, config: Config, split: Split, save: Callable[[Path], None]) -> None:
    """Make a run folder with recipe, split and what `save(folder)` adds: whole, with a checkpoint to resume, or not."""
    new = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(new, ignore_errors=True)
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


def open_run(folder: str | Path) -> Config:
    """The recipe of a run folder, LightMError if it is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise LightMError(f"There is no run folder {folder}; correct the path, or make one with `lightm train`.")
    if not (folder / CONFIG_FILE).is_file():
        raise LightMError(f"{folder} is not a run folder: it has no {CONFIG_FILE}; `lightm train` makes one.")
    return load_config(folder / CONFIG_FILE)


def open_task(folder: str | Path, root: str | Path | None = None) -> Task:
    """The task of a run folder with the run's own copy of the split. root: where the data lies, if it has moved."""
    config = open_run(folder)
    data = replace(config.data, split=SPLIT_FILE, root=str(root or config.data.root))
    return load_task(replace(config, data=data))
