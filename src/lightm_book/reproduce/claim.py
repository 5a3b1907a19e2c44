"""One claim for a stranger: where it stands, what is asked, what decides, and how to find out again."""

import textwrap
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from lightm.errors import LightMError
from lightm_book import ROOT
from lightm_book.paper import CLAIMS, Claim, Evidence, Kind, read_counting
from lightm_book.paper.sources import CODE, PAGES

WIDTH, INDENT = 100, " " * 12


def find(id: str) -> Claim:
    """The claim of this id; LightMError names those that resemble it."""
    if id not in CLAIMS:
        near = [known for known in CLAIMS if id in known] or get_close_matches(id, CLAIMS, 5)
        remedy = f"Did you mean {' or '.join(near[:5])}?" if near else "The ids are the anchors on the scorecard."
        raise LightMError(f"There is no claim {id!r}. {remedy}")
    return CLAIMS[id]


def report(claim: Claim, evidence: Evidence) -> str:
    """Place, quote, question, evidence, command, cost, and the verdict, derived now."""
    finding = claim.judge(evidence)
    commands, cost = _again(claim, finding.records, evidence)
    about = "" if claim.sort == "findings" else f" ({claim.sort})"
    shown = [
        ("place", claim.place),
        ("quote", f"“{claim.quote}”"),
        ("asked", claim.asked),
        ("kind", f"{claim.kind}{about}"),
        ("evidence", "\n".join([*map(_named, claim.evidence), *finding.records]) or "the quotation"),
        ("check", f"{claim.check}{''.join(f', {k} = {v}' for k, v in claim.arguments.items())}"),
        ("again", "\n".join(commands)),
        ("cost", cost),
        ("verdict", f"{finding.verdict}{f': {finding.scale}' if finding.scale else ''}"),
        ("finding", finding.note),
    ]
    lines = [claim.id]
    for name, text in shown:
        first = f"  {name:<10}"
        for line in text.splitlines():
            lines += textwrap.wrap(line, WIDTH, initial_indent=first, subsequent_indent=INDENT, break_on_hyphens=False)
            first = INDENT
    return "\n".join(lines)


def run_again(claim: Claim, evidence: Evidence, out: Path) -> Evidence:
    """The evidence with what decides the claim made anew: the counts, or every training run, each in a folder of `out`.

    A training that was interrupted goes on. LightMError where there is nothing to run.
    """
    from lightm.files import write_json

    if claim.kind is Kind.COUNTING:
        from lightm_book.counting.tables import count_tables

        out.mkdir(parents=True, exist_ok=True)
        write_json(list(count_tables()), out / "counting.json")
        return replace(evidence, counting=read_counting(out / "counting.json"))
    records = claim.judge(evidence).records
    if not records:
        raise LightMError(f"{claim.id} rests on no record to make again; leave out --run to judge it at once.")
    return replace(evidence, runs={**evidence.runs, **{name: train_again(ROOT / name, out) for name in records}})


def train_again(record: Path, out: Path) -> dict:
    """The record of a run by the recipe of `record`, in a folder of its name: begun, gone on with, or there already."""
    from lightm.training.config import load_config
    from lightm.training.record import load_record
    from lightm.training.trainer import Trainer

    folder = out / record.stem
    if (folder / "record.json").exists():
        return load_record(folder / "record.json")
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Trainer(load_config(record), folder, resume=folder.exists()).fit()


def _again(claim: Claim, records: tuple[str, ...], evidence: Evidence) -> tuple[list[str], str]:
    """Commands that make anew what the verdict rests on, and what they take."""
    here = f"lightm-book claim {claim.id}"
    if claim.kind is Kind.COUNTING:
        cost = "minutes on one core, without data or a GPU; it needs thop: pip install lightm[count]"
        return [f"{here} --run", "lightm-book count"], cost
    if records:
        runs = [evidence.runs[name] for name in records]
        hours = sum(run["cost"]["wall_seconds"] for run in runs) / 3600
        machines = {run["environment"]["hardware"]["gpu"] or run["environment"]["hardware"]["cpu"] for run in runs}
        many = f"{len(runs)} run{'s' * (len(runs) > 1)}"
        cost = f"{hours:.1f} hours for {many} on {', '.join(sorted(machines))}; it needs the data"
        return [f"{here} --run", *(f"lightm train {name}" for name in records)], cost
    if claim.kind is Kind.ACCURACY:
        return ["lightm-book reproduce --list"], "no run is long enough yet; the plan says what its pieces take"
    return [here], "seconds"


def _named(key: str) -> str:
    if key in PAGES:
        return f"{PAGES[key].text}: {PAGES[key].file}{f' ({PAGES[key].label})' if PAGES[key].label else ''}"
    if key in CODE:
        quote = f": {CODE[key].quote}" if CODE[key].quote else ""
        return f"{CODE[key].text}{quote} {CODE[key].url}"
    return key
