"""Every printed number of parameters and operations in Tables 1, 2 and 3 comes out, but one."""

import json
from decimal import ROUND_HALF_UP, Decimal

import pytest
import torch

from lightm.models import build_model
from lightm.training.record import list_records
from lightm_book import ROOT
from lightm_book.counting.tables import count_tables, thop_count
from lightm_book.paper.evidence import CHANNELS, read_counting
from lightm_book.paper.tables import GFLOPS, PARAMS, TABLES

RECORD = ROOT / "results" / "counting.json"

SLIP = (1, "UNETR")  # its GFLOPs


@pytest.fixture(scope="module")
def rows():
    pytest.importorskip("thop")
    pytest.importorskip("dynamic_network_architectures")
    return {(row["table"], row["row"]): row for row in count_tables()}


def printed(number, divisor):
    """An exact integer in the tables' unit, rounded to their two digits."""
    return (Decimal(number) / divisor).quantize(Decimal("0.01"), ROUND_HALF_UP)


def test_every_row_is_there_in_order(rows):
    assert list(rows) == [(number, row) for number, table in TABLES.items() for row in table.rows]


def test_thops_parameters_have_every_printed_digit(rows):
    for (number, row), counted in rows.items():
        assert printed(counted["thop_params"], 10**6) == TABLES[number][row, PARAMS], row


def test_thops_macs_times_the_batch_have_every_printed_digit_but_for_unetr_in_3d(rows):
    for (number, row), counted in rows.items():
        reproduced = printed(counted["thop_macs"] * counted["batch"], 10**9)
        if (number, row) == SLIP:
            assert TABLES[number][row, GFLOPS] - reproduced == 1500  # 1,891.35 for 391.35
        else:
            assert reproduced == TABLES[number][row, GFLOPS], row


def test_without_deep_supervision_the_u_nets_would_miss_the_printed_digits(rows):
    for table in (1, 2):
        counted = rows[table, "nnU-Net"]
        dims, (channels, classes) = counted["dims"], CHANNELS[counted["dims"]]
        with torch.device("meta"):
            model = build_model("nnunet", dims, channels, classes)
        plain = thop_count(model, (channels, *counted["size"]))
        assert printed(plain.macs * counted["batch"], 10**9) != TABLES[table]["nnU-Net", GFLOPS]


def test_counted_once_the_order_changes(rows):
    ours, theirs = rows[2, "LightM-UNet"], rows[2, "nnU-Net"]
    assert ours["thop_macs"] * 20 < theirs["thop_macs"] and ours["macs"] > theirs["macs"]
    assert ours["thop_params"] * 100 < theirs["thop_params"] and 8 < theirs["params"] / ours["params"] < 9


def test_the_ablations_of_the_residual_differ_by_one_number_a_layer_and_not_for_thop(rows):
    full = rows[3, "LightM-UNet"]
    for row in ("w/o Adjustment factors", "w/o Residual connections"):
        assert rows[3, row]["thop_params"] == full["thop_params"] and rows[3, row]["thop_macs"] == full["thop_macs"]
        assert full["params"] - rows[3, row]["params"] == 21 and rows[3, row]["macs"] == full["macs"]


def test_the_record_is_what_the_scorecard_reads(rows, tmp_path):
    path = tmp_path / "counting.json"
    path.write_text(json.dumps(list(rows.values())), encoding="utf-8")
    assert {place: dict(row) for place, row in read_counting(path).items()} == rows


def test_the_committed_record_is_what_is_counted_today(rows):
    assert json.loads(RECORD.read_text(encoding="utf-8")) == list(rows.values())


def test_the_committed_record_is_not_taken_for_a_run():
    assert RECORD.stem not in list_records(RECORD.parent / "runs") != {}
