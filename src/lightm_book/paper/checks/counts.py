"""Checks of parameters and operations against the count record: thop's convention, and each thing counted once."""

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from itertools import takewhile
from typing import Any

from lightm_book.paper.claim import Claim, Finding, Kind, Sort, Verdict, check, holds
from lightm_book.paper.digits import agrees, numbers, shown
from lightm_book.paper.evidence import TEXT, Evidence
from lightm_book.paper.settings import setting
from lightm_book.paper.sources import COUNTING_RECORD
from lightm_book.paper.tables import GFLOPS, NETWORKS_OF_ROW, OURS, PARAMS

SMALL = "lightm-unet-1m"
MISSING = Finding(Verdict.OPEN, f"Waits for `{COUNTING_RECORD}`.")
TRUE = {PARAMS: "params", GFLOPS: "macs"}
CALLED = {PARAMS: ("each parameter once", 10**6, "M"), GFLOPS: ("each multiply-accumulate once", 10**9, " GMACs")}


def counted(function, sort: Sort = Sort.FINDING):
    """Enter a check of counts; it is open where there is no count record."""

    def checked(claim: Claim, evidence: Evidence, **arguments: Any) -> Finding:
        return function(claim, evidence, **arguments) if evidence.counting else MISSING

    checked.__name__, checked.__doc__ = function.__name__, function.__doc__
    return check(Kind.COUNTING, sort)(checked)


def thop_value(row: Mapping[str, Any], column: str) -> Fraction:
    """What the convention of the tables gives: thop's parameters / 10^6, or its MACs x batch / 10^9."""
    if column == PARAMS:
        return Fraction(row["thop_params"], 10**6)
    return Fraction(row["thop_macs"] * row["batch"], 10**9)


def true_value(row: Mapping[str, Any], column: str) -> Fraction:
    """Millions of parameters, or GMACs of one image, each counted once."""
    return Fraction(row[TRUE[column]], CALLED[column][1])


def text_value(evidence: Evidence, column: str, dims: int, network: str = TEXT) -> Fraction:
    """The same of the network that the text describes, or of a variant of it."""
    return Fraction(getattr(evidence.networks.count(network, dims), TRUE[column]), CALLED[column][1])


@counted
def printed_by_thop(claim: Claim, evidence: Evidence, table: int, row: str, column: str) -> Finding:
    """The cell is the true number, or thop's."""
    found, printed = evidence.counting[table, row], numbers(claim.quote)[0]
    thop, true = thop_value(found, column), true_value(found, column)
    once, _, unit = CALLED[column]
    text = ""
    if row == OURS:
        text = f" The text's network: {shown(text_value(evidence, column, found['dims']))}{unit}."
    if column == PARAMS and agrees(printed, true):
        return Finding(Verdict.REPRODUCED, f"{once.capitalize()}, `{found['model']}` has {shown(true)}{unit}.{text}")
    how = "thop's parameters" if column == PARAMS else f"thop's MACs of one image × the batch of {found['batch']}"
    truth = f"{once.capitalize()}: {shown(true)}{unit}{'' if column == PARAMS else ' per image'}.{text}"
    if agrees(printed, thop):
        return Finding(Verdict.CONVENTION, f"By {how}, every printed digit (`{found['model']}`). {truth}")
    ends = zip(reversed(f"{printed:,f}"), reversed(shown(thop)), strict=False)
    same = sum(a.isdigit() for a, b in takewhile(lambda end: end[0] == end[1], ends))
    tail = f": the last {same} digits are the printed ones" if same > 2 else ""
    return Finding(Verdict.CONTRADICTED, f"By {how}, {shown(thop)} (`{found['model']}`){tail}. {truth}")


@counted
def cost_once(claim: Claim, evidence: Evidence, table: int, column: str, rival: str, nth: int, form: str) -> Finding:
    """The quote's nth number is the quotient ("times"), the saving or the share, in percent, of the true counts.

    Counted for both networks: the first upload, whose thop counts the tables print, and the one of the text.
    """
    row = evidence.counting[table, OURS]
    there = true_value(evidence.counting[table, rival], column)
    text = text_value(evidence, column, row["dims"])
    both = {"the first upload": true_value(row, column), "the text's network": text}
    once, _, unit = CALLED[column]
    said, parts, true = numbers(claim.quote)[nth], [], []
    for name, here in both.items():
        value = {"times": there / here, "saving": 100 - 100 * here / there, "share": 100 * here / there}[form]
        true.append(agrees(said, value))
        result = {"times": "times", "saving": "% less" if value >= 0 else "% more", "share": "%"}[form]
        parts.append(f"{name} {shown(here)}{unit}: {shown(abs(value))} {result}")
    once = once.capitalize() + ("" if column == PARAMS else ", one image")
    note = f"{once}: {rival} {shown(there)}{unit}; {'; '.join(parts)}."
    if any(true) and not all(true):
        return Finding(Verdict.CONVENTION, f"{note} So it is true of {list(both)[true.index(True)]} only.")
    return Finding(holds(all(true)), note)


@counted
def cells_once(claim: Claim, evidence: Evidence, table: int, row: str, columns: list[str]) -> Finding:
    """The quote's numbers are the row's true counts: millions of parameters, GMACs of one image."""
    true = [true_value(evidence.counting[table, row], column) for column in columns]
    parts = (f"{shown(v)}{CALLED[c][2]}" for v, c in zip(true, columns, strict=True))
    same = all(agrees(said, v) for said, v in zip(numbers(claim.quote), true, strict=True))
    return Finding(holds(same), f"Counted once: {' and '.join(parts)}{' per image' if GFLOPS in columns else ''}.")


@counted
def millions_once(claim: Claim, evidence: Evidence, tables: list[int]) -> Finding:
    """LightM-UNet, in the form that the tables count or as the text describes it, has the quoted millions."""
    found = {}
    for number in tables:
        row = evidence.counting[number, OURS]
        found[f"the first upload in {row['dims']}D"] = true_value(row, PARAMS)
        found[f"the text's network in {row['dims']}D"] = text_value(evidence, PARAMS, row["dims"])
    note = "Each parameter once: " + ", ".join(f"{name} {shown(value)}M" for name, value in found.items()) + "."
    if SMALL in evidence.networks.names:
        sizes = (shown(text_value(evidence, PARAMS, dims, SMALL)) for dims in (2, 3))
        note += f" `{SMALL}`, the text's with other options, has {'M in 2D and '.join(sizes)}M in 3D."
    return Finding(holds(all(agrees(numbers(claim.quote)[0], value) for value in found.values())), note)


@check(Kind.COUNTING)
def lower(claim: Claim, evidence: Evidence, column: str, rivals: list[str]) -> Finding:
    """LightM-UNet's cost is below these networks' in Tables 1 and 2, as printed and counted once."""
    rows = [(number, row) for number in (1, 2) for row in (OURS, *rivals)]
    printed, below = _lowest({place: evidence.tables[place[0]][place[1], column] for place in rows}, "", "at least ")
    note = f"As printed: {printed}."
    if not all(below):
        return Finding(Verdict.CONTRADICTED, note)
    if not evidence.counting:
        return Finding(Verdict.OPEN, f"{note} {MISSING.note}")
    true, unit = {place: true_value(evidence.counting[place], column) for place in rows}, CALLED[column][2]
    once, first = _lowest(true, unit)
    ours = {(n, OURS): text_value(evidence, column, evidence.counting[n, OURS]["dims"]) for n in (1, 2)}
    text, described = _lowest(true | ours, unit)
    note = f"{note} Counted once, the first upload: {once}. The text's network: {text}."
    if all(first) == all(described):
        return Finding(holds(all(first)), note)
    name, other = ("the text's network", first) if all(described) else ("the first upload", described)
    where = f"; of the other in Table {other.index(True) + 1} only" if any(other) else ""
    return Finding(Verdict.CONVENTION, f"{note} So it is true of {name} in both tables{where}.")


def _lowest(cost: Mapping[tuple[int, str], Any], unit: str, of_many: str = "") -> tuple[str, list[bool]]:
    """LightM-UNet's cost in Tables 1 and 2 beside the lowest of the others, in words, and where it is below that."""
    parts, below = [], []
    for table in (1, 2):
        here, others = cost[table, OURS], {r: v for (n, r), v in cost.items() if n == table and r != OURS}
        rival = min(others, key=others.__getitem__)
        below.append(here < others[rival])
        least = f"{of_many if len(others) > 1 else ''}{_shown(others[rival])}{unit} ({rival})"
        parts.append(f"{_shown(here)}{unit} against {least} in Table {table}")
    return "; ".join(parts), below


def _shown(value: Any) -> str:
    return shown(value) if isinstance(value, Fraction) else f"{value:,f}"


@counted
def figure(claim: Claim, evidence: Evidence, column: str, what: str) -> Finding:
    """What Figure 1 draws, the cells of Tables 1 and 2: true counts or thop's; and would LightM-UNet's be the least?"""
    rows = [(number, row) for number in (1, 2) for row in evidence.tables[number].rows]
    printed = {place: evidence.tables[place[0]][place[1], column] for place in rows}
    thop, true = (
        sum(agrees(cell, value(evidence.counting[place], column)) for place, cell in printed.items())
        for value in (thop_value, true_value)
    )
    least = [
        min(evidence.tables[n].rows, key=lambda row: true_value(evidence.counting[n, row], column)) for n in (1, 2)
    ]
    text = [
        text_value(evidence, column, evidence.tables[n].dims)
        < min(true_value(evidence.counting[n, row], column) for row in evidence.tables[n].rows if row != OURS)
        for n in (1, 2)
    ]
    panels = " and ".join(f"{'' if below else 'not '}in ({panel})" for below, panel in zip(text, "ab", strict=True))
    note = (
        f"{what} are thop's for {thop} of {len(rows)} markers, and true, each thing counted once, for {true}. "
        f"Redrawn with true counts, those of the first upload, the least is that of {least[0]} in (a) and of "
        f"{least[1]} in (b); the text's network would be the least {panels}."
    )
    if true == len(rows):
        return Finding(Verdict.REPRODUCED, note)
    return Finding(Verdict.CONVENTION if thop > len(rows) / 2 else Verdict.CONTRADICTED, note)


@counted
def dearer_once(claim: Claim, evidence: Evidence) -> Finding:
    """The two replacements of Table 3 have more parameters and operations than LightM-UNet, counted once."""
    parts, more = [], []
    for replaced in (row for row in evidence.tables[3].rows if row.startswith("VSSM→")):
        for column, name in ((PARAMS, "parameters"), (GFLOPS, "MACs")):
            first = true_value(evidence.counting[3, replaced], column) / true_value(evidence.counting[3, OURS], column)
            text = text_value(evidence, column, 3, NETWORKS_OF_ROW[replaced][0]) / text_value(evidence, column, 3)
            more += [first > 1, text > 1]
            parts.append(f"{replaced} {shown(first)} times the {name} (of the text's network {shown(text)})")
    return Finding(holds(all(more)), f"Counted once, of the first upload: {', '.join(parts)}.")


@counted
def counted_with(claim: Claim, evidence: Evidence, what: str, dims: int = 0) -> Finding:
    """Do the printed GFLOPs follow from the record: at the quoted image "size", "batch", and by which unit ("heading")?

    dims: the tables of that version of the networks only.
    """
    rows = [place for place in evidence.counting if dims in (0, evidence.tables[place[0]].dims)]
    fits = [p for p in rows if agrees(evidence.tables[p[0]][p[1], GFLOPS], thop_value(evidence.counting[p], GFLOPS))]
    said, of_rows = [int(n) for n in numbers(claim.quote)], f"{len(fits)} of {len(rows)} rows"
    if what == "size":
        others = [f"{row} in Table {number}" for number, row in rows if (number, row) not in fits]
        note = f"Images of this size give the printed GFLOPs in {of_rows}"
        note += f" (not {', '.join(others)})." if others else "."
        same = said == [int(n) for n in setting("size", dims).value] and len(others) <= 1  # the record's images
    elif what == "batch":
        batches = sorted({evidence.counting[place]["batch"] for place in fits})
        note = f"{of_rows} are thop's MACs of one image × {' or '.join(map(str, batches))}."
        same = batches == said
    else:
        note = (
            f"In {of_rows} the figure is thop's multiply-accumulates of one image times the "
            "training batch: GMACs a batch. One MAC is two floating point operations."
        )
        same = len(fits) > len(rows) / 2
    return Finding(Verdict.CONVENTION if same else Verdict.CONTRADICTED, note)


@partial(counted, sort=Sort.ONE_SIDED)
def ablation(claim: Claim, evidence: Evidence, row: str, replaced: str) -> Finding:
    """Both counts of the ablation are those of the network that the record names; `replaced` says what that is."""
    found, table = evidence.counting[3, row], evidence.tables[3]
    if not all(agrees(table[row, column], thop_value(found, column)) for column in (PARAMS, GFLOPS)):
        return Finding(Verdict.OPEN, "No network found gives both printed counts.")
    return Finding(Verdict.CONVENTION, f"`{found['model']}` does: {replaced}")
