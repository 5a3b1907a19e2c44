"""Which images are to be segmented: a file, a folder of them, a DICOM series, one file a channel."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lightm.data.images import ImageFile, files_of, read_image, stem_of, suffix_of
from lightm.data.reading.faults import shown
from lightm.data.reading.geometry import misfit
from lightm.data.reading.itk import is_series
from lightm.data.reading.layout import CHANNEL, LAYOUTS, TEST
from lightm.errors import LightMError


@dataclass(frozen=True)
class Input:
    """An image to segment: its files, one a channel (or one for all channels, or a folder with a DICOM series)."""

    case_id: str
    files: tuple[Path, ...]

    def read(self) -> ImageFile:
        """All channels in one. LightMError if a file can't be read, or the channels do not lie on one another."""
        first, *others = (read_image(path) for path in self.files)
        for path, other in zip(self.files[1:], others, strict=True):
            if wrong := misfit(first, other, self.files[0].name):
                raise LightMError(f"{path} {wrong.what}; {wrong.remedy}.")
        return replace(first, values=np.concatenate([first.values, *(o.values for o in others)])) if others else first


def find_inputs(paths: Sequence[Path], channels: int) -> tuple[list[Input], list[str]]:
    """The images that `paths` name, for a network that takes `channels`, and the names of files that are none.

    One path may be a file (its other channels, CASE_0001, … beside CASE_0000, come by themselves), a folder with one
    DICOM series, or a folder of images; several paths are files, as in that folder. LightMError if nothing is there, a
    channel is missing, or two files have one name.
    """
    strangers: list[str] = []
    if len(paths) == 1 and paths[0].is_dir() and not is_series(paths[0]):
        paths, strangers = _listed(paths[0])
    elif len(paths) == 1:
        paths = _with_channels(paths[0]) if channels > 1 and paths[0].is_file() else paths
        return [Input(stem_of(paths[0]), tuple(paths))], strangers
    elif len(paths) == channels and not all(CHANNEL.search(stem_of(path)) for path in paths):
        return [Input(stem_of(paths[0]), tuple(paths))], strangers
    return _cases(paths, channels), strangers


def _listed(folder: Path) -> tuple[list[Path], list[str]]:
    """Image files of a folder and its folders that are a DICOM series; names of what is neither."""
    there = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    found = [path for path in there if (is_series(path) if path.is_dir() else suffix_of(path))]
    if not found:
        named = [name for pair in (*LAYOUTS, *TEST.values()) for name in pair[:1] if (folder / name).is_dir()]
        remedy = f"name the one that does, such as {folder / named[-1]}" if named else "correct the path"
        raise LightMError(f"{folder} holds no image that can be read; {remedy}.")
    used = {inside for path in found for inside in (path, *files_of(path))}
    return found, [path.name for path in there if path not in used]


def _with_channels(path: Path) -> list[Path]:
    """CASE_0000 with CASE_0001, … beside it; the path alone if it has no number."""
    number = CHANNEL.search(stem_of(path))
    if number is None:
        return [path]
    start, ending = stem_of(path)[: number.start()], path.name[len(stem_of(path)) :]
    return sorted(p for p in path.parent.glob("*" + ending) if CHANNEL.sub("", stem_of(p)) == start and p.is_file())


def _cases(paths: Sequence[Path], channels: int) -> list[Input]:
    """Files by case: numbered ones are channels if the network takes several, or if all have the number 0000."""
    numbers = {path: CHANNEL.search(stem_of(path)) for path in paths}
    apart = channels > 1 or all(found and found.group(1) == "0000" for found in numbers.values())
    cases: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found = numbers[path] if apart else None
        cases[stem_of(path)[: found.start()] if found else stem_of(path)].append(path)
    for case, files in cases.items():
        named = [int(numbers[path].group(1)) if apart and numbers[path] else None for path in files]
        if named != [None] and sorted(named, key=lambda n: -1 if n is None else n) != list(range(channels)):
            names = ", ".join(shown(path.name) for path in files)
            if len(files) > 1 and (None in named or not apart):
                raise LightMError(f"{names} have one name; keep the right one of them, or rename the others.")
            raise LightMError(
                f"{shown(case)} has {names}, but the network takes {channels} channels, numbered from 0000; add what "
                "is missing, or remove the rest."
            )
    return [Input(case, tuple(sorted(files))) for case, files in sorted(cases.items())]
