"""The paper's counts against count records, the real one and made-up ones."""

import json

import pytest
from paper_evidence import counted, verdict

from lightm.errors import LightMError
from lightm_book import ROOT
from lightm_book.paper import CLAIMS, TABLES, Kind, Sort, Verdict, load_evidence, read_counting, setting
from lightm_book.paper.tables import GFLOPS, OURS, PARAMS

COUNTING = [c.id for c in CLAIMS.values() if c.kind is Kind.COUNTING]


@pytest.mark.parametrize("id", COUNTING)
def test_claims_about_counts_are_open_without_the_record(id):
    assert verdict(id) is Verdict.OPEN


@pytest.mark.parametrize("id", [id for id in COUNTING if CLAIMS[id].sort is Sort.FINDING])
def test_a_count_can_speak_for_the_paper_and_against_it(id):
    def thop(row):
        return {"thop_params": 123, "thop_macs": 123 * 10**9}

    def ours(row):
        return {"params": 10**9, "macs": 10**13} if row["row"] == OURS else {}

    def exact(row):
        return {"params": row["thop_params"], "macs": row["thop_macs"]}

    def a_batch(row):
        return {"params": row["thop_params"], "macs": row["thop_macs"] * row["batch"]}

    def share(row):
        return {"params": 10_700, "macs": 25_300} if row["row"] == OURS else {"params": 10**6, "macs": 10**6}

    def as_printed(name, dims):
        row = {"paper-conv3": "VSSM→Conv3", "paper-attention": "VSSM→Self-Attention"}.get(name, OURS)
        table, batch = TABLES[2 if dims == 2 else 3], int(setting("batch size", dims).value[0])
        row = row if row in table.rows else OURS
        return int(table[row, PARAMS] * 10**6), int(table[row, GFLOPS] * 10**9) // batch

    records = [
        *map(counted, (lambda row: {}, thop, ours, exact, share)),
        counted(ours, lambda name, dims: (10**9, 10**13)),
        counted(exact, as_printed),
        counted(share, lambda name, dims: (10_700, 25_300)),
        counted(lambda row: {"params": 1_000_000}, lambda name, dims: (1_000_000, 1)),
        counted(lambda row: {"params": 1_090_000}, lambda name, dims: (1_090_000, 1)),
        counted(a_batch),
    ]
    found = {verdict(id, record) for record in records}
    assert Verdict.CONTRADICTED in found and found & {Verdict.REPRODUCED, Verdict.CONVENTION}, found


def test_a_cell_is_reproduced_by_thop_or_by_the_truth_or_not():
    id = "table-1-unetr-params"
    assert verdict(id, counted()) is Verdict.CONVENTION
    assert verdict(id, counted(lambda row: {"params": row["thop_params"]})) is Verdict.REPRODUCED
    assert verdict(id, counted(lambda row: {"thop_params": row["thop_params"] + 10_000})) is Verdict.CONTRADICTED
    assert verdict("table-1-unetr-gflops", counted(lambda row: {"batch": 1})) is Verdict.CONTRADICTED


def test_the_headline_is_recomputed_from_true_counts():
    def honest(row):  # the magnitudes of the first upload and of nnU-Net in 2D
        return {
            OURS: {"params": 5_400_000, "macs": 70 * 10**9},
            "nnU-Net": {"params": 46_000_000, "macs": 60 * 10**9},
        }.get(row["row"], {})

    finding = CLAIMS["abstract-parameters-once"].judge(counted(honest))
    assert finding.verdict is Verdict.CONTRADICTED
    assert "the first upload 5.40M: 8.52 times; the text's network 2.55M: 18.05 times" in finding.note
    assert "0.86 times" in CLAIMS["abstract-operations-once"].judge(counted(honest)).note
    assert verdict("comparative-1m-once", counted(honest)) is Verdict.CONTRADICTED


def test_in_the_count_record_one_cell_is_not_what_thop_gives():
    evidence = load_evidence(ROOT)
    cells = [id for id in COUNTING if id.startswith("table-")]
    assert [id for id in cells if verdict(id, evidence) is Verdict.CONTRADICTED] == ["table-1-unetr-gflops"]
    assert "last 4 digits are the printed ones" in CLAIMS["table-1-unetr-gflops"].judge(evidence).note
    assert verdict("abstract-parameters-once", evidence) is Verdict.CONTRADICTED


def test_what_is_true_of_one_of_the_two_networks_only_is_said_of_that_one():
    def first(row):
        return {"params": 400_000} if row["row"] == OURS else {"params": 46_400_000}

    finding = CLAIMS["abstract-parameters-once"].judge(counted(first))
    assert finding.verdict is Verdict.CONVENTION and finding.note.endswith("So it is true of the first upload only.")
    finding = CLAIMS["abstract-parameters-once"].judge(counted(first, lambda name, dims: (400_000, 1)))
    assert finding.verdict is Verdict.REPRODUCED
    finding = CLAIMS["conclusion-gflops"].judge(counted(lambda row: {"macs": 10**13} if row["row"] == OURS else {}))
    assert finding.verdict is Verdict.CONVENTION and "true of the text's network in both tables." in finding.note


def test_a_count_record_is_checked_when_it_is_read(tmp_path):
    rows = list(counted().counting.values())
    path = tmp_path / "counting.json"
    path.write_text(json.dumps(rows))
    assert read_counting(path).keys() == counted().counting.keys()
    path.write_text(json.dumps([*rows[:-1], rows[-1] | {"params": 1.5}]))
    with pytest.raises(LightMError, match="params of 'LightM-UNet' must be int"):
        read_counting(path)
    path.write_text(json.dumps([*rows, rows[0] | {"row": "nnUNet"}]))
    with pytest.raises(LightMError, match="no row 'nnUNet'"):
        read_counting(path)
    path.write_text(json.dumps(rows[1:]))
    with pytest.raises(LightMError, match="lacks"):
        read_counting(path)
