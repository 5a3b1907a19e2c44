"""The scores of a run's held-out cases, once more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightm.training.evaluation import evaluate
from lightm.training.weights import open_trained


def evaluate_run(
    run: str | Path,
    part: str = "test",
    root: str | Path | None = None,
    reading: Callable[[int, int], None] = lambda done, total: None,
    scoring: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Score a run's best checkpoint, or a weights file of one, on a part of its own split: "train", "val" or "test".

    root: the data set's folder if it lies elsewhere than in training. reading, scoring: called with (done, total).
    Returns {"run", "dataset", "part", "epoch", "scores", "native"}, the last two as in a record.
    """
    from lightm.training.session import start_processes

    found = open_trained(run)
    data, accelerator = found.data(root), start_processes()
    scores, native, _ = evaluate(
        found.network().to(accelerator.device),
        data.load(part, reading),
        accelerator=accelerator,
        batch_size=found.config.eval.batch_size,
        precision=found.config.train.precision,
        native=data.dataset,
        progress=scoring,
    )
    return {
        "run": found.config.name,
        "dataset": data.dataset.name,
        "part": part,
        "epoch": found.epoch,
        "scores": scores,
        "native": native,
    }
