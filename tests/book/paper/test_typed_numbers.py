"""Numbers of cases that pages type are those of the data: the committed split, the records, the claims' sources."""

import json
import re

import pytest

from lightm.training.recipes import FOLDER
from lightm.training.record import list_records
from lightm_book import ROOT
from lightm_book.paper.sources import PUBLIC_CASES

SPLIT = json.loads((FOLDER / "splits/montgomery-shenzhen-seed0.json").read_text(encoding="utf-8"))
XRAYS = [case for part in ("train", "val", "test") for case in SPLIT[part]]
COUNTS = {
    "704": len(XRAYS),
    "138": sum(case.startswith("MCUCXR") for case in XRAYS),
    "566": sum(case.startswith("CHNCXR") for case in XRAYS),
    "131": PUBLIC_CASES["lits"],
    "260": next(
        sum(record["data"]["cases"].values())
        for record in list_records(ROOT / "results/runs").values()
        if record["data"]["name"] == "hippocampus"
    ),
}
TYPED = re.compile(r"\b(\d+) (?:X-rays|radiographs with|from Montgomery|from Shenzhen|labelled volumes|small volumes)")


@pytest.mark.parametrize("page", ["data.md", "reproduce.md"])
def test_a_number_of_cases_on_a_page_is_that_of_the_data(page):
    found = TYPED.findall((ROOT / "book" / page).read_text(encoding="utf-8"))
    assert found and all(COUNTS[number] == int(number) for number in found), found


def test_the_sources_of_the_claims_know_as_many_x_rays():
    assert PUBLIC_CASES["montgomery-shenzhen"] == COUNTS["704"] == COUNTS["138"] + COUNTS["566"]
