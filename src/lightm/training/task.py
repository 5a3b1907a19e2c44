"""What a network has to learn (`Task`), and the cases that it learns it from (`RunData`)."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lightm.data import Dataset, load_dataset
from lightm.data.loading import SegmentationData
from lightm.data.prepared import Cache
from lightm.data.splits import Split, make_folds, make_split, read_split
from lightm.errors import LightMError
from lightm.models import build_model
from lightm.training.config import Config
from lightm.training.recipes import find_split


@dataclass(frozen=True)
class Task:
    """All that a network and a prediction need to know of the data, so that the data itself need not be there.

    spatial_dims, in_channels: of the images. classes: names of the label values 0, 1, …; background first.
    normalise: how intensities become network input (`lightm.data.transforms.preprocess`).
    ignore: the label value that is left out of loss and scores; None: there is none.
    """

    spatial_dims: int
    in_channels: int
    classes: list[str]
    normalise: str
    ignore: int | None = None


@dataclass(frozen=True)
class RunData:
    """The data set and the split that a recipe names."""

    config: Config
    dataset: Dataset
    split: Split

    @property
    def task(self) -> Task:
        """What there is to learn from these data."""
        data, chosen = self.dataset, self.config.data.normalise
        normalise = data.normalise if chosen == "auto" else chosen
        return Task(data.spatial_dims, data.in_channels, list(data.classes), normalise, data.ignore)

    def cases(self, part: str) -> tuple[str, ...]:
        """Case names of "train", "val" or "test"."""
        return getattr(self.split, part)

    def load(
        self, part: str, progress: Callable[[int, int], None] | None = None, augment: bool = False
    ) -> SegmentationData:
        """Read the cases of a part at the training size, as they are, or varied as the recipe says (for training)."""
        data, cache = self.config.data, None
        if data.cache:
            made_with = json.dumps(data.options, sort_keys=True)
            cache = Cache(Path(data.cache), f"{self.dataset.name} {self.dataset.fingerprint()} {made_with}")
        options = {
            "size": data.size,
            "normalise": self.task.normalise,
            "augment": augment and data.augment,
            "seed": self.config.train.seed,
            "cache": cache,
            "progress": progress,
        }
        if data.sampling == "whole":
            return SegmentationData(self.dataset, self.cases(part), **options)
        from lightm.data.patches import PatchData  # here: it loads MONAI's transforms

        return PatchData(self.dataset, self.cases(part), spacing=data.spacing, foreground=data.foreground, **options)

    def identity(self, train: SegmentationData, val: SegmentationData) -> dict[str, str]:
        """Hashes of what a run learns from. "cases" covers the content of the training and validation cases at their
        training size and the names of all, so a test file that was damaged can be repaired without changing it.
        """
        content = hashlib.sha256(repr((self.split.train, self.split.val, self.split.test)).encode())
        for data in (train, val):
            data.update_hash(content.update)
        return {
            "split": self.split.sha256,
            "data set": self.dataset.fingerprint(),
            "cases": content.hexdigest(),
        }


def check_same_data(run: Path, before: dict[str, str], now: dict[str, str]) -> None:
    """LightMError if a run can't go on with these data: not those that it began with (see `RunData.identity`)."""
    changed = [what for what in ("split", "data set") if before.get(what) != now[what]]
    if not changed:
        return
    what, old = changed[0], str(before.get(changed[0]))
    if before.get("cases") != now["cases"]:
        raise LightMError(f"Can't resume {run}: its {what} was {old:.12} (hash) and is {now[what]:.12} now.")
    logging.getLogger("lightm").warning(
        "The data set has changed since the run began, but not its training and validation cases: the run goes on."
    )


def build_network(config: Config, task: Task) -> nn.Module:
    """The network of a recipe for a task, with new weights. LightMError if its options make no network."""
    options = config.model.options
    try:
        return build_model(config.model.name, task.spatial_dims, task.in_channels, len(task.classes), **options)
    except LightMError:
        raise
    except (TypeError, ValueError, ArithmeticError, AssertionError, LookupError, AttributeError) as error:
        if not options:
            raise
        raise LightMError(f"{config.model.name} can't be built with model.options = {options}: {error}.") from error


def load_data(config: Config) -> RunData:
    """Data set and split of a recipe; LightMError if they are missing or do not fit it."""
    if "root" in config.data.options:
        raise LightMError("data.options has no place for root: write root = ... in [data] itself.")
    dataset = load_dataset(config.data.name, root=config.data.root or None, **config.data.options)
    if len(config.data.size) != dataset.spatial_dims:
        size = list(config.data.size)
        raise LightMError(f"data.size = {size} has {len(size)} axes, but {dataset.name} is {dataset.spatial_dims}D.")
    if config.data.split:
        split = read_split(find_split(config.data.split, config.folder), dataset)
    elif config.data.folds:
        split = make_folds(dataset, config.data.folds, config.data.split_seed)[config.data.fold]
    else:
        split = make_split(dataset, seed=config.data.split_seed, ratios=config.data.ratios)
    for part in ("train", "val", "test"):
        if not getattr(split, part):
            raise LightMError(
                f"The {part} part of the split is empty: {dataset.name} has {len(dataset)} cases; "
                "use more, or other data.ratios."
            )
    return RunData(config, dataset, split)
