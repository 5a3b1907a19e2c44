"""Where images and label maps lie, and which belong together: three layouts, each file in a case or named as left over.

images/ with masks/          the same file name but for the ending
imagesTr/ with labelsTr/     Medical Segmentation Decathlon; nnU-Net has one file a channel, CASE_0000, CASE_0001, …
                             (beside them imagesTs/, with or without labelsTs/)

In place of an image file there may be a folder that holds one DICOM series.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from lightm.data.images import READABLE, stem_of, suffix_of
from lightm.data.reading.faults import WARNING, Fault, shown
from lightm.data.reading.itk import HEADERS, is_series, voxel_file
from lightm.errors import LightMError

LAYOUTS = (("images", "masks"), ("imagesTr", "labelsTr"))
TEST = {"imagesTr": ("imagesTs", "labelsTs")}
CHANNEL = re.compile(r"_(\d{4})$")
# Left by systems and tools, of no interest to anyone: not worth a word.
_IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}
_SIDE_FILES = (".json", ".csv", ".tsv", ".txt", ".md", ".pdf", ".xml", ".yaml", ".yml", ".html")


@dataclass(frozen=True)
class CaseFiles:
    """The files of a case: one image a channel (or one for all channels), and its label map (None in imagesTs/)."""

    case_id: str
    images: tuple[Path, ...]
    label: Path | None
    channels: tuple[int, ...] = ()  # the numbers in the names, if they are numbered


@dataclass
class Layout:
    """A data set's folder: `cases` that are complete, `test` images, `faults` of all that is not."""

    root: Path
    images: str
    masks: str
    cases: dict[str, CaseFiles] = field(default_factory=dict)
    test: dict[str, CaseFiles] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def find_layout(root: Path) -> Layout:
    """What lies in `root`. LightMError if it has none of the layouts; all other faults are in the answer."""
    present = [(images, masks) for images, masks in LAYOUTS if (root / images).is_dir() and (root / masks).is_dir()]
    if not present:
        raise LightMError(
            f"{root} holds neither images/ and masks/ nor imagesTr/ and labelsTr/; put your files in one of these."
        )
    layout = Layout(root, *present[0])
    if len(present) > 1:
        what = "holds both images/ with masks/ and imagesTr/ with labelsTr/, and only the first pair is read"
        layout.faults.append(Fault("layout", "", "", what, "keep one pair", WARNING))
    layout.cases = _pair(layout, layout.images, layout.masks, required=True)
    if layout.images in TEST and (root / TEST[layout.images][0]).is_dir():
        images, masks = TEST[layout.images]
        layout.test = _pair(layout, images, masks, required=(root / masks).is_dir())
    return layout


def _pair(layout: Layout, images: str, masks: str, required: bool) -> dict[str, CaseFiles]:
    """Case name -> its files; what has no partner goes to layout.faults. required: each image needs a label map."""
    faults = layout.faults
    pictures, strangers = _listed(layout, images)
    maps, stranger_maps = _listed(layout, masks) if (layout.root / masks).is_dir() else ([], [])
    labels: dict[str, Path] = {}
    for path in maps:
        stem = stem_of(path)
        if stem in labels:
            what = f"is a second label map of the case, beside {shown(labels[stem].name)}"
            faults.append(Fault("two-files", stem, f"{masks}/{path.name}", what, "keep the right one of the two"))
        labels.setdefault(stem, path)
    found: dict[str, list[tuple[int | None, Path]]] = defaultdict(list)
    for path in pictures:
        stem, channel = stem_of(path), None
        number = CHANNEL.search(stem)
        if number and (stem not in labels or stem[: number.start()] in labels):
            stem, channel = stem[: number.start()], int(number.group(1))
        found[stem].append((channel, path))
    cases = {}
    for stem, files in sorted(found.items()):
        if _channels_are_wrong(stem, files, images, faults):
            continue
        if stem in labels or not required:
            numbers = tuple(n for n, _ in files if n is not None)
            cases[stem] = CaseFiles(stem, tuple(path for _, path in files), labels.get(stem), numbers)
        else:
            near = _partner(stem, stranger_maps)
            what = f"has no label map in {masks}/" + (f"; {shown(near)} there can't be read" if near else "")
            remedy = "save it as PNG or NIfTI" if near else "add it, or remove the image"
            faults.append(Fault("no-partner", stem, f"{images}/{files[0][1].name}", what, remedy))
    for stem, path in sorted(labels.items()):
        if stem not in found:
            near = _partner(stem, strangers)
            what = f"has no image in {images}/" + (f"; {shown(near)} there can't be read" if near else "")
            remedy = "save it as PNG or NIfTI" if near else "add it, or remove the label map"
            faults.append(Fault("no-partner", stem, f"{masks}/{path.name}", what, remedy))
    return cases


def _channels_are_wrong(stem: str, files: list[tuple[int | None, Path]], folder: str, faults: list[Fault]) -> bool:
    numbers = sorted(-1 if n is None else n for n, _ in files)
    names = ", ".join(shown(path.name) for _, path in files)
    if len(set(numbers)) < len(numbers):
        what = f"has more than one file for the same image: {names}"
        faults.append(Fault("two-files", stem, f"{folder}/{files[0][1].name}", what, "keep the right one"))
        return True
    if -1 in numbers and len(numbers) > 1:
        what = f"has files with and without a channel's number: {names}"
        faults.append(Fault("channels", stem, f"{folder}/{files[0][1].name}", what, "number all or none"))
        return True
    if numbers[0] >= 0 and numbers != list(range(len(numbers))):
        lacks = next(n for n in range(len(numbers) + 1) if n not in numbers)
        what = f"has no file for channel {lacks:04d} (there are {names})"
        faults.append(Fault("channels", stem, f"{folder}/{files[0][1].name}", what, "add it, or number from _0000 on"))
        return True
    return False


def _partner(stem: str, strangers: list[Path]) -> str:
    """The name of a file that looks like the missing partner but can't be read."""
    return next((p.name for p in strangers if CHANNEL.sub("", p.name.split(".")[0]) == stem.split(".")[0]), "")


def _listed(layout: Layout, name: str) -> tuple[list[Path], list[Path]]:
    """The files of a folder (and its folders that are DICOM series), sorted: those that can be read, and the others."""
    readable, strangers = [], []
    files = sorted((layout.root / name).iterdir())
    voxels = {inside for path in files if path.suffix.lower() in HEADERS for inside in voxel_file(path)}
    for path in files:
        # Names with a dot in front are what macOS leaves in archives, the Decathlon's among them.
        if path.name.startswith(".") or path.name.lower() in _IGNORED or path in voxels:
            continue
        if path.is_dir():
            if is_series(path):
                readable.append(path)
            elif hidden := _inside(path):
                what = f"is a folder within {name}/ and the {hidden} image file(s) in it are not read"
                layout.faults.append(Fault("nested", "", f"{name}/{path.name}", what, f"move them up to {name}/"))
        elif suffix_of(path):
            readable.append(path)
        else:
            strangers.append(path)
            side = path.suffix.lower() in _SIDE_FILES
            what = "is of a kind that is not read"
            remedy = "move it elsewhere" if side else f"save it as one of {', '.join(READABLE)}, or remove it"
            severity = WARNING if side else "error"
            layout.faults.append(Fault("wrong-ending", "", f"{name}/{path.name}", what, remedy, severity))
    return readable, strangers


def _inside(folder: Path) -> int:
    """How many readable files a folder holds, at any depth."""
    return sum(1 for p in folder.rglob("*") if suffix_of(p) and not p.name.startswith(".") and p.is_file())
