"""`lightm-book count`: the rows as JSON and as a table. What is in the rows is tested in test_count_tables.py."""

import json

import pytest

import lightm_book.counting.tables
from lightm_book import ROOT
from lightm_book.cli import main

ROWS = json.loads((ROOT / "results" / "counting.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    monkeypatch.setattr(lightm_book.counting.tables, "count_tables", lambda: iter(ROWS))


def test_json_is_the_list_of_rows(capsys):
    assert main(["count", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ROWS


def test_table_shows_printed_thop_and_true_numbers_of_every_row(capsys):
    assert main(["count"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ROWS) + 3
    (unetr,) = [line for line in lines if line.startswith("1  UNETR")]
    printed, thop = (f"{ROWS[2]['paper_gflops']:.2f}", f"{ROWS[2]['thop_macs'] * ROWS[2]['batch'] / 1e9:.2f}")
    assert printed in unetr and thop in unetr and printed != thop


def test_json_and_memory_exclude_each_other(capsys):
    assert main(["count", "--json", "--memory"]) == 2
    assert "not allowed with" in capsys.readouterr().err
