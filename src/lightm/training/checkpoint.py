"""Checkpoints: a folder of safetensors and JSON that is there whole, or not at all. No pickle.

    model.safetensors       weights and buffers by name; its metadata names the network, so `lightm.load` takes the file
    optimizer.safetensors   the optimiser's tensors as "parameter/slot" (only where training goes on from it)
    state.json              everything else, the SHA-256 of the other files, and its own

A new checkpoint is written into `NAME.new`, flushed to the disk, and takes its place by renaming; the one before stays
as `NAME.previous`. At whatever instant the process is killed, a whole one is found under `NAME` or `NAME.previous`.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lightm.errors import LightMError
from lightm.files import sync

MODEL = "model.safetensors"
FORMAT = 2
WITHOUT_HASH = 1  # the format before state.json had a hash of its own


@dataclass
class Position:
    """All that changes during a run besides weights and optimiser; a checkpoint's state.json holds it."""

    epoch: int = 0  # epochs completed
    step: int = 0  # iterations completed of the epoch after those
    loss_sum: float = 0.0  # over those iterations
    epoch_seconds: float = 0.0  # spent on them
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None  # {"epoch", "val_dsc", "val_dsc_native", "val_loss"}
    wall_seconds: float = 0.0
    peak_memory_bytes: int = 0
    sessions: list[dict[str, Any]] = field(default_factory=list)  # what each session ran on, one after the other

    @classmethod
    def read(cls, fields: dict[str, Any]) -> "Position":
        """From a checkpoint's state; TypeError or KeyError if something is missing or not what it should be."""
        if "sittings" in fields:  # older checkpoints only count their sessions
            fields = {**fields, "sessions": [{}] * fields["sittings"]}
            del fields["sittings"]
        missing = [name for name in asdict(cls()) if name not in fields]
        if missing:
            raise KeyError(missing[0])
        position = cls(**deepcopy(fields))
        counts = (position.epoch, position.step, position.peak_memory_bytes)
        if not all(type(count) is int and count >= 0 for count in counts) or len(position.rows) != position.epoch:
            raise TypeError("position")
        return position


def save_checkpoint(
    folder: Path, state: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Replace the checkpoint `folder`. LightMError if the disk refuses (full, read-only); the old one then stays."""
    new = folder.with_name(f"{folder.name}.new")
    previous = folder.with_name(f"{folder.name}.previous")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        # Copies of their own: safetensors refuses two names for one memory, which a shared layer has.
        weights = {k: v.detach().cpu().clone().contiguous() for k, v in model.state_dict().items()}
        save_file(weights, _model(new), _metadata(state))
        options = None
        if optimizer is not None:
            tensors, options = _split_optimizer(model, optimizer)
            save_file(tensors, new / "optimizer.safetensors")
        hashes = {path.name: _sha256(path) for path in sorted(new.iterdir())}
        whole = {"format": FORMAT, **state, "optimizer": options, "files": hashes}
        whole["sha256"] = _own_hash(whole)
        (new / "state.json").write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        for path in (*new.iterdir(), new):
            sync(path)
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
            os.rename(folder, previous)
        os.rename(new, folder)
        sync(folder.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise LightMError(
            f"Can't write the checkpoint {folder} ({reason}); the last good one is still there."
        ) from error


def find_checkpoint(folder: Path) -> Path | None:
    """The folder, or its previous one if the process was killed between the two renames, or None."""
    for candidate in (folder, folder.with_name(f"{folder.name}.previous")):
        if candidate.is_dir():
            return candidate
    return None


def load_state(folder: Path) -> dict[str, Any]:
    """Read state.json and check it and every other file against their hashes; LightMError names a damaged one.

    Checkpoints of older versions have no hash of state.json; the other files are checked all the same.
    """
    path = folder / "state.json"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        version, hashes = state.get("format"), dict(state["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path) from error
    if version not in (FORMAT, WITHOUT_HASH):
        raise LightMError(f"{path} has format {version!r}; this version of lightm reads formats 1 and {FORMAT}.")
    if version == FORMAT and state.pop("sha256", None) != _own_hash(state):
        raise _damaged(path)
    for name, sha256 in hashes.items():
        if not (folder / name).is_file() or _sha256(folder / name) != sha256:
            raise _damaged(folder / name)
    return state


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Within this block what is missing in a checkpoint's state, or has the wrong type, is a LightMError."""
    try:
        yield
    except LightMError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, SafetensorError) as error:
        raise _damaged(folder / "state.json") from error


def load_model(folder: Path, model: nn.Module) -> None:
    """Fill `model` with the weights of a checkpoint; LightMError names the first that does not fit."""
    load_weights(_model(folder), model)


def load_weights(path: Path, model: nn.Module) -> None:
    """Fill `model` with the weights of a file; LightMError names the first that does not fit."""
    tensors = load_file(path)
    for name, here, there in _misfits(model, tensors):
        raise _other_architecture(path, name, here, there)
    model.load_state_dict(tensors)


def load_matching(path: Path, model: nn.Module, sizes: Collection[tuple[int, int]]) -> list[str]:
    """Fill `model` with the weights of a file whose task differs; returns the names of those that stay new.

    sizes: (here, there), numbers of classes or channels. A weight that differs from the checkpoint's in such a size,
    along one axis, stays as it is; LightMError names one that does not fit otherwise.
    """
    tensors, new = load_file(path), []
    for name, here, there in _misfits(model, tensors):
        axes = [pair for pair in zip(here or (), there or (), strict=False) if pair[0] != pair[1]]
        if not here or not there or len(here) != len(there) or len(axes) != 1 or axes[0] not in sizes:
            raise _other_architecture(path, name, here, there)
        new.append(name)
    model.load_state_dict({name: value for name, value in tensors.items() if name not in new}, strict=False)
    return new


def read_network(path: Path) -> dict[str, Any]:
    """What the metadata of a weights file says of its network: {"model": …, "task": …}, as a checkpoint's state does.

    Newer files have "config" besides, the part of the recipe that says how images are brought to the network, and one
    that `lightm export --weights` made says more (`lightm.training.weights`). LightMError if it is no safetensors file,
    a damaged one, or one that names no network of lightm.
    """
    try:
        with safe_open(path, "pt") as file:
            network = json.loads((file.metadata() or {})["lightm"])
        return {**network, "model": dict(network["model"]), "task": dict(network["task"])}
    except (OSError, SafetensorError) as error:
        raise LightMError(f"{path} is no safetensors file, or a damaged one ({error}); give another.") from error
    except (KeyError, TypeError, ValueError):
        raise LightMError(
            f"{path} does not name its network: build it with lightm.build_model and use load_state_dict, or give the "
            "run folder that the weights are from."
        ) from None


def load_optimizer(folder: Path, state: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Fill `optimizer`, made for `model` with the same groups, with the state of a checkpoint."""
    index = {name: i for i, name in enumerate(_parameter_names(model, optimizer))}
    entries: dict[int, dict[str, Any]] = {}
    for key, tensor in load_file(folder / "optimizer.safetensors").items():
        name, _, slot = key.rpartition("/")
        entries.setdefault(index[name], {})[slot] = tensor
    groups = [
        {**saved, "params": fresh["params"]}
        for saved, fresh in zip(state["optimizer"], optimizer.state_dict()["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": entries, "param_groups": groups})


def _split_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict]]:
    names = _parameter_names(model, optimizer)
    whole = optimizer.state_dict()
    tensors = {
        f"{names[i]}/{slot}": value.detach().cpu().clone().contiguous()
        for i, slots in whole["state"].items()
        for slot, value in slots.items()
        if isinstance(value, Tensor)  # the rest is None, such as the momentum of a first SGD step
    }
    return tensors, [{k: v for k, v in group.items() if k != "params"} for group in whole["param_groups"]]


def _misfits(model: nn.Module, tensors: dict[str, Tensor]) -> Iterator[tuple[str, tuple | None, tuple | None]]:
    """(name, shape in the model, shape among `tensors`) of each weight that is not alike in both; None: not there."""
    own = model.state_dict()
    for name in {**own, **tensors}:
        here, there = (tuple(t[name].shape) if name in t else None for t in (own, tensors))
        if here != there:
            yield name, here, there


def _other_architecture(folder: Path, name: str, here: tuple | None, there: tuple | None) -> LightMError:
    return LightMError(
        f"The weights in {folder} are of another architecture: {name} is {there or 'not there'} in the checkpoint and "
        f"{here or 'not there'} in this model."
    )


def _parameter_names(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Names in the order in which the optimiser numbers its parameters."""
    names = {id(p): name for name, p in model.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def _metadata(state: dict[str, Any]) -> dict[str, str] | None:
    """What `read_network` reads, of a state that holds a recipe and a task."""
    if not {"config", "task"} <= state.keys():
        return None
    config = state["config"]
    data = {key: config["data"][key] for key in ("size", "sampling", "spacing") if key in config["data"]}
    config = {"model": config["model"], "data": data, "train": {"precision": config["train"]["precision"]}}
    return {"lightm": json.dumps({"model": config["model"], "task": state["task"], "config": config}, sort_keys=True)}


def _model(folder: Path) -> Path:
    return folder / MODEL


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _own_hash(state: dict[str, Any]) -> str:
    """SHA-256 of everything that state.json holds besides this hash."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path) -> LightMError:
    return LightMError(f"{path} is missing, damaged or was edited. {_remedy(path.parent)}")


def _remedy(folder: Path) -> str:
    previous = folder.with_name(f"{folder.name}.previous")
    if folder.name.endswith(".previous") or not previous.exists():
        return "No older checkpoint is left in its run folder; start the run afresh."
    return f"Delete {folder} to go on from {previous}."
