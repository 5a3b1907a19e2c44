"""The recipe of one run: frozen dataclasses read from a TOML file, every key checked before any work starts.

    [data]   which cases, at which size          [model]  which network
    [optim]  optimiser and learning-rate schedule [train]  how long, how many at once
    [eval]   what is scored at the end

A recipe has one canonical text (`Config.to_toml`: keys in this file's order, all but those that are `later`
additions and at their default) and thus one hash (`Config.sha256`).
"""

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from lightm.errors import LightMError
from lightm.training.recipes import find_recipe
from lightm.training.settings import SEED, apply_override, build, check_options, flatten, plain, setting, shown


@dataclass(frozen=True)
class DataConfig:
    name: str = setting("phantom-cxr", "data set, as `lightm info` lists them")
    root: str = setting("", "folder of the data set; empty: the usual place under LIGHTM_DATA")
    size: tuple[int, ...] = setting((64, 64), "training size in pixels or voxels along each axis", low=1, high=8192)
    options: dict[str, Any] = field(
        default_factory=dict, metadata={"doc": "options of the data set, e.g. cases and seed of a phantom"}
    )
    split: str = setting(
        "",
        "split file, beside the recipe or one that comes with the package; empty: split by split_seed and ratios",
    )
    split_seed: int = setting(0, "seed of the split if no file is named", low=0, high=SEED)
    ratios: tuple[int, ...] = setting((7, 1, 2), "train : validation : test", low=0, high=10_000)
    normalise: str = setting("auto", "how intensities become network input; auto: what suits the data set")
    augment: bool = setting(True, "flips, small affine moves and intensity changes while training")
    spacing: tuple[float, ...] = setting(
        (),
        "millimetres between voxels along each axis, to which cases are resampled; left out: as they are",
        above=0,
        high=1000,
        later=True,
    )
    sampling: str = setting(
        "whole",
        "whole: a case is resized to `size`; patches: `size` is that of random patches of a case at its resolution, "
        "and cases are scored window by window",
        choices=("whole", "patches"),
        later=True,
    )
    foreground: float = setting(
        0.5, "patches: share of those with a labelled voxel in the middle, each class alike", low=0, high=1, later=True
    )
    folds: int = setting(0, "k: cross-validation in k folds instead of ratios; 0: none", low=0, high=1000, later=True)
    fold: int = setting(0, "the fold that is tested, from 0; the one after it validates", low=0, later=True)
    cache: str = setting("", "folder that keeps the preprocessed cases; empty: in memory only", later=True)


@dataclass(frozen=True)
class ModelConfig:
    name: str = setting("lightm-unet", "network, as `lightm info` lists them")
    options: dict[str, Any] = field(
        default_factory=dict, metadata={"doc": "constructor options of the network, e.g. width"}
    )


@dataclass(frozen=True)
class OptimConfig:
    name: str = setting("adamw", "optimiser", choices=("sgd", "adam", "adamw"))
    lr: float = setting(1e-3, "learning rate at its highest", above=0, high=1000)
    weight_decay: float = setting(
        0.01, "weight decay: sgd, adam add it to the gradient, adamw takes it off", low=0, high=1000
    )
    decay: str = setting(
        "matrices",
        "which parameters decay; matrices: norms, biases and `_no_weight_decay` are spared",
        choices=("matrices", "all"),
    )
    momentum: float = setting(0.9, "sgd: momentum", low=0, below=1)
    nesterov: bool = setting(False, "sgd: Nesterov momentum")
    betas: tuple[float, ...] = setting((0.9, 0.999), "adam, adamw: averaging of gradient and square", low=0, below=1)
    eps: float = setting(1e-8, "adam, adamw: added to the denominator", above=0, high=1)
    power: float = setting(
        0.9, "poly schedule: lr * (1 - iteration / iterations) ** power; 0: constant", low=0, high=100
    )
    warmup: int = setting(0, "iterations of linear warm-up before it", low=0, high=10**7)
    clip: float = setting(
        0.0, "gradients longer than this (Euclidean norm) are shortened to it; 0: never", low=0, high=10**9
    )


@dataclass(frozen=True)
class TrainConfig:
    epochs: int = setting(10, "epochs", low=1, high=10**6)
    batch_size: int = setting(4, "cases per optimiser step, over all processes", low=1, high=10**5)
    accumulate: int = setting(1, "parts a batch is run in, to save memory; the result is the same to rounding", low=1)
    iterations_per_epoch: int = setting(
        0, "optimiser steps called one epoch; 0: one pass over the cases", low=0, high=10**6
    )
    validate_every: int = setting(1, "epochs between validations; the first and the last have one", low=1)
    seed: int = setting(0, "seed of weights, data order and augmentation", low=0, high=SEED)
    precision: str = setting("fp32", "fp32, or bf16 autocast (the scan stays in fp32)", choices=("fp32", "bf16"))
    workers: int = setting(
        -1,
        "processes that prepare data, -1: as suits the machine, none on a CPU; changes speed only",
        low=-1,
        high=256,
    )
    checkpointing: bool = setting(
        False, "recompute activations in the backward pass: less memory, up to half more time, the same result"
    )
    channels_last: bool = setting(False, "keep images and weights with the channels last, for convolutions on a GPU")
    compile: bool = setting(False, "torch.compile: minutes at the start, then faster on a GPU")
    deterministic: bool = setting(True, "on a GPU, the same bits each time; false: cuDNN's fastest algorithms")
    loss: str = setting(
        "dice-ce",
        "Dice + cross entropy, or Dice + focal loss for small targets",
        choices=("dice-ce", "dice-focal"),
        later=True,
    )
    class_weights: tuple[float, ...] = setting(
        (),
        "weight of each class, the background's first, in the part beside Dice; left out: all 1",
        low=0,
        high=10**6,
        later=True,
    )


@dataclass(frozen=True)
class EvalConfig:
    batch_size: int = setting(4, "cases per forward pass of an evaluation", low=1, high=10**5)
    native: bool = setting(True, "score cases at their own size, too, and choose the best epoch by that")


# Keys that don't decide the result: not part of the hash, free to differ on --resume. What lies in data.root does, and
# a run knows it by its fingerprint.
INDIFFERENT = ("name", "data.root", "data.cache", "train.workers", "train.checkpointing")


@dataclass(frozen=True)
class Config:
    """A whole recipe. `folder` is where it was read from (to find its split file); it is no part of its identity."""

    name: str = setting("run", "name of the run; the file's name if left out")
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    folder: Path = field(default=Path("."), compare=False, repr=False)

    def __post_init__(self):
        if self.train.batch_size % self.train.accumulate:
            parts, batch = self.train.accumulate, self.train.batch_size
            raise LightMError(f"train.accumulate = {parts} must divide train.batch_size = {batch}.")
        if len(self.data.ratios) != 3 or not self.data.ratios[0]:
            given = list(self.data.ratios)
            raise LightMError(
                f"data.ratios = {given} must be three numbers, train : validation : test, the first above 0."
            )
        if self.data.spacing and self.data.sampling == "whole":
            raise LightMError('data.spacing goes with data.sampling = "patches": a whole case is resized to data.size.')
        if self.data.spacing and len(self.data.spacing) != len(self.data.size):
            given = list(self.data.spacing)
            raise LightMError(f"data.spacing = {given} must have a number for each of the {len(self.data.size)} axes.")
        unclear = 0 < self.data.folds < 3 or (self.data.folds and self.data.split)
        if unclear or self.data.fold >= max(self.data.folds, 1):
            raise LightMError(
                f"data.folds = {self.data.folds} with data.fold = {self.data.fold}: give at least 3 folds, a fold from "
                "0 to one less than that, and no data.split."
            )
        if len(self.optim.betas) != 2:
            raise LightMError(f"optim.betas = {list(self.optim.betas)} must be two numbers.")
        odd = [c for c in self.name if c in "/\\" or not c.isprintable()]
        if odd or not self.name.strip(". ") or len(self.name) > 150:
            raise LightMError(f"name = {shown(self.name)} must be one that a folder can have: no / and no \\ in it.")
        check_options("model.options", self.model.options)
        check_options("data.options", self.data.options)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionary (lists for tuples), as TOML and JSON hold it."""
        return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name != "folder"}

    def public(self) -> dict[str, Any]:
        """`to_dict` without the places of data on this machine, which are nobody else's business."""
        return dataclasses.replace(self, data=dataclasses.replace(self.data, root="", cache="")).to_dict()

    def located(self) -> "Config":
        """The same with data.root and data.cache as absolute paths, so that a run goes on from any folder."""
        here = {key: getattr(self.data, key) for key in ("root", "cache")}
        here = {key: path and str(Path(path).expanduser().absolute()) for key, path in here.items()}
        return dataclasses.replace(self, data=dataclasses.replace(self.data, **here))

    def to_toml(self) -> str:
        """The canonical text, in the order of the dataclasses; a `later` key at its default is left out."""
        return tomli_w.dumps(self.to_dict())

    @property
    def sha256(self) -> str:
        """Hash of what decides the result."""
        return config_hash(self.to_dict())

    def difference(self, other: "Config") -> str:
        """`key = here, there` for every setting that decides the result and differs; empty if none does."""
        mine, theirs = _decisive(self.to_dict()), _decisive(other.to_dict())
        keys = [k for k in mine | theirs if mine.get(k) != theirs.get(k)]
        values = [[shown(flat[k]) if k in flat else "unset" for flat in (mine, theirs)] for k in keys]
        return "; ".join(f"{k} is {here}, there {there}" for k, (here, there) in zip(keys, values, strict=True))


def config_hash(table: dict[str, Any]) -> str:
    """SHA-256 of a recipe's nested dictionary as it stands, without `INDIFFERENT` keys.

    No default is filled in: the hash in an old record stays right when a later version has more keys.
    """
    return hashlib.sha256(json.dumps(_decisive(table), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def load_config(recipe: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a recipe and apply `section.key=value` overrides.

    recipe: the name of one that comes with the package, the path of one (.toml), or of a record that holds one (.json).
    Raises LightMError naming the key and the remedy: unknown key, wrong type, value out of range, unreadable file.
    """
    path = find_recipe(recipe)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LightMError(f"Can't read the recipe {path} ({reason}).") from error
    try:
        table = json.loads(text)["config"] if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, KeyError, TypeError) as error:
        raise LightMError(f"{path} is not a recipe: {error}.") from error
    table.setdefault("name", path.stem)
    for override in overrides:
        apply_override(table, override)
    return config_from_dict(table, folder=path.parent)


def config_from_dict(table: dict[str, Any], folder: Path = Path(".")) -> Config:
    """A checked `Config` from nested dictionaries; what is left out has its default."""
    return build(Config, table, "", folder=folder)


def _decisive(table: dict[str, Any]) -> dict[str, Any]:
    """Dotted key -> value, `{"optim.lr": 0.001, ...}`, of what decides the result."""
    return {key: value for key, value in flatten(table) if key not in INDIFFERENT}
