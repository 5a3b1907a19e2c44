"""Cases held in memory at the training size: what the trainer and the evaluation iterate over."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from lightm.data.base import Dataset
from lightm.data.transforms import Augmentation, augment, preprocess
from lightm.errors import LightMError


class SegmentationData(torch.utils.data.Dataset):
    """Preprocessed cases of a data set, read once: data[i] is (image float32 (C, *size), label uint8 (*size)).

    case_ids: which cases, in this order (a part of a split). size, normalise: as in `preprocess`.
    augment: False (validation, test), True (the default Augmentation) or an Augmentation.
    seed: of the augmentation. A variant depends on (seed, epoch, place of the case in case_ids) alone, not on workers,
    their number, or on whether training was resumed; call `set_epoch` before each epoch.
    progress: called as progress(done, total) while the cases are read.
    """

    def __init__(
        self,
        dataset: Dataset,
        case_ids: Sequence[str],
        size: Sequence[int],
        normalise: str,
        augment: bool | Augmentation = False,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ):
        if not case_ids:
            raise LightMError(f"No cases of {dataset.name} to load: the list of case names is empty.")
        self.case_ids, self.size, self.normalise, self.seed = tuple(case_ids), tuple(size), normalise, seed
        self.classes = dataset.classes
        self.augmentation = Augmentation() if augment is True else augment or None
        # In shared memory, so that set_epoch reaches workers that live on from epoch to epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self.images = torch.empty(len(self.case_ids), dataset.in_channels, *self.size)  # (cases, C, *size)
        self.labels = torch.empty(len(self.case_ids), *self.size, dtype=torch.uint8)  # (cases, *size)
        self._load(dataset, progress)

    def _load(self, dataset: Dataset, progress: Callable[[int, int], None] | None) -> None:
        def load(i: int) -> None:
            case = dataset.read(self.case_ids[i])
            self.images[i], self.labels[i] = preprocess(case, self.size, self.normalise)

        with ThreadPoolExecutor(max_workers=torch.get_num_threads()) as pool:  # decoding releases Python's lock
            for done, _ in enumerate(pool.map(load, range(len(self.case_ids))), start=1):
                if progress:
                    progress(done, len(self.case_ids))

    def set_epoch(self, epoch: int) -> None:
        """Choose the variants of this epoch, 0 for the first."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.case_ids)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        image, label = self.images[i], self.labels[i]
        if self.augmentation is None:
            return image, label
        rng = np.random.default_rng([self.seed, int(self._epoch), range(len(self))[i]])
        return augment(image, label, rng, self.augmentation)
