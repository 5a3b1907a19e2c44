"""Training, validation and test cases: drawn from a seed, in proportion within each group, and hashed."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lightm.data.base import Dataset, digest
from lightm.errors import LightMError


@dataclass(frozen=True)
class Split:
    """Which case is in which part. `fingerprint` is that of the data set, `sha256` covers everything else here."""

    dataset: str
    fingerprint: str
    seed: int
    ratios: tuple[int, ...]
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hash of the whole split: two runs with the same one saw the same cases."""
        return digest([json.dumps(asdict(self), sort_keys=True)])


def make_split(dataset: Dataset, seed: int = 0, ratios: Sequence[int] = (7, 1, 2)) -> Split:
    """Draw a split. Each group of `dataset.stratum` is shared out in proportion to `ratios`, whole cases at a time.

    The default is the paper's 7 : 1 : 2 (Section 3; its seed and case lists were not published).
    """
    ratios = tuple(ratios)
    if len(ratios) != 3 or min(ratios) < 0 or sum(ratios) == 0:
        raise LightMError(f"ratios={ratios} must be three numbers for train, validation and test, e.g. (7, 1, 2).")
    groups = defaultdict(list)
    for case_id in sorted(dataset.case_ids):
        groups[dataset.stratum(case_id)].append(case_id)
    rng = np.random.default_rng(seed)
    parts: tuple[list[str], ...] = ([], [], [])
    owed = np.zeros(3)  # cases that rounding kept from each part so far; passed on, so that the totals are right too
    for name in sorted(groups):
        group = [groups[name][i] for i in rng.permutation(len(groups[name]))]
        owed += np.array(ratios) / sum(ratios) * len(group)
        counts = _share_out(owed, len(group))
        owed -= counts
        start = 0
        for part, count in zip(parts, counts, strict=True):
            part.extend(group[start : start + count])
            start += count
    return Split(dataset.name, dataset.split_fingerprint(), seed, ratios, *(tuple(sorted(part)) for part in parts))


def _share_out(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers that add up to `total`, nearest to the shares (largest remainder)."""
    counts = np.clip(np.floor(shares), 0, None).astype(int)
    while counts.sum() > total:
        counts[np.argmax(counts - shares)] -= 1
    while counts.sum() < total:
        counts[np.argmax(shares - counts)] += 1
    return counts


def save_split(split: Split, path: str | Path) -> None:
    """Write a split as JSON, with its hash."""
    content = asdict(split) | {"sha256": split.sha256}
    Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_split(path: str | Path, dataset: Dataset) -> Split:
    """Read a split for `dataset`. LightMError if it was altered, is of other data, or names cases that are gone."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        claimed = content.pop("sha256")
        lists = {key: tuple(content[key]) for key in ("ratios", "train", "val", "test")}
        split = Split(**(content | lists))
    except FileNotFoundError:
        raise LightMError(
            f"There is no split file {path}; correct the path, or leave it out to draw a split."
        ) from None
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        raise LightMError(
            f"{path} is not a split file written by lightm.data.splits.save_split; make a new one."
        ) from None
    if split.sha256 != claimed:
        raise LightMError(f"Split file {path} was altered: its content does not have the hash it names; restore it.")
    if split.dataset != dataset.name:
        raise LightMError(f"Split file {path} is for data set {split.dataset}, not {dataset.name}; name another file.")
    cases = [*split.train, *split.val, *split.test]
    missing = sorted(set(cases) - set(dataset.case_ids))
    if missing:
        raise LightMError(
            f"Split file {path} names {len(missing)} case(s) that {dataset.name} lacks, e.g. {missing[0]!r}; "
            "get the complete data set, or leave the file out to draw a split."
        )
    if len(cases) != len(set(cases)):
        raise LightMError(f"Split file {path} names a case in two parts; make a new one.")
    if split.fingerprint != dataset.split_fingerprint():
        raise LightMError(
            f"Split file {path} was made for other files (or other options) of {dataset.name} than those here; "
            "get the same data, or leave the file out to draw a split."
        )
    return split
