"""The recipe of one run: frozen dataclasses read from a TOML file, every key checked before any work starts.

    [data]   which cases, at which size          [model]  which network
    [optim]  optimiser and learning-rate schedule [train]  how long, how many at once
    [eval]   what is scored at the end

A recipe has one canonical text (`Config.to_toml`: every key, in this file's order) and thus one hash (`Config.sha256`).
"""

import dataclasses
import hashlib
import json
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from lightm.errors import LightMError, suggest
from lightm.training.recipes import find_recipe


def _setting(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    choices: tuple | None = None,
) -> Any:
    """A dataclass field with what may stand in it: low <= value <= high, above < value < below, or `choices`."""
    meta = {"doc": doc, "low": low, "above": above, "high": high, "below": below, "choices": choices}
    return field(default=default, metadata=meta)


SEED = 2**63 - 1  # the largest: torch's generators take no more


@dataclass(frozen=True)
class DataConfig:
    name: str = _setting("phantom-cxr", "data set, as `lightm info` lists them")
    root: str = _setting("", "folder of the data set; empty: the usual place under LIGHTM_DATA")
    size: tuple[int, ...] = _setting((64, 64), "training size in pixels or voxels along each axis", low=1, high=8192)
    options: dict[str, Any] = field(
        default_factory=dict, metadata={"doc": "options of the data set, e.g. cases and seed of a phantom"}
    )
    split: str = _setting(
        "",
        "split file, beside the recipe or one that comes with the package; empty: split by split_seed and ratios",
    )
    split_seed: int = _setting(0, "seed of the split if no file is named", low=0, high=SEED)
    ratios: tuple[int, ...] = _setting((7, 1, 2), "train : validation : test", low=0, high=10_000)
    normalise: str = _setting("auto", "how intensities become network input; auto: what suits the data set")
    augment: bool = _setting(True, "flips, small affine moves and intensity changes while training")


@dataclass(frozen=True)
class ModelConfig:
    name: str = _setting("lightm-unet", "network, as `lightm info` lists them")
    options: dict[str, Any] = field(
        default_factory=dict, metadata={"doc": "constructor options of the network, e.g. width"}
    )


@dataclass(frozen=True)
class OptimConfig:
    name: str = _setting("adamw", "optimiser", choices=("sgd", "adam", "adamw"))
    lr: float = _setting(1e-3, "learning rate at its highest", above=0, high=1000)
    weight_decay: float = _setting(
        0.01, "weight decay: sgd, adam add it to the gradient, adamw takes it off", low=0, high=1000
    )
    decay: str = _setting(
        "matrices",
        "which parameters decay; matrices: norms, biases and `_no_weight_decay` are spared",
        choices=("matrices", "all"),
    )
    momentum: float = _setting(0.9, "sgd: momentum", low=0, below=1)
    nesterov: bool = _setting(False, "sgd: Nesterov momentum")
    betas: tuple[float, ...] = _setting((0.9, 0.999), "adam, adamw: averaging of gradient and square", low=0, below=1)
    eps: float = _setting(1e-8, "adam, adamw: added to the denominator", above=0, high=1)
    power: float = _setting(
        0.9, "poly schedule: lr * (1 - iteration / iterations) ** power; 0: constant", low=0, high=100
    )
    warmup: int = _setting(0, "iterations of linear warm-up before it", low=0, high=10**7)
    clip: float = _setting(
        0.0, "gradients longer than this (Euclidean norm) are shortened to it; 0: never", low=0, high=10**9
    )


@dataclass(frozen=True)
class TrainConfig:
    epochs: int = _setting(10, "epochs", low=1, high=10**6)
    batch_size: int = _setting(4, "cases per optimiser step, over all processes", low=1, high=10**5)
    accumulate: int = _setting(1, "parts a batch is run in, to save memory; the result is the same to rounding", low=1)
    iterations_per_epoch: int = _setting(
        0, "optimiser steps called one epoch; 0: one pass over the cases", low=0, high=10**6
    )
    validate_every: int = _setting(1, "epochs between validations; the first and the last have one", low=1)
    seed: int = _setting(0, "seed of weights, data order and augmentation", low=0, high=SEED)
    precision: str = _setting("fp32", "fp32, or bf16 autocast (the scan stays in fp32)", choices=("fp32", "bf16"))
    workers: int = _setting(
        -1,
        "processes that prepare data, -1: as suits the machine, none on a CPU; changes speed only",
        low=-1,
        high=256,
    )
    checkpointing: bool = _setting(
        False, "recompute activations in the backward pass: less memory, up to half more time, the same result"
    )
    channels_last: bool = _setting(False, "keep images and weights with the channels last, for convolutions on a GPU")
    compile: bool = _setting(False, "torch.compile: minutes at the start, then faster on a GPU")
    deterministic: bool = _setting(True, "on a GPU, the same bits each time; false: cuDNN's fastest algorithms")


@dataclass(frozen=True)
class EvalConfig:
    batch_size: int = _setting(4, "cases per forward pass of an evaluation", low=1, high=10**5)
    native: bool = _setting(True, "score cases at their own size, too, and choose the best epoch by that")


# Keys that don't decide the result: not part of the hash, free to differ on --resume. What lies in data.root does, and
# a run knows it by its fingerprint.
INDIFFERENT = ("name", "data.root", "train.workers", "train.checkpointing")


@dataclass(frozen=True)
class Config:
    """A whole recipe. `folder` is where it was read from (to find its split file); it is no part of its identity."""

    name: str = _setting("run", "name of the run; the file's name if left out")
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
        if len(self.optim.betas) != 2:
            raise LightMError(f"optim.betas = {list(self.optim.betas)} must be two numbers.")
        odd = [c for c in self.name if c in "/\\" or not c.isprintable()]
        if odd or not self.name.strip(". ") or len(self.name) > 150:
            raise LightMError(f"name = {_shown(self.name)} must be one that a folder can have: no / and no \\ in it.")
        _check_options("model.options", self.model.options)
        _check_options("data.options", self.data.options)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionary (lists for tuples), as TOML and JSON hold it."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name != "folder"}

    def public(self) -> dict[str, Any]:
        """`to_dict` without the place of the data on this machine, which is nobody else's business."""
        return dataclasses.replace(self, data=dataclasses.replace(self.data, root="")).to_dict()

    def located(self) -> "Config":
        """The same with data.root as an absolute path, so that a run is found again from any folder."""
        root = self.data.root and str(Path(self.data.root).expanduser().absolute())
        return dataclasses.replace(self, data=dataclasses.replace(self.data, root=root))

    def to_toml(self) -> str:
        """The canonical text: every key, in the order of the dataclasses."""
        return tomli_w.dumps(self.to_dict())

    @property
    def sha256(self) -> str:
        """Hash of what decides the result."""
        return config_hash(self.to_dict())

    def difference(self, other: "Config") -> str:
        """`key = here, there` for every setting that decides the result and differs; empty if none does."""
        mine, theirs = _decisive(self.to_dict()), _decisive(other.to_dict())
        keys = [k for k in mine | theirs if mine.get(k) != theirs.get(k)]
        shown = [[_shown(flat[k]) if k in flat else "unset" for flat in (mine, theirs)] for k in keys]
        return "; ".join(f"{k} is {here}, there {there}" for k, (here, there) in zip(keys, shown, strict=True))


def config_hash(table: dict[str, Any]) -> str:
    """SHA-256 of a recipe's nested dictionary as it stands, without `INDIFFERENT` keys.

    No default is filled in: the hash in an old record stays right when a later version has more keys.
    """
    return hashlib.sha256(json.dumps(_decisive(table), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def load_config(recipe: str | Path, overrides: typing.Iterable[str] = ()) -> Config:
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
        _apply(table, override)
    return config_from_dict(table, folder=path.parent)


def config_from_dict(table: dict[str, Any], folder: Path = Path(".")) -> Config:
    """A checked `Config` from nested dictionaries; what is left out has its default."""
    return _build(Config, table, "", folder=folder)


def _build(cls: type, table: Any, prefix: str, **extra: Any) -> Any:
    if not isinstance(table, dict):
        raise LightMError(f"{prefix[:-1]} must be a section, [{prefix[:-1]}], not {_shown(table)}.")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.name not in extra}
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in table.items():
        if key not in fields:
            sections = [name for name, kind in hints.items() if key in getattr(kind, "__dataclass_fields__", ())]
            remedy = f"Did you mean '{sections[0]}.{key}'?" if sections else suggest(key, fields)
            raise LightMError(f"Unknown key {prefix + key!r}. {remedy}")
        kind = hints[key]
        if dataclasses.is_dataclass(kind):
            values[key] = _build(kind, value, f"{prefix}{key}.")
        else:
            values[key] = _checked(prefix + key, value, kind, fields[key].metadata)
    return cls(**values, **extra)


def _checked(name: str, value: Any, kind: Any, meta: types.MappingProxyType) -> Any:
    """`value` as `kind` if it is one, within its range; an integer is a fine float, but a bool is no number."""
    if name == "train.precision" and value in ("fp16", "float16", "16-mixed"):
        raise LightMError(
            "train.precision = 'fp16' is refused: float16 ends at 65504, and networks with a selective scan run over "
            "it into NaN; use 'bf16' (as fast, with float32's range) or 'fp32'."
        )
    origin, members = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list | tuple) or not value:
            raise LightMError(f"{name} = {_shown(value)} must be a list of {_NOUN[members[0]]}s, such as [64, 64].")
        return tuple(_checked(name, v, members[0], meta) for v in value)
    if origin is float and type(value) is int:
        value = float(value)
    if type(value) is not origin:
        raise LightMError(f"{name} = {_shown(value)} must be {_ARTICLE[origin]}.")
    if meta.get("choices") and value not in meta["choices"]:
        raise LightMError(f"{name} = {_shown(value)} is not known. {suggest(value, meta['choices'])}")
    for bound, fine, words in (
        ("low", lambda v, b: v >= b, "at least"),
        ("above", lambda v, b: v > b, "more than"),
        ("high", lambda v, b: v <= b, "at most"),
        ("below", lambda v, b: v < b, "less than"),
    ):  # a NaN fails each of them
        if meta.get(bound) is not None and not fine(value, meta[bound]):
            raise LightMError(f"{name} = {_shown(value)} must be {words} {meta[bound]}.")
    return dict(value) if origin is dict else value


_NOUN = {int: "whole number", float: "number", str: "text"}
_ARTICLE = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false", dict: "a section"}


def parse_setting(text: str) -> tuple[str, Any]:
    """`key=value` -> (key, value); the value is read as TOML, and as text where it is no TOML."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise LightMError(f"{text!r} is not a setting; write key=value, such as optim.lr=1e-3.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def _apply(table: dict[str, Any], override: str) -> None:
    """Set one `section.key=value`."""
    dotted, value = parse_setting(override)
    *sections, key = dotted.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise LightMError(f"Unknown key {dotted!r}: {section!r} is not a section.")
    table[key] = value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _decisive(table: dict[str, Any]) -> dict[str, Any]:
    """Dotted key -> value, `{"optim.lr": 0.001, ...}`, of what decides the result."""
    return {key: value for key, value in _flatten(table) if key not in INDIFFERENT}


def _flatten(table: dict[str, Any], prefix: str = "") -> typing.Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _shown(value: Any) -> str:
    """A value as a recipe writes it, on one line."""
    return str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)


def _check_options(section: str, value: Any, key: str = "") -> None:
    """LightMError for what no data set and no network can use; what each of them knows, it checks itself."""
    where = f"{section}.{key}" if key else section
    if isinstance(value, dict):
        if "name" in value:
            raise LightMError(f"{where}: name has its place in [{section.partition('.')[0]}] itself.")
        for inner, content in value.items():
            _check_options(section, content, f"{key}.{inner}".lstrip("."))
    elif isinstance(value, list | tuple):
        for content in value:
            _check_options(section, content, key)
    elif isinstance(value, int) and not isinstance(value, bool):
        high = SEED if key.endswith("seed") else 8192 if section == "model.options" or "size" in key else 10**6
        if abs(value) > high:
            raise LightMError(f"{where} = {value:.3g} is more than can be computed; give at most {high}.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise LightMError(f"{where} = {value} must be finite.")
    elif not isinstance(value, str | bool):
        raise LightMError(f"{where} = {_shown(value)} must be a number, text, true or false, or a list of these.")
