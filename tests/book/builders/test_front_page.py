"""The front page and the first screen of README.md say what the records say."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from lightm_book import ROOT
from lightm_book.builders import front
from lightm_book.compare.curves import load_tunings
from lightm_book.paper import TABLES, load_evidence
from lightm_book.show.front_picture import across, dots, front_figure, panel, the_u


@pytest.fixture(scope="module")
def evidence():
    return load_evidence(ROOT)


@pytest.fixture(scope="module")
def found(evidence):
    return front.findings(evidence, load_tunings(ROOT / "results" / "rates"))


def test_readme_and_its_picture_are_those_that_the_records_give():
    assert front.write_front(check=True) == 0


def test_there_are_four_findings_and_they_name_both_networks(found):
    assert len(found) == 4
    assert found[0].startswith("**33 of 34 printed costs")
    numbers = json.loads((ROOT / "results/counting.json").read_text("utf-8"))
    rows = {row["row"]: row for row in numbers if row["table"] == 2}
    ours, rival = rows["LightM-UNet"], rows["nnU-Net"]
    assert f"{ours['params'] / 1e6:.2f}M" in found[1] and f"{rival['params'] / ours['params']:.2f}x" in found[1]
    assert "116x" in found[1] and "21x" in found[1] and "network of the text" in found[1]


def test_a_lost_place_is_told(evidence, found):
    assert re.search(r"printed 1st of 6, measured the text's network \dth", found[3])


def test_without_counts_there_is_neither_picture_nor_what_rests_on_them(evidence):
    nothing = replace(evidence, counting={})
    assert front_figure(nothing) == "" and len(front.findings(nothing, [])) == 1


def test_each_dot_stands_where_its_numbers_say(evidence):
    root = ElementTree.fromstring(panel(evidence, 2))
    groups = [g for g in root.iter("g") if g.get("class") == "dot"]
    assert len(groups) == len(TABLES[2].rows) + 1  # LightM-UNet is two
    places = {re.search(r"--x0:([\d.]+)px;--x1:([\d.]+)px", g.get("style")).groups() for g in groups}
    assert places == {(f"{across(d.printed[0]):.1f}", f"{across(d.once[0]):.1f}") for d in dots(evidence, 2)}
    assert "nnU-Net from 5,595 to 60" in root.get("aria-label")


def test_the_u_has_every_stage_with_its_shape():
    root = ElementTree.fromstring(the_u())
    texts = [text.text for text in root.iter("text")]
    assert {"stem", "encoder 1", "bottleneck", "decoder 3", "head"} <= set(texts) and "32 × 512 × 512" in texts
    assert "parameters" in root.get("aria-label")
