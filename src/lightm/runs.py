"""A run folder and what belongs together in it: the recipe, its data, its split, its network.

config.toml   the recipe, every key            last/, best/   checkpoints (the newest; the best on validation)
split.json    which case is in which part      curves.png     loss and scores over the epochs
log.csv       one row an epoch                 record.json    everything measured, written last
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lightm.config import Config, load_config
from lightm.data import Dataset, load_dataset
from lightm.data.loading import SegmentationData
from lightm.data.splits import Split, make_split, read_split, save_split
from lightm.errors import LightMError
from lightm.models import build_model

SPLIT_FILE, CONFIG_FILE, RECORD_FILE = "split.json", "config.toml", "record.json"


@dataclass(frozen=True)
class Task:
    """A recipe with the data set and the split that it names."""

    config: Config
    dataset: Dataset
    split: Split

    def cases(self, part: str) -> tuple[str, ...]:
        """Case names of "train", "val" or "test"."""
        return getattr(self.split, part)

    def data(self, part: str) -> SegmentationData:
        """The cases of a part at the training size; only those of "train" are augmented."""
        data = self.config.data
        return SegmentationData(
            self.dataset,
            self.cases(part),
            size=data.size,
            normalise=self.normalise,
            augment=data.augment and part == "train",
            seed=self.config.train.seed,
        )

    @property
    def normalise(self) -> str:
        chosen = self.config.data.normalise
        return self.dataset.normalise if chosen == "auto" else chosen

    def model(self) -> nn.Module:
        """The network of the recipe, for this data set's channels and classes."""
        model = self.config.model
        dims, channels, classes = self.dataset.spatial_dims, self.dataset.in_channels, len(self.dataset.classes)
        return build_model(model.name, dims, channels, classes, **model.options)

    def description(self) -> dict[str, Any]:
        """What a prediction needs to know of the data set, so that the data set itself need not be there."""
        return {
            "spatial_dims": self.dataset.spatial_dims,
            "in_channels": self.dataset.in_channels,
            "classes": list(self.dataset.classes),
            "normalise": self.normalise,
        }


def load_task(config: Config) -> Task:
    """Data set and split of a recipe; LightMError if they are missing or do not fit it."""
    dataset = load_dataset(config.data.name, root=config.data.root or None, **config.data.options)
    if len(config.data.size) != dataset.spatial_dims:
        size = list(config.data.size)
        raise LightMError(f"data.size = {size} has {len(size)} axes, but {dataset.name} is {dataset.spatial_dims}D.")
    if config.data.split:
        split = read_split(_find(config.data.split, config.folder), dataset)
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
    """The recipe of a run folder, LightMError if it is none; a split file it names is the run's own copy."""
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise LightMError(f"{folder} is not a run folder: it has no {CONFIG_FILE}; `lightm train` makes one.")
    return load_config(folder / CONFIG_FILE)


def _find(name: str, folder: Path) -> Path:
    """A file named in a recipe: beside the recipe, in a folder above it, or in the working directory."""
    for place in (folder, *folder.resolve().parents, Path()):
        if (place / name).is_file():
            return place / name
    raise LightMError(f"data.split = {name!r} is not beside the recipe, nor in a folder above it; correct the path.")
