"""A trained run put to use: label maps of new images, and the scores of its held-out cases once more.

>>> from lightm.inference import Predictor
>>> predictor = Predictor("runs/smoke")
>>> shares = predictor.predict_file("radiograph.png", "lungs.png")  # {"background": 0.71, "lung": 0.29}
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightm.data.images import ImageFile, check_label_path, read_image, write_label
from lightm.data.transforms import normalise_image, resize_image
from lightm.errors import LightMError
from lightm.models import build_model
from lightm.training.checkpoint import load_weights, read_network
from lightm.training.evaluation import autocast, evaluate, resize_logits
from lightm.training.task import Task
from lightm.training.weights import open_trained

_log = logging.getLogger("lightm")


def load(source: str | Path) -> nn.Module:
    """A trained network, in eval mode, on the CPU: images (B, C, *S) -> logits (B, K, *S).

    source: a folder that `lightm train` made, for its best weights; a weights file (.safetensors) whose metadata names
    the network, such as best/model.safetensors of such a folder; or the name of weights that come with the package
    (`lightm.training.weights`). The images must have the size and the normalisation of its training; `Predictor` takes
    care of both. LightMError: no such folder, file or name, or it is damaged, or it names no network.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        return open_trained(source).network().eval()
    model = _named(path)
    load_weights(path, model)
    return model.eval()


def _named(path: Path) -> nn.Module:
    """The network that a weights file names, not filled yet."""
    network = read_network(path)
    try:
        name, options, task = network["model"]["name"], network["model"]["options"], network["task"]
        return build_model(name, task["spatial_dims"], task["in_channels"], len(task["classes"]), **options)
    except (KeyError, TypeError) as error:
        raise LightMError(f"{path} does not describe its network whole ({error}); give the run folder.") from error


class Predictor:
    """A trained network, ready for images; the data set that it learned from need not be there.

    run: the folder that `lightm train` made, for its best network; a weights file that `lightm export` made of one; or
    the name of weights that come with the package. device: where it computes; None is the accelerator if there is one.
    LightMError: nothing of the kind, or a run folder without a whole checkpoint.
    """

    def __init__(self, run: str | Path, device: torch.device | str | None = None):
        self.run, found = Path(run), open_trained(run)
        self.config, self.epoch = found.config, found.epoch
        self.task: Task = found.task
        self.device = torch.device(device) if device else _default_device()
        self.model = found.network().to(self.device).eval()

    @property
    def classes(self) -> list[str]:
        """Names of the label values 0, 1, …"""
        return self.task.classes

    @torch.no_grad()
    def logits(self, image: Tensor, sliding: bool = False) -> Tensor:
        """Image float32 (C, *S) in its own units, any size -> logits float32 (K, *S).

        As in training, the image is resized to the training size and the answer back to the image's. With sliding=True
        it keeps its resolution, and the network looks at it through half-overlapping windows of the training size whose
        answers are blended (MONAI): for a network that learned from images of that resolution.
        """
        size, normalise = self.config.data.size, self.task.normalise
        if not sliding:
            small = normalise_image(resize_image(image, size), normalise)  # (C, *size)
            return resize_logits(self._forward(small[None].to(self.device)), image.shape[1:])[0].cpu()
        from monai.inferers import sliding_window_inference

        return sliding_window_inference(
            normalise_image(image, normalise)[None],  # (1, C, *S)
            size,
            self.config.eval.batch_size,
            self._forward,
            overlap=0.5,
            mode="gaussian",
            sw_device=self.device,
            device="cpu",  # the whole volume's logits would not fit on many GPUs
        )[0]

    def label(self, image: Tensor, sliding: bool = False) -> np.ndarray:
        """Image float32 (C, *S) in its own units -> label map uint8 (*S)."""
        return self.logits(image, sliding).argmax(0).to(torch.uint8).numpy()

    def predict_file(
        self, image_path: str | Path, out_path: str | Path, sliding: bool = False, force: bool = False
    ) -> dict[str, float]:
        """Write the label map of an image file, at the image's own size and place; returns each class's share of it.

        Pictures (PNG, JPEG, …) give a gray PNG that holds the label values, NIfTI gives NIfTI with the same affine.
        The file appears whole or not at all; one that is there is replaced only with force=True.
        """
        image = _checked_files(image_path, out_path, force)
        return self._predict(image, Path(image_path), out_path, sliding)

    def _predict(self, image: ImageFile, image_path: Path, out_path: str | Path, sliding: bool) -> dict[str, float]:
        label = self.label(torch.from_numpy(self._checked(image, image_path)), sliding)
        write_label(out_path, label, like=image)
        counts = np.bincount(label.ravel(), minlength=len(self.classes))
        return dict(zip(self.classes, (counts / label.size).tolist(), strict=True))

    def _forward(self, images: Tensor) -> Tensor:
        with autocast(self.device, self.config.train.precision):
            return self.model(images).float()  # (B, C, *size) -> (B, K, *size)

    def _checked(self, image: ImageFile, path: Path) -> np.ndarray:
        """The image's values (C, *S) if the network can take them; a colour picture becomes a gray one, and it is said.

        The page of `lightm export --html` does the same, value for value.
        """
        values, dims, channels = image.values, self.task.spatial_dims, self.task.in_channels
        if values.ndim - 1 != dims:
            raise LightMError(
                f"{path} is {values.ndim - 1}D and the network of {self.run} {dims}D; "
                f"give it {'a picture' if dims == 2 else 'a volume'}, or use a run on {values.ndim - 1}D data."
            )
        if image.notes:
            _log.warning(f"{path} was {', '.join(image.notes)}.")
        if channels == 1 and (values == values[:1]).all():
            values = values[:1]  # gray, saved as colour
        elif channels == 1 and image.affine is None and len(values) == 3 and 0 <= values.min() <= values.max() <= 255:
            values = _gray(values)
            _log.warning(f"{path} has colours: the network was given its shades of gray.")
        if len(values) != channels:
            raise LightMError(
                f"{path} has {len(values)} channels and the network of {self.run} takes {channels}; "
                f"{'convert it to gray' if channels == 1 else 'give one file with all channels'}."
            )
        if not np.isfinite(values).all():
            raise LightMError(f"{path} holds NaN or infinite values; repair the file.")
        return values


def predict_file(
    run: str | Path, image_path: str | Path, out_path: str | Path, sliding: bool = False, force: bool = False
) -> dict[str, float]:
    """`Predictor(run).predict_file(...)` for a single image; what is wrong with the files is said first."""
    image = _checked_files(image_path, out_path, force)
    return Predictor(run)._predict(image, Path(image_path), out_path, sliding)


def evaluate_run(
    run: str | Path,
    part: str = "test",
    root: str | Path | None = None,
    reading: Callable[[int, int], None] = lambda done, total: None,
    scoring: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Score a run's best checkpoint, or a weights file of one, on a part of its own split: "train", "val" or "test".

    root: the data set's folder if it lies elsewhere than in training. reading, scoring: called with (done, total).
    Returns {"run", "dataset", "part", "epoch", "scores", "native"}, the last two as in a record.
    """
    from lightm.training.session import start_processes

    found = open_trained(run)
    data, accelerator = found.data(root), start_processes()
    scores, native, _ = evaluate(
        found.network().to(accelerator.device),
        data.load(part, reading),
        accelerator=accelerator,
        batch_size=found.config.eval.batch_size,
        precision=found.config.train.precision,
        native=data.dataset,
        progress=scoring,
    )
    return {
        "run": found.config.name,
        "dataset": data.dataset.name,
        "part": part,
        "epoch": found.epoch,
        "scores": scores,
        "native": native,
    }


def _checked_files(image_path: str | Path, out_path: str | Path, force: bool) -> ImageFile:
    """The image, read; LightMError if `out_path` can't take its label map."""
    image_path, out_path = Path(image_path), Path(out_path)
    image = read_image(image_path)
    check_label_path(out_path, like=image)
    if not out_path.parent.is_dir():
        raise LightMError(f"There is no folder {out_path.parent}; make it, or correct the path {out_path}.")
    if out_path.exists() and out_path.samefile(image_path):
        raise LightMError(f"{out_path} is the image itself; give the label map another name.")
    if out_path.exists() and not force:
        raise LightMError(f"{out_path} exists already; choose another name, or replace it with --force (force=True).")
    return image


def _gray(values: np.ndarray) -> np.ndarray:
    """Red, green, blue (3, H, W), 0 to 255 -> gray (1, H, W), by the weights of ITU-R BT.601 as Pillow rounds them."""
    red, green, blue = np.rint(values).astype(np.int64)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.float32)[None]


def _default_device() -> torch.device:
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")
