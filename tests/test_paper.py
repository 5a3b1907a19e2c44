"""The paper as data: digits, quotations, and checks that can fail."""

import dataclasses
import json
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from lightm.errors import LightMError
from lightm.paper import CLAIMS, MODELS, SETTINGS, TABLES, Cell, Evidence, Kind, Verdict, read_counting, setting
from lightm.paper.accuracy import interval
from lightm.paper.digits import agrees, numbers, ratio_range, shown
from lightm.paper.evidence import Networks
from lightm.paper.sources import CODE, PAGES
from lightm.paper.tables import GFLOPS, OURS, PARAMS

ROOT = Path(__file__).parents[1]
PAPER = ROOT.parent / "shared" / "paper"
PRINTED = Evidence()  # the tables as printed, our own networks, no records


class FakeNetworks(Networks):
    """Networks made of given tensor shapes and counts."""

    def __init__(self, shapes=(), counts=()):
        self.given, self.counts = dict(shapes), dict(counts)

    @property
    def names(self):
        return frozenset({*self.given, *(name for name, _ in self.counts)})

    def shapes(self, name, dims):
        return self.given[name]

    def count(self, name, dims, size=None):
        return self.counts[name, size or dims]


def altered(*changes: tuple[int, str, str, str]) -> Evidence:
    """The printed evidence with other numbers in some cells."""
    tables = dict(TABLES)
    for number, row, column, text in changes:
        cells = dict(tables[number].cells)
        assert (row, column) in cells
        cells[row, column] = Cell(number, row, column, text)
        tables[number] = dataclasses.replace(tables[number], cells=cells)
    return Evidence(tables=tables, networks=PRINTED.networks)


def verdict(id: str, evidence: Evidence = PRINTED, quote: str | None = None) -> Verdict:
    claim = CLAIMS[id] if quote is None else dataclasses.replace(CLAIMS[id], quote=quote)
    return claim.judge(evidence).verdict


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
    assert {row for t in TABLES.values() for row in t.rows} == set(MODELS)
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


@pytest.fixture(scope="module")
def text() -> str:
    """The paper's text with the traces of its conversion removed, on one line."""
    path = PAPER / "lightm-unet-paper.txt"
    if not path.exists():
        pytest.skip("the paper's text (../shared/paper) is not here")
    raw = path.read_text(encoding="utf-8")
    raw = re.sub(r"\]\((?:https?:|#)[^)]*\)", "]", raw).replace("[[", "[").replace("]]", "]")
    for sign, name in (("×", "times"), ("↓", "downarrow"), ("→", "rightarrow")):
        raw = re.sub(rf"{sign}+\\{name}{sign}", sign, raw)
    return " ".join(raw.split())


def test_every_claim_has_a_place_a_short_quote_evidence_and_an_anchor_of_its_own():
    for id, claim in CLAIMS.items():
        assert id == claim.id and re.fullmatch(r"[a-z0-9-]+", id)
        assert claim.section and claim.quote and len(claim.quote.split()) <= 25, id
        assert claim.checked, id
        for key in claim.evidence:
            assert key in PAGES or key in CODE or key.startswith("results/"), (id, key)
        if claim.kind is not Kind.WORDING and claim.id != "figure-3":
            assert claim.evidence, id


@pytest.mark.parametrize("id", CLAIMS)
def test_the_quote_occurs_in_the_paper(id, text):
    assert " ".join(CLAIMS[id].quote.split()) in text


@pytest.mark.parametrize("number, row", [(n, row) for n, t in TABLES.items() for row in t.rows])
def test_rows_are_those_of_the_paper(number, row, text):
    cells = re.escape(" | ".join(cell.text for cell in TABLES[number].row(row)))
    table = text[text.index(f"Table {number}: ") :]
    assert re.search(rf"\| {re.escape(row)}(\[\d+\])? \| {cells} \|", table)


def test_settings_are_those_of_the_paper(text):
    for s in SETTINGS:
        assert s.quote in text and (not s.word or all(w in s.quote for w in s.word.replace(" and", "").split())), s


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
    assert verdict("setup-metrics", altered((2, "UNETR", "mIoU", "91.13"))) is Verdict.OPEN


def test_a_share_called_a_saving_is_told_from_a_saving():
    id = "comparative-u-mamba-operations"
    assert verdict(id, quote="1.07% fewer parameters and 97.47% less") is Verdict.REPRODUCED
    assert "2.53 % *of*" in CLAIMS[id].judge(PRINTED).note


def test_ablation_figures_are_right_once_they_change_places():
    swapped = CLAIMS["ablation-loss-factor"].quote.replace("0.44", "x").replace("0.69", "0.44").replace("x", "0.69")
    assert verdict("ablation-loss-factor", quote=swapped) is verdict("ablation-loss-residual", quote=swapped)
    assert verdict("ablation-loss-factor", quote=swapped) is Verdict.REPRODUCED


def test_wording_checks_accept_the_other_wording():
    assert verdict("setup-order", quote="of the 3D and 2D versions") is Verdict.REPRODUCED
    assert (
        verdict("comparative-reference-11", quote="The liver tumor segmentation benchmark (lits)") is Verdict.REPRODUCED
    )
    assert verdict("setup-optimiser", quote="Adam was employed") is Verdict.CONTRADICTED  # asks for SGD by name
    assert verdict("setup-learning-rate", quote="a learning rate of 1e-3") is Verdict.CONTRADICTED
    assert verdict("setup-epochs", quote="a total of 200 epochs") is Verdict.CONTRADICTED
    assert verdict("setup-split-2d", quote="a ratio of 8:1:1") is Verdict.OPEN


# ---- counts


def counted(change=lambda row: {}, text_params=2_549_024) -> Evidence:
    """A count record that fits the tables, with true counts half of thop's, after `change` of each row."""
    rows = {}
    for number, table in TABLES.items():
        for name in table.rows:
            params, batch = int(table[name, PARAMS] * 10**6), int(setting("batch size", table.dims).value[0])
            macs = int(table[name, GFLOPS] * 10**9) // batch
            row = {"table": number, "row": name, "model": "a-model", "dims": table.dims, "batch": batch}
            row |= {"thop_params": params, "thop_macs": macs, "params": params // 2, "macs": macs // 2}
            rows[number, name] = row | change(row)
    text = {("lightm-unet", dims): SimpleNamespace(params=text_params) for dims in (2, 3)}
    return Evidence(counting=rows, networks=FakeNetworks(counts=text))


COUNTING = [c.id for c in CLAIMS.values() if c.kind is Kind.COUNTING]


@pytest.mark.parametrize("id", COUNTING)
def test_claims_about_counts_are_open_without_the_record(id):
    assert verdict(id) is Verdict.OPEN


@pytest.mark.parametrize("id", COUNTING)
def test_every_verdict_on_counts_depends_on_the_record(id):
    def thop(row):
        return {"thop_params": 123, "thop_macs": 123 * 10**9}

    def ours(row):
        return {"params": 10**9, "macs": 10**13} if row["row"] == OURS else {}

    def exact(row):
        return {"params": row["thop_params"], "macs": row["thop_macs"] * row["batch"]}

    def share(row):
        return {"params": 10_700, "macs": 25_300} if row["row"] == OURS else {"params": 10**6, "macs": 10**6}

    records = [
        counted(),
        *map(counted, (thop, ours, exact, share)),
        counted(lambda row: {"params": 1_090_000}, 1_090_000),
    ]
    assert len({verdict(id, record) for record in records}) > 1


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
    assert finding.verdict is Verdict.CONTRADICTED and "8.52 times" in finding.note
    assert "0.86 times" in CLAIMS["abstract-operations-once"].judge(counted(honest)).note
    assert verdict("comparative-1m-once", counted(honest)) is Verdict.CONTRADICTED


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


# ---- accuracy


def run(row: str = OURS, shift: float = 0.0, **config) -> dict:
    """The record of a run on Table 2's data at the paper's settings, its mean the printed one plus `shift` percent."""
    printed = {"dsc": TABLES[2][row, "DSC"], "iou": TABLES[2][row, "mIoU"]}
    around = [(-0.02, 1), (0.02, 1)] * 20
    cases = [
        {key: {"lung": float(value) / 100 + shift / 100 + step} for key, value in printed.items()} | {"case": str(i)}
        for i, (step, _) in enumerate(around)
    ]
    used = {
        "data": {"size": [512, 512]},
        "train": {"batch_size": 12, "epochs": 100},
        "optim": {"name": "sgd", "lr": 1e-4},
    }
    for key, value in config.items():
        section, name = key.split("_", 1)
        used[section][name] = value
    return {
        "data": {"name": "montgomery-shenzhen", "synthetic": False, "classes": ["background", "lung"]},
        "model": {"name": MODELS[row][0]},
        "config": used,
        "test": {"cases": cases},
    }


def with_runs(**runs) -> Evidence:
    return Evidence(runs={f"results/{name}.json": record for name, record in runs.items()}, networks=FakeNetworks())


def test_an_interval_is_that_of_the_mean_over_cases():
    mean, low, high = interval(run(), "DSC")
    assert mean == pytest.approx(96.17) and high - mean == pytest.approx(mean - low) == pytest.approx(
        1.96 * 2.0255 / 40**0.5, rel=1e-3
    )


def test_accuracy_is_decided_only_by_a_run_at_the_papers_settings():
    id = "table-2-lightm-unet-accuracy"
    assert verdict(id) is Verdict.OPEN
    assert verdict(id, with_runs(a=run())) is Verdict.REPRODUCED
    assert verdict(id, with_runs(a=run(shift=-2))) is Verdict.CONTRADICTED
    short = CLAIMS[id].judge(with_runs(a=run(train_epochs=20, optim_name="adam")))
    assert short.verdict is Verdict.OPEN and "epochs 20, not 100" in short.note and "adam, not SGD" in short.note
    assert (
        verdict(id, with_runs(a=run(shift=-2, train_epochs=20), b=run())) is Verdict.REPRODUCED
    )  # the nearest run counts
    assert verdict(id, with_runs(a=run("UNETR"))) is Verdict.OPEN
    phantom = run()
    phantom["data"]["synthetic"] = True
    assert verdict(id, with_runs(a=phantom)) is Verdict.OPEN


def test_being_ahead_needs_the_tables_and_the_runs():
    id = "comparative-first-2d"
    rows = [row for row in TABLES[2].rows]
    runs = {f"r{i}": run(row) for i, row in enumerate(rows)}
    assert verdict(id, with_runs(**runs)) is Verdict.REPRODUCED
    assert verdict(id, with_runs(**(runs | {"r0": run("nnU-Net", shift=1)}))) is Verdict.CONTRADICTED
    assert verdict(id, with_runs(r0=runs["r0"])) is Verdict.OPEN
    assert verdict(id, altered((2, "nnU-Net", "DSC", "96.17"))) is Verdict.CONTRADICTED


# ---- the network


METHOD = [c.id for c in CLAIMS.values() if c.kind is Kind.METHOD]
UPLOADS = {
    "lightm-unet-released-2024-03-17": {"method-decoder-code-1": "CONTRADICTED", "method-scale-code-1": "CONTRADICTED"},
    "lightm-unet-released-2024-03-29": {
        "method-factor-code": "CONTRADICTED",
        "method-second-norm-code": "CONTRADICTED",
        "method-ssm-norm-code": "CONTRADICTED",
        "method-dwconv-code": "CONVENTION",
        "method-expansion": "CONVENTION",
        "method-bottleneck-code": "CONTRADICTED",
        "method-decoder-code-2": "REPRODUCED",
        "method-scale-code-2": "REPRODUCED",
        "setup-depths-code": "CONTRADICTED",
    },
}


@pytest.mark.parametrize("name", UPLOADS)
def test_the_released_code_against_the_text(name):
    path = PAPER / f"{name.removeprefix('lightm-unet-').replace('-', '_', 1)}_3d_state_dict.tsv"
    if not path.exists():
        pytest.skip("the authors' module names (../shared/paper) are not here")
    lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:])
    shapes = {key: tuple(map(int, shape.split("x"))) for key, shape in lines}
    evidence = Evidence(networks=FakeNetworks({name: shapes}))
    assert {id: verdict(id, evidence).name for id in UPLOADS[name]} == UPLOADS[name]


@pytest.mark.parametrize("id", METHOD)
def test_what_the_network_of_the_text_shows_a_wrong_network_would_not(id):
    if CLAIMS[id].evidence[-1] in CODE or id in ("setup-data", "setup-networks", "abstract-code", "method-2d-3d"):
        pytest.skip("decided by a quoted line or by being there, not by a network")
    if verdict(id) is not Verdict.REPRODUCED:
        pytest.skip("not reproduced in the first place")
    tensors = {
        "lightm-unet": {"encoder.0.weight": (3, 3), "bottleneck.0.proj.weight": (2, 1), "decoder.0.A_log": (1, 1)}
    }
    names = ("lightm-unet", "paper-attention", "paper-no-adjustment", "paper-no-residual")
    sizes = [2, 3, *((n, n) for n in (64, 128, 256))]
    counts = {
        (name, size): SimpleNamespace(
            params=1000 if name == "lightm-unet" else 1, macs=size if type(size) is int else size[0]
        )
        for name in names
        for size in sizes
    }
    assert verdict(id, Evidence(networks=FakeNetworks(tensors, counts))) is Verdict.CONTRADICTED


# ---- the page


def test_the_committed_scorecard_is_the_one_that_the_data_give():
    from scorecard import listed_pages, page

    from lightm.paper import load_evidence

    committed = (ROOT / "book" / "scorecard.md").read_text(encoding="utf-8")
    assert committed == page(load_evidence(ROOT), listed_pages()), "run: python tools/scorecard.py"


def test_the_scorecard_links_only_pages_that_the_book_lists():
    from scorecard import page

    evidence = dataclasses.replace(counted(), networks=PRINTED.networks)
    none, all_of_them = (page(evidence, listed) for listed in (set(), {p.file for p in PAGES.values()}))
    assert "](../notebooks/" not in none and "in preparation" in none
    assert "in preparation" not in all_of_them and "](../notebooks/09_counting)" in all_of_them
    targets = set(re.findall(r"\{#([\w-]+)\}|^\(([\w-]+)\)=", none, flags=re.M))
    assert {link for link in re.findall(r"\]\(#([\w-]+)\)", none)} <= {a or b for a, b in targets}
