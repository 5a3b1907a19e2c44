"""What a record of a benchmark holds (results/bench/*.json): how it is begun, checked and read.

A contender of a scan's record that could not run, or was wrong, has a "reason"; a pass that was left out has one under
"skipped". All times are seconds, all memory bytes beyond the inputs.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from lightm.cpu.memory import keep_freed_memory
from lightm.errors import LightMError
from lightm.training.provenance import environment
from lightm.training.record import check_shape

SCHEMA = 1
_HEAD: dict[str, Any] = {
    "schema": int,
    "kind": str,
    "command": str,
    "finished": str,  # UTC, ISO 8601
    "device": str,
    "environment": {"versions": dict, "hardware": dict, "git": dict},
    "kept_memory": bool,  # by the timed calls; peak memory is measured with the system's own way
    "repeats": int,
    "patience_s": float | int,
}
_SHAPES: dict[str, dict[str, Any]] = {
    "scan": _HEAD | {"machine": {"exponentials": float, "operations": float, "bytes": float}, "shapes": list},
    "step": _HEAD | {"model": str, "size": list, "batch": int, "params": int, "contenders": list, "parts": dict | None},
}
_SCAN_ROW = {"shape": list, "counts": dict, "bound_s": dict, "contenders": list}
_CONTENDER = {"name": str, "what": str, "version": str, "ours": bool, "reason": str}
_TIMES = {"median_s": float, "samples_s": list, "disturbed": int, "warm": bool}


def header(kind: str, device: torch.device, keep: bool) -> dict[str, Any]:
    """The head of a record: what was measured where, and with which versions. "command" is for the caller to fill.

    keep: freed memory is kept from now on; "kept_memory" says whether the system let it be.
    """
    kept = keep and keep_freed_memory()
    return {
        "schema": SCHEMA,
        "kind": kind,
        "command": "",
        "finished": "",
        "device": device.type,
        "environment": environment(),
        "kept_memory": kept,
    }


def finish(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the time at which it was finished, checked."""
    record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    return check_bench(record)


def check_bench(record: Any, where: str = "the record") -> dict[str, Any]:
    """The record itself if it is whole and consistent; else LightMError naming what is missing or wrong."""
    check_shape(record, {"schema": int, "kind": str}, where)
    if record["schema"] != SCHEMA or record["kind"] not in _SHAPES:
        raise LightMError(f"{where} is no benchmark of schema {SCHEMA} ({' or '.join(_SHAPES)}).")
    check_shape(record, _SHAPES[record["kind"]], where)
    tables = [record]
    if record["kind"] == "scan":
        tables = record["shapes"]
        for row in tables:
            check_shape(row, _SCAN_ROW, where)
    for table in tables:
        for contender in table["contenders"]:
            _check_contender(contender, where)
    return record


def _check_contender(contender: Any, where: str) -> None:
    check_shape(contender, _CONTENDER, where)
    name = contender["name"]
    for key in ("forward", "forward_backward", "step"):
        times = contender.get(key)
        if times is None or "skipped" in times or set(times) == {"memory_bytes"}:
            continue
        if contender["reason"]:
            raise LightMError(f"{where}: {name} has times and a reason why it has none.")
        check_shape(times, _TIMES, f"{where}: {name}")
        if not min(times["samples_s"]) <= times["median_s"] * (1 + 1e-4) or not times["median_s"] > 0:
            raise LightMError(f"{where}: the median of {name} is not that of its samples.")


def load_bench(path: str | Path) -> dict[str, Any]:
    """Read and check one record."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LightMError(f"Can't read {path}: {getattr(error, 'strerror', None) or error}.") from error
    return check_bench(record, str(path))


def list_bench(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Every record of a folder, checked: file name without .json -> record, sorted by name."""
    return {path.stem: load_bench(path) for path in sorted(Path(folder).glob("*.json"))}


def curve(record: dict[str, Any], contender: str, key: str, value: str = "median_s") -> dict[int, float]:
    """Tokens -> a number ("median_s" or "memory_bytes") of one contender, where a scan's record has it.

    key: "forward" or "forward_backward".
    """
    found = {}
    for row in record["shapes"]:
        for entry in row["contenders"]:
            number = (entry.get(key) or {}).get(value)
            if entry["name"] == contender and number is not None:
                found[row["shape"][2]] = number
    return found
