"""What a MONAI bundle's configs/inference.json names of ours: a case goes from file to label map as a dictionary.

{"path", "file" (ImageFile), "image" float32 (C, *S)} -> "input" (C, *size) -> "pred" (K, *size) -> "label" (*S)
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightm.data.images import read_image, stem_of, values_for, write_label
from lightm.data.transforms import normalise_image, resize_image
from lightm.errors import LightMError
from lightm.training.checkpoint import load_weights
from lightm.training.evaluation import autocast, resize_logits


def with_weights(network: nn.Module, path: str | Path, device: torch.device | str) -> nn.Module:
    """The network with the weights of a safetensors file, for inference on a device."""
    load_weights(Path(path), network)
    return network.to(device).eval()


class ReadImage:
    """path -> {"path", "file", "image"}; a colour picture becomes a gray one, as in `lightm predict`."""

    def __init__(self, channels: int):
        self.channels = channels

    def __call__(self, path: str | Path) -> dict[str, Any]:
        file = read_image(path)
        image = torch.from_numpy(values_for(file, self.channels, str(path)))
        return {"path": Path(path), "file": file, "image": image}


class Prepare:
    """ "image" at the training size and normalised -> "input"."""

    def __init__(self, size: list[int], normalise: str):
        self.size, self.normalise = size, normalise

    def __call__(self, case: dict[str, Any]) -> dict[str, Any]:
        if case["image"].ndim - 1 != len(self.size):
            raise LightMError(f"{case['path']} is {case['image'].ndim - 1}D and the network {len(self.size)}D.")
        return case | {"input": normalise_image(resize_image(case["image"], self.size), self.normalise)}


class LabelMap:
    """ "pred", resized to the image -> "label" uint8 (*S)."""

    def __call__(self, case: dict[str, Any]) -> dict[str, Any]:
        logits = resize_logits(case["pred"][None], case["image"].shape[1:])[0]
        return case | {"label": logits.cpu().argmax(0).to(torch.uint8).numpy()}


class WriteLabel:
    """Write "label" as FOLDER/NAME.png, or .nii.gz for a volume that has a place in space."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __call__(self, case: dict[str, Any]) -> dict[str, Any]:
        self.folder.mkdir(parents=True, exist_ok=True)
        ending = ".png" if case["file"].affine is None else ".nii.gz"
        out = self.folder / f"{stem_of(case['path'])}{ending}"
        write_label(out, case["label"], like=case["file"])
        return case | {"written": out}


class Infer:
    """A file through all parts: path -> its label map's path."""

    def __init__(
        self,
        preprocessing: Callable,
        network: nn.Module,
        inferer: Callable[[Tensor, nn.Module], Tensor],
        postprocessing: Callable,
        device: torch.device | str,
        precision: str = "fp32",
    ):
        self.preprocessing, self.postprocessing = preprocessing, postprocessing
        self.network, self.inferer = network, inferer
        self.device, self.precision = torch.device(device), precision

    @torch.no_grad()
    def __call__(self, path: str | Path) -> Path:
        case = self.preprocessing(path)
        with autocast(self.device, self.precision):
            logits = self.inferer(case["input"][None].to(self.device), self.network).float()  # (1, K, *size)
        return self.postprocessing(case | {"pred": logits[0]})["written"]
