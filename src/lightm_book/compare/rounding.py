"""What it costs in accuracy that weights which ship are rounded to float16: measured on the run's own test cases."""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightm.errors import LightMError
from lightm.export import export_weights
from lightm.inference import evaluate_run
from lightm.training.provenance import environment
from lightm.training.weights import open_trained

PRECISIONS = ("float32", "float16")  # of the weights; both compute in float32


def rounding(run: str | Path, progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, Any]:
    """The record: DSC of each test case at its own size with the weights as trained, and rounded.

    run: a run folder that has come to its end, and whose data is here. LightMError if not.
    """
    found = open_trained(run)
    record = found.record()
    if not record:
        raise LightMError(f"{run} has no record: let its training come to its end with `lightm train RECIPE --resume`.")
    scores = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in PRECISIONS:
            file = export_weights(run, Path(folder) / f"{precision}.safetensors", precision)
            scores[precision] = evaluate_run(file, scoring=progress)["native"]
    full, half = (scores[precision]["cases"] for precision in PRECISIONS)
    classes = list(scores["float32"]["summary"]["dsc"]["per_class"])
    differences = [b["dsc"][c] - a["dsc"][c] for a, b in zip(full, half, strict=True) for c in classes]
    return {
        "schema": 1,
        "name": found.config.name,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "epoch": found.epoch,
        "config_sha256": record["config_sha256"],
        "data": {key: record["data"][key] for key in ("name", "fingerprint", "split_sha256", "cases")},
        "environment": environment(),
        "as_trained": record["test_native"]["summary"]["dsc"]["mean"],  # with the arithmetic of its training
        **{precision: scores[precision]["summary"]["dsc"]["mean"] for precision in PRECISIONS},
        "change": sum(differences) / len(differences),
        "largest_change": max(differences, key=abs),
        "cases": [
            {"case": a["case"], **{c: [a["dsc"][c], b["dsc"][c]] for c in classes}}
            for a, b in zip(full, half, strict=True)
        ],
    }
