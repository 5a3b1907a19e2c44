"""A trained network as something to export, and the card that its own record fills in."""

from pathlib import Path

import numpy as np
from torch import nn

from lightm.data import list_datasets
from lightm.data.phantoms import PhantomCXR
from lightm.errors import LightMError
from lightm.evaluation.statistics import interval
from lightm.export.card import Card
from lightm.training.weights import open_trained

RADIOGRAPHS = ("phantom-cxr", "montgomery-shenzhen")  # data sets for whose networks a phantom is an example


def model_and_card(run: str | Path) -> tuple[nn.Module, Card]:
    """The best network of a run folder, or that of a weights file or name, with its card. LightMError: no such."""
    found = open_trained(run)
    config, task, record = found.config, found.task, found.record()
    if config.data.sampling == "patches":
        raise LightMError(
            f"{run} learned from patches: its network takes windows of an image, and what is exported takes whole "
            "images that were resized. `lightm predict` runs it."
        )
    data = record.get("data", {})
    trained_on = data.get("source") or _source(config.data.name)
    if cases := data.get("cases"):
        trained_on = f"{cases['train']} cases of {config.data.name}. {trained_on}"
    is_radiograph = config.data.name in RADIOGRAPHS
    card = Card(
        classes=tuple(task.classes),
        size=tuple(config.data.size),
        normalise=task.normalise,
        trained_on=trained_on,
        title="Lungs in a chest radiograph" if is_radiograph else "",
        lead="Give a frontal chest radiograph; the network outlines the lungs." if is_radiograph else "",
        facts=(*_scores(record), *_commit(record)),
        example=_example() if is_radiograph else None,
    )
    return found.network().eval(), card


def _source(dataset: str) -> str:
    """Where a data set of ours comes from, with its terms."""
    known = {info.name: info for info in list_datasets()}
    return getattr(known[dataset].load(), "source", dataset) if dataset in known else f"The data set {dataset}."


def _scores(record: dict) -> list[tuple[str, str]]:
    found = record.get("test_native") or record.get("test")
    if not found:
        return [("Held-out scores", "none: the training has not come to its end")]
    summary, each = found["summary"], []
    for name, value in summary["dsc"]["per_class"].items():
        bounds = interval([case["dsc"][name] for case in found["cases"]])
        each.append(f"{name} {value:.3f}" + (f" (95% interval {bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else ""))
    where = "their own size" if found["size"] == "native" else "the training size"
    on = f"{summary['cases']} cases that it never saw, at {where}"
    return [("Held-out scores", f"mean Dice on {on}: {', '.join(each)}")]


def _commit(record: dict) -> list[tuple[str, str]]:
    git = record.get("environment", {}).get("git", {})
    return [("Trained by", f"lightm, commit {git['commit']}")] if git.get("commit") else []


def _example() -> np.ndarray:
    """A synthetic radiograph of nobody, (256, 256)."""
    phantoms = PhantomCXR(cases=1, size=256, seed=2024)
    return phantoms.read(phantoms.case_ids[0]).image[0]
