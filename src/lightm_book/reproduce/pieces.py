"""How a piece is made: a training run that can stop at a deadline, or a check or a timing of the scan."""

import gc
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lightm.errors import LightMError
from lightm.training.provenance import environment, restart_peak_memory
from lightm_book.bench.progress import Report
from lightm_book.reproduce.plan import TRAINED, Piece
from lightm_book.reproduce.workshop import Workshop

if TYPE_CHECKING:
    from lightm.training.trainer import Trainer

XRAYS = "montgomery-shenzhen"  # the data set that --data names the place of
CHECKED = {"float32": 1e-5, "bfloat16": 1e-2}  # relative error against float64 up to which a scan counts as right


def make(
    piece: Piece, workshop: Workshop, device: str, deadline: float | None, data: Path | None, report: Report
) -> str:
    """Make a piece, or go on with it, and keep its record; returns one line on what came out.

    deadline: on the clock of time.monotonic; a training run that reaches it raises Interrupted with a checkpoint.
    data: the packed X-rays or their folder, where it isn't the usual place.
    """
    gc.collect()  # the network of the piece before this one
    restart_peak_memory(torch.device(device))
    if piece.kind in TRAINED:
        return _train(piece, workshop, deadline, data)
    started = time.monotonic()
    record, summary = _OTHERS[piece.kind](piece, device, report)
    record |= {"name": piece.name, "seconds": round(time.monotonic() - started, 1)}
    workshop.keep(piece, record)
    return summary


def _train(piece: Piece, workshop: Workshop, deadline: float | None, data: Path | None) -> str:
    from lightm.training.trainer import Trainer

    config, folder = piece.config, workshop.run_folder(piece)
    if data is not None and config.data.name == XRAYS:
        config = replace(config, data=replace(config.data, root=str(data)))
    folder.parent.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, folder, resume=workshop.resumable(piece), deadline=deadline)
    if piece.kind == "tune":
        return _tune(piece, workshop, trainer)
    record = trainer.fit()
    workshop.finish(piece)
    scores, cost = record.get("test_native") or record["test"], record["cost"]
    return (
        f"DSC {scores['summary']['dsc']['mean']:.4f}, IoU {scores['summary']['iou']['mean']:.4f} on "
        f"{scores['summary']['cases']} test cases; {cost['wall_seconds'] / 60:.1f} minutes, "
        f"{cost['images_per_second']:.1f} images/s, {cost['peak_memory_bytes'] / 2**30:.1f} GiB"
    )


def _tune(piece: Piece, workshop: Workshop, trainer: "Trainer") -> str:
    from lightm.training.metrics import merit

    trainer.train()
    position, config = trainer.position, piece.config
    record = {
        "kind": "tune",
        "name": piece.name,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config.public(),
        "config_sha256": config.sha256,
        "data": {"fingerprint": trainer.identity["data set"], "split_sha256": trainer.identity["split"]},
        "environment": environment(),
        "cost": {"wall_seconds": round(position.wall_seconds, 1)},
        "curve": position.rows,
        "best": position.best,
    }
    workshop.finish(piece, record)
    return f"DSC {merit(position.best)[0]:.4f} on validation cases, {position.wall_seconds / 60:.1f} minutes"


def _check(piece: Piece, device: str, report: Report) -> tuple[dict[str, Any], str]:
    """Errors of the scan against float64, and bits from run to run; LightMError if it is wrong, and no record then."""
    from lightm_book.reproduce.scan_check import check_gpu_scan

    found = check_gpu_scan(device=device, report=report, **piece.options)
    wrong = [c for c in found["cases"] if not c["worst_error"] <= CHECKED[c["dtype"]] or not c["bits_equal"]]
    if wrong:
        raise LightMError(
            f"The scan is wrong on this device ({found['backend']}, {found['device']}): {wrong[0]}; nothing is "
            "trained with it: please report this line, and set model.options.scan_backend=chunked meanwhile."
        )
    head = {"kind": "scan-check", "finished": datetime.now(UTC).isoformat(timespec="seconds")}
    worst = max(case["worst_error"] for case in found["cases"])
    summary = f"{found['backend']} backend: {len(found['cases'])} cases, worst error {worst:.1e}, bits always equal"
    return head | {"environment": environment()} | found, summary


def _bench_scan(piece: Piece, device: str, report: Report) -> tuple[dict[str, Any], str]:
    from lightm_book.bench import bench_scan
    from lightm_book.bench.inputs import Shape

    options = {"peer_names": None, **piece.options}
    shapes = [Shape(*shape) for shape in options.pop("shapes")]
    record = bench_scan(shapes, device, report=report, **options)
    record["command"] = f"lightm-book reproduce --only {piece.name}"
    return record, _fastest(record["shapes"][-1]["contenders"], "forward_backward")


def _bench_step(piece: Piece, device: str, report: Report) -> tuple[dict[str, Any], str]:
    from lightm_book.bench import bench_step

    record = bench_step(device=device, report=report, **{"peer_names": None, **piece.options})
    record["command"] = f"lightm-book reproduce --only {piece.name}"
    return record, _fastest(record["contenders"], "step")


def _fastest(contenders: list[dict[str, Any]], what: str) -> str:
    times = {c["name"]: c[what]["median_s"] for c in contenders if (c.get(what) or {}).get("median_s")}
    if not times:
        return "nothing could be timed"
    return ", ".join(f"{name} {1e3 * times[name]:.1f} ms" for name in sorted(times, key=times.__getitem__))


_OTHERS = {"check": _check, "bench-scan": _bench_scan, "bench-step": _bench_step}
