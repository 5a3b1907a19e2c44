"""Trained networks as single files: those that come with the package, by name, and those that a user made of a run.

A weights file (.safetensors, `lightm export RUN --weights FILE`) holds the network's tensors, rounded to float16, and
in its metadata all that a run folder says beside them: network, task, recipe, and the record of the run without its
curves. So a single file can be sent, and it can't be parted from what must be known of it.
"""

import logging
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from lightm.errors import LightMError, suggest
from lightm.training.checkpoint import load_matching, load_weights, read_network
from lightm.training.config import config_from_dict
from lightm.training.run_folder import Run, load_run
from lightm.training.task import RunData, Task, build_network, load_data

FOLDER = Path(__file__).resolve().parents[1] / "weights"  # package data
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class WeightsFile(Run):
    """A weights file, with what a run folder gives: `checkpoint` is the file; it computes in float32."""

    about: dict[str, Any] = field(default_factory=dict)  # the record

    @property
    def weights(self) -> Path:
        """The file itself."""
        return self.checkpoint

    def network(self) -> nn.Module:
        """The network with its weights, on the CPU."""
        net = build_network(self.config, self.task)
        load_weights(self.checkpoint, net)
        return net

    def record(self) -> dict[str, Any]:
        """What its run measured, without the curves; empty if it was stopped before its end."""
        return self.about

    def data(self, root: str | Path | None = None) -> RunData:
        """Its data set, split as in its training. root: where the data lies; by default under LIGHTM_DATA."""
        found = load_data(replace(self.config, data=replace(self.config.data, root=str(root or ""))))
        expected = self.about.get("data", {}).get("split_sha256", found.split.sha256)
        if found.split.sha256 != expected:
            raise LightMError(
                f"The split of {self.checkpoint} was {expected:.12} (hash) in its training and is "
                f"{found.split.sha256:.12} now: put the split file back that data.split names."
            )
        return found


def list_weights() -> list[str]:
    """Names of the trained networks that come with the package."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def open_trained(source: str | Path) -> Run:
    """A trained network: a run folder, a weights file, or the name of one that comes with the package.

    What lies under the path goes before a name. LightMError: there is none, or it is damaged.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return load_run(path)
    if path.is_file():
        return read_weights(path)
    shipped = FOLDER / f"{path.name}{SUFFIX}"
    if path.name == str(source) and shipped.is_file():
        _introduce(path.name)
        return read_weights(shipped)
    known = list_weights()
    names = f", or name weights that come with the package. {suggest(path.name, known)}" if known else "."
    raise LightMError(f"There is no run folder and no weights file {path}; correct the path{names}")


def take_weights(source: str | Path, net: nn.Module, task: Task) -> dict[str, Any]:
    """Give `net`, made for `task`, the weights of `open_trained(source)`; returns what a record says of them.

    Weights whose shape follows the number of classes or of input channels stay new where the tasks differ in it.
    """
    run = open_trained(source)
    counts = ((len(t.classes), t.in_channels) for t in (task, run.task))
    sizes = {pair for pair in zip(*counts, strict=True) if pair[0] != pair[1]}
    new = load_matching(run.weights, net, sizes)
    return {"name": run.config.name, "config_sha256": run.config.sha256, "epoch": run.epoch, "new": new}


def read_weights(path: Path) -> WeightsFile:
    """A weights file. LightMError: a damaged one, or one that does not say how its images are prepared."""
    found = read_network(path)
    if not found.get("config"):  # a checkpoint of an older version
        raise LightMError(
            f"{path} does not say how its images are prepared: give the run folder that it is from, or the file that "
            "`lightm export RUN --weights FILE` makes of that."
        )
    try:
        config, task = config_from_dict(found["config"]), Task(**found["task"])
        epoch, record = found.get("epoch"), dict(found.get("record", {}))
    except (KeyError, TypeError, ValueError) as error:
        raise LightMError(f"{path} does not describe its network whole ({error}); give the run folder.") from error
    if record:  # its weights are rounded already
        config = replace(config, train=replace(config.train, precision="fp32"))
    return WeightsFile(path, config, task, path, epoch, record)


@cache
def _introduce(name: str) -> None:
    """Say, once a process, what shipped weights are and are not for."""
    data = read_weights(FOLDER / f"{name}{SUFFIX}").about.get("data", {})
    logging.getLogger("lightm").warning(
        f"{name}: not a medical device, for research and teaching only; the terms of its data are the weights' too: "
        f"{data.get('source', 'unknown')}"
    )
