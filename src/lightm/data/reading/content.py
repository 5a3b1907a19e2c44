"""What a file's first bytes say, whatever its name: for a sentence that helps when the two disagree."""

import stat
from pathlib import Path

from lightm.data.reading.faults import BadFile

MAX_VALUES = 2**29  # of one image: a CT of 512 x 512 x 2048; as float32 two gigabytes
FETCH = "fetch it again"

_SIGNATURES = (
    (b"%!PS", "a PostScript program"),
    (b"%PDF", "a PDF document"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML document"),
    (b"<svg", "an SVG drawing"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"RIFF", "a WebP picture or a RIFF file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"NRRD0", "an NRRD image"),
    (b"ObjectType = Image", "a MetaImage"),
)


def check_regular(path: Path) -> None:
    """BadFile unless `path` is a file that holds something: a named pipe, say, would be waited on for ever."""
    try:
        status = path.stat()
    except OSError as error:
        if path.is_symlink():
            raise BadFile(
                path, "unreadable", "is a link to nothing", "put the file there, or remove the link"
            ) from None
        raise BadFile(
            path, "unreadable", f"can't be read ({error.strerror})", "correct the path or its rights"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise BadFile(path, "unreadable", "is no ordinary file", "put an image file there, or remove it")
    if not status.st_size:
        raise BadFile(path, "truncated", "is empty (0 bytes)", FETCH)


def looks_like(path: Path) -> str:
    """ "a PNG picture", "a web page", … by the first bytes; "" if they are none of those known."""
    with path.open("rb") as file:
        start = file.read(352)
    for signature, name in _SIGNATURES:
        if start.lstrip(b"\xef\xbb\xbf \r\n").startswith(signature) or start.startswith(signature):
            return name
    if start[128:132] == b"DICM":
        return "a DICOM file"
    return "a NIfTI volume" if start[344:347] in (b"n+1", b"ni1") or start[4:7] in (b"n+2",) else ""


def check_size(path: Path, shape: tuple[int, ...], channels: int = 1) -> None:
    """BadFile if a header announces an image without voxels, or more of them than can be taken in."""
    count = channels
    for n in shape:
        count *= int(n)
    by = " x ".join(str(int(n)) for n in shape)
    if count <= 0 or any(int(n) <= 0 for n in shape):
        raise BadFile(path, "no-voxels", f"says that it is {by} and so holds no voxel", FETCH)
    if count > MAX_VALUES:
        raise BadFile(
            path,
            "too-large",
            f"says that it holds {by}{f' x {channels}' if channels > 1 else ''} values, more than the limit of "
            f"{MAX_VALUES:,}",
            "crop or shrink it, or fetch it again if it is not that large",
        )
