import subprocess
import sys

import numpy as np
import pytest

from lightm.data import list_datasets, load_dataset
from lightm.data.drawing import smooth_field
from lightm.errors import LightMError


@pytest.fixture(scope="module")
def radiographs():
    data = load_dataset("phantom-cxr", cases=24, size=96)
    return [data.read(case_id) for case_id in data.case_ids]


@pytest.fixture(scope="module")
def scans():
    data = load_dataset("phantom-ct", cases=10, size=48)
    return [data.read(case_id) for case_id in data.case_ids]


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_phantoms_say_that_they_are_synthetic():
    for info in list_datasets():
        if info.name.startswith("phantom"):
            data = load_dataset(info.name)
            assert info.synthetic and data.synthetic
            assert "SYNTHETIC" in data.source and "SYNTHETIC" in info.summary and "synthetic" in repr(data)


@pytest.mark.parametrize(("name", "size"), [("phantom-cxr", 64), ("phantom-ct", 24)])
def test_a_case_depends_on_seed_and_number_alone(name, size):
    few, many = load_dataset(name, cases=3, size=size), load_dataset(name, cases=9, size=size)
    last_first = [many.read(case_id) for case_id in reversed(few.case_ids)][::-1]
    for case_id, case in zip(few.case_ids, last_first, strict=True):
        again = few.read(case_id)
        assert np.array_equal(again.image, case.image) and np.array_equal(again.label, case.label)
    other = load_dataset(name, cases=3, size=size, seed=1)
    assert not set(other.case_ids) & set(few.case_ids)
    assert not np.array_equal(other.read(other.case_ids[0]).label, last_first[0].label)


def test_another_process_draws_the_same_case():
    program = (
        "from lightm.data import load_dataset; import hashlib; d = load_dataset('phantom-cxr', cases=2, size=32);"
        "print(hashlib.sha256(d.read(d.case_ids[1]).image.tobytes()).hexdigest())"
    )
    there = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in "ab"]
    assert there[0].stdout == there[1].stdout != ""


def test_no_two_radiographs_are_alike(radiographs):
    areas = [case.label.mean() for case in radiographs]
    assert np.std(areas) > 0.02  # small lungs and large ones
    overlaps = [dice(a.label == 1, b.label == 1) for a, b in zip(radiographs[1:], radiographs[:-1], strict=True)]
    assert max(overlaps) < 0.95 and np.mean(overlaps) < 0.88  # an average lung mask would not do


def test_a_radiograph_is_8_bit_gray_with_two_lungs(radiographs):
    for case in radiographs:
        assert case.image.shape == (1, 96, 96) and case.image.dtype == np.float32 and case.label.dtype == np.uint8
        assert case.image.min() >= 0 and case.image.max() <= 255 and (case.image == np.rint(case.image)).all()
        assert set(np.unique(case.label)) == {0, 1}
        halves = case.label[:, :48].mean(), case.label[:, 48:].mean()
        assert min(halves) > 0.05 and max(halves) < 0.45


def test_no_threshold_finds_the_lungs(radiographs):
    """Darker than a gray value, the best one of all: a network has to see shapes to do better."""
    best = max(
        np.mean([dice(case.image[0] < gray, case.label == 1) for case in radiographs]) for gray in range(5, 255, 5)
    )
    assert best < 0.7


def test_size_changes_the_resolution_and_not_the_patient():
    small, large = (load_dataset("phantom-cxr", cases=1, size=size) for size in (64, 256))
    small, large = small.read(small.case_ids[0]), large.read(large.case_ids[0])
    assert dice(small.label == 1, large.label[2::4, 2::4] == 1) > 0.95
    assert large.spacing[0] * 4 == pytest.approx(small.spacing[0])


def test_an_abdomen_is_in_hounsfield_units(scans):
    for case in scans:
        hu = case.image[0]
        assert hu.min() >= -1024 and hu.max() <= 1500 and (hu == np.rint(hu)).all()
        assert np.median(hu[0]) < -900  # air in front of the patient
        assert 0 < np.median(hu[case.label == 1]) < 140
        assert hu.max() > 300  # bone
        assert all(1 < step < 20 for step in case.spacing)


def test_tumours_are_darker_than_the_liver_around_them_and_rarer(scans):
    with_tumours = [case for case in scans if (case.label == 2).sum() > 20]
    assert 3 <= len(with_tumours) < len(scans)
    for case in with_tumours:
        hu = case.image[0]
        assert hu[case.label == 2].mean() < hu[case.label == 1].mean() - 8
        assert (case.label == 2).sum() < (case.label == 1).sum()


def test_the_liver_lies_on_the_patients_right(scans):
    for case in scans:
        columns = np.nonzero(case.label)[1]
        assert columns.mean() < 0.48 * case.label.shape[1]


def test_no_hu_range_finds_the_liver(scans):
    """Spleen, muscle and bowel are as gray as the liver."""
    for case in scans:
        liver = case.label > 0
        low, high = np.percentile(case.image[0][liver], [5, 95])
        assert dice((case.image[0] >= low) & (case.image[0] <= high), liver) < 0.75


def test_smooth_fields_agree_across_resolutions_and_are_smooth():
    coarse, fine = (smooth_field(np.random.default_rng(3), (n, n), 4) for n in (32, 96))
    assert np.abs(coarse - fine[1::3, 1::3]).max() < 1e-5
    assert np.abs(np.diff(fine, axis=0)).max() < 0.3 and fine.std() > 0.2


def test_fingerprint_tells_parameters_apart():
    prints = {
        load_dataset("phantom-cxr", **options).fingerprint()
        for options in ({}, {"seed": 1}, {"cases": 10}, {"size": 64})
    }
    assert len(prints) == 4
    assert load_dataset("phantom-cxr").fingerprint() == load_dataset("phantom-cxr", size=[128, 128]).fingerprint()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("phantom-xr", {}, "Did you mean 'phantom-cxr'"),
        ("phantom-cxr", {"case": 3}, "Did you mean 'cases'"),
        ("phantom-cxr", {"root": "x"}, "leave out root"),
        ("phantom-cxr", {"size": (64, 64, 64)}, "2 of them"),
        ("phantom-cxr", {"size": 64.5}, "size=64.5"),
        ("phantom-ct", {"size": 8}, "at least 16"),
        ("phantom-ct", {"cases": "many"}, "cases='many'"),
        ("phantom-ct", {"cases": 0}, "one case or more"),
        ("phantom-ct", {"seed": -1}, "seed from 0"),
    ],
)
def test_bad_options_name_the_remedy(name, options, words):
    with pytest.raises(LightMError, match=words):
        load_dataset(name, **options)


def test_unknown_case_is_named():
    with pytest.raises(LightMError, match=r"no case 'nobody'; its 5 cases run from 'phantom-cxr-0-0000'"):
        load_dataset("phantom-cxr", cases=5).read("nobody")
