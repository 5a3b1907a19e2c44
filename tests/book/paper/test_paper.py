"""The paper as data: digits, quotations, and what follows from the printed numbers."""

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from paper_evidence import PRINTED, altered, verdict

from lightm_book.paper import CLAIMS, NETWORKS_OF_ROW, SETTINGS, TABLES, Kind, Verdict, setting
from lightm_book.paper.digits import agrees, numbers, ratio_range, shown
from lightm_book.paper.sources import CODE, PAGES
from lightm_book.paper.tables import GFLOPS, PARAMS

# ---- digits and tables


def test_numbers_are_read_exactly_and_citations_and_dimensions_are_not_numbers():
    assert numbers("nnU-Net[8] and U-Mamba[14] by 99.14% and 18,057.20, in 2D/3D with Conv3") == (
        Decimal("99.14"),
        Decimal("18057.20"),
    )
    assert numbers("116× and 224×, a ratio of 7:1:2, 1e-4, 1M.") == tuple(
        map(Decimal, ("116", "224", "7", "1", "2", "1e-4", "1"))
    )


def test_agreement_is_rounding_at_the_printed_precision():
    assert agrees(Decimal("116"), Fraction(12656, 109)) and not agrees(Decimal("116.0"), Fraction(12656, 109))
    assert agrees(Decimal("0.10"), Fraction(105, 1000)) and not agrees(Decimal("0.10"), Fraction(1051, 10000))
    assert shown(Fraction(10**9 + 1, 1000), 2) == "1,000,000.00" and shown(Fraction(-1, 3), 1) == "-0.3"
    low, high = ratio_range(Decimal("2.0"), Decimal("1"))
    assert (low, high) == (Fraction(195, 150), Fraction(205, 50))


def test_tables_have_every_row_and_column_of_the_paper():
    assert {n: (len(t.rows), len(t.columns)) for n, t in TABLES.items()} == {1: (6, 8), 2: (6, 4), 3: (5, 8)}
    assert sum(len(t.cells) for t in TABLES.values()) == 112
    assert all(re.fullmatch(r"[\d,]+\.\d\d", cell.text) for t in TABLES.values() for cell in t.cells.values())
    assert {row for t in TABLES.values() for row in t.rows} == set(NETWORKS_OF_ROW)
    assert TABLES[1]["U-Mamba", GFLOPS] == Decimal("18057.20") and str(TABLES[2]["U-Mamba", PARAMS]) == "244.10"


def test_every_cell_is_covered_by_a_claim():
    covered = {cell for claim in CLAIMS.values() for cell in claim.cells}
    assert covered == {cell for t in TABLES.values() for cell in t.cells.values()}


def test_settings_read_their_numbers_from_the_quote():
    assert [int(n) for n in setting("size", 3).value] == [128] * 3 and [int(n) for n in setting("size", 2).value] == [
        512
    ] * 2
    assert setting("learning rate", 2).value == (Decimal("1e-4"),) and setting("optimiser", 3).value == "SGD"
    assert [int(setting("batch size", d).value[0]) for d in (2, 3)] == [12, 2]
    assert all(s.value for s in SETTINGS)


# ---- places and quotations


def test_every_claim_has_a_place_a_short_quote_evidence_and_an_anchor_of_its_own():
    for id, claim in CLAIMS.items():
        assert id == claim.id and re.fullmatch(r"[a-z0-9-]+", id)
        assert claim.section and claim.quote and len(claim.quote.split()) <= 25, id
        assert claim.asked, id
        for key in claim.evidence:
            assert key in PAGES or key in CODE or key.startswith("results/"), (id, key)
        if claim.kind is not Kind.WORDING and claim.id != "figure-3":
            assert claim.evidence, id


# ---- arithmetic


EXPECTED = {
    "abstract-parameters": Verdict.REPRODUCED,
    "abstract-operations": Verdict.REPRODUCED,
    "introduction-nnu-net": Verdict.REPRODUCED,
    "introduction-u-mamba-parameters": Verdict.REPRODUCED,
    "introduction-1m": Verdict.CONVENTION,
    "comparative-parameters": Verdict.REPRODUCED,
    "comparative-operations": Verdict.REPRODUCED,
    "comparative-miou": Verdict.REPRODUCED,
    "comparative-tumour": Verdict.REPRODUCED,
    "comparative-u-mamba-parameters": Verdict.CONTRADICTED,
    "comparative-u-mamba-operations": Verdict.CONTRADICTED,
    "comparative-2d-nnu-net": Verdict.REPRODUCED,
    "comparative-2d-u-mamba": Verdict.REPRODUCED,
    "ablation-loss-factor": Verdict.CONTRADICTED,
    "ablation-loss-residual": Verdict.CONTRADICTED,
    "ablation-beat-convolution": Verdict.CONVENTION,
    "table-1-nnu-net-average-miou": Verdict.CONTRADICTED,
    "table-3-vssm-conv3-own-result": Verdict.CONTRADICTED,
    "conclusion-99": Verdict.CONTRADICTED,
    "setup-order": Verdict.CONTRADICTED,
    "comparative-reference-11": Verdict.CONTRADICTED,
    "method-block-index": Verdict.CONTRADICTED,
    "setup-optimiser": Verdict.CONTRADICTED,
    "setup-split-2d": Verdict.REPRODUCED,
    "setup-split-3d": Verdict.OPEN,
}


@pytest.mark.parametrize("id", EXPECTED)
def test_verdict_on_the_printed_numbers(id):
    assert verdict(id) is EXPECTED[id], CLAIMS[id].judge(PRINTED).note


def test_only_the_named_arithmetic_claims_are_contradicted():
    wrong = {c.id for c in CLAIMS.values() if c.kind is Kind.ARITHMETIC and verdict(c.id) is Verdict.CONTRADICTED}
    assert wrong == {
        id for id, v in EXPECTED.items() if v is Verdict.CONTRADICTED and CLAIMS[id].kind is Kind.ARITHMETIC
    }


@pytest.mark.parametrize("id", [c.id for c in CLAIMS.values() if c.kind is Kind.ARITHMETIC])
def test_every_arithmetic_verdict_depends_on_the_numbers(id):
    """Some change of one printed number, or of the numbers in the quote, changes the verdict."""
    before = verdict(id)
    claim = CLAIMS[id]
    if numbers(claim.quote):
        for number in ("7.77", "98.92", "97.47", "0.69 and 0.44", "90"):
            quote = re.sub(r"(?<![\w.,])\d[\d,.]*\d(?=[%×xM]|\b)|\b\d\b", number, claim.quote)
            if verdict(id, quote=quote) is not before:
                return
    for n, table in TABLES.items():
        for cell in table.cells.values():
            for other in ("0.01", "50.00", "99.99", "74.14", "9999.99"):
                if verdict(id, altered((n, cell.row, cell.column, other))) is not before:
                    return
    pytest.fail("nothing changes it")


def test_an_average_may_differ_by_rounding_and_no_more():
    id = "table-1-segresnet-average-dsc"  # (96.11 + 71.22) / 2 = 83.665
    for text, wanted in (
        ("83.66", "REPRODUCED"),
        ("83.67", "REPRODUCED"),
        ("83.68", "CONTRADICTED"),
        ("83.65", "CONTRADICTED"),
    ):
        changed = altered((1, "SegResNet", "Average DSC", text))
        assert verdict(id, changed) is Verdict[wanted], text
    assert (
        verdict("table-1-nnu-net-average-miou", altered((1, "nnU-Net", "Average mIoU", "74.14"))) is Verdict.REPRODUCED
    )


def test_the_convexity_bound_catches_a_pair_below_it():
    id = "table-2-unetr-bound"  # DSC 95.36: at least 91.13
    assert verdict(id, altered((2, "UNETR", "mIoU", "91.13"))) is Verdict.REPRODUCED
    assert verdict(id, altered((2, "UNETR", "mIoU", "91.10"))) is Verdict.CONTRADICTED


def test_pooled_scores_would_not_be_called_means_over_cases():
    assert verdict("setup-metrics") is Verdict.CONVENTION
    assert verdict("setup-metrics", altered((1, "UNETR", "Liver mIoU", "88.79"))) is Verdict.OPEN
    assert verdict("setup-metrics", altered((2, "UNETR", "mIoU", "91.13"))) is Verdict.CONVENTION  # of two classes?


def test_a_share_called_a_saving_is_told_from_a_saving():
    id = "comparative-u-mamba-operations"
    assert verdict(id, quote="1.07% fewer parameters and 97.47% less") is Verdict.REPRODUCED
    assert "2.53 % *of*" in CLAIMS[id].judge(PRINTED).note


def test_ablation_figures_are_right_once_they_change_places():
    swapped = CLAIMS["ablation-loss-factor"].quote.replace("0.44", "x").replace("0.69", "0.44").replace("x", "0.69")
    assert verdict("ablation-loss-factor", quote=swapped) is verdict("ablation-loss-residual", quote=swapped)
    assert verdict("ablation-loss-factor", quote=swapped) is Verdict.REPRODUCED


def test_wording_checks_accept_the_other_wording():
    assert (
        verdict("comparative-reference-11", quote="The liver tumor segmentation benchmark (lits)") is Verdict.REPRODUCED
    )
    assert verdict("setup-learning-rate", quote="a learning rate of 1e-3") is Verdict.CONTRADICTED
    assert verdict("setup-epochs", quote="a total of 200 epochs") is Verdict.CONTRADICTED
    assert verdict("setup-split-2d", quote="a ratio of 8:1:1") is Verdict.OPEN
