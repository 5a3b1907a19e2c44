"""A copy of an nnU-Net plans file whose networks are ours; spacing, normalisation, batch and data stay as planned."""

import copy
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lightm.errors import LightMError
from lightm.files import write_json
from lightm.models import options_for_size
from lightm.models.baselines import stages_for
from lightm.nnunet.network import CLASS_NAME, supervises_deeply
from lightm.training.config import config_from_dict
from lightm.training.task import Task, build_network

STEPS = (1, 2, 4, 8, 16, 32, 64)  # of patch sizes; the networks need 8, 16 or 32
FEWEST_STRIDES = 3  # nnU-Net weights its outputs 1, 1/2, … and the last 0: with fewer strides no output would be left


def find_plans(dataset: str, identifier: str = "nnUNetPlans") -> Path:
    """The plans file of a data set of nnU-Net: of Dataset004_Hippocampus, of 4, or at the path of a .json file.

    LightMError if there is none, or the variable nnUNet_preprocessed does not say where they are.
    """
    if dataset.endswith(".json"):
        path = Path(dataset).expanduser()
        if not path.is_file():
            raise LightMError(f"There is no plans file {path}; correct the path.")
        return path
    if not (home := os.environ.get("nnUNet_preprocessed")):
        raise LightMError(
            "nnUNet_preprocessed is not set, the variable that names nnU-Net's folder of preprocessed data: set it, or "
            "give the path of a plans file."
        )
    pattern = f"Dataset{int(dataset):03d}_*" if dataset.isascii() and dataset.isdigit() else dataset
    folders = [folder for folder in sorted(Path(home).glob("Dataset*")) if folder.match(pattern)]
    if len(folders) != 1:
        found = " and ".join(folder.name for folder in folders) or "none"
        raise LightMError(f"{home} must hold one data set {dataset}, and it holds {found}; give its full name.")
    path = folders[0] / f"{identifier}.json"
    if not path.is_file():
        raise LightMError(f"{path} is missing: run nnUNetv2_plan_and_preprocess for {folders[0].name} first.")
    return path


def read_plans(path: Path) -> dict[str, Any]:
    """A plans file of nnU-Net 2.4 or newer; LightMError if it is something else."""
    try:
        plans = json.loads(path.read_text("utf-8"))
        for settings in plans["configurations"].values():
            if "patch_size" in settings and "architecture" not in settings:
                raise LightMError(f"{path} has no architecture: plan again with nnU-Net 2.4 or newer.")
        plans["plans_name"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, LightMError):
            raise
        raise LightMError(f"{path} is no plans file of nnU-Net v2 ({error!r}); give one.") from None
    return plans


def planned(plans: Mapping[str, Any], model: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A plan with the network `model` in every configuration that has a patch size; the others inherit from those.

    plans: as `read_plans` gives them. options: of the network. Patch sizes that the network can't take become the next
    larger ones that it can. LightMError: no such network or option, or no patch size fits.
    """
    new = copy.deepcopy(dict(plans))
    new["plans_name"] = f"{plans['plans_name']}_{model}"
    for settings in new["configurations"].values():
        if "patch_size" in settings:
            patch, chosen = _fit(model, settings["patch_size"], dict(options or {}))
            settings["patch_size"] = patch
            settings["architecture"] = {
                "network_class_name": CLASS_NAME,
                "arch_kwargs": {
                    "model": model,
                    "spatial_dims": len(patch),
                    "options": chosen,
                    "strides": _strides(model, len(patch), chosen),
                },
                "_kw_requires_import": [],
            }
    return new


def write_plans(path: Path, model: str, options: Mapping[str, Any] | None = None, force: bool = False) -> Path:
    """Write the plan `planned` makes of the file `path` beside it, named for the network; returns its path.

    LightMError, too: a file of this name is there (trained networks need theirs), and force is False.
    """
    plans = planned(read_plans(path), model, options)
    new = path.with_name(f"{plans['plans_name']}.json")
    if new.exists() and not force:
        raise LightMError(f"{new} exists already, and networks trained by it need it; replace it with --force.")
    write_json(plans, new)
    return new


def _strides(model: str, axes: int, options: Mapping[str, Any]) -> list[list[int]]:
    """Of each resolution that has an output, as nnU-Net counts them; the trainer leaves the last one out."""
    count = options["n_stages"] if supervises_deeply(model) else FEWEST_STRIDES
    return [[1] * axes] + [[2] * axes] * (count - 1)


def _fit(model: str, patch: Sequence[int], options: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
    """The patch size, made larger if the network needs it, and the network's options for it."""
    problem = LightMError(f"No patch size from {tuple(patch)} up fits {model}; choose another network.")
    for step in STEPS:
        size = [-(-int(n) // step) * step for n in patch]
        try:
            chosen = options_for_size(model, size) | options
            if supervises_deeply(model) and chosen.setdefault("n_stages", stages_for(size)) < FEWEST_STRIDES:
                continue
            config = config_from_dict({"model": {"name": model, "options": chosen}})
            with torch.device("meta"):  # shapes only
                network = build_network(config, Task(len(size), 1, ["background", "object"], "zscore"))
                network.eval()(torch.empty(1, 1, *size))
            return size, dict(config.model.options)
        except LightMError as error:
            problem = error
    raise problem
