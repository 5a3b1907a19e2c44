"""Synthetic data sets: every case is drawn by a program from a seed. No patient was imaged.

They stand in for real data where none may be shipped: tests, teaching, a first training run without a network. They
vary enough from case to case that a model has to generalise, and they prove nothing about medicine.
"""

from abc import abstractmethod

import numpy as np

from lightm.data.base import Case, Dataset, digest
from lightm.data.phantom_ct import draw_abdomen
from lightm.data.phantom_cxr import draw_chest
from lightm.errors import LightMError


class Phantoms(Dataset):
    """Cases drawn from (seed, number of the case): the same on every machine, in any order, one by one.

    cases: how many. size: pixels along each axis, one number or one an axis; it changes the resolution, not the
    patients. seed: other patients.
    """

    synthetic = True
    version = 1  # counts up when the drawing changes, so that records made before are told apart

    def __init__(self, cases: int, size: int | tuple[int, ...], seed: int):
        sizes = tuple(size) if isinstance(size, (list, tuple)) else (size,) * self.spatial_dims
        if len(sizes) != self.spatial_dims or not all(isinstance(n, int) and n >= 16 for n in sizes):
            raise LightMError(
                f"{self.name}: size={size!r} can't be drawn; give one number or {self.spatial_dims} of them, "
                "each at least 16."
            )
        if not (isinstance(cases, int) and isinstance(seed, int) and cases >= 1 and seed >= 0):
            raise LightMError(
                f"{self.name}: cases={cases!r}, seed={seed!r} can't be drawn; give whole numbers, one "
                "case or more and a seed from 0 up."
            )
        self.size, self.seed = sizes, seed
        self.case_ids = tuple(f"{self.name}-{seed}-{number:04d}" for number in range(cases))

    def _read(self, case_id: str) -> Case:
        number = int(case_id.rpartition("-")[2])
        rng = np.random.default_rng([self.version, self.seed, number])
        image, label, spacing = self._draw(rng)
        return Case(case_id, image[None], label, spacing)

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
        """image float32 (*S), label uint8 (*S), spacing in mm."""

    def fingerprint(self) -> str:
        return digest([f"{self.name} v{self.version}", f"cases {len(self)}", f"size {self.size}", f"seed {self.seed}"])


class PhantomCXR(Phantoms):
    """Synthetic chest radiographs, 8-bit gray values 0 to 255, label 1 where a lung is."""

    name = "phantom-cxr"
    source = "SYNTHETIC: chest radiographs drawn by lightm.data.phantom_cxr; no patient, no terms of use."
    spatial_dims = 2
    classes = ("background", "lung")

    def __init__(self, cases: int = 300, size: int | tuple[int, ...] = 128, seed: int = 0):
        super().__init__(cases, size, seed)

    def _draw(self, rng):
        return draw_chest(rng, self.size)


class PhantomCT(Phantoms):
    """Synthetic abdominal CT in Hounsfield units, label 1 liver, label 2 tumour (as in LiTS)."""

    name = "phantom-ct"
    source = "SYNTHETIC: abdominal CT drawn by lightm.data.phantom_ct; no patient, no terms of use."
    spatial_dims = 3
    classes = ("background", "liver", "tumour")
    normalise = "ct"

    def __init__(self, cases: int = 60, size: int | tuple[int, ...] = 64, seed: int = 0):
        super().__init__(cases, size, seed)

    def _draw(self, rng):
        return draw_abdomen(rng, self.size)
