"""A patient's cases stay together, whatever the split; folds test each case once; a split may be written by hand."""

import json

import pytest
from faulty import pictures

from lightm.data import load_dataset
from lightm.data.splits import make_folds, make_split, read_split, save_split
from lightm.errors import LightMError

PATTERN = "^c([0-9])"  # of the twelve cases c00 to c11: patients 0 (ten cases) and 1 (two)


@pytest.fixture
def root(tmp_path, own_cache):
    return pictures(tmp_path / "set", cases=12)


def table(root, cases_a_patient):
    lines = [f"c{i:02d},p{i // cases_a_patient}" for i in range(12)]
    (root / "patients.csv").write_bytes(b"\xef\xbb\xbf" + "\n".join(["case,patient", *lines]).encode())
    return load_dataset("folder", root=root, patient="patients.csv")


def parts_of_patients(data, split):
    parts = {}
    for part in ("train", "val", "test"):
        for case in getattr(split, part):
            parts.setdefault(data.patient(case), set()).add(part)
    return parts


@pytest.mark.parametrize("cases_a_patient", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_no_patient_is_in_two_parts(root, cases_a_patient, seed):
    data = table(root, cases_a_patient)
    for split in (make_split(data, seed, (2, 1, 1)), *make_folds(data, 3, seed)):
        assert sorted([*split.train, *split.val, *split.test]) == list(data.case_ids)
        assert all(len(parts) == 1 for parts in parts_of_patients(data, split).values())
    split = make_split(data, seed, (2, 1, 1))
    assert [len(part) for part in (split.train, split.val, split.test)] == [6, 3, 3] or cases_a_patient == 2


def test_without_patients_the_split_is_the_one_it_was(root):
    plain, single = load_dataset("folder", root=root), table(root, 1)
    assert make_split(plain, 3) == make_split(single, 3)


def test_each_case_is_tested_and_validated_once_over_the_folds(root):
    data = table(root, 2)
    folds = make_folds(data, 4, seed=1)
    assert sorted(case for fold in folds for case in fold.test) == list(data.case_ids)
    assert sorted(case for fold in folds for case in fold.val) == list(data.case_ids)
    assert len({fold.sha256 for fold in folds}) == 4 and folds == make_folds(data, 4, seed=1) != make_folds(data, 4)


@pytest.mark.parametrize("folds", [2, 7, -1])
def test_folds_that_can_not_be_are_refused(root, folds):
    with pytest.raises(LightMError, match=f"folds={folds} must be at least 3 .* number of patients, 6"):
        make_folds(table(root, 2), folds)


def test_a_split_may_be_written_by_hand(root, tmp_path):
    data, path = table(root, 2), tmp_path / "mine.json"
    path.write_text(json.dumps({"train": ["c00", "c01", "c02", "c03"], "val": ["c04"], "test": ["c06", "c07"]}))
    split = read_split(path, data)
    assert split.test == ("c06", "c07") and split.fingerprint == data.split_fingerprint()
    save_split(split, path)
    assert read_split(path, data) == split


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"train": ["c00"], "val": ["c02"], "test": ["c01"]}, "cases of patient 'p0' in train and in test"),
        ({"train": ["c00"], "val": ["c02"], "test": ["c00"]}, "names a case in two parts"),
        ({"train": ["c00"], "val": ["c02"], "test": ["c99"]}, "'c99'"),
        ({"train": [], "val": ["c02"], "test": ["c01"]}, "no case to train on"),
        ({"train": [1], "val": ["c02"], "test": ["c01"]}, "is not a split file"),
        ({"train": ["c00"], "val": ["c02"]}, "is not a split file"),
    ],
)
def test_a_leak_in_a_split_is_refused(root, tmp_path, lists, words):
    (tmp_path / "mine.json").write_text(json.dumps(lists))
    with pytest.raises(LightMError, match=words):
        read_split(tmp_path / "mine.json", table(root, 2))


def test_patients_are_found_in_names(root):
    data = load_dataset("folder", root=root, patient=PATTERN)
    assert data.patient("c03") == "0" and data.patient("c10") == "1"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("^x([0-9])", "names no patient for 12 of 12 cases"),
        ("c[0-9]", "must have one group"),
        ("c([0-9]", "is no pattern"),
        ("../patients.csv", "lies outside"),
        ("none.csv", "Can't read"),
        ("bad.csv", "no columns called case and patient"),
        ("twice.csv", "names a case in two lines"),
        ("few.csv", "names no patient for 11 of 12"),
    ],
)
def test_patients_that_are_not_said_are_an_error(root, how, words):
    (root / "bad.csv").write_text("name,who\nc00,p\n")
    (root / "twice.csv").write_text("case,patient\nc00,p\nc00,q\n")
    (root / "few.csv").write_text("case,patient\nc00,p\n")
    with pytest.raises(LightMError, match=words):
        load_dataset("folder", root=root, patient=how)
