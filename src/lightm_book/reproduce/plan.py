"""A plan of the pieces, lightm_book/plans/*.toml: groups of pieces, the most valuable first.

    [[group]]
    name = "table2-{recipe}-{model}-seed{seed}"   each combination of the lists below is a piece, named like this
    why = "..."                                   what one learns from it
    minutes = 5                                   what a piece may take: a guess, until one was measured
    recipe = ["strong", "released"]               recipes of lightm by name, or files beside the plan (TOML)
    model = ["lightm-unet", "nnunet"]             networks
    variant = ["directions2"]                     names of [variants], each a list of settings; optional
    seed = [0, 1, 2]                              the slowest to change; then recipe, variant, model
    set = ["train.epochs=10"]                     settings, as `lightm train` takes them

A group with kind = "tune" is trained alike, but scored on the validation cases alone: a setting is chosen by it.
A group with kind = "check", "bench-scan" or "bench-step" is one piece; `options` are those of the function that
pieces.py calls for it.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

from lightm.errors import LightMError, suggest
from lightm.models import options_for_size
from lightm.training.config import Config, load_config
from lightm.training.recipes import list_recipes

PLANS = Path(__file__).resolve().parents[1] / "plans"  # package data
TRAINED = ("train", "tune")
_KINDS = (*TRAINED, "check", "bench-scan", "bench-step")
_COMMON = {"name": str, "why": str, "minutes": int | float, "kind": str}
_TRAIN = {"recipe": list, "model": list, "variant": list, "seed": list, "set": list}


@dataclass(frozen=True)
class Piece:
    """One unit of work. config: the recipe of a training run; options: what a check or a timing is asked.

    pace: pieces with the same one take the same time (they differ in the seed).
    """

    name: str
    kind: str
    why: str
    minutes: float
    pace: str = ""
    config: Config | None = None
    options: dict[str, Any] = field(default_factory=dict)


def find_plan(plan: str | Path) -> Path:
    """The file of a plan, given by the name of one that comes with the package ("gpu") or by its path."""
    path = Path(plan).expanduser()
    shipped = {path.stem: path for path in PLANS.glob("*.toml")}
    if str(plan) in shipped:
        return shipped[str(plan)]
    if not path.is_file():
        raise LightMError(f"There is no plan {plan}. {suggest(path.stem, shipped)} A path works, too.")
    return path


def load_plan(plan: str | Path) -> list[Piece]:
    """The pieces of a plan (its name or path), the most valuable first. LightMError names what is wrong in the file."""
    path = find_plan(plan)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LightMError(f"Can't read the plan {path} ({reason}); correct it.") from error
    _known(table, {"group": list, "variants": dict}, path, "the plan")
    pieces: dict[str, Piece] = {}
    for group in table.get("group", []):
        for piece in _pieces(group, table.get("variants", {}), path):
            if piece.name in pieces:
                raise LightMError(f"{path}: two pieces are called {piece.name}; give one group another name.")
            pieces[piece.name] = piece
    if not pieces:
        raise LightMError(f"{path} has no piece: write a [[group]].")
    return list(pieces.values())


def select(pieces: list[Piece], patterns: list[str]) -> list[Piece]:
    """The pieces whose name holds one of the patterns or matches it (`*`, `?`); LightMError if one fits none."""
    chosen: dict[str, Piece] = {}
    for pattern in patterns:
        found = [p for p in pieces if pattern in p.name or fnmatchcase(p.name, pattern)]
        if not found:
            remedy = suggest(pattern, [piece.name for piece in pieces])
            raise LightMError(f"No piece is called {pattern!r}. {remedy} `lightm-book reproduce --list` shows all.")
        chosen |= {piece.name: piece for piece in found}
    return [piece for piece in pieces if piece.name in chosen] if patterns else pieces


def _pieces(group: dict[str, Any], variants: dict[str, list[str]], path: Path) -> Iterator[Piece]:
    name = group.get("name", "a group without a name")
    kind = group.get("kind", "train")
    if kind not in _KINDS:
        raise LightMError(f"{path}: kind = {kind!r} of {name!r} is not known. {suggest(str(kind), _KINDS)}")
    _known(group, _COMMON | (_TRAIN if kind in TRAINED else {"options": dict}), path, f"group {name!r}")
    for key in ("name", "why", "minutes", *(("recipe", "model", "seed") if kind in TRAINED else ())):
        if key not in group:
            raise LightMError(f"{path}: group {name!r} lacks {key}.")
    about = {"kind": kind, "why": group["why"], "minutes": float(group["minutes"])}
    if kind not in TRAINED:
        yield Piece(name, pace=name, options=group.get("options", {}), **about)
        return
    known = {recipe.name for recipe in list_recipes()}
    axes = group["seed"], group["recipe"], group.get("variant", [""]), group["model"]
    for seed, recipe, variant, model in product(*axes):
        if variant and variant not in variants:
            raise LightMError(f"{path}: there is no variant {variant!r} in [variants]. {suggest(variant, variants)}")
        words = {"recipe": recipe, "model": model, "variant": variant}
        own = name.format(seed=seed, **words)
        settings = [f"name={own}", f"model.name={model}", f"train.seed={seed}", *group.get("set", [])]
        settings += variants.get(variant, [])
        config = load_config(recipe if recipe in known else path.parent / f"{recipe}.toml", settings)
        options = options_for_size(config.model.name, config.data.size) | config.model.options
        config = replace(config, model=replace(config.model, options=options))
        yield Piece(own, pace=name.format(seed="", **words), config=config, **about)


def _known(table: dict[str, Any], keys: dict[str, Any], path: Path, where: str) -> None:
    for key, value in table.items():
        if key not in keys:
            raise LightMError(f"{path}: {where} has an unknown key {key!r}. {suggest(key, keys)}")
        if not isinstance(value, keys[key]):
            raise LightMError(f"{path}: {key} of {where} can't be {value!r}; look how the other groups write it.")
