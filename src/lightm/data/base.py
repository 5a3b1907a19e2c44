"""What every data set offers: named cases, each an image with its label map, and a hash that says which data it is."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lightm.errors import LightMError, suggest


@dataclass(frozen=True)
class Case:
    """One image with its label map.

    image: float32 (C, *S) in its native units (gray values of a radiograph, Hounsfield units of a CT).
    label: uint8 (*S), each value an index into the data set's `classes`, or its `ignore`.
    spacing: millimetres between neighbours along each axis of S (1.0 where the file does not say).

    A volume's axes run anterior to posterior, right to left, inferior to superior, so `image[0, :, :, k]` is an axial
    slice the way a radiologist looks at it.
    """

    case_id: str
    image: np.ndarray
    label: np.ndarray
    spacing: tuple[float, ...]


class Dataset(ABC):
    """A set of cases that are read one by one; nothing is held in memory (`lightm.data.loading` does that).

    name, source: what it is called, and where it comes from with its citation and terms of use.
    synthetic: True for phantoms, drawn by a program and not taken from any patient.
    spatial_dims, in_channels: 2 or 3, and C of every image.
    classes: names of the label values 0, 1, …; background first.
    ignore: the label value of what nobody knows, left out of loss and scores; None: there is none.
    normalise: the normalisation that suits its intensities (`lightm.data.transforms.preprocess`).
    case_ids: all cases, in a fixed order.
    packed: how exact a packed copy is (`lightm.data.packed`), as a record says it; None for the original files.
    """

    name: str
    source: str
    synthetic: bool = False
    spatial_dims: int
    in_channels: int = 1
    classes: tuple[str, ...]
    ignore: int | None = None
    normalise: str = "zscore"
    case_ids: tuple[str, ...]
    packed: dict[str, int] | None = None

    def read(self, case_id: str) -> Case:
        """The case of that name. LightMError if there is none, or if its file can't be used (and why)."""
        if case_id not in self.case_ids:
            raise LightMError(
                f"Data set {self.name} has no case {case_id!r}; its {len(self.case_ids)} cases run from "
                f"{self.case_ids[0]!r} to {self.case_ids[-1]!r}."
            )
        case = self._read(case_id)
        self._check(case)
        return case

    @abstractmethod
    def _read(self, case_id: str) -> Case:
        """Read or draw a case that is known to exist."""

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hex) of what the data set holds: of its files' hashes, or of a phantom's parameters and version."""

    def split_fingerprint(self) -> str:
        """The fingerprint that a split names. Another one only for a packed copy, whose splits are the original's."""
        return self.fingerprint()

    def stratum(self, case_id: str) -> str:
        """The group that a split keeps in proportion (a hospital, a diagnosis); one group for all unless overridden."""
        return ""

    def patient(self, case_id: str) -> str:
        """Whom the case is of: a split keeps a patient's cases together. Each its own unless overridden."""
        return case_id

    def __len__(self) -> int:
        return len(self.case_ids)

    def __repr__(self) -> str:
        kind = "synthetic, " if self.synthetic else ""
        return f"<{self.name}: {len(self)} cases, {kind}{self.spatial_dims}D, classes {', '.join(self.classes)}>"

    def _check(self, case: Case) -> None:
        where = f"Case {case.case_id} of {self.name}"
        if case.image.shape[1:] != case.label.shape:
            raise LightMError(
                f"{where}: the image is {_by(case.image.shape[1:])} but its label map is {_by(case.label.shape)}; "
                "give both the same size."
            )
        if case.label.ndim != self.spatial_dims or case.image.shape[0] != self.in_channels:
            raise LightMError(
                f"{where}: expected {self.in_channels} channel(s) in {self.spatial_dims}D, found "
                f"{case.image.shape[0]} channel(s) of {_by(case.label.shape)}; the cases of a data set must be alike."
            )
        if not np.isfinite(case.image).all():
            raise LightMError(f"{where}: the image holds NaN or infinite values; repair the file or remove the case.")
        unknown = case.label[case.label >= len(self.classes)]
        unknown = unknown if self.ignore is None else unknown[unknown != self.ignore]
        if unknown.size:
            raise LightMError(
                f"{where}: the label map holds the value {unknown.max()}, but the classes are 0 to "
                f"{len(self.classes) - 1} ({', '.join(self.classes)}); name more classes or correct the file."
            )


def _by(shape: Iterable[int]) -> str:
    return " x ".join(str(n) for n in shape)


def digest(lines: Iterable[str]) -> str:
    """SHA-256 (hex) of lines of text: how fingerprints and split hashes are made."""
    # surrogateescape: the bytes of a file's name that is no UTF-8
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def check_options(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """LightMError for an option that data set `name` does not have."""
    known = tuple(known)
    for option in given:
        if option not in known:
            remedy = suggest(option, known) if known else "It takes none."
            raise LightMError(f"Data set {name} has no option {option!r}. {remedy}")
