"""Data sets by name. Phantoms (synthetic) need no files; the others lie under the folder that LIGHTM_DATA names.

>>> from lightm.data import load_dataset
>>> data = load_dataset("phantom-cxr", cases=20)
>>> case = data.read(data.case_ids[0])  # case.image: float32 (1, 128, 128), case.label: uint8 (128, 128)
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from lightm.data.base import Case, Dataset, check_options
from lightm.errors import LightMError, suggest

__all__ = ["Case", "Dataset", "DatasetInfo", "list_datasets", "load_dataset"]


@dataclass(frozen=True)
class DatasetInfo:
    """A line of `lightm info`: what `load_dataset(name)` gives, and which class gives it ("module:class")."""

    name: str
    summary: str
    synthetic: bool
    spatial_dims: int | None  # None: decided by the files
    made_by: str

    def load(self) -> Callable[..., Dataset]:
        """The class, imported now: a run on X-rays needs no NIfTI reader."""
        module, _, name = self.made_by.partition(":")
        return getattr(import_module(f"lightm.data.{module}"), name)


_DATASETS = {
    info.name: info
    for info in (
        DatasetInfo(
            "phantom-cxr", "SYNTHETIC chest radiographs drawn by a program, with lungs", True, 2, "phantoms:PhantomCXR"
        ),
        DatasetInfo(
            "phantom-ct", "SYNTHETIC abdominal CT in HU, with liver and tumours", True, 3, "phantoms:PhantomCT"
        ),
        DatasetInfo(
            "montgomery-shenzhen",
            "704 chest X-rays with lung masks, the paper's 2D data set",
            False,
            2,
            "montgomery_shenzhen:MontgomeryShenzhen",
        ),
        DatasetInfo(
            "hippocampus", "260 MR volumes, hippocampus in two parts (MSD Task04)", False, 3, "folder:Hippocampus"
        ),
        DatasetInfo(
            "lits",
            "131 CT volumes, liver and tumours, the paper's 3D data set (MSD Task03_Liver)",
            False,
            3,
            "folder:LiTS",
        ),
        DatasetInfo("folder", "your own images and masks: root=FOLDER", False, None, "folder:Folder"),
    )
}


def list_datasets() -> tuple[DatasetInfo, ...]:
    """Every data set that `load_dataset` knows."""
    return tuple(_DATASETS.values())


def load_dataset(name: str, root: str | Path | None = None, **options) -> Dataset:
    """The data set called `name`.

    root: its folder; None means the usual place under LIGHTM_DATA (phantoms have none).
    options: those of the data set, e.g. `cases`, `size`, `seed` of the phantoms.
    LightMError for an unknown name or option and for missing or damaged files, saying what to type.
    """
    if name not in _DATASETS:
        raise LightMError(f"There is no data set {name!r}. {suggest(name, _DATASETS)}")
    root = None if root is None else Path(root).expanduser()
    make = _DATASETS[name].load()
    known = [parameter for parameter in inspect.signature(make).parameters if parameter != "root"]
    check_options(name, options, known)
    if _DATASETS[name].synthetic:
        if root is not None:
            raise LightMError(f"Data set {name} is drawn by a program and has no folder: leave out root={str(root)!r}.")
        return make(**options)
    return make(root=root, **options)
