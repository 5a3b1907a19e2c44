"""Checks of DSC and mIoU against the records of runs: at the paper's settings they decide, at reduced scale they don't.

Which runs belong together, their intervals and what may be said of a difference are the rules of `lightm_book.compare`,
by which the book's chapters judge, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lightm_book.compare.rows import PASSES, evaluation, runs_of
from lightm_book.compare.statistics import mean_interval
from lightm_book.compare.verdicts import BASE, standings
from lightm_book.paper.claim import Claim, Finding, Kind, Verdict, check, holds
from lightm_book.paper.coverage import row_of
from lightm_book.paper.distance import iterations, not_as_paper, paper_iterations, scale
from lightm_book.paper.evidence import Evidence
from lightm_book.paper.tables import NETWORKS_OF_ROW, OURS, STAND_IN, Table

_METRIC = {"DSC": "dsc", "mIoU": "iou"}
Record = Mapping[str, Any]


def trained_to_the_end(record: Record) -> bool:
    """Whether a run is long enough to be evidence: it saw each training case so often (`PASSES`)."""
    return iterations(record) * record["config"]["train"]["batch_size"] >= PASSES * record["data"]["cases"]["train"]


def column_scores(runs: Sequence[Record], column: str) -> np.ndarray:
    """What a column of the tables holds, for each run and case, in percent: (runs, cases)."""
    part, _, metric = column.rpartition(" ")
    classes = runs[0]["data"]["classes"][1:]
    wanted = {"Liver": classes[:1], "Tumor": classes[1:2]}.get(part, classes)
    cases = [evaluation(run)["cases"] for run in runs]
    return 100 * np.array([[np.mean([c[_METRIC[metric]][k] for k in wanted]) for c in scored] for scored in cases])


@check(Kind.ACCURACY)
def measured(claim: Claim, evidence: Evidence, table: int, row: str) -> Finding:
    """The row's printed accuracies lie within the 95 % intervals of our runs at the paper's settings.

    Intervals are over runs, or over the test cases of a single one. Runs at reduced scale are shown beside.
    """
    printed = evidence.tables[table]
    exact_runs = ((name, _at_paper_settings(name, printed, evidence)) for name in NETWORKS_OF_ROW[row])
    network, exact = next(((name, runs) for name, runs in exact_runs if runs), ("", {}))
    if exact:
        said, intervals = _scores(network, exact, printed)
        outside = [c for c, (_, low, high) in intervals.items() if not low <= float(printed[row, c]) <= high]
        if outside:
            said += f" Printed values outside: {', '.join(outside)}."
        return Finding(holds(not outside), said, records=tuple(exact))
    long = {name: record for name, record in evidence.runs.items() if trained_to_the_end(record)}
    found = {name: runs for name in NETWORKS_OF_ROW[row] if (runs := runs_of(name, printed.dataset, long))}
    if found:
        runs = next(iter(found.values()))
        note = " ".join(_scores(name, group, printed)[0] for name, group in found.items())
        other = "; ".join(not_as_paper(next(iter(runs.values())), printed.dims))
        note = f"{note} Such runs say nothing about the printed numbers. Unlike the paper's: {other}."
        records = tuple(name for group in found.values() for name in group)
        return Finding(Verdict.REDUCED, note, scale(list(runs.values()), printed.dims), records)
    short = [runs for name in NETWORKS_OF_ROW[row] if (runs := runs_of(name, printed.dataset, evidence.runs))]
    if short:
        return Finding(Verdict.OPEN, f"Only {_too_short(next(iter(short[0].values())), printed)}.")
    return Finding(Verdict.OPEN, f"No run of this network on {printed.dataset} is recorded.")


@check(Kind.ACCURACY)
def ahead(claim: Claim, evidence: Evidence, tables: list[int], rivals: list[str] | None = None) -> Finding:
    """LightM-UNet has the highest accuracy in every column: as printed, and in our runs.

    Our runs of the text's network are compared with those of the others over runs, after one correction for the whole
    book. For a table whose data nobody here has, runs on other data (`STAND_IN`) are shown, at reduced scale.
    """
    note, all_ahead = _printed_lead(evidence, tables, rivals)
    if not all_ahead:
        return Finding(Verdict.CONTRADICTED, note)
    parts = [_compared(evidence, number, rivals) for number in tables]
    found = [part for part in parts if part.records]
    note = f"{note} No spread over cases or runs is given. {' '.join(part.note for part in parts)}"
    records = tuple(name for part in found for name in part.records)
    if not found:
        return Finding(Verdict.OPEN, note)
    if any(part.verdict is Verdict.CONTRADICTED for part in parts):
        return Finding(Verdict.CONTRADICTED, note, records=records)
    if all(part.verdict is Verdict.REPRODUCED for part in parts):
        return Finding(Verdict.REPRODUCED, note, records=records)
    of_tables = [(f"Table {number}, ", part.scale) for number, part in zip(tables, parts, strict=True) if part.scale]
    scales = "; ".join(f"{table if len(tables) > 1 else ''}{text}" for table, text in of_tables)
    return Finding(Verdict.REDUCED, note, scales, records)


def _printed_lead(evidence: Evidence, tables: list[int], rivals: list[str] | None) -> tuple[str, bool]:
    leads = []
    for number in tables:
        table = evidence.tables[number]
        others = rivals or [row for row in table.rows if row != OURS]
        for column in table.accuracy:
            lead, rival = min((table[OURS, column] - table[row, column], row) for row in others)
            leads.append((lead, f"{column}, Table {number}, against {rival}"))
    ahead_in, (least, where) = sum(lead > 0 for lead, _ in leads), min(leads)
    note = f"As printed, ahead in {ahead_in} of {len(leads)} columns, by at least {least} points ({where})."
    return note, ahead_in == len(leads)


def _compared(evidence: Evidence, number: int, rivals: list[str] | None) -> Finding:
    """The text's network beside those of a table's other rows, in the comparison that has most of them."""
    table = evidence.tables[number]
    asked = set(rivals or (row for row in table.rows if row != OURS))
    candidates = []
    for experiment in evidence.experiments:
        there = {row for system in experiment.systems if (row := row_of(system)) in asked}
        of_table = experiment.dataset in (table.dataset, STAND_IN.get(number)) and not experiment.synthetic
        if there and of_table and experiment.native and BASE in experiment.systems:
            candidates.append((experiment, there))
    long = [found for found in candidates if found[0].carries_verdicts]
    if not long:
        note = f"only {_too_short(candidates[0][0].first, table)}" if candidates else "no comparison is recorded"
        return Finding(Verdict.OPEN, f"Table {number}: {note}.")
    experiment, there = max(long, key=lambda found: (found[0].dataset == table.dataset, len(found[1])))
    compared = experiment.only([BASE, *(system for system in experiment.systems if row_of(system) in there)])
    said: dict[str, list[str]] = {"worse": [], "better": [], "no difference shown": []}
    for standing in standings(compared, evidence.family):
        if standing.against:
            _, _, options = standing.system.partition(", ")  # what was fitted to the size, such as n_stages 6
            name = f"{row_of(standing.system)}{f' ({options})' if options else ''}"
            text = f"{name} {-100 * standing.against.mean:+.2f}".replace(" -", " −")
            said.setdefault(standing.verdict, []).append(text)
    words = {"worse": "ahead of", "better": "behind"}
    where = _elsewhere(experiment.first, table)
    listed = "; ".join(f"{words.get(what, what)}: {', '.join(rows)}" for what, rows in said.items() if rows)
    missing = [row for row in table.rows if row in asked - there]
    note = f"Table {number}, our runs{where}, points of DSC: {listed}."
    note += f" Not run: {', '.join(missing)}." if missing else ""
    every = not missing and len(said["worse"]) == sum(map(len, said.values()))
    leaning = "against" if said["better"] else "for" if every else "undecided"
    runs = [run for group in compared.systems.values() for run in group]
    names = tuple(name for name, record in evidence.runs.items() if any(record is run for run in runs))
    if leaning != "undecided" and not missing and not any(not_as_paper(run, table.dims) for run in runs):
        return Finding(holds(leaning == "for"), note, records=names)
    return Finding(Verdict.REDUCED, note, f"{scale(runs, table.dims)}{where}: {leaning}", names)


def _at_paper_settings(network: str, table: Table, evidence: Evidence) -> dict[str, Record]:
    return {
        name: record
        for name, record in evidence.runs.items()
        if record["model"]["name"] == network
        and record["data"]["name"] == table.dataset
        and not not_as_paper(record, table.dims)
    }


def _scores(network: str, runs: Mapping[str, Record], table: Table) -> tuple[str, dict[str, tuple]]:
    """Mean and interval of each column, in words and as numbers."""
    group = list(runs.values())
    found = {column: mean_interval(column_scores(group, column)) for column in table.accuracy}
    said = ", ".join(f"{c} {mean:.2f} ({low:.2f} … {high:.2f})" for c, (mean, low, high) in found.items())
    cases = len(evaluation(group[0])["cases"])
    over = f"{len(group)} runs" if len(group) > 1 else f"{cases} test cases of one run"
    return f"`{network}`: {said} over {over}.", found


def _too_short(record: Record, table: Table) -> str:
    size = " × ".join(map(str, record["config"]["data"]["size"]))
    done, whole = iterations(record), paper_iterations(table.dims)
    where = f"{size}{_elsewhere(record, table)}"
    return f"the beginning of a training is recorded ({where}, {done:,} of {whole:,} iterations)"


def _elsewhere(record: Record, table: Table) -> str:
    name = record["data"]["name"]
    return "" if name == table.dataset else f" on other data, {name}"
