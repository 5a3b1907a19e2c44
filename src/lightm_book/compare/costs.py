"""What the runs of an experiment took, and what their networks cost by count."""

import statistics

import torch

from lightm.counting import Complexity, count
from lightm.errors import LightMError
from lightm.models import build_model
from lightm_book.compare.rows import Experiment, Record, label


def costs(experiment: Experiment) -> dict[str, dict[str, float]]:
    """What the runs of each system took: means of wall minutes and seconds an epoch, most memory in GiB."""
    found = {}
    for name, runs in experiment.systems.items():
        epochs = [statistics.median(row["seconds"] for row in run["curve"]) for run in runs]
        found[name] = {
            "minutes": statistics.fmean(run["cost"]["wall_seconds"] for run in runs) / 60,
            "seconds_an_epoch": statistics.fmean(epochs),
            "gib": max(run["cost"]["peak_memory_bytes"] for run in runs) / 2**30,
        }
    return found


def count_of(record: Record) -> Complexity:
    """True parameters and MACs of a run's network for one image of the run's size, on the meta device."""
    model, size = record["config"]["model"], record["config"]["data"]["size"]
    for in_channels in (1, 3):  # a record doesn't say; its parameters do
        with torch.device("meta"):
            network = build_model(
                model["name"], len(size), in_channels, len(record["data"]["classes"]), **model["options"]
            )
        counted = count(network, (in_channels, *size))
        if counted.params == record["model"]["params"]:
            return counted
    raise LightMError(f"{label(record)} has {counted.params} parameters here and {record['model']['params']} there.")
