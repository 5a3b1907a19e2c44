"""The scorecard, and a claim on the command line."""

import dataclasses
import re

import pytest
from paper_evidence import PRINTED, counted, run, with_runs

from lightm.errors import LightMError
from lightm_book import ROOT
from lightm_book.builders.scorecard import PAGE, independent, page
from lightm_book.cli import main
from lightm_book.paper import CLAIMS, Sort, Verdict, load_evidence
from lightm_book.paper.sources import PAGES
from lightm_book.reproduce.claim import find, report, run_again, train_again


@pytest.fixture(scope="module")
def evidence():
    return load_evidence(ROOT)


@pytest.fixture(scope="module")
def scorecard(evidence):
    return page(evidence)


def test_the_committed_scorecard_is_the_one_that_the_data_give(scorecard):
    committed = (ROOT / "book" / "scorecard.md").read_text(encoding="utf-8")
    assert committed == scorecard, "run: lightm-book claims"


def test_the_scorecard_links_pages_of_the_book_and_places_on_itself():
    listed = set(re.findall(r"(?:file|root):\s*(\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8")))
    text = page(dataclasses.replace(counted(), networks=PRINTED.networks))
    assert {p.file for p in PAGES.values()} <= listed
    assert set(re.findall(r"\]\(\.\./([\w/]+)\)", text)) <= listed - {PAGE}
    targets = {a or b for a, b in re.findall(r"\{#([\w-]+)\}|^\(([\w-]+)\)=", text, flags=re.M)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= targets


def test_findings_that_are_printed_twice_or_could_not_fail_are_counted_apart(evidence):
    found = independent()
    assert len({claim.question for claim in found}) == len(found) < len(CLAIMS)
    ids = {claim.id for claim in found}
    assert "abstract-parameters" in ids and "introduction-nnu-net" not in ids  # 116 times, twice
    assert "abstract-linear" in ids and "introduction-linear" not in ids
    assert not {c.sort for c in found} - {Sort.FINDING}
    for claim in CLAIMS.values():  # the same question has the same answer wherever it stands
        twin = next((other for other in found if other.question == claim.question), None)
        assert twin is None or twin.judge(evidence).verdict is claim.judge(evidence).verdict, claim.id
    assert {CLAIMS[id].sort for id in ("method-bottleneck", "setup-data")} == {Sort.BUILT}
    assert CLAIMS["table-2-unetr-bound"].sort is Sort.BOUND and CLAIMS["setup-order"].sort is Sort.READ


def test_the_scorecard_opens_with_scope_hours_and_findings(evidence, scorecard):
    glance = scorecard.split("## At a glance")[1].split("##")[0]
    hours = sum(run["cost"]["wall_seconds"] for run in evidence.runs.values()) / 3600
    assert f"{len(independent())} are independent findings" in glance.replace("\n", " ")
    assert f"{len(evidence.runs)} runs, {hours:.1f} hours" in glance and "704 cases" in glance


@pytest.mark.parametrize("id", ["abstract-linear", "abstract-parameters-once", "setup-order", "table-2-unetr-bound"])
def test_the_report_of_a_claim_has_all_that_decides_it(id, evidence):
    claim, text = CLAIMS[id], " ".join(report(CLAIMS[id], evidence).split())
    finding = claim.judge(evidence)
    for part in (claim.place, claim.quote, claim.asked, claim.check, finding.verdict, finding.note):
        assert " ".join(part.split()) in text, part
    assert "again lightm-book claim" in text and "cost" in text


def test_the_report_names_the_runs_and_their_hours():
    small = {"data_size": [128, 128], "train_batch_size": 4, "train_iterations_per_epoch": 20}
    runs = [run(seed=seed, **small) for seed in range(3)]
    text = report(CLAIMS["table-2-lightm-unet-accuracy"], with_runs(*runs))
    assert text.count("lightm train results/runs/") == 3 and "3.0 hours for 3 runs on a processor" in text


def test_a_claim_is_printed_by_its_id(capsys):
    assert main(["claim", "comparative-miou"]) == 0
    assert "77.48 − 75.37 = 2.11 percentage points" in " ".join(capsys.readouterr().out.split())
    assert main(["claim", "comparative-mio"]) == 2
    assert "Did you mean comparative-miou?" in capsys.readouterr().err


def test_what_rests_on_no_record_cannot_be_run_again(tmp_path):
    with pytest.raises(LightMError, match="rests on no record"):
        run_again(find("setup-optimiser"), PRINTED, tmp_path)


def test_a_training_is_run_again_from_its_record(tmp_path, monkeypatch, evidence):
    id = "table-2-lightm-unet-accuracy"
    name = CLAIMS[id].judge(evidence).records[0]
    better = {**evidence.runs[name], "test_native": run(shift=2)["test_native"]}
    monkeypatch.setattr("lightm_book.reproduce.claim.train_again", lambda record, out: better)
    again = run_again(CLAIMS[id], evidence, tmp_path)
    assert CLAIMS[id].judge(again).note != CLAIMS[id].judge(evidence).note
    assert CLAIMS[id].judge(again).verdict is Verdict.REDUCED


def test_a_record_is_the_recipe_of_the_same_run(tiny_run, tmp_path):
    folder, record = tiny_run
    again = train_again(folder / "record.json", tmp_path)
    assert again["test"] == record["test"] and again["config_sha256"] == record["config_sha256"]
    assert train_again(folder / "record.json", tmp_path) == again  # and not once more
