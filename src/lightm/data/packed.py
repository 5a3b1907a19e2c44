"""The radiographs in one small file, to take them to another machine: a ZIP with WebP images and 1-bit PNG masks.

    manifest.json       what it is, of which data set, how exact
    images/CASE.webp    gray values, compressed without loss; of a case that is not `exact` rounded first (below)
    masks/CASE.png      0 or 1

An X-ray is noise in its last bits, and no lossless format makes 704 of them much smaller than the PNG files are. So
gray values may be rounded to multiples of 2 max_error + 1: none is then off by more than max_error of 255. Cases named
as exact (those of a split's test part, say) are stored to the bit, and every mask is.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from lightm.data.base import Case, Dataset, digest
from lightm.errors import LightMError
from lightm.files import whole_file

FORMAT = 1
MANIFEST = "manifest.json"
SUFFIX = ".zip"
DATE = (1980, 1, 1, 0, 0, 0)  # of every member: the same pictures give the same file


def pack(
    dataset: Dataset,
    path: str | Path,
    max_error: int = 0,
    exact: Iterable[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write the 8-bit gray radiographs of `dataset` and their masks to `path`; returns what manifest.json says.

    max_error: how far a gray value may be off, of 255; 0: not at all. exact: cases that stay exact all the same.
    progress: called as progress(done, total) after each case.
    LightMError if an image is anything but 8-bit gray, or a name in `exact` is unknown.
    """
    exact = frozenset(exact)
    if unknown := sorted(exact - set(dataset.case_ids)):
        raise LightMError(f"Data set {dataset.name} has no case {unknown[0]!r} to keep exact; correct the list.")
    if not 0 <= max_error < 128:
        raise LightMError(f"max_error={max_error} must be from 0 (nothing is lost) to 127.")
    manifest = {
        "format": FORMAT,
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint(),
        "max_error": max_error,
        "exact": sorted(exact) if max_error else list(dataset.case_ids),
    }
    with whole_file(Path(path)) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        _add(file, MANIFEST, json.dumps(manifest, indent=1).encode())
        for done, case_id in enumerate(dataset.case_ids, start=1):
            case = dataset.read(case_id)
            step = _step(manifest, case_id)
            _add(file, f"images/{case_id}.webp", _webp(_rounded(_gray(case), step)))
            _add(file, f"masks/{case_id}.png", _png(case.label))
            progress(done, len(dataset))
    return manifest


class PackedImages:
    """A file that `pack` wrote. `manifest` is what it says of itself; cases are read one by one, from any thread."""

    def __init__(self, path: str | Path, dataset: str):
        self.path = Path(path)
        try:
            self._file = zipfile.ZipFile(self.path)
            self.manifest = json.loads(self._file.read(MANIFEST))
            name, version = self.manifest["dataset"], self.manifest["format"]
        except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
            raise LightMError(
                f"{path} is not a file of packed images, or damaged ({error}); pack them again."
            ) from error
        if (name, version) != (dataset, FORMAT):
            raise LightMError(
                f"{path} holds data set {name}, format {version}, not {dataset}, format {FORMAT}; name another file."
            )
        held = set(self._file.namelist())
        self.case_ids = tuple(
            sorted(n[7:-5] for n in held if n.startswith("images/") and f"masks/{n[7:-5]}.png" in held)
        )

    def fingerprint(self) -> str:
        """That of the data set it was made from if every image is exact; else a hash of that and of what is rounded."""
        original, error = self.manifest["fingerprint"], self.manifest["max_error"]
        if not error:
            return original
        return digest([original, f"gray values off by at most {error}, but for:", *self.manifest["exact"]])

    def summary(self) -> dict[str, int]:
        """What a record says of it: the greatest error of a gray value, and how many cases have none."""
        return {"max_error": self.manifest["max_error"], "exact_cases": len(self.manifest["exact"])}

    def read(self, case_id: str) -> Case:
        """The case with its image as float32 (1, H, W) and its label (H, W). LightMError if the file is damaged."""
        try:
            with Image.open(io.BytesIO(self._file.read(f"images/{case_id}.webp"))) as picture:
                levels = np.array(picture.convert("L"))  # (H, W); WebP knows colours only: three equal channels
            with Image.open(io.BytesIO(self._file.read(f"masks/{case_id}.png"))) as picture:
                label = np.array(picture, dtype=np.uint8)  # (H, W)
        except (OSError, KeyError, zipfile.BadZipFile, UnidentifiedImageError) as error:
            raise LightMError(f"{self.path}: case {case_id} is missing or damaged ({error}); pack it again.") from error
        values = np.minimum(levels.astype(np.float32) * _step(self.manifest, case_id), 255)
        return Case(case_id, values[None], label, (1.0, 1.0))


def _step(manifest: dict[str, Any], case_id: str) -> int:
    return 1 if case_id in manifest["exact"] else 2 * manifest["max_error"] + 1


def _gray(case: Case) -> np.ndarray:
    """The image as uint8 (H, W)."""
    image = case.image
    if image.ndim != 3 or image.shape[0] != 1 or (image != image.astype(np.uint8)).any():
        raise LightMError(f"Case {case.case_id} is no 8-bit gray picture, and only such can be packed.")
    return image[0].astype(np.uint8)


def _rounded(gray: np.ndarray, step: int) -> np.ndarray:
    """The number of the nearest multiple of `step`; multiplied by it, and cut at 255, at most step // 2 off."""
    return ((gray.astype(np.int32) + step // 2) // step).astype(np.uint8)


def _webp(levels: np.ndarray) -> bytes:
    return _encoded(Image.fromarray(levels), format="WEBP", lossless=True, quality=75, method=4)


def _png(label: np.ndarray) -> bytes:
    if label.max(initial=0) > 1:
        raise LightMError(f"A mask holds the value {label.max()}; only masks of 0 and 1 can be packed.")
    return _encoded(Image.fromarray(label.astype(bool)), format="PNG", optimize=True)


def _encoded(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, **options)
    return file.getvalue()


def _add(file: zipfile.ZipFile, name: str, content: bytes) -> None:
    file.writestr(zipfile.ZipInfo(name, DATE), content)
