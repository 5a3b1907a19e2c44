"""Whether two files lie on one another: shape, spacing, and the place of the corners in the scanner's millimetres."""

from collections.abc import Sequence

import numpy as np

from lightm.data.reading.image import ImageFile, Remark

_REMEDY = "correct the header that is wrong, or resample the label map onto the image"


def misfit(image: ImageFile, other: ImageFile, partner: str = "its image") -> Remark | None:
    """What keeps `other` from lying on `image`, said of `other`; None if nothing does.

    partner: what `image` is called in the sentence. Spacing and place are compared where both files tell them; corners
    may be 5% of the smallest spacing apart, which is more than rounding and less than any resampling.
    """
    mine, its = other.values.shape[1:], image.values.shape[1:]
    if mine != its:
        what, remedy = f"is {_by(mine)}, but {partner} is {_by(its)}", "give both the same size"
        if sorted(mine) == sorted(its):
            turned = any("EXIF" in note for note in image.notes + other.notes)
            remedy = "turn one of them: their axes are swapped" + (
                " (one is turned by its EXIF data)" if turned else ""
            )
        return Remark("shape", what, remedy)
    if not image.spacing_known or not other.spacing_known:
        return None
    a, b = np.array(image.spacing), np.array(other.spacing)
    if not np.allclose(a, b, rtol=0.01):
        return Remark("spacing-differs", f"has the spacing {_mm(b)} mm, but {partner} {_mm(a)} mm", _REMEDY)
    if image.affine is None or other.affine is None:
        return None
    bits = np.array([[number >> axis & 1 for axis in range(3)] for number in range(8)])
    corners = np.c_[bits * (np.array(its) - 1), np.ones(8)].T  # (4, 8)
    places = [(file.upright_affine() @ corners)[:3] for file in (image, other)]
    apart = float(np.linalg.norm(places[0] - places[1], axis=0).max())
    if apart <= 0.05 * a.min() + 1e-3:
        return None
    how = "lies elsewhere"
    if image.stored != other.stored:
        how = f"is mirrored or turned in its header (its axes run {other.stored}, those of {partner} {image.stored})"
    elif not np.allclose(image.affine[:3, :3], other.affine[:3, :3], atol=0.01 * a.min()):
        how = "is turned in its header"
    what = f"{how}: voxels with the same number are up to {apart:.4g} mm from those of {partner}"
    return Remark("affine-differs", what, _REMEDY)


def _mm(values: Sequence[float]) -> str:
    return " x ".join(f"{v:.4g}" for v in values)


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
