"""The paper's claims against count records, runs and networks, real and made up; and the page that they give."""

import dataclasses
import json
import re
from types import SimpleNamespace

import pytest
from paper_evidence import PRINTED, FakeNetworks, altered, verdict

from lightm.errors import LightMError
from lightm_book import ROOT
from lightm_book.builders.scorecard import PAGE, listed_pages, page
from lightm_book.paper import (
    CLAIMS,
    NETWORKS_OF_ROW,
    TABLES,
    Evidence,
    Kind,
    Verdict,
    load_evidence,
    read_counting,
    setting,
)
from lightm_book.paper.checks.accuracy import interval
from lightm_book.paper.sources import CODE, PAGES
from lightm_book.paper.tables import GFLOPS, OURS, PARAMS

PAPER = ROOT.parent / "shared" / "paper"


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


def test_in_the_count_record_one_cell_is_not_what_thop_gives():
    evidence = load_evidence(ROOT)
    if not evidence.counting:
        pytest.skip("results/counting.json is not here: lightm-book count --json")
    cells = [id for id in COUNTING if id.startswith("table-")]
    assert [id for id in cells if verdict(id, evidence) is Verdict.CONTRADICTED] == ["table-1-unetr-gflops"]
    assert "last 4 digits are the printed ones" in CLAIMS["table-1-unetr-gflops"].judge(evidence).note
    assert verdict("abstract-parameters-once", evidence) is Verdict.CONTRADICTED


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
        "model": {"name": NETWORKS_OF_ROW[row][0]},
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


def test_the_evidence_is_of_the_largest_images_and_of_no_variant():
    id = "table-2-lightm-unet-accuracy"
    small = run(data_size=[64, 64])
    larger = run(data_size=[192, 192], train_epochs=16, optim_name="adamw")  # more settings differ
    finding = CLAIMS[id].judge(with_runs(a=small, b=larger))
    assert finding.verdict is Verdict.OPEN and "`results/b.json`" in finding.note
    assert "At reduced size, which says nothing about the printed numbers" in finding.note
    variant = run()
    variant["config"]["model"] = {"name": "lightm-unet", "options": {"directions": 2}}
    assert CLAIMS[id].judge(with_runs(a=variant)).note == "No run of this network on montgomery-shenzhen is recorded."
    fitted = run("UNETR")
    fitted["config"]["model"] = {"name": "unetr", "options": {"img_size": 512}}
    assert verdict("table-2-unetr-accuracy", with_runs(a=fitted)) is Verdict.REPRODUCED


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
    tensors["lightm-unet-released-2024-03-29"] = {"up_layers.0.0.conv.0.conv.weight": (4, 4, 3, 3, 3)}
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
    committed = (ROOT / "book" / "scorecard.md").read_text(encoding="utf-8")
    assert committed == page(load_evidence(ROOT), listed_pages()), "run: lightm-book claims"


def test_the_scorecard_links_only_pages_that_the_book_lists():
    evidence = dataclasses.replace(counted(), networks=PRINTED.networks)
    none, all_of_them = (page(evidence, listed) for listed in (set(), {p.file for p in PAGES.values()}))
    assert "](../notebooks/" not in none and "in preparation" in none
    assert "in preparation" not in all_of_them
    linked = set(re.findall(r"\]\(\.\./([\w/]+)\)", all_of_them))
    assert linked == {p.file for p in PAGES.values() if p.file != PAGE}
    targets = {a or b for a, b in re.findall(r"\{#([\w-]+)\}|^\(([\w-]+)\)=", none, flags=re.M)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", none)) <= targets
