"""What a recipe's keys may hold: how a setting is declared, read from nested tables, checked, and written back."""

import dataclasses
import json
import math
import tomllib
import types
import typing
from dataclasses import field
from typing import Any

from lightm.errors import LightMError, suggest

SEED = 2**63 - 1  # the largest: torch's generators take no more


def setting(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    choices: tuple | None = None,
    later: bool = False,
) -> Any:
    """A dataclass field with what may stand in it: low <= value <= high, above < value < below, or `choices`.

    later: it came after recipes had been hashed. At its default it is not written, so their text and hash stay.
    """
    meta = {"doc": doc, "low": low, "above": above, "high": high, "below": below, "choices": choices, "later": later}
    return field(default=default, metadata=meta)


def build(cls: type, table: Any, prefix: str, **extra: Any) -> Any:
    """An instance of a dataclass of settings from a nested dictionary; LightMError names the key that is wrong."""
    if not isinstance(table, dict):
        raise LightMError(f"{prefix[:-1]} must be a section, [{prefix[:-1]}], not {shown(table)}.")
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
            values[key] = build(kind, value, f"{prefix}{key}.")
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
            raise LightMError(f"{name} = {shown(value)} must be a list of {_NOUN[members[0]]}s, such as [64, 64].")
        return tuple(_checked(name, v, members[0], meta) for v in value)
    if origin is float and type(value) is int:
        value = float(value)
    if type(value) is not origin:
        raise LightMError(f"{name} = {shown(value)} must be {_ARTICLE[origin]}.")
    if meta.get("choices") and value not in meta["choices"]:
        raise LightMError(f"{name} = {shown(value)} is not known. {suggest(value, meta['choices'])}")
    for bound, fine, words in (
        ("low", lambda v, b: v >= b, "at least"),
        ("above", lambda v, b: v > b, "more than"),
        ("high", lambda v, b: v <= b, "at most"),
        ("below", lambda v, b: v < b, "less than"),
    ):  # a NaN fails each of them
        if meta.get(bound) is not None and not fine(value, meta[bound]):
            raise LightMError(f"{name} = {shown(value)} must be {words} {meta[bound]}.")
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


def apply_override(table: dict[str, Any], override: str) -> None:
    """Set one `section.key=value`."""
    dotted, value = parse_setting(override)
    *sections, key = dotted.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise LightMError(f"Unknown key {dotted!r}: {section!r} is not a section.")
    table[key] = value


def plain(value: Any) -> Any:
    """Nested dictionaries and lists, as TOML and JSON hold them."""
    if dataclasses.is_dataclass(value):
        fields = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return {f.name: plain(v) for f, v in fields if not (f.metadata.get("later") and v == f.default)}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def flatten(table: dict[str, Any], prefix: str = "") -> typing.Iterator[tuple[str, Any]]:
    """(dotted key, value) of each entry of a nested dictionary."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def shown(value: Any) -> str:
    """A value as a recipe writes it, on one line."""
    return str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)


def check_options(section: str, value: Any, key: str = "") -> None:
    """LightMError for what no data set and no network can use; what each of them knows, it checks itself."""
    where = f"{section}.{key}" if key else section
    if isinstance(value, dict):
        if "name" in value:
            raise LightMError(f"{where}: name has its place in [{section.partition('.')[0]}] itself.")
        for inner, content in value.items():
            check_options(section, content, f"{key}.{inner}".lstrip("."))
    elif isinstance(value, list | tuple):
        for content in value:
            check_options(section, content, key)
    elif isinstance(value, int) and not isinstance(value, bool):
        high = SEED if key.endswith("seed") else 8192 if section == "model.options" or "size" in key else 10**6
        if abs(value) > high:
            raise LightMError(f"{where} = {value:.3g} is more than can be computed; give at most {high}.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise LightMError(f"{where} = {value} must be finite.")
    elif not isinstance(value, str | bool):
        raise LightMError(f"{where} = {shown(value)} must be a number, text, true or false, or a list of these.")
