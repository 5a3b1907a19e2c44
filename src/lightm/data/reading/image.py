"""What reading a file gives, whatever its format."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lightm.data.reading.faults import ERROR

# Volumes are turned so that their axes run to the back, the left and the head, whatever the file's order: then
# [..., k] is an axial slice as a radiologist looks at it, and a liver lies on the same side in every case.
AXES = ("P", "L", "S")


@dataclass(frozen=True)
class Remark:
    """Something about a file that can be read all the same: the parts of a `Fault` that the file itself decides."""

    kind: str
    what: str
    remedy: str = ""
    severity: str = ERROR


@dataclass(frozen=True)
class ImageFile:
    """What a file holds: values float32 (C, *S), spacing in mm along S, and where the file puts its voxels.

    affine: 4 x 4, voxel of the file to scanner millimetres (right, front, head); None for pictures. order: how the
    file's axes were turned. stored: the directions of the file's own axes, "RAS"; "" for pictures.
    spacing_known: whether the file says its spacing. header: of a NIfTI file, nibabel's. remarks: what a check should
    report; notes: what it should say.
    """

    values: np.ndarray
    spacing: tuple[float, ...]
    affine: np.ndarray | None = None
    order: np.ndarray | None = None
    stored: str = ""
    spacing_known: bool = True
    header: Any = None
    remarks: tuple[Remark, ...] = ()
    notes: tuple[str, ...] = ()

    def upright_affine(self) -> np.ndarray | None:
        """4 x 4, voxel of `values` (upright) to scanner millimetres; None for pictures."""
        if self.affine is None:
            return None
        from nibabel.orientations import inv_ornt_aff  # pictures are read where nibabel is not installed

        stored = [self.values.shape[1 + int(axis)] for axis in self.order[:, 0]]  # the file's own lengths
        return self.affine @ inv_ornt_aff(self.order, stored)
