"""A first recipe for own data, from what a check of the data says: its sizes, spacing, classes and their shares.

The rules are few and plain, after what nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z) takes from a data
set: normalisation from the kind of image, the median spacing, a patch with the proportions of the median case, and a
batch that fits into memory. Every choice is written into the recipe with its reason.
"""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightm.data.check.named import FEW, check_before_training
from lightm.errors import LightMError
from lightm.training.config import Config, config_from_dict
from lightm.training.provenance import total_memory
from lightm.training.task import Task, build_network

STEP = 16  # sizes are multiples of it; networks of this package halve an image three or four times
RARE = 0.005  # a class with a smaller share of all voxels is a small target


@dataclass(frozen=True)
class Machine:
    """What a training may use: bytes of memory, and whether it is a GPU's."""

    memory: int
    gpu: bool

    @classmethod
    def here(cls, memory: int | None = None) -> "Machine":
        """This machine; memory: of it, or else half of what it has, as others want some, too."""
        gpu = torch.cuda.is_available()
        return cls(memory or total_memory(torch.device("cuda" if gpu else "cpu")) // 2, gpu)


def plan(name: str, root: str, options: Mapping[str, Any], machine: Machine) -> str:
    """The text of a recipe for a data set, or (name "folder") for the folder `root`.

    options: those of the data set. LightMError if the data have errors, or too few cases to train, validate and test.
    """
    report = check_before_training(name, root, options)
    if report is None:
        raise LightMError(f"{name} is drawn by a program, and has recipes: `lightm train --list` names them.")
    facts = report.facts
    if facts["cases"] < 3:
        raise LightMError(f"{report.root} has {facts['cases']} case(s); 3 are the least: to train, validate and test.")
    shape, why_shape = _shape(facts, machine)
    width, batch, needed = _fitting(facts, shape["size"], machine)
    lines = [_heading(report.name if name != "folder" else Path(root).name, facts), "", "[data]"]
    lines += [f"name = {_toml(name)}"] + ([f"root = {_toml(str(Path(root).absolute()))}"] if root else [])
    given = {key: value for key, value in options.items() if value is not None}  # threshold=0 is one
    lines += [f"options = {_toml(given)}"] if given else []
    if name == "folder":
        lines.append(
            '# If a patient has several images, say how their names tell: options = { patient = "^(p[0-9]+)_" }'
        )
    lines += _commented(why_shape, shape)
    lines += _commented(*_normalise(facts))
    if facts["cases"] < 10:
        few = {"ratios": [facts["cases"] - 2, 1, 1]}
        lines += _commented("So few cases that one validates and one tests: the scores will say little.", few)
    lines += ["", "[model]", 'name = "lightm-unet"']
    lines += _commented(
        f"A batch of {batch} needs about {needed / 1e9:.1f} GB in training; {machine.memory / 1e9:.1f} GB may be used.",
        {"options": {"width": width}},
    )
    lines += ["", "[optim]", 'name = "adamw"', "lr = 1e-3", "clip = 1.0", "", "[train]", f"batch_size = {batch}"]
    lines += _length(facts, shape, batch, machine)
    lines += _loss(facts)
    text = "\n".join([*lines, "", "[eval]", f"batch_size = {batch}"]) + "\n"
    config_from_dict(tomllib.loads(text))  # it must be a recipe
    return text


def _heading(name: str, facts: Mapping[str, Any]) -> str:
    size = " x ".join(map(str, facts["sizes"]["median"]))
    spacing = " x ".join(f"{v:.3g}" for v in facts["spacing"]["median"]) + " mm, " if "spacing" in facts else ""
    classes = ", ".join(c["name"] for c in facts["classes"][1:])
    return (
        f"# A first recipe for {json.dumps(name)[1:-1]}, written by `lightm plan`.\n"
        "# Time: not tried yet; soon after its start, `lightm train` says how long it will take\n#\n"
        f"# {facts['cases']} cases of about {size}, {spacing}with {json.dumps(classes, ensure_ascii=False)[1:-1]}. "
        "Change whatever you know better."
    )


def _shape(facts: Mapping[str, Any], machine: Machine) -> tuple[dict[str, Any], str]:
    """The keys of [data] that say what the network sees of a case, and why."""
    median, dims = facts["sizes"]["median"], facts["spatial_dims"]
    most = {2: (256**2, 512**2), 3: (64**3, 128**3)}[dims][machine.gpu]  # pixels or voxels
    whole = [_multiple(n) for n in median]
    if dims == 2:
        shrink = min(1.0, math.sqrt(most / math.prod(whole)))
        whole = [max(STEP, int(n * shrink) // STEP * STEP) for n in whole]
    shares = [c["small_share"] for c in facts["classes"][1:] if c.get("small_share") is not None]
    small = [share for share in shares if share * math.prod(whole) < FEW]
    if math.prod(whole) <= most and not small:
        return {"size": whole}, "Cases are small enough to be resized to one size, near that of the median case."
    keys: dict[str, Any] = {"sampling": "patches"}
    why = "Resized to what fits, a structure would all but vanish" if small else "Whole cases are too large"
    why += ": the network sees patches, half of them around a structure."
    spacing = facts.get("spacing")
    if dims == 3 and spacing and any(b > 1.05 * a for a, b in zip(spacing["min"], spacing["max"], strict=True)):
        keys["spacing"] = [round(v, 4) for v in spacing["median"]]
        why += " Spacings differ, and all cases are resampled to their median."
    patch = [_multiple(n) for n in median]
    while math.prod(patch) > most:
        patch[patch.index(max(patch))] -= STEP
    return keys | {"size": patch}, why


def _multiple(n: float) -> int:
    return max(STEP, math.ceil(n / STEP) * STEP)


def _fitting(facts: Mapping[str, Any], size: Sequence[int], machine: Machine) -> tuple[int, int, int]:
    """(width, batch, bytes): the widest network and then the largest batch that fit. LightMError if none does."""
    most = min({2: 4, 3: 2}[facts["spatial_dims"]] * (2 if machine.gpu else 1), max(1, facts["cases"] - 2))
    for width in (32, 16, 8) if machine.gpu else (16, 8):
        config = config_from_dict({"data": {"size": list(size)}, "model": {"options": {"width": width}}})
        one = training_bytes(
            config, Task(len(size), facts["channels"], [c["name"] for c in facts["classes"]], "zscore")
        )
        if batch := min(most, machine.memory // one):
            return width, batch, batch * one
    by = " x ".join(map(str, size))
    raise LightMError(
        f"One image of {by} needs {one / 1e9:.1f} GB in training, and {machine.memory / 1e9:.1f} GB may be used; give "
        "more (--memory), or write a recipe with a smaller data.size."
    )


def training_bytes(config: Config, task: Task) -> int:
    """About what one image takes in a training step: twice (with gradients) what all layers give, in float32.

    Counted on shapes alone. Weights and optimiser are left out: these networks are small beside their activations.
    """
    held = 0

    def see(module: nn.Module, args: object, out: object) -> None:
        nonlocal held
        if isinstance(out, Tensor) and not any(module.children()):
            held += out.numel()

    with torch.device("meta"), torch.no_grad():
        network = build_network(config, task).eval()
        for module in network.modules():
            module.register_forward_hook(see)
        network(torch.empty(1, task.in_channels, *config.data.size))
    return 2 * 4 * held


def _normalise(facts: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if facts["normalise"] != "ct":
        return "Units differ from image to image: each is brought to mean 0 and standard deviation 1.", {
            "normalise": facts["normalise"]
        }
    if window := facts.get("window"):
        low, high = window
        why = "CT, whose marked voxels lie outside of the usual abdominal window: this one holds nearly all of them."
        return why, {"normalise": f"window:{low:g}:{high:g}"}
    return "CT: Hounsfield units within an abdominal window.", {"normalise": "ct"}


def _length(facts: Mapping[str, Any], shape: Mapping[str, Any], batch: int, machine: Machine) -> list[str]:
    steps = 10_000 if machine.gpu else 2_000
    if "sampling" in shape:
        keys = {"iterations_per_epoch": steps // 40, "epochs": 40, "validate_every": 4}
    else:
        each = max(1, round(0.7 * facts["cases"]) // batch)
        epochs = max(10, min(300, math.ceil(steps / each)))
        keys = {"epochs": epochs, "validate_every": max(1, epochs // 20)}
    lines = _commented(f"About {steps:,} steps, enough to see what comes of it; the paper's recipe has more.", keys)
    return lines + (['precision = "bf16"'] if machine.gpu else [])


def _loss(facts: Mapping[str, Any]) -> list[str]:
    rare = [c["name"] for c in facts["classes"][1:] if c.get("share") is not None and c["share"] < RARE]
    if not rare:
        return []
    names = json.dumps(", ".join(rare), ensure_ascii=False)[1:-1]
    why = f"Less than {RARE:.1%} of all voxels are {names}: the focal loss leaves the many easy ones aside."
    return _commented(why, {"loss": "dice-focal"})


def _commented(why: str, keys: Mapping[str, Any]) -> list[str]:
    return [f"# {why}", *(f"{key} = {_toml(value)}" for key, value in keys.items())]


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
