"""What a record of a benchmark holds (results/bench/*.json), how it is begun, read and checked."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from lightm.errors import LightMError
from lightm.provenance import environment, hardware

SCHEMA = 1
KINDS = ("scan", "step")
STATES = ("measured", "absent", "skipped", "wrong")  # of a contender; all but the first have a "reason"


def header(kind: str, device: torch.device) -> dict[str, Any]:
    """The head of a record: what was measured where, when, and with which versions; "command" is the caller's."""
    here = environment()
    return {
        "schema": SCHEMA,
        "kind": kind,
        "command": "",
        "finished": "",
        "device": device.type,
        "environment": here,
    }


def finish(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the time at which it was finished, checked."""
    record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    return check_bench(record)
