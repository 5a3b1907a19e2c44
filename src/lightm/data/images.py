"""Image files in and out, whatever their format; damaged files get one sentence.

PNG, JPEG, BMP, TIFF     Pillow and tifffile      (`lightm.data.reading.pictures`)
NIfTI                    nibabel                  (`lightm.data.reading.nifti`)
NRRD, MetaImage, DICOM   SimpleITK, an extra      (`lightm.data.reading.itk`); a folder of DICOM slices is one volume
"""

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from lightm.data.reading import itk
from lightm.data.reading.content import check_regular
from lightm.data.reading.faults import BadFile
from lightm.data.reading.image import AXES, ImageFile
from lightm.data.reading.nifti import read_nifti
from lightm.data.reading.pictures import read_picture
from lightm.errors import LightMError
from lightm.files import whole_file

NIFTI = (".nii.gz", ".nii")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
READABLE = (*NIFTI, *PICTURES, *itk.SUFFIXES)
_log = logging.getLogger("lightm")


def suffix_of(path: str | Path) -> str:
    """ ".nii.gz", ".png", …: the ending that says the format, in lower case; "" if it is none that can be read."""
    name = Path(path).name.lower()
    return next((ending for ending in READABLE if name.endswith(ending)), "")


def stem_of(path: str | Path) -> str:
    """The file's name without that ending."""
    name = Path(path).name
    return name[: len(name) - len(suffix_of(path))]


def read_image(path: str | Path, indices: bool = False) -> ImageFile:
    """Read a picture or a volume; a folder is read as one DICOM series.

    indices: of a picture with a palette, the numbers rather than the colours. LightMError (`BadFile`, where the file
    itself is at fault) if it is missing, damaged or of a kind that can't be read.
    """
    path = Path(path)
    if path.is_dir() and itk.is_series(path):
        return itk.read_series(path)
    if not path.is_file() and not path.exists() and not path.is_symlink():
        raise LightMError(f"There is no file {path}; correct the path.")
    kind = suffix_of(path)
    if not kind:
        raise LightMError(f"{path}: can't read this kind of file; give one of {', '.join(READABLE)}.")
    check_regular(path)
    if kind in NIFTI:
        return read_nifti(path)
    return itk.read_itk(path) if kind in itk.SUFFIXES else read_picture(path, indices)


def read_label(path: str | Path) -> tuple[np.ndarray, tuple[float, ...]]:
    """A label map, float32 (*S) of whole numbers 0 to 255 as in the file, and the spacing."""
    file = read_image(path, indices=True)
    return label_values(path, file), file.spacing


def label_values(path: str | Path, file: ImageFile) -> np.ndarray:
    """The values (*S) of a file that was read as a label map. BadFile if it holds no labels."""
    values = file.values[0]
    if len(file.values) > 1 and values.ndim == 3:
        what = f"is no label map: it has {len(file.values)} channels"
        raise BadFile(path, "label-channels", what, "give each voxel one number")
    if (file.values != values).any() and not np.isnan(values).any():
        remedy = "a label map has one number a pixel: save it as 8-bit gray"
        raise BadFile(
            path, "label-channels", f"is no label map: it has {len(file.values)} channels that differ", remedy
        )
    if not np.isfinite(values).all():
        raise BadFile(path, "label-values", "is no label map: it holds NaN or infinite values", "correct it")
    low, high = values.min(), values.max()
    if low < 0 or high > 255 or (values != np.rint(values)).any():
        what = f"is no label map: it holds values other than the whole numbers 0 to 255 ({low:g} to {high:g})"
        raise BadFile(path, "label-values", what, "correct it")
    return values


def values_for(image: ImageFile, channels: int, name: str, network: str = "the network") -> np.ndarray:
    """The values (C, *S) of an image for a network of `channels`; a colour picture becomes a gray one, and it is said.

    The page of `lightm export --html` does the same, value for value. LightMError, which calls the image `name` and the
    network `network`, if they do not fit.
    """
    values = image.values
    if image.notes:
        _log.warning(f"{name} was {', '.join(image.notes)}.")
    if channels == 1 and (values == values[:1]).all():
        values = values[:1]  # gray, saved as colour
    elif channels == 1 and image.affine is None and _is_rgb(values):
        values = _gray(values)
        _log.warning(f"{name} has colours: the network was given its shades of gray.")
    if len(values) != channels:
        remedy = "give one file with all channels, or one each: NAME_0000, NAME_0001, …"
        raise LightMError(
            f"{name} has {len(values)} channels and {network} takes {channels}; "
            f"{'convert it to gray' if channels == 1 else remedy}."
        )
    if not np.isfinite(values).all():
        raise LightMError(f"{name} holds NaN or infinite values; repair the file.")
    return values


def _is_rgb(values: np.ndarray) -> bool:
    """Whether the values are those of 8-bit colours: a picture of floats from 0 to 1, say, must not be rounded."""
    return len(values) == 3 and bool(0 <= values.min() <= values.max() <= 255 and (values == np.rint(values)).all())


def _gray(values: np.ndarray) -> np.ndarray:
    """Red, green, blue (3, H, W), 0 to 255 -> gray (1, H, W), by the weights of ITU-R BT.601 as Pillow rounds them."""
    red, green, blue = values.astype(np.int64)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.float32)[None]


def check_label_path(path: str | Path, like: ImageFile) -> None:
    """LightMError if the ending of `path` says a format that a label map of the image `like` can't have."""
    if (suffix_of(path) in NIFTI) != (like.affine is not None) or suffix_of(path) not in (".png", *NIFTI):
        remedy = "a name that ends in .nii.gz" if like.affine is not None else "a name that ends in .png"
        raise LightMError(f"{path}: a label map of this image can't have that ending; give {remedy}.")


def files_of(path: str | Path) -> list[Path]:
    """All files in which an image lies: the slices of a DICOM series, a header with its voxels, or the file alone."""
    path = Path(path)
    if path.is_dir():
        return sorted(inside for inside in path.iterdir() if inside.is_file())
    return [path, *itk.voxel_file(path)] if suffix_of(path) in itk.HEADERS else [path]


def write_label(path: str | Path, label: np.ndarray, like: ImageFile) -> None:
    """Write a label map (*S) uint8 so that it lies on the image `like` was read from; PNG or NIfTI by the ending."""
    path = Path(path)
    check_label_path(path, like)
    with whole_file(path) as temporary:
        if like.affine is None:
            Image.fromarray(label).save(temporary)
        else:
            _save_volume(label, like, temporary)


def write_probabilities(path: str | Path, values: np.ndarray, like: ImageFile) -> None:
    """Write probabilities (K, *S) float32 of the image `like`: a TIFF with K pages, or NIfTI with K as fourth axis."""
    with whole_file(Path(path)) as temporary:
        if like.affine is None:
            import tifffile

            tifffile.imwrite(temporary, values, photometric="minisblack", compression="zlib")
        else:
            _save_volume(np.moveaxis(values, 0, -1), like, temporary)


def _save_volume(values: np.ndarray, like: ImageFile, path: Path) -> None:
    """A volume (*S) or (*S, K), upright, into the file's own order of axes and under its header, if that is NIfTI."""
    import nibabel
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    back = ornt_transform(axcodes2ornt(AXES), io_orientation(like.affine))
    kind, header = nibabel.Nifti1Image, like.header
    if header is not None:
        kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else kind
        header = header.copy()
        header.extensions.clear()  # they tell of the scan, and may name the patient
        header.set_intent("none")
        header["cal_min"] = header["cal_max"] = 0
        header.set_data_dtype(values.dtype)
    image = kind(apply_orientation(values, back), like.affine, header)
    if header is None:
        image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def write_volume(path: str | Path, values: np.ndarray, spacing: tuple[float, ...]) -> None:
    """Write a volume (*S), axes and spacing as in `lightm.data.Case`, as NIfTI."""
    import nibabel

    affine = np.zeros((4, 4))
    affine[[1, 0, 2], [0, 1, 2]] = np.array([-1, -1, 1]) * spacing  # scanner millimetres run to the right, front, head
    affine[:, 3] = *(affine[:3, :3] @ -(np.array(values.shape) / 2 - 0.5)), 1  # the middle is the origin
    with whole_file(Path(path)) as temporary:
        nibabel.save(nibabel.Nifti1Image(values, affine), temporary)
