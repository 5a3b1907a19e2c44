"""Image files in and out: PNG and its like through Pillow, NIfTI through nibabel; damaged files get one sentence."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from lightm.errors import LightMError
from lightm.files import whole_file

NIFTI = (".nii.gz", ".nii")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
# Volumes are turned so that their axes run to the back, the left and the head, whatever the file's order: then
# [..., k] is an axial slice as a radiologist looks at it, and a liver lies on the same side in every case.
AXES = ("P", "L", "S")


@dataclass(frozen=True)
class ImageFile:
    """What a file holds: values float32 (C, *S), spacing in mm along S, and where the file puts its voxels.

    affine: 4 x 4, voxel of the file to scanner millimetres; None for pictures. order: how the file's axes were turned.
    """

    values: np.ndarray
    spacing: tuple[float, ...]
    affine: np.ndarray | None = None
    order: np.ndarray | None = None


def suffix_of(path: str | Path) -> str:
    """ ".nii.gz", ".png", …: the ending that says the format, in lower case; "" if it is none that can be read."""
    name = Path(path).name.lower()
    return next((ending for ending in (*NIFTI, *PICTURES) if name.endswith(ending)), "")


def stem_of(path: str | Path) -> str:
    """The file's name without that ending."""
    name = Path(path).name
    return name[: len(name) - len(suffix_of(path))]


def read_image(path: str | Path) -> ImageFile:
    """Read a picture or a NIfTI file. LightMError if it is missing, damaged or of a kind that can't be read."""
    path = Path(path)
    if not path.is_file():
        raise LightMError(f"There is no file {path}; correct the path.")
    kind = suffix_of(path)
    if not kind:
        raise LightMError(f"{path}: can't read this kind of file; give one of {', '.join((*PICTURES, *NIFTI))}.")
    try:
        return _read_nifti(path) if kind in NIFTI else _read_picture(path)
    except LightMError:
        raise
    except (
        OSError,
        EOFError,
        SyntaxError,
        ValueError,
        zlib.error,
        UnidentifiedImageError,
    ) as error:
        raise LightMError(f"{path} is damaged or incomplete ({error}); fetch it again.") from None


def _read_picture(path: Path) -> ImageFile:
    with Image.open(path) as picture:
        if picture.mode in ("1", "P", "PA", "LA", "RGBA", "CMYK", "YCbCr"):
            picture = picture.convert("L" if picture.mode in ("1", "LA") else "RGB")
        values = np.array(picture, dtype=np.float32)  # (H, W) or (H, W, C)
    values = values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))
    return ImageFile(values, (1.0, 1.0))


def _read_nifti(path: Path) -> ImageFile:
    import nibabel  # here and below: pictures are read where it is not installed
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    try:
        file = nibabel.load(path)
    except nibabel.filebasedimages.ImageFileError as error:
        raise OSError(error) from None
    if len(file.shape) not in (3, 4):
        raise LightMError(
            f"{path} has {len(file.shape)} axes; give a volume, or a volume with channels as fourth axis."
        )
    values = np.asarray(file.dataobj, dtype=np.float32)
    order = ornt_transform(io_orientation(file.affine), axcodes2ornt(AXES))
    values = apply_orientation(values if values.ndim == 4 else values[..., None], order)  # (*S, C)
    spacing = np.empty(3)
    spacing[order[:, 0].astype(int)] = file.header.get_zooms()[:3]
    return ImageFile(np.ascontiguousarray(np.moveaxis(values, -1, 0)), tuple(map(float, spacing)), file.affine, order)


def read_label(path: str | Path) -> tuple[np.ndarray, tuple[float, ...]]:
    """A label map, float32 (*S) of whole numbers 0 to 255 as in the file, and the spacing."""
    file = read_image(path)
    values = file.values[0]
    if (file.values != values).any():
        raise LightMError(f"{path} is a colour picture; a label map has one number a pixel: save it as 8-bit gray.")
    if not np.isfinite(values).all() or (values != np.rint(values)).any() or values.min() < 0 or values.max() > 255:
        raise LightMError(f"{path} is no label map: it holds values other than the whole numbers 0 to 255; correct it.")
    return values, file.spacing


def check_label_path(path: str | Path, like: ImageFile) -> None:
    """LightMError if the ending of `path` says a format that a label map of the image `like` can't have."""
    if (suffix_of(path) in NIFTI) != (like.affine is not None) or suffix_of(path) not in (".png", *NIFTI):
        remedy = "a name that ends in .nii.gz" if like.affine is not None else "a name that ends in .png"
        raise LightMError(f"{path}: a label map of this image can't have that ending; give {remedy}.")


def write_label(path: str | Path, label: np.ndarray, like: ImageFile) -> None:
    """Write a label map (*S) uint8 so that it lies on the image `like` was read from; PNG or NIfTI by the ending."""
    path = Path(path)
    check_label_path(path, like)
    with whole_file(path) as temporary:
        if like.affine is None:
            Image.fromarray(label).save(temporary)
        else:
            import nibabel
            from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

            back = ornt_transform(axcodes2ornt(AXES), io_orientation(like.affine))
            nibabel.save(nibabel.Nifti1Image(apply_orientation(label, back), like.affine), temporary)


def write_volume(path: str | Path, values: np.ndarray, spacing: tuple[float, ...]) -> None:
    """Write a volume (*S), axes and spacing as in `lightm.data.Case`, as NIfTI."""
    import nibabel

    affine = np.zeros((4, 4))
    affine[[1, 0, 2], [0, 1, 2]] = np.array([-1, -1, 1]) * spacing  # scanner millimetres run to the right, front, head
    affine[:, 3] = *(affine[:3, :3] @ -(np.array(values.shape) / 2 - 0.5)), 1  # the middle is the origin
    with whole_file(Path(path)) as temporary:
        nibabel.save(nibabel.Nifti1Image(values, affine), temporary)
