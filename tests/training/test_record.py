"""A record is whole and consistent, says where its numbers come from, and nothing about whose machine it was."""

import copy
import getpass
import json
import os
import platform
import re
import tempfile
from pathlib import Path

import pytest

import lightm
from lightm.errors import LightMError
from lightm.training.metrics import summarise
from lightm.training.provenance import environment
from lightm.training.record import check_record, format_scores, list_records, load_record, save_record


@pytest.fixture
def record(tiny_run):
    return copy.deepcopy(tiny_run[1])


def change(record, key, value):
    *path, last = key.split(".")
    for part in path:
        record = record[part]
    if value is None:
        del record[last]
    else:
        record[last] = value


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("seed", None, "lacks seed"),
        ("data.cases.val", None, "lacks data.cases.val"),
        ("data.synthetic", "yes", "data.synthetic must be bool, not 'yes'"),
        ("seed", True, "seed must be int, not True"),
        ("cost.wall_seconds", "long", "cost.wall_seconds must be float"),
        ("curve", {}, "curve must be list"),
        ("schema", 2, "has schema 2; this version of lightm reads schema 1"),
        ("config.train.epochs", 4, "config_sha256 is not the hash of its config"),
        ("config.train.epoch", 4, "Unknown key 'train.epoch'. Did you mean 'epochs'?"),
        ("test.cases", [], "0 cases, but its summary counts 4"),
        ("test.summary.dsc.mean", 0.99, "the summary's mean dsc is not the mean of its classes"),
        ("test.summary.iou.per_class", {"lung": 0.5}, "the summary's iou of lung is not the mean of its cases"),
    ],
)
def test_a_record_that_is_not_whole_or_not_consistent_is_refused_by_name(record, key, value, sentence):
    assert check_record(record) is record
    change(record, key, value)
    with pytest.raises(LightMError, match=re.escape(sentence)):
        check_record(record, "x.json")


def test_a_score_outside_its_range_is_refused(record):
    record["test_native"]["cases"][1]["dsc"]["lung"] = 1.5
    with pytest.raises(LightMError, match="test_native: a dsc of lung is outside 0 … 1"):
        check_record(record)


def test_records_are_listed_by_name_and_a_damaged_file_is_named(record, tmp_path):
    for name in ("b", "a"):
        save_record(record, tmp_path / f"{name}.json")
    assert list(list_records(tmp_path)) == ["a", "b"] and list_records(tmp_path)["a"] == record
    (tmp_path / "c.json").write_text((tmp_path / "a.json").read_text()[:500])
    with pytest.raises(LightMError, match=r"Can't read the record .*c\.json"):
        list_records(tmp_path)
    with pytest.raises(LightMError, match=r"Can't read the record .*none\.json: No such file"):
        load_record(tmp_path / "none.json")


def test_a_record_with_nan_is_never_written(record, tmp_path):
    record["curve"][0]["train_loss"] = float("nan")
    with pytest.raises(ValueError, match="JSON compliant"):
        save_record(record, tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def test_a_record_names_no_path_machine_or_user(tiny_run, monkeypatch):
    monkeypatch.setenv("LIGHTM_DATA", "/a/private/place")
    text = (tiny_run[0] / "record.json").read_text() + json.dumps(environment())
    here = Path(lightm.__file__).parents[2]
    private = [str(tiny_run[0]), str(here), str(Path.home()), os.getcwd(), tempfile.gettempdir(), "/a/private"]
    names = [name for name in (platform.node(), getpass.getuser()) if len(name) > 4]  # "root" is in many a word
    assert [word for word in (*private, *names) if len(word) > 1 and word in text] == []
    assert not re.search(r'"/\w|[A-Z]:\\\\', text)


def test_the_environment_says_what_a_result_depends_on():
    found = environment()
    assert found["versions"]["torch"].count(".") >= 2 and found["versions"]["lightm"] == lightm.__version__
    assert "-" not in found["versions"].values()  # every package that matters is installed and found
    assert found["hardware"]["cores"] >= 1 and found["hardware"]["threads"] >= 1 and found["hardware"]["cpu"]
    commit = found["git"]["commit"]
    assert commit is None or re.fullmatch("[0-9a-f]{40}", commit)


def test_the_table_of_scores_shows_mean_median_and_the_worst_case():
    cases = [
        {"case": name, "dsc": {"liver": dsc, "tumour": dsc / 2}, "iou": {"liver": 0.5, "tumour": 0.25}}
        for name, dsc in (("a", 0.9), ("b", 0.2), ("c", 1.0))
    ]
    lines = [line.split() for line in format_scores("test", {"cases": cases, "summary": summarise(cases)}).splitlines()]
    assert lines[0] == ["test,", "3", "cases", "mean", "median", "worst"]
    assert lines[1] == ["DSC", "liver", "0.7000", "0.9000", "0.2000", "b"]
    assert lines[2] == ["DSC", "tumour", "0.3500", "0.4500", "0.1000", "b"]
    assert lines[3] == ["DSC,", "mean", "of", "the", "classes", "0.5250"]
