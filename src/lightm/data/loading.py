"""Cases held in memory at the training size: what the trainer and the evaluation iterate over."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from lightm.data.base import Case, Dataset
from lightm.data.prepared import Cache, Tensors
from lightm.data.transforms import Augmentation, augment, preprocess
from lightm.errors import LightMError


class SegmentationData(torch.utils.data.Dataset):
    """Preprocessed cases of a data set, read once: data[i] is (image float32 (C, *size), label uint8 (*size)).

    data[i, epoch, draw] is the variant of case i that training sees in that epoch, the draw-th time (from 0) that the
    case comes in it; data[i] is short for data[i, 0, 0].

    case_ids: which cases, in this order (a part of a split). size, normalise: as in `preprocess`.
    augment: False (validation, test), True (the default Augmentation) or an Augmentation.
    seed: of the augmentation. A variant depends on (seed, place of the case in case_ids, epoch, draw) alone, not on
    workers, their number, or on whether training was resumed.
    cache: where preprocessed cases are kept (`lightm.data.prepared`); None: nowhere.
    progress: called as progress(done, total) while the cases are read.
    """

    native = False  # whether cases are as large as in their files

    @property
    def scored_at(self) -> list[int] | str:
        """As a record says it: the size at which cases are scored."""
        return list(self.size)

    def __init__(
        self,
        dataset: Dataset,
        case_ids: Sequence[str],
        size: Sequence[int],
        normalise: str,
        augment: bool | Augmentation = False,
        seed: int = 0,
        cache: Cache | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        if not case_ids:
            raise LightMError(f"No cases of {dataset.name} to load: the list of case names is empty.")
        self.case_ids, self.size, self.normalise, self.seed = tuple(case_ids), tuple(size), normalise, seed
        self.classes, self.ignore, self.cache = dataset.classes, dataset.ignore, cache
        self.augmentation = Augmentation() if augment is True else augment or None
        self._start(dataset.in_channels)
        self._load(dataset, progress)

    def _start(self, channels: int) -> None:
        """Make room for the cases."""
        self.images = torch.empty(len(self.case_ids), channels, *self.size)  # (cases, C, *size)
        self.labels = torch.empty(len(self.case_ids), *self.size, dtype=torch.uint8)  # (cases, *size)

    def _transform(self) -> str:
        """What `_make` does, in a text that is another one if it does something else."""
        return f"whole size={self.size} normalise={self.normalise}"

    def _make(self, case: Case) -> Tensors:
        image, label = preprocess(case, self.size, self.normalise)
        return {"image": image, "label": label}

    def _take(self, i: int, tensors: Tensors, sha256: str) -> None:
        """Keep case i, made or read; called in the order of the cases. sha256: of the tensors, "" if not known."""
        self.images[i], self.labels[i] = tensors["image"], tensors["label"]

    def _load(self, dataset: Dataset, progress: Callable[[int, int], None] | None) -> None:
        def load(case_id: str) -> tuple[Tensors, str]:
            if self.cache is None:
                return self._make(dataset.read(case_id)), ""
            return self.cache.get(case_id, self._transform(), lambda: self._make(dataset.read(case_id)))

        if self.cache is not None:
            self.cache.open()
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(max_workers=threads) as pool:  # decoding releases Python's lock
            for start in range(0, len(self), threads):  # no more at once than there are threads: cases may be large
                cases = self.case_ids[start : start + threads]
                for i, (tensors, sha256) in enumerate(pool.map(load, cases), start=start):
                    self._take(i, tensors, sha256)
                    if progress:
                        progress(i + 1, len(self))

    def update_hash(self, update: Callable[[bytes], None]) -> None:
        """Give a hash (its `update`) the content of all cases."""
        for tensor in (self.images, self.labels):  # (cases, C, *S), (cases, *S)
            update(memoryview(tensor.numpy()).cast("B"))

    def __len__(self) -> int:
        return len(self.case_ids)

    def __getitem__(self, which: int | tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        i, epoch, draw = which if isinstance(which, tuple) else (which, 0, 0)
        image, label = self.images[i], self.labels[i]
        if self.augmentation is None:
            return image, label
        rng = np.random.default_rng([self.seed, epoch, range(len(self))[i], draw])
        return augment(image, label, rng, self.augmentation)


def load_batches(
    data: SegmentationData, draws: Iterable[list[tuple[int, int, int]]], workers: int, pin_memory: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each list of draws its batch, images (B, C, *size) and labels (B, *size), in order.

    workers: processes that prepare batches ahead of need, two each, from the first list to the last, across epochs too;
    0: none, a batch is made when it is asked for.
    """
    return iter(
        torch.utils.data.DataLoader(
            data, batch_sampler=draws, num_workers=workers, pin_memory=pin_memory, worker_init_fn=_leave_ctrl_c
        )
    )


def worker_count(asked: int, device: torch.device, processes: int = 1) -> int:
    """Worker processes for one of `processes` training processes: as asked, or for -1 what suits the machine.

    On a CPU none: they would take the cores that train. Beside a GPU one fewer than this process's share of the cores,
    at most 12: `lightm_book.bench.loading` measures how many images a second each of them prepares.
    """
    if asked >= 0:
        return asked
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if device.type == "cpu" else max(1, min(12, cores // processes - 1))


def _leave_ctrl_c(_: int) -> None:
    """In a worker: Ctrl-C reaches it too, but it is the trainer that ends the run, and then the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
