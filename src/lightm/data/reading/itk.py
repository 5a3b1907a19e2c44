"""NRRD, MetaImage and DICOM through SimpleITK, the extra `formats`. Its millimetres run to the left and back.

A header alone (.nhdr, .mhd) names the file of its voxels, which must lie beside it: any other name could lead to any
file on this machine.
"""

from pathlib import Path
from typing import Any

import numpy as np

from lightm.data.reading.content import FETCH, check_regular, check_size, looks_like
from lightm.data.reading.faults import BadFile
from lightm.data.reading.image import AXES, ImageFile, Remark
from lightm.errors import LightMError

HEADERS = (".nhdr", ".mhd")
SUFFIXES = (".nrrd", ".mha", ".dcm", *HEADERS)
_READERS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
_READERS[".dcm"] = "GDCMImageIO"
_TOGETHER = "put the two files side by side, under the name in the header, or save them as one (.mha, .nrrd)"
_POSITION, _SERIES = "0020|0032", "0020|000e"


def is_series(folder: Path) -> bool:
    """Whether a folder holds DICOM files and no other pictures, directly."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    return bool(files) and any(path.suffix.lower() == ".dcm" or _is_dicom(path) for path in files[:8])


def read_itk(path: Path) -> ImageFile:
    """A volume (or, with one slice, a picture) of an .nrrd, .mha or .dcm file. BadFile if it is none."""
    sitk = _library(path)
    kind = path.suffix.lower()
    if kind in HEADERS:
        if not voxel_file(path):
            raise BadFile(path, "unreadable", "names no file of its voxels that lies beside it", _TOGETHER)
        for voxels in voxel_file(path):
            check_regular(voxels)
    elif kind != ".dcm" and _named_file(path):
        raise BadFile(path, "unreadable", "is a header that names another file", "save header and voxels in one file")
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_READERS[kind])
    reader.SetFileName(str(path))
    return _read(path, reader, sitk)


def read_series(folder: Path) -> ImageFile:
    """A folder with the slices of one DICOM series as a volume. BadFile for several series or a missing slice."""
    sitk = _library(folder)
    files = [path for path in folder.iterdir() if path.is_file() and _is_dicom(path)]
    places, series = {}, set()
    for path in files:
        header = sitk.ImageFileReader()
        header.SetImageIO("GDCMImageIO")
        header.SetFileName(str(path))
        try:
            header.ReadImageInformation()
        except RuntimeError:
            raise BadFile(path, "truncated", "is damaged or incomplete (no DICOM image is in it)", FETCH) from None
        keys = header.GetMetaDataKeys()
        series.add(header.GetMetaData(_SERIES).strip() if _SERIES in keys else "")
        direction = np.array(header.GetDirection()).reshape(-1, header.GetDimension())
        normal = direction[:, -1] if header.GetDimension() == 3 else np.array([0, 0, 1.0])
        position = np.array(header.GetOrigin() if _POSITION in keys else (0, 0, len(places)), float)
        places[path] = float(position[: len(normal)] @ normal)
    if len(series) > 1:
        raise BadFile(folder, "series", f"holds {len(series)} DICOM series", "give each a folder of its own")
    if len(files) < 2:
        raise BadFile(folder, "series", f"holds {len(files)} DICOM slice(s)", "put all slices of the series there")
    ordered = sorted(files, key=places.__getitem__)
    steps = np.diff([places[path] for path in ordered])
    if steps.min() <= 1e-4:
        raise BadFile(folder, "series", "holds two DICOM slices at the same place", "remove one of them")
    if steps.max() > 1.05 * steps.min():
        after = ordered[int(steps.argmax())].name
        raise BadFile(
            folder,
            "series",
            f"lacks slices after {after} ({steps.max():.4g} mm to the next, elsewhere {steps.min():.4g} mm)",
            "put all slices of the series there",
        )
    first = sitk.ImageFileReader()
    first.SetFileName(str(ordered[0]))
    first.ReadImageInformation()
    check_size(folder, (*first.GetSize()[:2], len(ordered)), first.GetNumberOfComponents())
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(path) for path in ordered])
    return _values(folder, _execute(folder, reader), sitk)


def _library(path: Path) -> Any:
    try:
        import SimpleITK
    except ImportError:
        raise LightMError(
            f"{path}: NRRD, MHA and DICOM are read through SimpleITK, which is not installed; type `pip install "
            '"lightm[formats]"`, or convert the file to NIfTI.'
        ) from None
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # its warnings have no file's name
    return SimpleITK


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def voxel_file(header: Path) -> list[Path]:
    """The file of voxels that a .nhdr or .mhd header names, if it names one that lies beside it; else none."""
    try:
        name = _named_file(header) if header.is_file() else ""
    except OSError:
        return []
    plain = name and "/" not in name and "\\" not in name and "%" not in name and not name.lower().startswith("list")
    return [header.with_name(name)] if plain and header.with_name(name).is_file() else []


def _named_file(path: Path) -> str:
    """The other file that a header says its voxels are in; "" if they are in the same one."""
    with path.open("rb") as file:
        head = file.read(2**16)
    for line in head.split(b"\n", 200)[:200]:
        key, value = (part.strip() for part in line.partition(b"=" if b"=" in line else b":")[::2])
        if key.lower() in (b"elementdatafile", b"data file", b"datafile") and value.lower() != b"local":
            return value.decode(errors="replace")
    return ""


def _read(path: Path, reader: Any, sitk: Any) -> ImageFile:
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        found = looks_like(path)
        why = f"it is {found}" if found else f"no {path.suffix[1:].upper()} image is in it"
        raise BadFile(path, "truncated", f"is damaged or incomplete ({why})", FETCH) from None
    check_size(path, reader.GetSize(), reader.GetNumberOfComponents())
    return _values(path, _execute(path, reader), sitk)


def _execute(path: Path, reader: Any) -> Any:
    try:
        return reader.Execute()
    except (RuntimeError, MemoryError) as error:
        reason = str(error).strip().splitlines()[-1].partition("):")[2].strip() or "its voxels can't be read"
        raise BadFile(path, "truncated", f"is damaged or incomplete ({reason})", FETCH) from None


def _values(path: Path, image: Any, sitk: Any) -> ImageFile:
    if "complex" in image.GetPixelIDTypeAsString():
        raise BadFile(
            path, "dtype", "holds complex numbers", "save magnitude or real part, whichever the network shall see"
        )
    dims = image.GetDimension()
    with np.errstate(all="ignore"):
        values = sitk.GetArrayFromImage(image).astype(np.float32)  # (Z, Y, X) or (Z, Y, X, C), axes last first
    if image.GetNumberOfComponentsPerPixel() == 1:
        values = values[..., None]
    spacing = np.array(image.GetSpacing())
    if not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise BadFile(path, "spacing", f"gives the spacing {spacing.tolist()} mm", "correct its header")
    if dims == 4 and values.shape[0] == 1:
        raise BadFile(path, "axes", "has 4 axes", "give a volume")
    if dims == 3 and values.shape[0] == 1 and path.is_file():
        values, dims = values[0], 2  # a single slice: a radiograph
    if dims == 2:
        return ImageFile(np.ascontiguousarray(np.moveaxis(values, -1, 0)), tuple(map(float, spacing[1::-1])))
    if dims != 3:
        raise BadFile(path, "axes", f"has {dims} axes", "give a volume")
    return _upright(values, image, spacing)


def _upright(values: np.ndarray, image: Any, spacing: np.ndarray) -> ImageFile:
    """values (Z, Y, X, C) of a volume with a direction -> the volume turned as `AXES` says."""
    from nibabel.orientations import aff2axcodes, apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * spacing
    affine[:3, 3] = image.GetOrigin()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # to the left and back -> to the right and front
    order = ornt_transform(io_orientation(affine), axcodes2ornt(AXES))
    upright = apply_orientation(values.transpose(2, 1, 0, 3), order)  # (*S, C)
    steps = np.empty(3)
    steps[order[:, 0].astype(int)] = spacing
    remarks: tuple[Remark, ...] = ()
    return ImageFile(
        np.ascontiguousarray(np.moveaxis(upright, -1, 0)),
        tuple(map(float, steps)),
        affine,
        order,
        stored="".join(aff2axcodes(affine)),
        remarks=remarks,
    )
