"""What shows only when cases are put side by side: a picture that is there twice, a class that never occurs."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from lightm.data.check.cases import Expected, Look
from lightm.data.reading.description import NAME
from lightm.data.reading.faults import WARNING, Fault, shown


def compare_cases(looks: Sequence[Look], expected: Expected, normalise: str) -> tuple[list[Fault], list[str]]:
    """Faults and notes about the cases of a data set taken together."""
    training = [look for look in looks if look.part == "train"]
    faults = [*_duplicates(looks), *_odd_ones(looks, expected), *_classes(training, expected), *_inverted(training)]
    notes = []
    for note, cases in _by_note(looks).items():
        notes.append(f"{len(cases)} image(s) are {note}: {', '.join(cases[:5])}{', …' if len(cases) > 5 else ''}.")
    ignored = [look.case_id for look in training if expected.ignore is not None and look.counts.get(expected.ignore)]
    if ignored:
        notes.append(
            f"Label {expected.ignore} is one to ignore: {len(ignored)} label map(s) hold it, and what it marks is left "
            "out of loss and scores."
        )
    stored = Counter(look.stored for look in looks if look.stored)
    if len(stored) > 1:
        kinds = ", ".join(f"{name} {n}" for name, n in stored.most_common())
        notes.append(f"The files' axes run in different directions ({kinds}); all are turned the same way when read.")
    if normalise == "ct" and (window := _window(training)):
        cut, low, high = window
        what = f"says that the images are CT, but the liver window cuts off {cut:.0%} of what is marked"
        remedy = f"train with data.normalise=window:{low:g}:{high:g}, the values of what is marked, or a wider window"
        faults.append(Fault("window", "", NAME, what, remedy, WARNING))
    return faults, notes


def _window(training: Sequence[Look]) -> tuple[float, float, float] | None:
    """If the CT window cuts off most of what is marked: that share, and the lowest and highest value that is marked."""
    cut = [look.outside_ct for look in training if look.outside_ct is not None]
    ends = np.array([look.around for look in training if look.around is not None])
    if not cut or np.median(cut) <= 0.5 or not len(ends):
        return None
    return float(np.median(cut)), float(np.floor(ends[:, 0].min())), float(np.ceil(ends[:, 1].max()))


def _by_note(looks: Sequence[Look]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for look in looks:
        for note in dict.fromkeys(look.notes):
            found[note].append(look.case_id)
    return found


def _duplicates(looks: Sequence[Look]) -> list[Fault]:
    """The same image under several names: whatever the split, sooner or later one is trained on and one tested."""
    faults = []
    for same in _groups(looks, lambda look: "" if look.constant else look.image_hash):
        first, *others = same
        across = {look.part for look in same} == {"train", "test"}
        for other in others:
            place = "both trained and tested on, " if across else ""
            labels = "" if first.label_hash == other.label_hash or not other.label_hash else ", with another label map"
            where = f"{shown(first.case_id)} ({shown(first.files[0])})"
            what = f"is the same image as {where}, {place}under another name{labels}"
            faults.append(Fault("duplicate", other.case_id, other.files[0], what, "keep one of them"))
    marked = [look for look in looks if len(look.counts) > 1 and look.part == "train"]
    for first, *others in _groups(marked, lambda look: look.label_hash):
        for other in others:
            if other.image_hash != first.image_hash and not (first.constant and other.constant):
                what = f"is the same label map as that of {shown(first.case_id)}, though the images differ"
                faults.append(
                    Fault(
                        "same-label",
                        other.case_id,
                        other.files[-1],
                        what,
                        "check that it belongs to this image",
                        WARNING,
                    )
                )
    return faults


def _groups(looks: Sequence[Look], key: Any) -> list[list[Look]]:
    found: dict[str, list[Look]] = defaultdict(list)
    for look in looks:
        if key(look):
            found[key(look)].append(look)
    return [same for same in found.values() if len(same) > 1]


def _odd_ones(looks: Sequence[Look], expected: Expected) -> list[Fault]:
    """Cases whose axes, channels or spacing are not those of the others."""
    read = [look for look in looks if look.shape]
    faults = []
    if not read:
        return faults
    dims = Counter(len(look.shape) for look in read).most_common(1)[0][0]
    alike = [look for look in read if len(look.shape) == dims]
    for look in read:
        if len(look.shape) != dims:
            what = f"is {len(look.shape)}D, the others are {dims}D"
            faults.append(Fault("axes", look.case_id, look.files[0], what, "keep pictures and volumes apart"))
    numbers = Counter(look.channels for look in alike)
    usual = numbers.most_common(1)[0][0]
    if 1 in numbers and all(look.equal_channels or look.channels == 1 for look in alike):
        usual = 1  # gray saved as colour is read as gray
    made_alike = dims == 2 and expected.channels and set(numbers) <= {1, 3}
    declared = len(expected.declared)
    for look in alike:
        count = 1 if look.equal_channels and declared == 1 else look.channels
        if declared and count != declared and not made_alike:
            names = ", ".join(map(shown, expected.declared))
            what = f"has {count} channel(s), but {NAME} declares {declared} ({names})"
            remedy = "add the missing channel, or correct channel_names"
            faults.append(Fault("channels", look.case_id, look.files[0], what, remedy))
        elif not declared and not made_alike and look.channels != usual and not (usual == 1 and look.equal_channels):
            what = f"has {look.channels} channel(s), {numbers[usual]} other(s) have {usual}"
            remedy = "convert it, so that all are alike" + (", or give the option channels=1" if dims == 2 else "")
            faults.append(Fault("channels", look.case_id, look.files[0], what, remedy))
    spaced = [look for look in alike if look.spacing is not None]
    if len(spaced) > 2:
        median = np.median([look.spacing for look in spaced], axis=0)
        for look in spaced:
            ratio = np.array(look.spacing) / median
            if ratio.max() > 8 or ratio.min() < 1 / 8:
                what = f"has the spacing {_mm(look.spacing)} mm, the median is {_mm(median)} mm"
                faults.append(Fault("odd-spacing", look.case_id, look.files[0], what, "check its header", WARNING))
    return faults


def _mm(values: Any) -> str:
    return " x ".join(f"{v:.4g}" for v in values)


def _classes(training: Sequence[Look], expected: Expected) -> list[Fault]:
    """Declared and never marked; nothing marked at all."""
    counted = [look for look in training if look.counts]
    if not counted:
        return []
    values = {value for look in counted for value in look.counts}
    if not values - {0, expected.ignore}:
        what = f"all {len(counted)} label maps hold background only"
        return [Fault("all-empty", "", "", what, "put the label maps of these images there")]
    return [
        Fault(
            "absent-class",
            "",
            "",
            f"label {value} ({shown(name)}) is declared, but no label map holds it",
            "remove it from the classes, or check the label maps",
            WARNING,
        )
        for value, name in enumerate(expected.classes)
        if value and value not in values
    ]


def _inverted(training: Sequence[Look]) -> list[Fault]:
    """A mask whose rim is marked, where those of the others are not: background and structure may be swapped."""
    marked = [look for look in training if look.border is not None and len(look.counts) > 1]
    if len(marked) < 3:
        return []
    borders = np.array([look.border for look in marked])
    shares = np.array([1 - look.counts.get(0, 0) / sum(look.counts.values()) for look in marked])
    if np.median(borders) > 0.3 or np.median(shares) > 0.5:
        return []
    return [
        Fault(
            "inverted",
            look.case_id,
            look.files[-1],
            f"marks {share:.0%} of the image and {border:.0%} of its rim; in "
            f"the others it is {np.median(shares):.0%} and {np.median(borders):.0%}",
            "swap background and structure if it is inverted",
            WARNING,
        )
        for look, border, share in zip(marked, borders, shares, strict=True)
        if border > 0.9 and share > 0.5
    ]


def summarise(looks: Sequence[Look], expected: Expected, normalise: str) -> dict[str, Any]:
    """The facts of a report: cases, spatial_dims, channels, sizes and spacing (min, median, max), range, classes."""
    training = [look for look in looks if look.part == "train"]
    read = [look for look in training if look.shape]
    facts: dict[str, Any] = {"cases": len(training), "test_images": len(looks) - len(training), "normalise": normalise}
    if not read:
        return facts
    dims = Counter(len(look.shape) for look in read).most_common(1)[0][0]
    alike = [look for look in read if len(look.shape) == dims]
    facts |= {
        "spatial_dims": dims,
        "channels": Counter(look.channels for look in alike).most_common(1)[0][0],
        "sizes": _spread([look.shape for look in alike], int),
        "range": [min(look.low for look in alike), max(look.high for look in alike)],
    }
    if normalise == "ct" and (window := _window(training)):
        facts["window"] = window[1:]
    if not np.isfinite(facts["range"]).all():
        del facts["range"]
    spaced = [look.spacing for look in alike if look.spacing is not None]
    if spaced:
        facts["spacing"] = _spread(spaced, float)
    total = sum(sum(look.counts.values()) for look in training)
    facts["classes"] = [
        {
            "value": value,
            "name": name,
            "share": sum(look.counts.get(value, 0) for look in training) / total if total else None,
            "cases": sum(value in look.counts for look in training),
            "small_share": _small_share(training, value),
        }
        for value, name in enumerate(expected.classes)
    ]
    return facts


def _small_share(training: Sequence[Look], value: int) -> float | None:
    """The 10th percentile of a class's share of its image, over the cases that hold it."""
    shares = [look.counts[value] / sum(look.counts.values()) for look in training if value in look.counts]
    return float(np.quantile(shares, 0.1)) if shares else None


def _spread(rows: Sequence[Any], kind: type) -> dict[str, list]:
    table = np.array(rows, float)
    return {
        name: [kind(v) for v in of(table, axis=0)]
        for name, of in (("min", np.min), ("median", np.median), ("max", np.max))
    }
