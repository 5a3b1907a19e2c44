"""Records of real runs: one JSON file each, all of it measured: how one is made, checked, written and read."""

import json
import math
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lightm.errors import LightMError
from lightm.files import write_json
from lightm.scan import choose_backend
from lightm.training.checkpoint import Position
from lightm.training.config import Config, config_from_dict, config_hash
from lightm.training.provenance import environment
from lightm.training.task import RunData

SCHEMA = 1

# What a record must hold: key -> type, or a nested table of the same kind. More keys are welcome in the nested tables.
_SCORES = {"mean": float, "per_class": dict}
_EVALUATION = {"size": list | str, "cases": list, "summary": {"cases": int, "dsc": _SCORES, "iou": _SCORES}}
_SHAPE: dict[str, Any] = {
    "schema": int,
    "name": str,
    "finished": str,  # UTC, ISO 8601
    "config": dict,
    "config_sha256": str,
    "seed": int,
    "data": {
        "name": str,
        "synthetic": bool,
        "source": str,
        "classes": list,
        "fingerprint": str,
        "split_sha256": str,
        "cases": {"train": int, "val": int, "test": int},
    },
    "model": {"name": str, "params": int, "scan": str},
    "environment": {"versions": dict, "hardware": dict, "git": dict},
    "cost": {"wall_seconds": float, "peak_memory_bytes": int, "device": str, "processes": int},
    "curve": list,  # one row per epoch, the columns of log.csv
    "best": {"epoch": int, "val_dsc": float},
    "test": _EVALUATION,
}


# What newer records hold besides; looked at where it is there.
_SINCE: dict[str, Any] = {
    "cost": {"seconds_per_epoch": float, "images_per_second": float, "sessions": int},
    "data": {"packed": dict},
}


def run_record(
    config: Config,
    data: RunData,
    identity: dict[str, str],
    net: nn.Module,
    position: Position,
    start: dict[str, Any] | None,
) -> dict[str, Any]:
    """Recipe, data, network, environment, cost and curve of a run that has reached its end.

    identity: hashes of the data (`RunData.identity`). start: whose weights it began with; None: new ones.
    cost.seconds_per_epoch counts training and validation, cost.images_per_second the training alone, loading included:
    medians over the epochs.
    """
    device = next(net.parameters()).device
    asked = config.model.options.get("scan_backend", "auto")
    rows = position.rows
    return {
        "schema": SCHEMA,
        "name": config.name,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config.public(),
        "config_sha256": config.sha256,
        "seed": config.train.seed,
        "data": {
            "name": data.dataset.name,
            "synthetic": data.dataset.synthetic,
            "source": data.dataset.source,
            "classes": list(data.dataset.classes),
            "fingerprint": identity["data set"],
            "split_sha256": data.split.sha256,
            "cases": {part: len(data.cases(part)) for part in ("train", "val", "test")},
        }
        | ({"packed": data.dataset.packed} if data.dataset.packed else {}),
        "model": {
            "name": config.model.name,
            "params": sum(p.numel() for p in net.parameters()),
            "scan": choose_backend(torch.empty(0, 1, 0, device=device), asked)[0],
        },
        "environment": environment(),
        "cost": {
            "wall_seconds": round(position.wall_seconds, 1),
            "seconds_per_epoch": statistics.median(row["seconds"] for row in rows),
            "images_per_second": statistics.median(row["images_per_second"] for row in rows),
            "peak_memory_bytes": position.peak_memory_bytes,
            "device": device.type,
            "processes": position.sessions[-1]["processes"],
            "sessions": len(position.sessions),
        },
        "sessions": position.sessions,
        "curve": rows,
        "best": position.best,
    } | ({"start": start} if start else {})


def check_record(record: Any, where: str = "the record") -> dict[str, Any]:
    """The record itself if it is whole and consistent; else LightMError naming what is missing or wrong."""
    check_shape(record, _SHAPE, where)
    for part, keys in _SINCE.items():
        check_shape(record[part], {k: kind for k, kind in keys.items() if k in record[part]}, f"{where}: {part}")
    if record["schema"] != SCHEMA:
        raise LightMError(f"{where} has schema {record['schema']}; this version of lightm reads schema {SCHEMA}.")
    config_from_dict(record["config"])  # raises for a key that no recipe has
    if config_hash(record["config"]) != record["config_sha256"]:
        raise LightMError(f"{where}: config_sha256 is not the hash of its config; one of them was edited by hand.")
    for key in ("test", "test_native"):
        if record.get(key):
            _check_scores(record[key], f"{where}: {key}")
    return record


def load_record(path: str | Path) -> dict[str, Any]:
    """Read and check one record."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LightMError(f"Can't read the record {path}: {getattr(error, 'strerror', None) or error}.") from error
    cost = record.get("cost") if isinstance(record, dict) else None
    if isinstance(cost, dict) and "sittings" in cost:
        cost["sessions"] = cost.pop("sittings")  # their name in older records
    return check_record(record, str(path))


def list_records(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Every record of a folder of runs, checked: file name without .json -> record, sorted by name."""
    return {path.stem: load_record(path) for path in sorted(Path(folder).glob("*.json"))}


def save_record(record: dict[str, Any], path: str | Path) -> None:
    """Check a record and write it, whole or not at all."""
    check_record(record)
    write_json(record, path)


def format_scores(title: str, evaluation: dict[str, Any]) -> str:
    """A table of one evaluation: mean, median and worst case of each foreground class."""
    cases, summary = evaluation["cases"], evaluation["summary"]
    rows = [(f"{title}, {len(cases)} cases", "mean", "median", "worst", "")]
    for metric, shown in (("dsc", "DSC"), ("iou", "IoU")):
        for name, mean in summary[metric]["per_class"].items():
            scores = {case["case"]: case[metric][name] for case in cases}
            worst = min(scores, key=scores.__getitem__)
            numbers = (mean, statistics.median(scores.values()), scores[worst])
            rows.append((f"  {shown} {name}", *(f"{number:.4f}" for number in numbers), worst))
        absent = [name for name in (cases[0][metric] if cases else ()) if name not in summary[metric]["per_class"]]
        rows += [(f"  {shown} {name}: in no case", "", "", "", "") for name in absent]
        if len(summary[metric]["per_class"]) > 1:
            rows.append((f"  {shown}, mean of the classes", f"{summary[metric]['mean']:.4f}", "", "", ""))
    width = max(36, *(len(row[0]) for row in rows))  # so that two tables under each other are in line
    return "\n".join(f"{a:<{width}}  {b:>6}  {c:>6}  {d:>6}  {e}".rstrip() for a, b, c, d, e in rows)


def check_shape(value: Any, shape: Any, where: str, key: str = "") -> None:
    """Raise LightMError unless `value` has the type `shape`, or every key of it, each of its type, if it is a table."""
    kind = dict if isinstance(shape, dict) else shape
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise LightMError(
            f"{where}: {key or 'the whole'} must be {getattr(kind, '__name__', kind)}, not {value!r:.60}."
        )
    if isinstance(shape, dict):
        for name, inner in shape.items():
            if name not in value:
                raise LightMError(f"{where} lacks {f'{key}.{name}'.lstrip('.')}.")
            check_shape(value[name], inner, where, f"{key}.{name}".lstrip("."))


def _check_scores(evaluation: dict[str, Any], where: str) -> None:
    """Each score lies in [0, 1], and the summary is the mean of the cases."""
    cases, summary = evaluation["cases"], evaluation["summary"]
    if len(cases) != summary["cases"]:
        raise LightMError(f"{where}: {len(cases)} cases, but its summary counts {summary['cases']}.")
    for metric in ("dsc", "iou"):
        per_class = summary[metric]["per_class"]
        for name, mean in per_class.items():
            scores = [case[metric][name] for case in cases]
            if not all(0 <= score <= 1 for score in scores):
                raise LightMError(f"{where}: a {metric} of {name} is outside 0 … 1.")
            if not math.isclose(mean, sum(scores) / len(scores), abs_tol=1e-9):
                raise LightMError(f"{where}: the summary's {metric} of {name} is not the mean of its cases.")
        if not math.isclose(summary[metric]["mean"], sum(per_class.values()) / len(per_class), abs_tol=1e-9):
            raise LightMError(f"{where}: the summary's mean {metric} is not the mean of its classes.")
