"""NIfTI: read to its last byte, so that a damaged end or a wrong checksum shows; the header is checked first.

nibabel reads what the header promises and no further: it would never see the checksum at the end of a gzip file.
"""

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lightm.data.reading.content import FETCH, check_size, looks_like
from lightm.data.reading.faults import WARNING, BadFile
from lightm.data.reading.image import AXES, ImageFile, Remark

_ATLAS = (3, 4, 5)  # form codes: Talairach, MNI, another template. The two forms may then name two spaces.


def read_nifti(path: Path) -> ImageFile:
    """A NIfTI-1 or NIfTI-2 volume in one file, (X, Y, Z) or (X, Y, Z, C), turned upright. BadFile if it is none."""
    import nibabel
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    try:
        with _opened(path) as stream:
            header, content = _content(path, stream)
        kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
        remarks = _check_header(path, header)
        file = kind.from_bytes(content)
        del content
        with np.errstate(all="ignore"):  # beyond float32's range becomes infinite, which is found below
            values = np.asarray(file.dataobj, dtype=np.float32)  # (X, Y, Z) or (X, Y, Z, C)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadFile(path, "truncated", f"is damaged or incomplete ({error})", FETCH) from None
    except (
        nibabel.spatialimages.HeaderDataError,
        nibabel.filebasedimages.ImageFileError,
        ValueError,
        OSError,
    ) as error:
        if isinstance(error, BadFile):
            raise
        raise BadFile(path, "unreadable", f"is damaged or incomplete ({error})", FETCH) from None
    directions = io_orientation(file.affine)
    if sorted(directions[:, 0].tolist()) != [0, 1, 2]:  # nearly flat: an axis has no direction of its own
        raise BadFile(path, "affine", "has two axes that run in the same direction", "correct its header")
    order = ornt_transform(directions, axcodes2ornt(AXES))
    upright = apply_orientation(values if values.ndim == 4 else values[..., None], order)  # (*S, C)
    spacing = np.empty(3)
    spacing[order[:, 0].astype(int)] = file.header.get_zooms()[:3]
    return ImageFile(
        np.ascontiguousarray(np.moveaxis(upright, -1, 0)),
        tuple(map(float, spacing)),
        file.affine,
        order,
        stored="".join(nibabel.aff2axcodes(file.affine)),
        remarks=tuple(remarks),
        header=header,
    )


def _opened(path: Path) -> BinaryIO:
    """The file's bytes, unpacked by what they are; the name must agree."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed != path.name.lower().endswith(".gz"):
        found = looks_like(path) or "another kind of file"
        if found == "a NIfTI volume":
            raise BadFile(
                path, "wrong-ending", "is a NIfTI volume that is not packed", "name it .nii, or pack it (gzip)"
            )
        if packed:
            raise BadFile(path, "wrong-ending", "is packed (gzip)", "name it .nii.gz, or unpack it")
        raise BadFile(path, "wrong-ending", f"is no gzip file but {found}", "give a NIfTI file, or fetch it again")
    return gzip.open(path, "rb") if packed else path.open("rb")


def _content(path: Path, stream: BinaryIO) -> tuple[Any, bytes]:
    """Header and all bytes. What the header announces is compared with what is there before it is taken in."""
    import nibabel

    start = stream.read(540)
    if len(start) < 348:
        raise BadFile(path, "truncated", f"is damaged or incomplete (no more than {len(start)} bytes)", FETCH)
    sizes = {int.from_bytes(start[:4], order): order for order in ("little", "big")}
    if 348 in sizes and start[344:347] in (b"n+1", b"ni1"):
        kind, length = nibabel.Nifti1Header, 348
    elif 540 in sizes and start[4:7] in (b"n+2", b"ni2"):
        kind, length = nibabel.Nifti2Header, 540
    else:
        found = looks_like(path)
        raise BadFile(
            path, "unreadable", f"is damaged or incomplete (no NIfTI file{', but ' + found if found else ''})", FETCH
        )
    header = kind.from_fileobj(io.BytesIO(start[:length]), check=False)
    if header["magic"].item()[:2] == b"ni":
        raise BadFile(path, "unreadable", "is the header of a pair of files", "save header and voxels as one .nii.gz")
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7:
        raise BadFile(path, "unreadable", f"is damaged or incomplete (a header with {dim[0]} axes)", FETCH)
    shape = tuple(dim[1 : dim[0] + 1])
    check_size(path, shape)
    if len(shape) not in (3, 4):
        raise BadFile(path, "axes", f"has {len(shape)} axes", "give a volume, or a volume with channels as fourth axis")
    dtype = _checked_dtype(path, header)
    offset = float(header["vox_offset"])
    if not length <= offset < 2**24:
        raise BadFile(path, "unreadable", f"is damaged or incomplete (voxels from byte {offset:g} on)", FETCH)
    expected = int(offset) + int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
    rest = stream.read(max(expected - len(start), 0))
    if len(start) + len(rest) < expected:
        found = len(start) + len(rest)
        raise BadFile(
            path, "truncated", f"is damaged or incomplete ({found:,} bytes, the header says {expected:,})", FETCH
        )
    while stream.read(2**20):  # to the end, where a gzip file keeps its checksum
        pass
    return header, start + rest


def _checked_dtype(path: Path, header: Any) -> np.dtype:
    try:
        dtype = header.get_data_dtype()
    except Exception:
        code = int(header["datatype"])
        raise BadFile(path, "dtype", f"holds values of an unknown type (code {code})", FETCH) from None
    if dtype.kind == "c":
        raise BadFile(
            path, "dtype", "holds complex numbers", "save magnitude or real part, whichever the network shall see"
        )
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        name = "RGB colours" if dtype.names else f"values of type {dtype}"
        raise BadFile(path, "dtype", f"holds {name}", "save one number a voxel, or channels as fourth axis")
    return dtype


def _check_header(path: Path, header: Any) -> list[Remark]:
    """What the header says of the place of the voxels. BadFile if nothing can be made of it; else remarks."""
    spatial, geometry = min(int(header["dim"][0]), 3), "correct the header with the program that wrote it"
    pixdim = np.asarray(header["pixdim"], float)[1 : spatial + 1]
    if not np.isfinite(pixdim).all() or (pixdim <= 0).any():
        raise BadFile(path, "spacing", f"gives the spacing {_numbers(pixdim)} mm", geometry)
    if header["scl_slope"] != 0 and np.isinf(header["scl_slope"]):
        raise BadFile(path, "unreadable", "scales its values by infinity", FETCH)
    remarks: list[Remark] = []
    codes = {name: int(header[f"{name}_code"]) for name in ("qform", "sform")}
    forms: dict[str, np.ndarray] = {}
    for name in codes:
        if codes[name] > 0:
            try:
                forms[name] = header.get_qform() if name == "qform" else header.get_sform()
            except Exception as error:  # nibabel raises several kinds for a quaternion that is none
                raise BadFile(path, "affine", f"has a {name} that says nothing ({error})", geometry) from None
    for name, form in forms.items():
        if not np.isfinite(form).all() or abs(np.linalg.det(form[:3, :3])) < 1e-9 * np.prod(pixdim):
            raise BadFile(path, "affine", f"has a {name} that maps all voxels to a plane, or is not finite", geometry)
    if "sform" in forms:
        lengths = np.linalg.norm(forms["sform"][:3, :3], axis=0)
        if not np.allclose(lengths, pixdim, rtol=0.01):
            what = f"gives the spacing {_numbers(pixdim)} mm, but its sform {_numbers(lengths)} mm"
            remarks.append(Remark("spacing", what, geometry))
    if len(forms) == 2:
        corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float).T
        corners[:3] *= np.array([int(n) - 1 for n in header["dim"][1:4]])[:, None]
        apart = np.linalg.norm(((forms["qform"] - forms["sform"]) @ corners)[:3], axis=0).max()
        if apart > max(0.5 * pixdim.min(), 0.01):
            atlas = (codes["qform"] in _ATLAS) != (codes["sform"] in _ATLAS)
            what = f"has a qform and an sform that put its corners {apart:.3g} mm apart"
            remarks.append(
                Remark("forms", what, "keep the right one of the two in both", WARNING if atlas else "error")
            )
    unit = int(header["xyzt_units"]) & 7
    if unit in (1, 3):
        what = f"measures in {'metres' if unit == 1 else 'micrometres'}, and is taken as millimetres"
        remarks.append(Remark("units", what, "convert its spacing and affine to millimetres"))
    return remarks


def _numbers(values: Any) -> str:
    return " x ".join(f"{float(v):.4g}" for v in values)
