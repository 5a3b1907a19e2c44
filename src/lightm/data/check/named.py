"""Checks by a data set's name, and the one that a training begins with."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightm.data import list_datasets, load_dataset
from lightm.data.check import Report, check_folder
from lightm.data.reading.faults import Fault, shown
from lightm.data.verify import find_root, remembered_hashes
from lightm.errors import LightMError, suggest

_FOLDERS = {  # name -> folder under LIGHTM_DATA, classes, normalisation
    "hippocampus": ("Task04_Hippocampus", ("background", "anterior", "posterior"), "zscore"),
    "lits": ("Task03_Liver", ("background", "liver", "tumour"), "ct"),
    "montgomery-shenzhen": ("cxr", ("background", "lung"), "zscore"),
}
# Errors that a user may know to be none; a NaN, say, stays one.
_MATTERS_OF_TASTE = (
    "spacing-differs",
    "affine-differs",
    "forms",
    "spacing",
    "units",
    "duplicate",
    "count",
    "file-ending",
)
_OPTIONS = ("classes", "threshold", "normalise", "channels", "accept")
FEW = 8  # voxels of a structure after the resize: below that, its shape is not to be learned
Progress = Callable[[int, int], None]


def check_dataset(
    name: str,
    root: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    again: bool = False,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Check a data set by its name, or a folder by its path; see `check_folder`.

    root: where a named data set lies, if not under LIGHTM_DATA. options: those of `check_folder` (and of phantoms).
    LightMError if there is neither a data set nor a folder of that name, or its files are not there.
    """
    options = {key: value for key, value in (options or {}).items() if value is not None}
    synthetic = {info.name: info.synthetic for info in list_datasets()}
    if synthetic.get(name):
        data = load_dataset(name, **{k: v for k, v in options.items() if k != "accept"})
        facts = {"cases": len(data), "spatial_dims": data.spatial_dims, "channels": data.in_channels}
        return Report(name, "drawn by a program", facts, notes=("A phantom has no files that could be damaged.",))
    if name not in synthetic or name == "folder":
        given = root if name == "folder" else name
        if given is None:
            raise LightMError("Data set folder needs its folder: type `lightm data verify FOLDER`.")
        if name != "folder" and not Path(name).expanduser().is_dir():
            remedy = suggest(name, synthetic)
            raise LightMError(f"There is neither a data set nor a folder {shown(name)}. {remedy}")
        known = {k: v for k, v in options.items() if k in _OPTIONS}
        return check_folder(given, again=again, progress=progress, **known)
    folder, classes, normalise = _FOLDERS[name]
    place = find_root(name, folder, root, packed=name == "montgomery-shenzhen")
    accept = options.get("accept") or ()
    if place.is_file():
        return _check_packed(name, place, progress)
    report = check_folder(place, classes, None, normalise, None, accept, name, again, progress)
    return _compare_with_record(report, place) if name == "montgomery-shenzhen" else report


def check_before_training(name: str, root: str, options: Mapping[str, Any]) -> Report | None:
    """What `lightm train` does first: LightMError if the data have errors, with their number and the first of them.

    None for a phantom. A second training on the same files only compares their hashes.
    """
    if any(info.name == name and info.synthetic for info in list_datasets()):
        return None
    report = check_dataset(name, root or None, options)
    if report.errors:
        first = report.errors[0]
        where = ", ".join(shown(part) for part in (first.case, first.file) if part)
        place = shown(report.root) if name == "folder" else name
        opt_out = (
            f"; data.options.accept=[{first.kind!r}] takes such as they are" if first.kind in _MATTERS_OF_TASTE else ""
        )
        raise LightMError(
            f"{len(report.errors)} error(s) in the data of {place}, e.g. {where}: {shown(first.what)}; {first.remedy} "
            f"(`lightm data verify {place}` lists all{opt_out})."
        )
    return report


def said_before_training(report: Report, size: Sequence[int]) -> list[str]:
    """What a user should read before a long run: that there are warnings, and which structures hardly survive `size`.

    A lesion of 3 x 3 pixels in a picture of 256 x 256 is less than one pixel at 32 x 32: it is gone from the training
    and from the scores at that size, which are then perfect. size: () where cases are not resized.
    """
    lines = []
    if report.warnings:
        first = report.warnings[0]
        where = ", ".join(shown(part) for part in (first.case, first.file) if part)
        lines.append(
            f"{len(report.warnings)} warning(s) about the data, e.g. {where}: {shown(first.what)} "
            f"(`lightm data verify {shown(report.root)}` lists all)."
        )
    for entry in report.facts.get("classes", [])[1:]:
        share = entry.get("small_share")
        voxels = None if share is None or not size else share * math.prod(size)
        if voxels is not None and voxels < FEW:
            by = " x ".join(map(str, size))
            lines.append(
                f"Label {entry['value']} ({shown(entry['name'])}) shrinks to {voxels:.1f} voxels or fewer in "
                f"a tenth of the cases at data.size {by}: choose a larger size."
            )
    return lines


def _check_packed(name: str, place: Path, progress: Progress) -> Report:
    """Every case of a packed file is unpacked once; its parts have checksums."""
    data, faults = load_dataset(name, root=place), []
    for done, case_id in enumerate(data.case_ids, start=1):
        try:
            data.read(case_id)
        except LightMError as error:
            faults.append(Fault("truncated", case_id, place.name, str(error).rstrip("."), "pack it again"))
        progress(done, len(data))
    facts = {"cases": len(data), "spatial_dims": data.spatial_dims, "channels": data.in_channels}
    return Report(name, str(place), facts, tuple(faults))


def _compare_with_record(report: Report, root: Path) -> Report:
    """The radiographs' files against the hashes in the package."""
    from lightm.data.montgomery_shenzhen import hash_mask, manifest
    from lightm.data.verify import hash_file

    faults, how, expected = [], {}, {}
    unreadable = {fault.file for fault in report.errors}
    for case_id, hashes in manifest().items():
        for folder, value, hasher in zip(("images", "masks"), hashes, (hash_file, hash_mask), strict=True):
            file = f"{folder}/{case_id}.png"
            if not (root / file).is_file():
                faults.append(Fault("not-the-record", case_id, file, "is missing", "fetch the data set again"))
            elif file not in unreadable:
                expected[file], how[file] = value, hasher
    found = remembered_hashes(root, how, pinned="record")
    for file, value in expected.items():
        if found[file] != value:
            case = Path(file).stem
            faults.append(Fault("not-the-record", case, file, "is not the file of the published set", "fetch it again"))
    return replace(report, faults=tuple([*faults, *report.faults]))
