"""Cases at their own resolution, or all resampled to one spacing, of which a training sees random patches."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms.utils import generate_label_classes_crop_centers, map_classes_to_indices
from torch import Tensor

from lightm.data.base import Case
from lightm.data.loading import SegmentationData
from lightm.data.prepared import Tensors, content_hash
from lightm.data.transforms import augment, normalise_image, resample, resize_label
from lightm.errors import LightMError

CENTRES = 10_000  # of a class in a case are kept, evenly spread: a liver has millions


class PatchData(SegmentationData):
    """data[i] is a whole case: image float32 (C, *S), label uint8 (*S); data[i, epoch, draw] a random patch of it.

    A patch has the shape `size`, and, with the probability `foreground`, a voxel of a structure in its middle (each
    class that the case holds alike often), else a voxel of the background; at the rim it is moved inwards. Where a
    case is smaller than a patch, zeros surround it, as they do in a sliding window (`lightm.training.windows`).

    spacing: in millimetres along each axis, to which cases are resampled; (): they stay as they are. The rest as in
    `SegmentationData`; a patch, too, depends on (seed, place of the case, epoch, draw) alone.
    """

    def __init__(self, *args: Any, spacing: Sequence[float] = (), foreground: float = 0.5, **options: Any):
        self.spacing, self.foreground = tuple(spacing), foreground
        super().__init__(*args, **options)

    @property
    def native(self) -> bool:
        """Whether cases are as large as in their files."""
        return not self.spacing

    @property
    def scored_at(self) -> str:
        """As a record says it: the resolution at which cases are scored."""
        return "native" if self.native else f"spacing {' x '.join(f'{v:g}' for v in self.spacing)}"

    def _start(self, channels: int) -> None:
        self.images, self.labels, self._centres, self._hashes = [], [], [], []  # one entry a case
        self._bytes = 0

    def _transform(self) -> str:
        return f"patches spacing={self.spacing} normalise={self.normalise} classes={len(self.classes)}"

    def _make(self, case: Case) -> Tensors:
        image, label = torch.from_numpy(case.image), torch.from_numpy(case.label)
        if self.spacing:
            image = resample(image, case.spacing, self.spacing)
            label = resize_label(label, image.shape[1:])
        tensors = {"image": normalise_image(image, self.normalise), "label": label}
        found = map_classes_to_indices(label[None], len(self.classes), max_samples_per_class=CENTRES)
        return tensors | {f"centres{k}": torch.as_tensor(at, dtype=torch.int64) for k, at in enumerate(found)}

    def _take(self, i: int, tensors: Tensors, sha256: str) -> None:
        self.images.append(tensors["image"])
        self.labels.append(tensors["label"])
        self._centres.append([tensors[f"centres{k}"].numpy() for k in range(len(self.classes))])
        self._hashes.append(sha256 or content_hash(tensors))
        self._bytes += 0 if self.cache else tensors["image"].nbytes + tensors["label"].nbytes
        if self._bytes > 0.7 * _memory():
            raise LightMError(
                f"{len(self)} cases at their own resolution do not fit into memory ({self._bytes / 1e9:.0f} GB after "
                f"{i + 1}): name a folder on a disk that can hold them, data.cache=FOLDER."
            )

    def update_hash(self, update: Callable[[bytes], None]) -> None:
        update("\n".join(self._hashes).encode())

    def __getitem__(self, which: int | tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        if not isinstance(which, tuple):
            return self.images[which], self.labels[which]
        i, epoch, draw = which
        rng = np.random.default_rng([self.seed, epoch, range(len(self))[i], draw])
        image, label = self._patch(i, rng)
        return (image, label) if self.augmentation is None else augment(image, label, rng, self.augmentation)

    def _patch(self, i: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        image, label, centres = self.images[i], self.labels[i], self._centres[i]
        marked = sum(len(at) > 0 for at in centres[1:])
        rest = 1 - self.foreground if marked and len(centres[0]) else float(not marked)  # no structure, no background
        ratios = [rest, *(self.foreground / marked if len(at) else 0 for at in centres[1:])]
        if not any(len(at) for at in centres):  # nothing but voxels to ignore
            centres, ratios = [np.array([label.numel() // 2])], [1.0]
        state = np.random.RandomState(rng.integers(2**32))
        middle = generate_label_classes_crop_centers(
            self.size, 1, label.shape, centres, ratios, state, allow_smaller=True, warn=False
        )[0]
        start = [max(0, c - s // 2) for c, s in zip(middle, self.size, strict=True)]
        part = tuple(slice(a, a + s) for a, s in zip(start, self.size, strict=True))
        image, label = image[(slice(None), *part)], label[part]
        missing = [s - n for s, n in zip(self.size, label.shape, strict=True)]
        around = [n for m in reversed(missing) for n in (m // 2, m - m // 2)]
        return F.pad(image, around).contiguous(), F.pad(label, around).contiguous()


def _memory() -> int:
    import psutil  # comes with accelerate

    return psutil.virtual_memory().total
