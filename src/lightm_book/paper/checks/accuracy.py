"""Checks of DSC and mIoU against the records of runs on the same data at the paper's settings."""

import statistics
from collections.abc import Mapping
from math import log, prod, sqrt
from typing import Any

from lightm.models.registry import SIZE_OPTIONS
from lightm_book.paper.claim import Check, Finding, Verdict
from lightm_book.paper.evidence import Evidence
from lightm_book.paper.settings import SETTINGS, setting
from lightm_book.paper.tables import NETWORKS_OF_ROW, OURS, Table

NORMAL_95 = 1.96
_METRIC = {"DSC": "dsc", "mIoU": "iou"}
_CONFIG = {"size": "data.size", "batch size": "train.batch_size", "epochs": "train.epochs"}
_CONFIG |= {"optimiser": "optim.name", "learning rate": "optim.lr"}


def not_as_paper(record: Mapping[str, Any], dims: int) -> list[str]:
    """The settings of Section 3 that a run did not have, as "epochs 20, not 100"; empty: a run at the paper's."""
    different = []
    for given in SETTINGS:
        if given.name not in _CONFIG or dims not in given.dims:
            continue
        section, key = _CONFIG[given.name].split(".")
        used, said = record["config"][section][key], given.value
        if isinstance(said, str):
            same, said_text, used_text = str(used).lower() == said.lower(), said, str(used)
        else:
            values = list(used) if isinstance(used, list | tuple) else [used]
            same = [float(v) for v in values] == [float(n) for n in said]
            said_text, used_text = (" × ".join(str(n) for n in numbers) for numbers in (said, values))
        if not same:
            different.append(f"{given.name} {used_text}, not {said_text}")
    return different


def runs_of(row: str, table: Table, evidence: Evidence) -> dict[str, Mapping[str, Any]]:
    """The recorded runs of a row's network on the table's real data, nearest to the paper's settings first.

    Image size counts before all other settings. Variants of the network, by an option of its own, are no runs of it.
    """
    found = {
        name: record
        for name, record in evidence.runs.items()
        if record["data"]["name"] == table.dataset
        and not record["data"]["synthetic"]
        and record["model"]["name"] in NETWORKS_OF_ROW[row]
        and set(record["config"].get("model", {}).get("options", {})) <= set(SIZE_OPTIONS)
    }

    def distance(item: tuple[str, Mapping[str, Any]]) -> tuple:
        name, record = item
        return abs(log(_pixels_missing(record, table.dims))), len(not_as_paper(record, table.dims)), name

    return dict(sorted(found.items(), key=distance))


def _pixels_missing(record: Mapping[str, Any], dims: int) -> float:
    """How many times more pixels or voxels the paper's images have."""
    return prod(int(n) for n in setting("size", dims).value) / prod(record["config"]["data"]["size"])


def interval(record: Mapping[str, Any], column: str) -> tuple[float, float, float]:
    """Mean over the test cases in percent, and the ends of its 95 % interval (normal), of a column of the tables."""
    part, _, metric = column.rpartition(" ")
    classes = record["data"]["classes"][1:]
    wanted = {"Liver": classes[:1], "Tumor": classes[1:2]}.get(part, classes)
    scores = [
        statistics.fmean(100 * case[_METRIC[metric]][name] for name in wanted) for case in record["test"]["cases"]
    ]
    mean = statistics.fmean(scores)
    half = NORMAL_95 * statistics.stdev(scores) / sqrt(len(scores)) if len(scores) > 1 else float("inf")
    return mean, mean - half, mean + half


def measured(number: int, row: str) -> Check:
    """The row's printed accuracies lie within the 95 % intervals of a run at the paper's settings."""

    def check(quote: str, evidence: Evidence) -> Finding:
        table = evidence.tables[number]
        runs = runs_of(row, table, evidence)
        if not runs:
            return Finding(Verdict.OPEN, f"No run of this network on {table.dataset} is recorded.")
        name, record = next(iter(runs.items()))
        columns = [c for c in table.accuracy if c in table.columns]
        found = {column: interval(record, column) for column in columns}
        said = ", ".join(f"{c} {m:.2f} ({low:.2f} … {high:.2f})" for c, (m, low, high) in found.items())
        note = f"`{name}`: {said} over {len(record['test']['cases'])} test cases."
        if other := not_as_paper(record, table.dims):
            what = "Not the paper's settings"
            if _pixels_missing(record, table.dims) > 1:
                what = "At reduced size, which says nothing about the printed numbers"
            return Finding(Verdict.OPEN, f"{note} {what}: {'; '.join(other)}.")
        outside = [c for c, (_, low, high) in found.items() if not low <= float(table[row, c]) <= high]
        if outside:
            return Finding(Verdict.CONTRADICTED, f"{note} Printed values outside: {', '.join(outside)}.")
        return Finding(Verdict.REPRODUCED, note)

    return check


def ahead(tables: tuple[int, ...], rivals: tuple[str, ...] | None = None) -> Check:
    """LightM-UNet has the highest accuracy in every column: as printed, and in runs at the paper's settings."""

    def check(quote: str, evidence: Evidence) -> Finding:
        leads, columns, missing, behind = [], 0, [], []
        for number in tables:
            table = evidence.tables[number]
            others = rivals or tuple(row for row in table.rows if row != OURS)
            for column in table.accuracy:
                columns += 1
                lead, rival = min((table[OURS, column] - table[row, column], row) for row in others)
                leads.append((lead, f"{column}, Table {number}, against {rival}"))
            runs = {row: _at_paper_settings(row, table, evidence) for row in (OURS, *others)}
            missing += [row for row, record in runs.items() if record is None]
            if all(runs.values()):
                for column in table.accuracy:
                    means = {row: interval(record, column)[0] for row, record in runs.items()}
                    behind += [f"{column} of {row}" for row in others if means[row] >= means[OURS]]
        ahead_in = sum(lead > 0 for lead, _ in leads)
        least, where = min(leads)
        note = f"As printed, ahead in {ahead_in} of {columns} columns, by at least {least} points ({where})."
        if ahead_in < columns:
            return Finding(Verdict.CONTRADICTED, note)
        note += " No spread over cases or runs is given."
        if missing:
            return Finding(Verdict.OPEN, f"{note} Not measured here yet.")
        if behind:
            return Finding(Verdict.CONTRADICTED, f"{note} In our runs not ahead in {', '.join(behind)}.")
        return Finding(Verdict.REPRODUCED, f"{note} Our runs agree.")

    return check


def _at_paper_settings(row: str, table: Table, evidence: Evidence) -> Mapping[str, Any] | None:
    runs = runs_of(row, table, evidence)
    return next((record for record in runs.values() if not not_as_paper(record, table.dims)), None)
