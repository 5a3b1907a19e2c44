"""Look at a data set before anything is trained on it: all faults in one report.

>>> from lightm.data.check import check_folder
>>> report = check_folder("my-data")
>>> print(report.text())
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from lightm.data.check.across import compare_cases, summarise
from lightm.data.check.cases import Expected, Look, look_at
from lightm.data.check.memory import key_of, recall, remember
from lightm.data.check.report import Report
from lightm.data.images import files_of
from lightm.data.reading.description import check_description, read_description
from lightm.data.reading.faults import ERROR, WARNING, Fault, shown
from lightm.data.reading.layout import CaseFiles, Layout, find_layout
from lightm.data.verify import hash_file, remembered_hashes
from lightm.errors import LightMError, suggest

__all__ = ["KINDS", "Report", "check_folder"]

# Every kind of fault, and what it means. `accept` takes these names.
KINDS = {
    "layout": "two layouts in one folder",
    "no-cases": "no complete case is there",
    "no-partner": "an image without label map, or the reverse",
    "two-files": "two files for one image",
    "nested": "images in a folder below, where nobody reads them",
    "wrong-ending": "the name says another format than the content, or one that is not read",
    "unreadable": "no file, no rights, or nothing that could be understood",
    "truncated": "a file that ends early, is empty or has a wrong checksum",
    "too-large": "more pixels or voxels than can be taken in, or a header that lies about them",
    "no-voxels": "an image of size 0",
    "axes": "2D among 3D, or four and more axes",
    "dtype": "complex numbers, colours as one number, unknown types",
    "depth": "16-bit colours of which only 8 bits would be read",
    "pages": "several pictures in one file",
    "series": "a DICOM folder with several series or missing slices",
    "spacing": "a spacing of 0, below 0, NaN, or two that disagree in one header",
    "units": "a header in metres or micrometres",
    "affine": "a header that puts all voxels in a plane",
    "forms": "qform and sform put the voxels at different places",
    "shape": "image and label map differ in size",
    "spacing-differs": "image and label map differ in spacing",
    "affine-differs": "image and label map lie at different places, or are mirrored or turned",
    "channels": "a channel is missing, or more are there than in other cases",
    "not-finite": "NaN or infinity in an image",
    "huge-values": "values that no scanner measures",
    "constant": "an image with one value everywhere",
    "transparency": "a picture with transparent parts",
    "label-channels": "a label map in colours",
    "label-values": "a label map with values that are no labels",
    "undeclared-label": "a label that is not declared",
    "soft-mask": "a mask with grays between background and structure",
    "label-is-image": "the image in place of its label map",
    "absent-class": "a class that is declared and never occurs",
    "empty-label": "a label map without foreground",
    "full-label": "a label map without background",
    "all-empty": "no label map with foreground at all",
    "inverted": "a mask that seems to have background and structure swapped",
    "duplicate": "the same image under two names",
    "same-label": "the same label map for two images",
    "odd-spacing": "a spacing far from that of the other cases",
    "window": "CT values that the window would cut off",
    "description": "dataset.json that can't be understood or contradicts itself",
    "count": "another number of cases than dataset.json says",
    "file-ending": "another file ending than dataset.json says",
    "listed": "files that dataset.json lists and that are not there, or the reverse",
    "path": "a path in dataset.json that leaves the folder",
    "not-the-record": "another file than the published data set has",
}


def check_folder(
    root: str | Path,
    classes: Sequence[str] | None = None,
    threshold: float | None = None,
    normalise: str | None = None,
    channels: int | None = None,
    accept: Sequence[str] = (),
    name: str = "folder",
    again: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Look at every file of a data set and report every fault.

    root: a folder in one of the layouts of `lightm.data.reading.layout`. classes, threshold, normalise,
    channels: as in `lightm.data.folder.Folder`; without classes those of dataset.json, else background and foreground.
    accept: kinds of fault (see `KINDS`) that are taken on the user's own risk: they become warnings.
    again: look even if the same files were looked at before. progress: called as progress(done, total) for each case.
    LightMError if there is no such folder, it has no known layout, or `accept` names an unknown kind.
    """
    root = Path(root).expanduser()
    for kind in accept:
        if kind not in KINDS:
            raise LightMError(f"There is no kind of fault {kind!r} to accept. {suggest(kind, KINDS)}")
    if not root.is_dir():
        raise LightMError(f"There is no folder {shown(root)}; correct the path.")
    layout, said = find_layout(root), read_description(root)
    check_description(said, layout)
    expected = Expected(
        tuple(classes or said.classes or ("background", "foreground")), said.ignore, threshold, said.channels, channels
    )
    how = normalise or said.normalise
    start = Report(name, str(root), faults=tuple([*layout.faults, *said.faults]), notes=tuple(said.notes))
    if not layout.cases:
        nothing = Fault("no-cases", "", "", "holds no image with its label map", "put images and label maps there")
        return _finished(replace(start, facts={"cases": 0}, faults=(nothing, *start.faults)), accept)
    key = _key(layout, {"expected": asdict(expected), "normalise": how})
    kept = None if again or key is None else recall(key)
    if kept is None:
        looks = _look_at_all(layout, expected, progress)
        faults, notes = compare_cases(looks, expected, how)
        faults = [*(fault for look in looks for fault in look.faults), *faults]
        kept = {
            "facts": summarise(looks, expected, how),
            "faults": [asdict(fault) for fault in faults],
            "notes": notes,
        }
        if key is not None:
            remember(key, kept)
        remembered = False
    else:
        remembered = True
    faults = tuple([*start.faults, *(Fault(**fault) for fault in kept["faults"])])
    full = replace(
        start, facts=kept["facts"], faults=faults, notes=(*start.notes, *kept["notes"]), remembered=remembered
    )
    return _finished(full, accept)


def _look_at_all(layout: Layout, expected: Expected, progress: Callable[[int, int], None]) -> list[Look]:
    """Each case in turn, on a few threads: unpacking and hashing release Python's lock."""
    work: list[tuple[CaseFiles, str]] = [(case, "train") for case in layout.cases.values()]
    work += [(case, "test") for case in layout.test.values()]
    looks: list[Look] = []
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    try:
        for look in pool.map(lambda item: look_at(item[0], layout.root, expected, item[1]), work):
            looks.append(look)
            progress(len(looks), len(work))
    finally:
        pool.shutdown(cancel_futures=True)
    return looks


def _key(layout: Layout, options: dict) -> str | None:
    """The name under which the answer is remembered; None if a file can't be read (which the check will say)."""
    files = [
        path for case in (*layout.cases.values(), *layout.test.values()) for path in (*case.images, case.label) if path
    ]
    names: dict[str, Callable[[Path], str]] = {}
    for path in files:
        inside = files_of(path)
        if not all(p.is_file() for p in inside):  # a named pipe, a link to nothing
            return None
        names |= {p.relative_to(layout.root).as_posix(): hash_file for p in inside}
    try:
        return key_of(remembered_hashes(layout.root, names, pinned="check"), options)
    except OSError:
        return None


def _finished(report: Report, accept: Sequence[str]) -> Report:
    """Faults sorted, errors first; those of accepted kinds as warnings."""
    faults = [
        replace(f, severity=WARNING, what=f"{f.what} (accepted)") if f.kind in accept and f.severity == ERROR else f
        for f in report.faults
    ]
    return replace(report, faults=tuple(sorted(faults, key=lambda f: (f.severity != ERROR, f.case, f.file, f.kind))))
