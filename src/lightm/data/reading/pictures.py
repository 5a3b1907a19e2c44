"""PNG, JPEG, BMP and TIFF: Pillow, asked for these formats alone, and tifffile for what Pillow would cut to 8 bits.

Left to guess, Pillow hands a PostScript file to Ghostscript, whatever the file is called.
"""

import logging
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lightm.data.reading.content import FETCH, check_size, looks_like
from lightm.data.reading.faults import WARNING, BadFile
from lightm.data.reading.image import ImageFile, Remark

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_ENDINGS = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff")}
# What Pillow and tifffile raise on broken bytes, between them: nearly everything.
_DAMAGE = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError)
_DAMAGE = (*_DAMAGE, SyntaxError, TypeError, ValueError, struct.error, zlib.error)
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it reports each odd tag of a file that we refuse anyhow
# Pillow warns of large pictures; `_open` refuses those above twice that size, with the file's name.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_picture(path: Path, indices: bool = False) -> ImageFile:
    """A picture as (C, H, W), turned as its EXIF data asks. indices: of a palette, the numbers and not the colours."""
    try:
        if path.name.lower().endswith((".tif", ".tiff")) and looks_like(path) == "a TIFF picture":
            return _read_tiff(path, indices)
        return _read_pillow(path, indices)
    except BadFile:
        raise
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise BadFile(
            path,
            "too-large",
            f"is larger than the limit of {limit:,} pixels",
            "crop or shrink it, or fetch it again if it is not that large",
        ) from None
    except UnidentifiedImageError:
        found = looks_like(path)
        if found and found not in ("a PNG picture", "a JPEG picture", "a TIFF picture", "a BMP picture"):
            remedy = "give a PNG, JPEG, BMP or TIFF picture, or fetch it again"
            raise BadFile(path, "wrong-ending", f"is no picture but {found}", remedy) from None
        raise BadFile(path, "unreadable", "is damaged or incomplete (no picture is in it)", FETCH) from None
    except _DAMAGE as error:
        raise BadFile(path, "truncated", f"is damaged or incomplete ({_reason(error)})", FETCH) from None


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _read_pillow(path: Path, indices: bool) -> ImageFile:
    remarks: list[Remark] = []
    notes: list[str] = []
    with Image.open(path, formats=FORMATS) as picture:
        check_size(path, (picture.height, picture.width))
        kind = picture.format or ""
        if path.suffix.lower() not in _ENDINGS.get(kind, (path.suffix.lower(),)):
            remarks.append(
                Remark(
                    "wrong-ending", f"is a {kind} picture under another ending", f"name it {_ENDINGS[kind][0]}", WARNING
                )
            )
        pages = getattr(picture, "n_frames", 1)
        if pages > 1 and kind != "MPO":  # a JPEG with a second picture behind it, as phones write
            raise _pages(path, pages)
        if kind == "PNG":
            _check_png(path)
        turn = picture.getexif().get(0x0112, 1)
        picture.load()
        if turn in range(2, 9):
            ImageOps.exif_transpose(picture, in_place=True)
            notes.append("turned as its EXIF data asks")
        values = _channels(picture, indices, remarks)
    return ImageFile(values, (1.0, 1.0), spacing_known=False, remarks=tuple(remarks), notes=tuple(notes))


def _channels(picture: Image.Image, indices: bool, remarks: list[Remark]) -> np.ndarray:
    """float32 (C, H, W) of a picture of any mode; transparency is left out, and said if it hides something."""
    alpha = picture.getchannel("A") if "A" in picture.getbands() else None
    if alpha is not None and alpha.getextrema()[0] < 255:
        remarks.append(
            Remark(
                "transparency",
                "has transparent parts, which are read as if they were not",
                "save it without transparency",
                WARNING,
            )
        )
    if picture.mode in ("P", "PA") and indices:
        picture = picture if picture.mode == "P" else picture.getchannel(0)
    elif picture.mode in ("1", "LA", "La"):
        picture = picture.convert("L")
    elif picture.mode in ("P", "PA", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"):
        picture = picture.convert("RGB")
    return _channels_first(np.array(picture, dtype=np.float32))


def _channels_first(values: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) -> float32 (C, H, W)."""
    values = values[..., None] if values.ndim == 2 else values
    return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)


def _pages(path: Path, pages: int) -> BadFile:
    return BadFile(path, "pages", f"holds {pages} pictures", "save each as a file of its own, or the stack as NIfTI")


def _check_png(path: Path) -> None:
    """BadFile for what Pillow passes over: a part of 16-bit colours, a wrong checksum, a missing end."""
    with path.open("rb") as file:
        header = file.read(26)
    depth, colours = header[24], header[25]
    if depth == 16 and colours in (2, 4, 6):
        raise BadFile(
            path,
            "depth",
            "has 16 bits a colour, of which 8 would be read",
            "save it as TIFF, or each channel as 16-bit gray",
        )
    with Image.open(path, formats=("PNG",)) as picture:
        picture.verify()  # the checksum of each part, up to the end


def _read_tiff(path: Path, indices: bool) -> ImageFile:
    """tifffile tells how many pictures there are (a stack of ImageJ shows one page) and reads more than 8 bits."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        if not len(file.pages):
            raise BadFile(path, "unreadable", "is damaged or incomplete (no page is in it)", FETCH)
        page, series = file.pages[0], file.series[0]
        check_size(path, series.shape)
        bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
        pictures = max(
            len(file.pages), int(np.prod(series.shape, dtype=object)) // int(np.prod(page.shape, dtype=object))
        )
        if pictures > 1:
            raise _pages(path, pictures)
        if page.dtype is None or page.dtype.kind not in "biuf":
            raise BadFile(path, "dtype", f"holds values of type {page.dtype}", "save it with real numbers")
        if bits <= 8:
            return _read_pillow(path, indices)
        if page.tags.get(274) is not None and page.tags[274].value != 1:
            return _read_pillow(path, indices)
        try:
            values = series.asarray()
        except (ValueError, ImportError) as error:  # a compression for which tifffile wants imagecodecs
            if "imagecodecs" not in str(error):
                raise
            if page.samplesperpixel != 1:
                raise BadFile(
                    path,
                    "depth",
                    f"is packed with {page.compression.name}, in {bits}-bit colours",
                    "save it without compression",
                ) from None
            return _read_pillow(path, indices)
        axes = series.axes
    if values.ndim == 3 and axes[0] in "SC" and axes[-1] not in "SC":
        values = np.moveaxis(values, 0, -1)  # one plane a channel
    if values.ndim not in (2, 3):
        raise _pages(path, int(np.prod(values.shape[:-2])))
    with np.errstate(all="ignore"):
        return ImageFile(_channels_first(values), (1.0, 1.0), spacing_known=False)
