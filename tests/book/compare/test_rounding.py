"""What float16 costs is measured on the run's own test cases, from its weights and nothing else."""

import json
import shutil

import pytest
from tiny import cheaply

from lightm.errors import LightMError
from lightm_book.cli import main
from lightm_book.compare.rounding import rounding


def test_the_record_holds_both_means_and_every_case(tiny_run, tmp_path):
    run, record = tiny_run
    with cheaply():
        assert main(["rounding", str(run), "--json", str(tmp_path / "rounding.json")]) == 0
    found = json.loads((tmp_path / "rounding.json").read_text("utf-8"))
    assert found["float32"] == found["as_trained"] == record["test_native"]["summary"]["dsc"]["mean"]
    assert [case["case"] for case in found["cases"]] == [case["case"] for case in record["test_native"]["cases"]]
    changes = [half - full for full, half in (case["lung"] for case in found["cases"])]
    assert found["change"] == pytest.approx(found["float16"] - found["float32"], abs=1e-12)
    assert found["largest_change"] == max(changes, key=abs)


def test_a_run_that_has_not_come_to_its_end_is_refused(tiny_run, tmp_path):
    shutil.copytree(tiny_run[0], tmp_path / "run")
    (tmp_path / "run" / "record.json").unlink()
    with pytest.raises(LightMError, match="has no record: let its training come to its end"):
        rounding(tmp_path / "run")
