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
    """Draw a split. Each group of `dataset.stratum` is shared out in proportion to `ratios`, whole patients at a time.

    The default is the paper's 7 : 1 : 2 (Section 3; its seed and case lists were not published). Where patients have
    more than one case the parts are as near to the ratios as whole patients allow.
    """
    ratios = tuple(ratios)
    if len(ratios) != 3 or min(ratios) < 0 or sum(ratios) == 0:
        raise LightMError(f"ratios={ratios} must be three numbers for train, validation and test, e.g. (7, 1, 2).")
    patients = _patients(dataset)
    groups = defaultdict(list)
    for patient, cases in patients.items():
        groups[dataset.stratum(cases[0])].append(patient)
    rng = np.random.default_rng(seed)
    parts: tuple[list[str], ...] = ([], [], [])
    owed = np.zeros(3)  # cases that rounding kept from each part so far; passed on, so that the totals are right too
    for name in sorted(groups):
        group = [groups[name][i] for i in rng.permutation(len(groups[name]))]
        sizes = [len(patients[patient]) for patient in group]
        owed += np.array(ratios) / sum(ratios) * sum(sizes)
        if max(sizes) == 1:
            places = np.repeat(range(3), _share_out(owed, len(group))).tolist()
        else:
            places = _place(sizes, owed)
        counts = np.zeros(3, dtype=int)
        for patient, place in zip(group, places, strict=True):
            parts[place].extend(patients[patient])
            counts[place] += len(patients[patient])
        owed -= counts
    return Split(dataset.name, dataset.split_fingerprint(), seed, ratios, *(tuple(sorted(part)) for part in parts))


def make_folds(dataset: Dataset, folds: int = 5, seed: int = 0) -> tuple[Split, ...]:
    """`folds` splits for cross-validation: each case is tested once, in proportion within each stratum.

    Split k tests fold k, validates on the one after it and trains on the others; whole patients, as in `make_split`.
    LightMError for fewer than three folds or fewer patients than folds.
    """
    patients = _patients(dataset)
    if folds < 3 or folds > len(patients):
        raise LightMError(
            f"folds={folds} must be at least 3 (to train, validate and test) and at most the number of patients, "
            f"{len(patients)}."
        )
    rng = np.random.default_rng(seed)
    groups = defaultdict(list)
    for patient, cases in patients.items():
        groups[dataset.stratum(cases[0])].append(patient)
    held: list[list[str]] = [[] for _ in range(folds)]
    for name in sorted(groups):
        drawn = [groups[name][i] for i in rng.permutation(len(groups[name]))]
        for patient in sorted(drawn, key=lambda p: -len(patients[p])):  # stable: the draw decides among equals
            min(held, key=len).extend(patients[patient])
    splits = []
    for k in range(folds):
        parts = [[c for j, fold in enumerate(held) if j not in (k, (k + 1) % folds) for c in fold]]
        parts += [held[(k + 1) % folds], held[k]]
        ratios = (folds - 2, 1, 1)
        splits.append(
            Split(dataset.name, dataset.split_fingerprint(), seed, ratios, *(tuple(sorted(p)) for p in parts))
        )
    return tuple(splits)


def _patients(dataset: Dataset) -> dict[str, list[str]]:
    """Patient -> cases, in the order of their first case. A patient's stratum is that of the first."""
    patients: dict[str, list[str]] = defaultdict(list)
    for case_id in sorted(dataset.case_ids):
        patients[dataset.patient(case_id)].append(case_id)
    return patients


def _place(sizes: Sequence[int], owed: np.ndarray) -> list[int]:
    """Which part each patient goes to: large ones first, each to the part that still lacks most."""
    places, lacks = [0] * len(sizes), owed.copy()
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        places[i] = int(lacks.argmax())
        lacks[places[i]] -= sizes[i]
    return places


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
    """Read a split for `dataset`: one that `save_split` wrote, or one by hand with no more than the three case lists.

    By hand: {"train": ["case1", …], "val": […], "test": […]}. LightMError if it was altered, is of other data, names
    cases that are gone, names one twice, or has a patient in two parts.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        lists = {key: tuple(content[key]) for key in ("train", "val", "test")}
        if not all(isinstance(case, str) for part in lists.values() for case in part):
            raise TypeError
        by_hand = set(content) == set(lists)
        if by_hand:
            known = {"dataset": dataset.name, "fingerprint": dataset.split_fingerprint(), "seed": 0}
            content = known | {"ratios": tuple(len(part) for part in lists.values())}
            claimed = None
        else:
            claimed = content.pop("sha256")
            content["ratios"] = tuple(content["ratios"])
        split = Split(**(content | lists))
    except FileNotFoundError:
        raise LightMError(
            f"There is no split file {path}; correct the path, or leave it out to draw a split."
        ) from None
    except (OSError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise LightMError(
            f"{path} is not a split file written by lightm.data.splits.save_split; make a new one, or write one by "
            'hand: {"train": ["case1"], "val": ["case2"], "test": ["case3"]}.'
        ) from None
    if not by_hand and split.sha256 != claimed:
        raise LightMError(f"Split file {path} was altered: its content does not have the hash it names; restore it.")
    if split.dataset != dataset.name:
        raise LightMError(f"Split file {path} is for data set {split.dataset}, not {dataset.name}; name another file.")
    _check_cases(split, path, dataset)
    if split.fingerprint != dataset.split_fingerprint():
        raise LightMError(
            f"Split file {path} was made for other files (or other options) of {dataset.name} than those here; "
            "get the same data, or leave the file out to draw a split."
        )
    return split


def _check_cases(split: Split, path: Path, dataset: Dataset) -> None:
    """LightMError if a case is gone or in two parts, or a patient in two."""
    cases = [*split.train, *split.val, *split.test]
    missing = sorted(set(cases) - set(dataset.case_ids))
    if missing:
        raise LightMError(
            f"Split file {path} names {len(missing)} case(s) that {dataset.name} lacks, e.g. {missing[0]!r}; "
            "get the complete data set, or leave the file out to draw a split."
        )
    if len(cases) != len(set(cases)):
        raise LightMError(f"Split file {path} names a case in two parts; make a new one.")
    if not split.train:
        raise LightMError(f"Split file {path} names no case to train on; make a new one.")
    seen: dict[str, str] = {}
    for part in ("train", "val", "test"):
        for case in getattr(split, part):
            patient = dataset.patient(case)
            if seen.setdefault(patient, part) != part:
                raise LightMError(
                    f"Split file {path} has cases of patient {patient!r} in {seen[patient]} and in {part}; a network "
                    "that saw a patient is not tested on that patient: make a new one."
                )
