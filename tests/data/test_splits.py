import json
from collections import Counter

import pytest

from lightm.data import load_dataset
from lightm.data.montgomery_shenzhen import MontgomeryShenzhen, manifest
from lightm.data.splits import make_split, read_split, save_split
from lightm.errors import LightMError
from lightm.training.recipes import FOLDER


@pytest.fixture
def phantoms():
    return load_dataset("phantom-cxr", cases=50)


@pytest.fixture
def xrays():
    """The X-ray data set's names and groups, without its files."""
    data = object.__new__(MontgomeryShenzhen)
    data.case_ids = tuple(sorted(manifest()))
    return data


def test_parts_are_disjoint_complete_and_in_proportion(phantoms):
    split = make_split(phantoms)
    assert (len(split.train), len(split.val), len(split.test)) == (35, 5, 10)
    assert sorted(split.train + split.val + split.test) == sorted(phantoms.case_ids)


def test_a_split_depends_on_the_seed_alone(phantoms):
    assert make_split(phantoms, seed=3) == make_split(phantoms, seed=3)
    assert make_split(phantoms, seed=3).test != make_split(phantoms, seed=4).test


@pytest.mark.parametrize("cases", range(1, 24))
def test_rounding_never_loses_a_case(cases):
    split = make_split(load_dataset("phantom-cxr", cases=cases))
    sizes = len(split.train), len(split.val), len(split.test)
    assert sum(sizes) == cases
    assert all(abs(size - cases * share) < 1 for size, share in zip(sizes, (0.7, 0.1, 0.2), strict=True))


def test_every_part_has_every_hospital_and_reading_in_proportion(xrays):
    split = make_split(xrays)
    everyone = Counter(xrays.stratum(case_id) for case_id in xrays.case_ids)
    for part in (split.train, split.val, split.test):
        here = Counter(xrays.stratum(case_id) for case_id in part)
        for group, n in everyone.items():
            assert abs(here[group] - n * len(part) / 704) < 2


def test_the_committed_split_is_the_one_that_the_code_draws(xrays):
    assert read_split(FOLDER / "splits" / "montgomery-shenzhen-seed0.json", xrays) == make_split(xrays, seed=0)


@pytest.mark.real_data
def test_the_committed_hippocampus_split_fits_the_data(real_data):
    data = load_dataset("hippocampus")
    assert read_split(FOLDER / "splits" / "hippocampus-seed0.json", data) == make_split(data, seed=0)


def test_a_split_file_comes_back_as_it_was(phantoms, tmp_path):
    split = make_split(phantoms)
    save_split(split, tmp_path / "split.json")
    again = read_split(tmp_path / "split.json", phantoms)
    assert again == split and again.sha256 == split.sha256


def alter(path, how):
    content = json.loads(path.read_text())
    if how == "moved":
        content["train"].append(content["test"].pop())
    elif how == "seed":
        content["seed"] = 9
    elif how == "key":
        del content["val"]
    path.write_text("not JSON" if how == "text" else json.dumps(content))


@pytest.mark.parametrize(
    ("how", "words"),
    [("moved", "was altered"), ("seed", "was altered"), ("key", "not a split file"), ("text", "not a split file")],
)
def test_tampering_is_found(phantoms, tmp_path, how, words):
    save_split(make_split(phantoms), tmp_path / "split.json")
    alter(tmp_path / "split.json", how)
    with pytest.raises(LightMError, match=words):
        read_split(tmp_path / "split.json", phantoms)


def test_a_split_of_other_data_is_refused(phantoms, tmp_path):
    save_split(make_split(phantoms), tmp_path / "split.json")
    with pytest.raises(LightMError, match="is for data set phantom-cxr, not phantom-ct"):
        read_split(tmp_path / "split.json", load_dataset("phantom-ct"))
    with pytest.raises(LightMError, match=r"case\(s\) that phantom-cxr lacks"):
        read_split(tmp_path / "split.json", load_dataset("phantom-cxr", cases=20))
    with pytest.raises(LightMError, match="made for other files"):
        read_split(tmp_path / "split.json", load_dataset("phantom-cxr", cases=50, size=64))
    with pytest.raises(LightMError, match="There is no split file"):
        read_split(tmp_path / "nowhere.json", phantoms)


@pytest.mark.parametrize("ratios", [(7, 3), (0, 0, 0), (7, -1, 2)])
def test_bad_ratios_are_named(phantoms, ratios):
    with pytest.raises(LightMError, match="three numbers"):
        make_split(phantoms, ratios=ratios)
