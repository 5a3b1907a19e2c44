"""A run as one weights file, which every command takes in the place of the run folder."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from lightm.export.describe import check_precision, rounded
from lightm.export.source import free_path
from lightm.files import whole_file
from lightm.training.weights import SUFFIX, open_trained

LEFT_OUT = ("curve", "sessions")  # of the record: how the training went, not what came of it


def export_weights(run: str | Path, path: str | Path, precision: str = "float16", force: bool = False) -> Path:
    """Write the best network of a run as a weights file (`lightm.training.weights`); returns its path.

    run: a run folder, or a weights file to round again. precision: "float16" halves the file and rounds the weights to
    11 significant bits; "float32" keeps them. force: replace a file that is there.
    The file appears whole or not at all; the same run gives the same bytes. LightMError: no run; a bad path; weights
    that the precision can't hold.
    """
    path = free_path(path, (SUFFIX,), force)
    check_precision(precision)
    found = open_trained(run)
    tensors = found.network().state_dict()
    weights = {name: torch.from_numpy(rounded(name, tensor, precision)) for name, tensor in tensors.items()}
    record = {key: value for key, value in found.record().items() if key not in LEFT_OUT}
    config = record.get("config") or found.config.public()
    task = vars(found.task)
    words = {"model": config["model"], "task": task, "config": config, "epoch": found.epoch, "record": record}
    with whole_file(path) as temporary:
        save_file(weights, temporary, {"lightm": json.dumps(words, sort_keys=True)})
    return path
