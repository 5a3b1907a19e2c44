"""A trained network, ready for images of any size in their own units."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lightm.data.images import ImageFile, values_for
from lightm.data.transforms import normalise_image, resample, resize_image
from lightm.data.verify import hash_file
from lightm.errors import LightMError
from lightm.models import build_model
from lightm.training.checkpoint import load_weights, read_network
from lightm.training.evaluation import autocast, resize_logits
from lightm.training.weights import open_trained
from lightm.training.windows import slide

Progress = Callable[[int, int], None]


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
    said = read_network(path)  # it need not say how images are prepared
    try:
        name, options, task = said["model"]["name"], said["model"]["options"], said["task"]
        model = build_model(name, task["spatial_dims"], task["in_channels"], len(task["classes"]), **options)
    except (KeyError, TypeError) as error:
        raise LightMError(f"{path} does not describe its network whole ({error}); give the run folder.") from error
    load_weights(path, model)
    return model.eval()


class Predictor:
    """A trained network, ready for images; the data set that it learned from need not be there.

    source: as for `load`. device: where it computes; None is the accelerator if there is one.
    LightMError: nothing of the kind, a run folder without a whole checkpoint, or a weights file that does not say how
    its images looked in training.
    """

    def __init__(self, source: str | Path, device: torch.device | str | None = None):
        self.source, found = Path(source).expanduser(), open_trained(source)
        self.config, self.task, self.epoch = found.config, found.task, found.epoch  # epoch: None where no file says it
        self.weights = found.weights
        self.device = torch.device(device) if device else _default_device()
        self.model = found.network().to(self.device).eval()

    @property
    def classes(self) -> list[str]:
        """Names of the label values 0, 1, …"""
        return self.task.classes

    @property
    def by_window(self) -> bool:
        """Whether it learned from patches: then it looks at every image window by window."""
        return self.config.data.sampling == "patches"

    def weights_hash(self) -> str:
        """SHA-256 of the weights file."""
        return hash_file(self.weights)

    @torch.no_grad()
    def logits(
        self,
        image: Tensor,
        sliding: bool = False,
        spacing: Sequence[float] | None = None,
        progress: Progress = lambda done, total: None,
    ) -> Tensor:
        """Image float32 (C, *S) in its own units, any size -> logits float32 (K, *S).

        As in training, the image is resized to the training size and the answer back to the image's. With sliding=True
        it keeps its resolution, and the network looks at it through half-overlapping windows of the training size whose
        answers are blended: for a network that learned from images of that resolution. One that learned from patches
        always does, at the spacing of its training if that has one.
        spacing: of the image, in mm along S. progress: called as progress(done, total) in windows.
        """
        data, normalise, shape = self.config.data, self.task.normalise, image.shape[1:]
        if not (sliding or self.by_window):
            small = normalise_image(resize_image(image, data.size), normalise)  # (C, *size)
            return resize_logits(self._forward(small[None].to(self.device)), shape)[0].cpu()
        if data.spacing:
            if spacing is None:
                raise LightMError("This network learned from images of one spacing: say the spacing of this one.")
            image = resample(image, spacing, data.spacing)  # (C, *S')
        logits = slide(
            self._forward, normalise_image(image, normalise)[None], data.size, self.device, progress=progress
        )
        return resize_logits(logits, shape)[0]

    def label(self, image: Tensor, sliding: bool = False, **options) -> np.ndarray:
        """Image float32 (C, *S) in its own units -> label map uint8 (*S). options: as for `logits`."""
        return label_of(self.logits(image, sliding, **options))

    def check(self, image: ImageFile, name: str) -> np.ndarray:
        """The image's values (C, *S) as the network takes them (`lightm.data.images.values_for`).

        LightMError, which calls the image `name`, if the network can't take it.
        """
        dims, channels = self.task.spatial_dims, self.task.in_channels
        if image.values.ndim - 1 != dims:
            raise LightMError(
                f"{name} is {image.values.ndim - 1}D and the network of {self.source} {dims}D; "
                f"give it {'a picture' if dims == 2 else 'a volume'}, or use a run on {image.values.ndim - 1}D data."
            )
        return values_for(image, channels, name, f"the network of {self.source}")

    def _forward(self, images: Tensor) -> Tensor:
        with autocast(self.device, self.config.train.precision):
            return self.model(images).float()  # (B, C, *size) -> (B, K, *size)


def label_of(logits: Tensor) -> np.ndarray:
    """Logits (K, *S) -> label map uint8 (*S); slice by slice, as argmax answers in eight bytes a voxel."""
    label = torch.empty(logits.shape[1:], dtype=torch.uint8)
    for i in range(len(label)):
        label[i] = logits[:, i].argmax(0)
    return label.numpy()


def _default_device() -> torch.device:
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")
