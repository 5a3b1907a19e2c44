"""One case at a time: its files are read, to the last byte, and compared with one another."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lightm.data.images import label_values, read_image
from lightm.data.reading.faults import WARNING, BadFile, Fault, shown
from lightm.data.reading.geometry import misfit
from lightm.data.reading.image import ImageFile
from lightm.data.reading.layout import CaseFiles
from lightm.errors import LightMError

HUGE = 1e10  # no scanner's unit comes near; squared and summed in float32 it leaves a network nothing to learn from


@dataclass(frozen=True)
class Expected:
    """What a data set may hold: its classes, the label to ignore, a threshold for masks, the channels of a picture."""

    classes: tuple[str, ...]
    ignore: int | None = None
    threshold: float | None = None
    declared: tuple[str, ...] = ()  # the channels that dataset.json names
    channels: int | None = None  # 1 or 3: colour and gray pictures are made alike when they are read


@dataclass
class Look:
    """What one case showed: its faults, and the numbers that are compared across cases."""

    case_id: str
    part: str  # "train" or "test"
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    channels: int = 0
    equal_channels: bool = False
    spacing: tuple[float, ...] | None = None
    stored: str = ""
    low: float = 0.0
    high: float = 0.0
    constant: bool = False
    image_hash: str = ""
    label_hash: str = ""
    counts: dict[int, int] = field(default_factory=dict)  # label value -> voxels
    border: float | None = None  # share of the voxels at the rim that are foreground
    outside_ct: float | None = None  # share of the foreground that a CT window cuts off
    around: tuple[float, float] | None = None  # 0.5th and 99.5th percentile of the image's values where it is marked

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def look_at(case: CaseFiles, root: Path, expected: Expected, part: str = "train") -> Look:
    """Read a case's files and say what is wrong with each and with their fit."""
    look = Look(case.case_id, part)
    look.files = [path.relative_to(root).as_posix() for path in (*case.images, case.label) if path is not None]
    channels = [_read(look, path, name) for path, name in zip(case.images, look.files, strict=False)]
    label = None if case.label is None else _read(look, case.label, look.files[-1], indices=True)
    images = [image for image in channels if image is not None]
    for image, name in zip(channels[1:], look.files[1:], strict=False):
        if image is not None and channels[0] is not None:
            _compare(look, channels[0], image, name, "channel 0")
    if images:
        _numbers(look, images)
    if label is not None:
        _labels(look, case.label, label, expected, images)
        if images:
            _compare(look, images[0], label, look.files[-1], "its image")
    return look


def _read(look: Look, path: Path, name: str, indices: bool = False) -> ImageFile | None:
    try:
        file = read_image(path, indices)
    except BadFile as bad:
        look.faults.append(Fault(bad.kind, look.case_id, name, bad.what, bad.remedy))
        return None
    except MemoryError:
        what = "needs more memory than there is"
        look.faults.append(Fault("too-large", look.case_id, name, what, "crop or shrink it"))
        return None
    except LightMError as error:  # a missing library
        look.faults.append(Fault("unreadable", look.case_id, name, "can't be read here", str(error).rstrip(".")))
        return None
    for remark in file.remarks:
        look.faults.append(Fault(remark.kind, look.case_id, name, remark.what, remark.remedy, remark.severity))
    look.notes += [f"{note}" for note in file.notes]
    return file


def _numbers(look: Look, images: Sequence[ImageFile]) -> None:
    """Values, size and content of the image; each channel's own faults."""
    first = images[0]
    look.shape, look.spacing = first.values.shape[1:], first.spacing if first.spacing_known else None
    look.channels, look.stored = sum(len(image.values) for image in images), first.stored
    content = hashlib.sha256()
    lows, highs = [], []
    for image, name in zip(images, look.files, strict=False):
        values = image.values[:1] if _gray_as_colour(image.values) else image.values
        content.update(repr(values.shape).encode() + np.ascontiguousarray(values).data)
        for number, channel in enumerate(image.values):
            what = f"channel {number} " if len(image.values) > 1 else ""
            low, high = float(channel.min()), float(channel.max())  # NaN if there is one
            if not np.isfinite(low) or not np.isfinite(high):
                bad = int(channel.size - np.isfinite(channel).sum())
                look.faults.append(
                    Fault(
                        "not-finite",
                        look.case_id,
                        name,
                        f"{what}holds {bad:,} NaN or infinite values",
                        "repair the file or remove the case",
                    )
                )
            elif max(-low, high) > HUGE:
                look.faults.append(
                    Fault(
                        "huge-values",
                        look.case_id,
                        name,
                        f"{what}holds values up to {max(-low, high):.3g}, which no scanner measures",
                        "repair the file or divide it by what it was multiplied with",
                    )
                )
            elif low == high:
                look.constant = True
                look.faults.append(
                    Fault(
                        "constant",
                        look.case_id,
                        name,
                        f"{what}is {low:g} everywhere",
                        "look at it, and remove the case if nothing is in it",
                        WARNING,
                    )
                )
            lows.append(low)
            highs.append(high)
    look.low, look.high, look.image_hash = min(lows), max(highs), content.hexdigest()
    look.equal_channels = len(images) == 1 and _gray_as_colour(first.values)


def _gray_as_colour(values: np.ndarray) -> bool:
    """Whether a picture (C, H, W) has three channels that are alike."""
    return values.ndim == 3 and len(values) == 3 and bool((values == values[:1]).all())


def _labels(look: Look, path: Path, file: ImageFile, expected: Expected, images: Sequence[ImageFile]) -> None:
    """What the label map holds against what it may hold."""
    name = look.files[-1]
    try:
        values = label_values(path, file)
    except BadFile as bad:
        look.faults.append(Fault(bad.kind, look.case_id, name, bad.what, bad.remedy))
        return
    if any(image.values.shape[1:] == values.shape and np.array_equal(image.values[0], values) for image in images):
        if not look.constant:
            look.faults.append(
                Fault("label-is-image", look.case_id, name, "is the image itself", "put the label map there")
            )
    labels = values.astype(np.uint8)
    counts = np.bincount(labels.ravel(), minlength=256)
    labels, counts = _binary(labels, counts, expected)
    present = np.flatnonzero(counts).tolist()
    known = set(range(len(expected.classes))) | ({expected.ignore} if expected.ignore is not None else set())
    unknown = [value for value in present if value not in known]
    if unknown:
        look.faults.append(_undeclared(look.case_id, name, unknown, present, expected))
        return
    look.counts = {value: int(counts[value]) for value in present}
    look.label_hash = hashlib.sha256(repr(labels.shape).encode() + np.ascontiguousarray(labels).data).hexdigest()
    foreground = (labels > 0) & (labels != (255 if expected.ignore is None else expected.ignore))
    if not foreground.any():
        look.faults.append(
            Fault(
                "empty-label",
                look.case_id,
                name,
                "holds background only",
                "check that nothing is to be marked in this case",
                WARNING,
            )
        )
    elif foreground.all():
        look.faults.append(
            Fault(
                "full-label", look.case_id, name, "holds no background", "check that it marks what it should", WARNING
            )
        )
    inside = tuple(slice(1, -1) if n > 2 else slice(None) for n in labels.shape)
    rim = labels.size - foreground[inside].size
    look.border = float((foreground.sum() - foreground[inside].sum()) / rim) if rim else None
    if images and images[0].values.shape[1:] == labels.shape and foreground.any():
        from lightm.data.transforms import CT_WINDOW

        seen = images[0].values[0][foreground]
        look.outside_ct = float(((seen < CT_WINDOW[0]) | (seen > CT_WINDOW[1])).mean())
        if np.isfinite(seen).all():
            look.around = tuple(float(v) for v in np.percentile(seen, (0.5, 99.5)))


def _binary(labels: np.ndarray, counts: np.ndarray, expected: Expected) -> tuple[np.ndarray, np.ndarray]:
    """A mask of one structure is often 0 and 255, or (with a threshold) any gray: then 0 and 1."""
    present = np.flatnonzero(counts)
    if expected.threshold is not None:
        labels = (labels > expected.threshold).astype(np.uint8)
    elif len(expected.classes) == 2 and expected.ignore != 255 and set(present.tolist()) <= {0, 255}:
        labels = (labels > 0).astype(np.uint8)
    else:
        return labels, counts
    return labels, np.bincount(labels.ravel(), minlength=256)


def _undeclared(case: str, name: str, unknown: list[int], present: list[int], expected: Expected) -> Fault:
    listed = ", ".join(map(str, unknown[:6])) + (", …" if len(unknown) > 6 else "")
    classes = f"0 to {len(expected.classes) - 1} ({', '.join(map(shown, expected.classes))})"
    what = f"holds {listed}, but the classes are {classes}"
    if len(expected.classes) == 2 and len(present) > 3 and max(present) > 200:
        return Fault(
            "soft-mask",
            case,
            name,
            f"{what}; it looks like a mask with soft edges (or a JPEG)",
            "save it with two values, or give the option threshold=127",
        )
    remedy = "name more classes (dataset.json, or the option classes), or correct the label map"
    return Fault("undeclared-label", case, name, what, remedy)


def _compare(look: Look, image: ImageFile, other: ImageFile, name: str, partner: str) -> None:
    """Shape, spacing and place of two files that should lie on one another; `other` is named in the fault."""
    wrong = misfit(image, other, partner)
    if wrong:
        look.faults.append(Fault(wrong.kind, look.case_id, name, wrong.what, wrong.remedy, wrong.severity))
