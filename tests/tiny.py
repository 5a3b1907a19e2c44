"""Runs that take a second: two-digit numbers of tiny synthetic cases, a network of a few thousand weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from lightm.data.phantoms import Phantoms
from lightm.training.config import Config, config_from_dict
from lightm.training.trainer import Trainer

MODEL = {"width": 8, "depths": [1], "bottleneck_depth": 1, "d_state": 4}


def tiny_config(**changes) -> Config:
    """The recipe, with `section__key=value` changes."""
    table = {
        "name": "tiny",
        "data": {"size": [16, 16], "options": {"cases": 20, "size": 24}},
        "model": {"options": MODEL},
        "optim": {"lr": 0.03},
        "train": {"epochs": 3, "batch_size": 4},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        table.setdefault(section, {})[name] = value
    return config_from_dict(table)


def volume_config() -> Config:
    """The same for synthetic CT, one epoch."""
    options = {"cases": 10, "size": [20, 16, 24]}
    return tiny_config(
        data__name="phantom-ct", data__size=[8, 8, 8], data__options=options, train__epochs=1, optim__lr=1e-3
    )


def train(config: Config, out: Path, curves: bool = False, **options) -> dict:
    """Train and return the record; a picture of the curves only if asked for, it takes as long as the training."""
    with cheaply(curves):
        return Trainer(config, out, quiet=True, **options).fit()


@contextmanager
def cheaply(curves: bool = False) -> Iterator[None]:
    """One thread (work this small is slower on two), each phantom drawn once for all tests, no curves.png."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Phantoms, "_read", _read_once)
            if not curves:
                patch.setattr("lightm.training.trainer.draw_curves", lambda rows, path, title: None)
            yield
    finally:
        torch.set_num_threads(threads)


def _read_once(self, case_id, read=Phantoms._read, drawn={}):  # noqa: B006 (the default is the memory)
    key = (self.fingerprint(), case_id)
    if key not in drawn:
        drawn[key] = read(self, case_id)
    return drawn[key]
