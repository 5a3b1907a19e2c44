"""Checks of parameters and operations against the count record: thop's convention, and each thing counted once."""

from collections.abc import Mapping
from fractions import Fraction
from itertools import takewhile
from typing import Any

from lightm_book.paper.checks.arithmetic import lowest
from lightm_book.paper.claim import Check, Finding, Verdict
from lightm_book.paper.digits import agrees, numbers, shown
from lightm_book.paper.evidence import Evidence
from lightm_book.paper.settings import setting
from lightm_book.paper.sources import COUNTING_RECORD
from lightm_book.paper.tables import GFLOPS, OURS, PARAMS

SMALL = "lightm-unet-1m"
MISSING = Finding(Verdict.OPEN, f"Waits for `{COUNTING_RECORD}`.")
TRUE = {PARAMS: "params", GFLOPS: "macs"}
CALLED = {PARAMS: ("each parameter once", 10**6, "M"), GFLOPS: ("each multiply-accumulate once", 10**9, " GMACs")}


def thop_value(row: Mapping[str, Any], column: str) -> Fraction:
    """What the convention of the tables gives: thop's parameters / 10^6, or its MACs x batch / 10^9."""
    if column == PARAMS:
        return Fraction(row["thop_params"], 10**6)
    return Fraction(row["thop_macs"] * row["batch"], 10**9)


def true_value(row: Mapping[str, Any], column: str) -> Fraction:
    """Millions of parameters, or GMACs of one image, each counted once."""
    return Fraction(row[TRUE[column]], CALLED[column][1])


def printed_by_thop(number: int, row: str, column: str) -> Check:
    """The cell is the true number, or thop's."""

    def check(quote: str, evidence: Evidence) -> Finding:
        if not evidence.counting:
            return MISSING
        counted, printed = evidence.counting[number, row], numbers(quote)[0]
        thop, true = thop_value(counted, column), true_value(counted, column)
        once, _, unit = CALLED[column]
        if column == PARAMS and agrees(printed, true):
            return Finding(Verdict.REPRODUCED, f"{once.capitalize()}, `{counted['model']}` has {shown(true)}{unit}.")
        how = "thop's parameters" if column == PARAMS else f"thop's MACs of one image × the batch of {counted['batch']}"
        truth = f"{once.capitalize()}: {shown(true)}{unit}{'' if column == PARAMS else ' an image'}."
        if agrees(printed, thop):
            note = f"By {how}, every printed digit (`{counted['model']}`). {truth}"
            return Finding(Verdict.CONVENTION, note)
        ends = zip(reversed(f"{printed:,f}"), reversed(shown(thop)), strict=False)
        same = sum(a.isdigit() for a, b in takewhile(lambda end: end[0] == end[1], ends))
        tail = f": the last {same} digits are the printed ones" if same > 2 else ""
        return Finding(Verdict.CONTRADICTED, f"By {how}, {shown(thop)} (`{counted['model']}`){tail}. {truth}")

    return check


def times_once(number: int, column: str, rival: str, nth: int = 0, reduction: bool = False) -> Check:
    """The quote's nth number is the quotient (with `reduction`, the saving in percent) of the true counts."""

    def check(quote: str, evidence: Evidence) -> Finding:
        if not evidence.counting:
            return MISSING
        said = numbers(quote)[nth]
        there, here = (true_value(evidence.counting[number, row], column) for row in (rival, OURS))
        times = there / here
        value = 100 * (1 - 1 / times) if reduction else times
        once, _, unit = CALLED[column]
        less = f"{shown(value)} % less" if value >= 0 else f"{shown(-value)} % more"
        note = (
            f"{once.capitalize()}: {rival} {shown(there)}{unit}, {OURS} {shown(here)}{unit}"
            f"{'' if column == PARAMS else ' an image'}: {less if reduction else f'{shown(times)} times'}."
        )
        return Finding(Verdict.REPRODUCED if agrees(said, value) else Verdict.CONTRADICTED, note)

    return check


def share_once(number: int, column: str, rival: str, nth: int = 0) -> Check:
    """The quote's nth number is LightM-UNet's true cost as a percentage of a rival's."""

    def check(quote: str, evidence: Evidence) -> Finding:
        if not evidence.counting:
            return MISSING
        there, here = (true_value(evidence.counting[number, row], column) for row in (rival, OURS))
        once, _, unit = CALLED[column]
        note = f"{once.capitalize()}: {shown(here)}{unit} are {shown(100 * here / there)} % of {shown(there)}{unit}."
        same = agrees(numbers(quote)[nth], 100 * here / there)
        return Finding(Verdict.REPRODUCED if same else Verdict.CONTRADICTED, note)

    return check


def cost_once(number: int, row: str, columns: tuple[str, ...]) -> Check:
    """The quote's numbers are the row's true counts: millions of parameters, GMACs of one image."""

    def check(quote: str, evidence: Evidence) -> Finding:
        if not evidence.counting:
            return MISSING
        counted = evidence.counting[number, row]
        true = [true_value(counted, column) for column in columns]
        parts = [f"{shown(v)}{CALLED[c][2]}" for v, c in zip(true, columns, strict=True)]
        same = all(agrees(said, v) for said, v in zip(numbers(quote), true, strict=True))
        note = f"Counted once: {' and '.join(parts)}{' an image' if GFLOPS in columns else ''}."
        return Finding(Verdict.REPRODUCED if same else Verdict.CONTRADICTED, note)

    return check


def millions_once(tables: tuple[int, ...]) -> Check:
    """LightM-UNet, in the form that the tables count or as the text describes it, has the quoted millions."""

    def check(quote: str, evidence: Evidence) -> Finding:
        if not evidence.counting:
            return MISSING
        said = numbers(quote)[0]
        found = {}
        for number in tables:
            row = evidence.counting[number, OURS]
            found[f"the tables' network in {row['dims']}D"] = true_value(row, PARAMS)
            text = evidence.networks.count("lightm-unet", row["dims"]).params
            found[f"the text's in {row['dims']}D"] = Fraction(text, 10**6)
        note = "Each parameter once: " + ", ".join(f"{name} {shown(value)}M" for name, value in found.items()) + "."
        same = all(agrees(said, value) for value in found.values())
        if SMALL in evidence.networks.names:
            sizes = (shown(Fraction(evidence.networks.count(SMALL, d).params, 10**6)) for d in (2, 3))
            note += f" `{SMALL}`, the text's with other options, has {'M in 2D and '.join(sizes)}M in 3D."
        return Finding(Verdict.REPRODUCED if same else Verdict.CONTRADICTED, note)

    return check


def lower_counted(column: str, rivals: tuple[str, ...]) -> Check:
    """LightM-UNet's cost is below these networks' in Tables 1 and 2, as printed and counted once."""

    def check(quote: str, evidence: Evidence) -> Finding:
        printed = lowest(column, rivals)(quote, evidence)
        if printed.verdict is Verdict.CONTRADICTED:
            return printed
        if not evidence.counting:
            return Finding(Verdict.OPEN, f"{printed.note} {MISSING.note}")
        parts, lower, unit = [], [], CALLED[column][2]
        for number in (1, 2):
            here, *there = (true_value(evidence.counting[number, row], column) for row in (OURS, *rivals))
            lower.append(here < min(there))
            rival = rivals[there.index(min(there))]
            parts.append(f"{shown(here)}{unit} against {shown(min(there))}{unit} ({rival}) in Table {number}")
        note = f"{printed.note} Counted once: {'; '.join(parts)}."
        verdict = Verdict.REPRODUCED if all(lower) else Verdict.CONVENTION if any(lower) else Verdict.CONTRADICTED
        if verdict is Verdict.CONVENTION:
            note += f" So it is lower in Table {lower.index(True) + 1} only."
        return Finding(verdict, note)

    return check


def figure_shows(column: str, what: str) -> Check:
    """What Figure 1 draws, the cells of Tables 1 and 2: true counts or thop's; and would LightM-UNet's be the least?"""

    def check(quote: str, evidence: Evidence) -> Finding:
        if not evidence.counting:
            return MISSING
        rows = [(number, row) for number in (1, 2) for row in evidence.tables[number].rows]
        cells = {place: evidence.tables[place[0]][place[1], column] for place in rows}
        thop, true = (
            sum(agrees(cell, value(evidence.counting[place], column)) for place, cell in cells.items())
            for value in (thop_value, true_value)
        )
        least = [
            min(evidence.tables[n].rows, key=lambda row: true_value(evidence.counting[n, row], column)) for n in (1, 2)
        ]
        note = (
            f"{what} are thop's for {thop} of {len(rows)} markers, and true, each thing counted once, for {true}. "
            f"Redrawn with true counts, the least is that of {least[0]} in (a) and of {least[1]} in (b)."
        )
        if true == len(rows):
            return Finding(Verdict.REPRODUCED, note)
        return Finding(Verdict.CONVENTION if thop > len(rows) / 2 else Verdict.CONTRADICTED, note)

    return check


def dearer_once(quote: str, evidence: Evidence) -> Finding:
    """The two replacements of Table 3 have more parameters and operations than LightM-UNet, counted once."""
    if not evidence.counting:
        return MISSING
    base = evidence.counting[3, OURS]
    rows = [row for row in evidence.tables[3].rows if row.startswith("VSSM→")]
    quotients = [
        (row, column, true_value(evidence.counting[3, row], column) / true_value(base, column))
        for row in rows
        for column in (PARAMS, GFLOPS)
    ]
    names = {PARAMS: "parameters", GFLOPS: "MACs"}
    said = ", ".join(f"{row} {shown(q)} times the {names[column]}" for row, column, q in quotients)
    dearer = [q > 1 for *_, q in quotients]
    verdict = Verdict.REPRODUCED if all(dearer) else Verdict.CONTRADICTED
    return Finding(verdict, f"Counted once: {said}.")


def _fitting(dims: int | None, evidence: Evidence) -> tuple[list, list]:
    """Rows of the 2D or 3D tables (None: all), and those among them whose GFLOPs follow from the record."""
    rows = [place for place in evidence.counting if dims in (None, evidence.tables[place[0]].dims)]
    fits = [p for p in rows if agrees(evidence.tables[p[0]][p[1], GFLOPS], thop_value(evidence.counting[p], GFLOPS))]
    return rows, fits


def size_by_counts(dims: int) -> Check:
    """At the quoted image size, all rows of that version but at most one have their printed GFLOPs."""

    def check(quote: str, evidence: Evidence) -> Finding:
        if not evidence.counting:
            return MISSING
        rows, fits = _fitting(dims, evidence)
        counted = [int(n) for n in setting("size", dims).value]  # the record's images
        others = [f"{row} in Table {number}" for number, row in rows if (number, row) not in fits]
        note = f"Images of this size give the printed GFLOPs in {len(fits)} of {len(rows)} rows"
        note += f" (not {', '.join(others)})." if others else "."
        same = [int(n) for n in numbers(quote)] == counted and len(others) <= 1
        return Finding(Verdict.CONVENTION if same else Verdict.CONTRADICTED, note)

    return check


def batch_by_counts(dims: int) -> Check:
    """The factor between thop's MACs of one image and the printed GFLOPs is the quoted batch."""

    def check(quote: str, evidence: Evidence) -> Finding:
        if not evidence.counting:
            return MISSING
        rows, fits = _fitting(dims, evidence)
        batches = sorted({evidence.counting[place]["batch"] for place in fits})
        note = f"{len(fits)} of {len(rows)} rows are thop's MACs of one image × {' or '.join(map(str, batches))}."
        same = batches == [int(n) for n in numbers(quote)]
        return Finding(Verdict.CONVENTION if same else Verdict.CONTRADICTED, note)

    return check


def column_means(quote: str, evidence: Evidence) -> Finding:
    """What the heading GFLOPs stands for: thop's multiply-accumulates times the batch, row by row."""
    if not evidence.counting:
        return MISSING
    rows, fits = _fitting(None, evidence)
    note = (
        f"In {len(fits)} of {len(rows)} rows the figure is thop's multiply-accumulates of one image times the "
        "training batch: GMACs a batch. One MAC is two floating point operations."
    )
    return Finding(Verdict.CONVENTION if len(fits) > len(rows) / 2 else Verdict.CONTRADICTED, note)


def ablation_by_counts(row: str) -> Check:
    """Both counts of the ablation are those of the network that the record names."""

    def check(quote: str, evidence: Evidence) -> Finding:
        if not evidence.counting:
            return MISSING
        counted, table = evidence.counting[3, row], evidence.tables[3]
        same = all(agrees(table[row, column], thop_value(counted, column)) for column in (PARAMS, GFLOPS))
        if not same:
            return Finding(Verdict.OPEN, "No network found gives both printed counts.")
        return Finding(Verdict.CONVENTION, f"`{counted['model']}` does: {_REPLACED[row]}")

    return check


# What the ablations replace whose counts are the printed ones.
_REPLACED = {
    "VSSM→Conv3": "the first upload with a 3 × 3 × 3 convolution without bias for each whole RVM layer, not only for "
    "its VSS Module.",
    "VSSM→Self-Attention": "the first upload with attention for the Mamba blocks of the bottleneck's residual blocks; "
    "thop sees three C → C maps of it.",
}
