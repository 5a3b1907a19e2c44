"""A trained network as a MONAI bundle: a folder that MONAI's bundle commands check and run. No pickle in it.

    configs/metadata.json     what it is: task, data, versions, what goes in and what comes out
    configs/inference.json    how it runs, every part by name, so that any of them can be replaced
    models/model.safetensors  the weights, which lightm.load takes, too
    docs/README.md            the same for a reader, and how to run it

    python -m monai.bundle run --config_file configs/inference.json --images "['image.png']"

The commands need the package fire and are typed in the bundle's folder; `monai.bundle.run` does the same from Python.
Reading, resizing, normalisation and writing are those of `lightm predict`, and so is the answer.
"""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightm.errors import LightMError
from lightm.export.card import Card
from lightm.export.runs import model_and_card
from lightm.export.source import in_words
from lightm.files import write_json
from lightm.training.provenance import git_state
from lightm.training.run_folder import Run
from lightm.training.weights import open_trained

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
BUNDLE_VERSION = "0.1.0"
WEIGHTS = "models/model.safetensors"
TERMS = (
    "The program, lightm, is under the Apache License 2.0. Weights are also subject to the terms of the data that they "
    "were learnt from."
)


def export_bundle(run: str | Path, folder: str | Path, force: bool = False) -> Path:
    """Write the best network of a run as a MONAI bundle; returns its path. force: replace a bundle.

    run: a run folder, a weights file, or the name of weights that come with the package. The folder appears whole or
    not at all. LightMError: no such run; a folder that is there already.
    """
    folder, found = Path(folder), open_trained(run)
    _check_free(folder, force)
    _, card = model_and_card(run)
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        for name in ("configs", "models", "docs"):
            (new / name).mkdir(parents=True)
        write_json(metadata(found, card), new / "configs/metadata.json")
        write_json(inference(found), new / "configs/inference.json")
        shutil.copyfile(found.weights, new / WEIGHTS)
        (new / "docs/README.md").write_text(readme(found, card), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def inference(run: Run) -> dict[str, Any]:
    """configs/inference.json: names as MONAI's bundles have them; "$" marks an expression, "@" another part."""
    task, config = run.task, run.config
    steps = "lightm.export.bundle_steps."
    return {
        "imports": ["$import torch", "$from pathlib import Path"],
        "bundle_root": ".",
        "images": ["image.png"],
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "lightm.models.build_model",
            "name": config.model.name,
            "spatial_dims": task.spatial_dims,
            "in_channels": task.in_channels,
            "out_channels": len(task.classes),
            **config.model.options,
        },
        "network": {
            "_target_": f"{steps}with_weights",
            "network": "@network_def",
            "path": f"$@bundle_root + '/{WEIGHTS}'",
            "device": "@device",
        },
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": f"{steps}ReadImage", "channels": task.in_channels},
                {"_target_": f"{steps}Prepare", "size": list(config.data.size), "normalise": task.normalise},
            ],
        },
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": f"{steps}LabelMap"},
                {"_target_": f"{steps}WriteLabel", "folder": "@output_dir"},
            ],
        },
        "infer": {
            "_target_": f"{steps}Infer",
            "preprocessing": "@preprocessing",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "device": "@device",
            "precision": config.train.precision,
        },
        "run": ["$[@infer(path) for path in @images]"],
    }


def metadata(run: Run, card: Card) -> dict[str, Any]:
    """configs/metadata.json, with the fields of MONAI's bundle specification."""
    task, size = run.task, list(run.config.data.size)
    described = {"num_channels": task.in_channels, "spatial_shape": size, "dtype": "float32", "is_patch_data": False}
    return {
        "schema": SCHEMA,
        "version": BUNDLE_VERSION,
        "changelog": {BUNDLE_VERSION: f"exported from the run {run.config.name}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in ("lightm", "safetensors")},
        "name": _title(card),
        "task": "segmentation",
        "description": f"{run.config.model.name}, after LightM-UNet (arXiv:2403.05246). Trained on: {card.trained_on}",
        "authors": "the person who trained it, with lightm",
        "copyright": TERMS,
        "intended_use": "Not a medical device: for research and teaching.",
        "data_source": card.trained_on,
        "references": ["Liao et al., LightM-UNet, arXiv:2403.05246"],
        "facts": {term: text for term, text in card.facts},
        "commit": git_state()["commit"] or "unknown",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    **described,
                    "value_range": [-1, 1] if task.normalise.startswith(("ct", "window")) else [],
                    "channel_def": {str(channel): "image" for channel in range(task.in_channels)},
                    "normalisation": in_words(task.normalise),
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    **described,
                    "num_channels": len(task.classes),
                    "value_range": [],
                    "channel_def": {str(value): name for value, name in enumerate(task.classes)},
                }
            },
        },
    }


def readme(run: Run, card: Card) -> str:
    """docs/README.md."""
    facts = "".join(f"* {term}: {text}\n" for term, text in card.facts)
    classes = ", ".join(f"{value} {name}" for value, name in enumerate(run.task.classes))
    return f"""\
# {_title(card)}

{run.config.model.name} (LightM-UNet, arXiv:2403.05246), a MONAI bundle made by lightm {version("lightm")}.

* Trained on: {card.trained_on}
* Label values: {classes}
* Input: resized to {" x ".join(map(str, run.config.data.size))}; {in_words(run.task.normalise)}
{facts}
{TERMS}
Not a medical device: for research and teaching.

Run it in this folder, with lightm, MONAI and the package fire installed; the label maps come to `eval`:

    python -m monai.bundle run --config_file configs/inference.json --images "['image.png']"

The weights are safetensors and `configs/inference.json` is JSON, but its expressions (they begin with `$`) are Python:
run only bundles from people you trust.
"""


def _title(card: Card) -> str:
    return card.title or ", ".join(card.classes[1:])


def _check_free(folder: Path, force: bool) -> None:
    if not folder.parent.is_dir():
        raise LightMError(f"There is no folder {folder.parent}; make it, or correct the path {folder}.")
    if not folder.exists():
        return
    ours = (folder / "configs/metadata.json").is_file() and (folder / WEIGHTS).is_file()
    if force and ours:
        return
    how = "or replace it with --force (force=True)" if ours else "it is no bundle, and is left alone"
    raise LightMError(f"{folder} exists already; choose another name, {how}.")
