"""What every kind of exported file begins with: where it goes, the network, and what is to be said of it."""

import copy
import json
from pathlib import Path

import torch
from torch import Tensor, nn

import lightm
from lightm.data.transforms import normalise_image, window_of
from lightm.errors import LightMError
from lightm.export.card import Card
from lightm.models.unet import LightMUNet
from lightm.training.provenance import git_state

AXES = ("height", "width", "depth")
TOLERANCE = 1e-3


def free_path(path: str | Path, suffixes: tuple[str, ...], force: bool) -> Path:
    """The path, if a file may be written there; LightMError if not."""
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise LightMError(f"{path}: give a name that ends in {suffixes[0]}.")
    if not path.parent.is_dir():
        raise LightMError(f"There is no folder {path.parent}; make it, or correct the path {path}.")
    if path.is_dir():
        raise LightMError(f"{path} is a folder; give the name of a file.")
    if path.exists() and not force:
        raise LightMError(f"{path} exists already; choose another name, or replace it with --force (force=True).")
    return path


def open_source(source: nn.Module | str | Path, card: Card | None) -> tuple[nn.Module, Card]:
    """The network, ready for inference, and its card: a run folder has one, a network alone needs one."""
    if isinstance(source, nn.Module):
        if card is None:
            raise LightMError("A network alone does not say what its classes are: give a card, too.")
        return source, card
    from lightm.export.runs import model_and_card  # here: a model alone is exported without training's modules

    model, own = model_and_card(source)
    return model, card or own


def size_step(model: nn.Module) -> int:
    """What every spatial size must be divisible by. LightMError, naming it, for a network of another kind."""
    if isinstance(model, LightMUNet):
        return 2 ** len(model.encoder)
    from lightm.models.released import ReleasedLightMUNet  # here: it loads MONAI

    if isinstance(model, ReleasedLightMUNet):
        return 2 ** len(model.up_layers)
    raise LightMError(
        f"{type(model).__name__} can't be exported: this is for LightM-UNet and the networks that its authors released."
    )


def in_float32(model: nn.Module) -> nn.Module:
    """A copy for inference on the CPU."""
    return copy.deepcopy(model).to("cpu", torch.float32).eval()


def trial(model: nn.Module) -> Tensor:
    """Two images of noise, (2, C, *S), small, no two axes of the same length."""
    sizes = [size_step(model) * n for n in (3, 2, 4)[: model.spatial_dims]]
    return torch.randn(2, model.in_channels, *sizes, generator=torch.Generator().manual_seed(0))


def check_answer(found: Tensor, expected: Tensor, program: str) -> None:
    """LightMError if an exported network's logits are not PyTorch's: further off than 0.001 of the largest of them."""
    error = ((found - expected).abs().max() / expected.abs().max()).item()
    if not error <= TOLERANCE:
        raise LightMError(
            f"{program} answers otherwise than the network itself (by {error:.1g} of its largest logit), so nothing "
            "was written: install the versions in requirements/constraints.txt, and report it if that does not help."
        )


def check_card(model: nn.Module, card: Card) -> None:
    """LightMError for a card that does not fit the network, or leaves out what a user must know."""
    step, axes = size_step(model), model.spatial_dims
    if len(card.classes) != model.out_channels:
        raise LightMError(
            f"The card names {len(card.classes)} classes and the network has {model.out_channels}: name each."
        )
    if len(card.size) != axes or any(n < step or n % step for n in card.size):
        sizes = "x".join(map(str, card.size))
        raise LightMError(f"size={sizes} does not fit the network: give {axes} sizes divisible by {step}.")
    normalise_image(torch.zeros(1, *[1] * axes), card.normalise)  # it knows which there are
    if not card.trained_on.strip():
        raise LightMError("The card does not say what the network was trained on: fill in trained_on.")


def metadata(model: nn.Module, card: Card) -> dict[str, str]:
    """What a file says of itself, as texts by name: input, output, data and their terms, software."""
    axes, git = AXES[: model.spatial_dims], git_state()
    commit = (git["commit"] or "unknown") + (", with changes that are not in it" if git["dirty"] else "")
    return {
        "title": card.title or f"Find {', '.join(card.classes[1:])}",
        "network": f"LightM-UNet (arXiv:2403.05246), {type(model).__name__}",
        "parameters": str(sum(p.numel() for p in model.parameters())),
        "input": (
            f"image: float32 (batch, {model.in_channels}, {', '.join(axes)}), each spatial size divisible by "
            f"{size_step(model)}, resized to the training size and then normalised"
        ),
        "training_size": json.dumps(list(card.size)),
        "normalise": card.normalise,
        "normalisation": in_words(card.normalise),
        "output": (
            f"logits: float32 (batch, {model.out_channels}, {', '.join(axes)}), one channel a class; the label of a "
            "pixel or voxel is the class with the largest"
        ),
        "classes": json.dumps(list(card.classes), ensure_ascii=False),
        "trained_on": card.trained_on,
        "terms": (
            "The program, lightm, is under the Apache License 2.0. Weights are also subject to the terms of the data "
            "that they were learnt from: see trained_on."
        ),
        "limits": "Not a medical device: for research and teaching.",
        **{term.lower().replace(" ", "_"): text for term, text in card.facts},
        "lightm": lightm.__version__,
        "git_commit": commit,
    }


def in_words(normalise: str) -> str:
    """A normalisation of `lightm.data.transforms`, for a reader."""
    if normalise == "zscore":
        return "each channel of each image to mean 0 and standard deviation 1"
    if normalise == "percentile":
        return (
            "each channel of each image cut at its 0.5th and 99.5th percentile, then to mean 0 and standard deviation 1"
        )
    low, high = window_of(normalise)
    return f"values cut at {low:g} and {high:g}, then mapped linearly to -1 … 1"
