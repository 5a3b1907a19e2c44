"""Checks that need the printed numbers only: do the paper's statements follow from its own tables?"""

from decimal import Decimal
from fractions import Fraction

from lightm_book.paper.claim import Claim, Finding, Kind, Sort, Verdict, check, holds
from lightm_book.paper.digits import agrees, half_unit, numbers, ratio_range, shown
from lightm_book.paper.evidence import Evidence
from lightm_book.paper.tables import GFLOPS, OURS, PARAMS, TRANSFORMERS, Table

UNIT = {PARAMS: "parameters", GFLOPS: "GFLOPs"}


def quotient(table: Table, column: str, rival: str) -> Fraction:
    """How many times LightM-UNet's printed cost goes into a rival's."""
    return Fraction(table[rival, column]) / Fraction(table[OURS, column])


def margin(table: Table, column: str, rival: str) -> Decimal:
    """LightM-UNet's printed accuracy less a rival's, in percentage points. Exact."""
    return table[OURS, column] - table[rival, column]


def mean_of_classes(table: Table, row: str, metric: str) -> Fraction:
    """What the column Average should hold: the mean of the liver and the tumour column."""
    return Fraction(table[row, f"Liver {metric}"] + table[row, f"Tumor {metric}"]) / 2


def iou_bound(dsc: Fraction) -> Fraction:
    """The least mean IoU, in percent, that goes with a mean DSC.

    For one case IoU = DSC / (2 - DSC), a convex function, so that the mean over cases of the IoU is at least
    this function of the mean DSC (Jensen), and equal only if all cases have the same DSC.
    """
    return 100 * dsc / (200 - dsc)


def bounded(table: Table, row: str, dsc: str, iou: str) -> bool:
    """Does a printed pair keep the bound, given that both were rounded?"""
    least = iou_bound(Fraction(table[row, dsc]) - half_unit(table[row, dsc]))
    return Fraction(table[row, iou]) + half_unit(table[row, iou]) >= least


def pairs(table: Table) -> tuple[tuple[str, str], ...]:
    """The columns (DSC, mIoU) that belong together."""
    return tuple((c, c.replace("DSC", "mIoU")) for c in table.accuracy if c.endswith("DSC"))


@check(Kind.ARITHMETIC)
def cost(claim: Claim, evidence: Evidence, table: int, column: str, rival: str, nth: int, form: str) -> Finding:
    """The quote's nth number is a rival's cell over LightM-UNet's ("times"), or the saving in percent.

    form "share": the quote calls it a saving; if it is none, is it the share that is left?
    """
    cells, said = evidence.tables[table], numbers(claim.quote)[nth]
    there, here, ratio = cells[rival, column], cells[OURS, column], quotient(cells, column, rival)
    share, saved = 100 / ratio, 100 - 100 / ratio
    if form == "times":
        return Finding(holds(agrees(said, ratio)), f"Table {table}: {there:,f} / {here:,f} = {shown(ratio)}.")
    if form == "saving":
        return Finding(holds(agrees(said, saved)), f"Table {table}: 1 − {here:,f} / {there:,f} = {shown(saved)} %.")
    if agrees(said, saved):
        return Finding(Verdict.REPRODUCED, f"Table {table}: {shown(saved)} % less.")
    note = (
        f"Table {table}: LightM-UNet has {shown(share)} % *of* {rival}'s {UNIT[column]}, "
        f"which is {shown(saved)} % less: the wording understates the saving."
    )
    low, high = (100 * end for end in ratio_range(here, there))
    if not agrees(said, share):
        reach = "within" if low - half_unit(said) <= said <= high + half_unit(said) else "outside"
        note += f" The share is printed as {said} %, {reach} what the rounding of the two cells allows."
    return Finding(Verdict.CONTRADICTED, note)


@check(Kind.ARITHMETIC)
def lead(claim: Claim, evidence: Evidence, table: int, column: str, rival: str) -> Finding:
    """The quote's number is LightM-UNet's lead over a rival, in percentage points."""
    cells, ahead = evidence.tables[table], margin(evidence.tables[table], column, rival)
    relative = 100 * Fraction(ahead) / Fraction(cells[rival, column])
    note = (
        f"Table {table}: {cells[OURS, column]} − {cells[rival, column]} = {ahead} percentage points "
        f"({shown(relative)} % of {rival}'s {column})."
    )
    return Finding(holds(ahead == numbers(claim.quote)[0]), note)


@check(Kind.ARITHMETIC)
def loss(claim: Claim, evidence: Evidence, row: str, other: str, nth: int) -> Finding:
    """The quote's nth number is the average mIoU that an ablation loses; the other ablation may have it instead."""
    table, said = evidence.tables[3], numbers(claim.quote)[nth]
    lost, others = (margin(table, "Average mIoU", name) for name in (row, other))
    note = f"Table 3, {row}: {table[OURS, 'Average mIoU']} − {table[row, 'Average mIoU']} = {lost} points of mIoU."
    if others == said != lost:
        note += f" The text's {said} is the loss {other}: the two figures have changed places."
    return Finding(holds(lost == said), note)


@check(Kind.ARITHMETIC)
def average(claim: Claim, evidence: Evidence, table: int, row: str, metric: str) -> Finding:
    """The cell in the column Average is the mean of the two classes, as far as rounding lets one tell."""
    cells = evidence.tables[table]
    printed, mean = cells[row, f"Average {metric}"], mean_of_classes(cells, row, metric)
    liver, tumour = (cells[row, f"{part} {metric}"] for part in ("Liver", "Tumor"))
    note = f"({liver} + {tumour}) / 2 = {shown(mean, 3)}."
    if agrees(printed, mean):
        return Finding(Verdict.REPRODUCED, note)
    slack = half_unit(printed) + (half_unit(liver) + half_unit(tumour)) / 2
    if abs(Fraction(printed) - mean) < slack:
        return Finding(Verdict.REPRODUCED, note + " Within the rounding of the two cells.")
    off = shown(abs(Fraction(printed) - mean))
    return Finding(Verdict.CONTRADICTED, note + f" Printed is {printed}: {off} away, more than rounding explains.")


@check(Kind.ARITHMETIC, Sort.BOUND)
def bound(claim: Claim, evidence: Evidence, table: int, row: str) -> Finding:
    """Every (DSC, mIoU) of the row keeps the bound mIoU >= DSC / (2 - DSC) for means over cases."""
    cells = evidence.tables[table]
    broken = [iou for dsc, iou in pairs(cells) if not bounded(cells, row, dsc, iou)]
    slack = min(Fraction(cells[row, iou]) - iou_bound(Fraction(cells[row, dsc])) for dsc, iou in pairs(cells))
    if broken:
        return Finding(Verdict.CONTRADICTED, f"{', '.join(broken)}: below the bound, by {shown(-slack)} points.")
    return Finding(Verdict.REPRODUCED, f"The mIoU is above the bound, by at least {shown(slack)} points.")


@check(Kind.ARITHMETIC, Sort.ONE_SIDED)
def means_over_cases(claim: Claim, evidence: Evidence) -> Finding:
    """For pooled pixels of one class mIoU would equal the bound; a mean over cases, or over classes, lies above it."""
    above = []
    for table in evidence.tables.values():
        for row in table.rows:
            for dsc, iou in pairs(table):
                if dsc.startswith(("Liver", "Tumor")):
                    highest = iou_bound(Fraction(table[row, dsc]) + half_unit(table[row, dsc]))
                    above.append(Fraction(table[row, iou]) - half_unit(table[row, iou]) > highest)
    note = (
        f"The paper does not say what the means are taken over. In {sum(above)} of {len(above)} pairs of one class "
        "(Tables 1 and 3) the mIoU lies above DSC / (2 − DSC) by more than rounding, so they are means over cases or "
        "folds, not scores of pooled pixels. Table 2 does not name its classes; means over two would lie above, too."
    )
    return Finding(Verdict.CONVENTION if all(above) else Verdict.OPEN, note)


def equal_accuracies(evidence: Evidence, table: int, row: str, other_table: int, other: str) -> list[str]:
    """The accuracy columns in which two rows have the same digits."""
    here, there = evidence.tables[table], evidence.tables[other_table]
    return [column for column in here.accuracy if here[row, column] == there[other, column]]


@check(Kind.ARITHMETIC)
def own_result(claim: Claim, evidence: Evidence, table: int, row: str, other_table: int, other: str) -> Finding:
    """The row's accuracies are not those of another network, digit for digit."""
    here, there = evidence.tables[table], evidence.tables[other_table]
    same = equal_accuracies(evidence, table, row, other_table, other)
    if len(same) < len(here.accuracy):
        return Finding(Verdict.REPRODUCED, f"{len(same)} of {len(here.accuracy)} accuracies equal {other}'s.")
    note = (
        f"All {len(same)} accuracies are those of {other} in Table {other_table}, digit for digit, and the networks "
        f"are two: {here[row, GFLOPS]:,f} against {there[other, GFLOPS]:,f} GFLOPs. "
    )
    if evidence.counting:
        ours, theirs = evidence.counting[table, row]["params"], evidence.counting[other_table, other]["params"]
        same_size = f"both have {ours:,}" if ours == theirs else f"they have {ours:,} and {theirs:,}"
        note += f"They are close relatives: counted once, {same_size} parameters. "
    return Finding(Verdict.CONTRADICTED, note + "The paper does not say why.")


@check(Kind.ARITHMETIC)
def repeated_row(claim: Claim, evidence: Evidence, table: int, row: str, source: int) -> Finding:
    """The cells of one table's row are those of the same row in another table."""
    here, there = evidence.tables[table], evidence.tables[source]
    other = [column for column in here.columns if here[row, column] != there[row, column]]
    if other:
        return Finding(Verdict.CONTRADICTED, f"Tables {table} and {source} differ in {', '.join(other)}.")
    return Finding(Verdict.REPRODUCED, f"All {len(here.columns)} numbers are those of Table {source}.")


@check(Kind.ARITHMETIC)
def cells(claim: Claim, evidence: Evidence, table: int, row: str, columns: list[str]) -> Finding:
    """The quote's numbers are these cells, in this order."""
    found = tuple(evidence.tables[table][row, column] for column in columns)
    note = f"Table {table}: {' and '.join(f'{cell:,f}' for cell in found)}."
    return Finding(holds(numbers(claim.quote) == found), note)


@check(Kind.ARITHMETIC)
def millions(claim: Claim, evidence: Evidence, tables: list[int]) -> Finding:
    """The quote's number, in millions, is LightM-UNet's printed number of parameters in these tables."""
    printed = {number: evidence.tables[number][OURS, PARAMS] for number in tables}
    note = f"Printed: {', '.join(f'{cell}M in Table {number}' for number, cell in printed.items())}."
    fits = [number for number, cell in printed.items() if agrees(numbers(claim.quote)[0], Fraction(cell))]
    if 0 < len(fits) < len(printed):
        return Finding(Verdict.CONVENTION, f"{note} True of Table {fits[0]} only.")
    return Finding(holds(bool(fits)), note)


@check(Kind.ARITHMETIC)
def saved_against_transformers(claim: Claim, evidence: Evidence) -> Finding:
    """LightM-UNet's printed parameters lie by more than the quoted percentage below every Transformer's."""
    least = numbers(claim.quote)[0]
    saved = {
        (number, rival): 100 - 100 / quotient(evidence.tables[number], PARAMS, rival)
        for number in (1, 2)
        for rival in evidence.tables[number].rows
        if rival != OURS
    }
    asked = {place: value for place, value in saved.items() if place[1] in TRANSFORMERS}
    said = (f"{shown(value)} % ({rival}, Table {number})" for (number, rival), value in asked.items())
    note = f"The savings as printed: {', '.join(said)}."
    over = sum(value > least for value in asked.values())
    if over == len(asked):
        return Finding(Verdict.REPRODUCED, note)
    others = [f"{rival}, Table {n}" for (n, rival), v in saved.items() if (n, rival) not in asked and v > least]
    note += f" {over or 'None'} of them {'are' if over > 1 else 'is'} over {least} %"
    return Finding(Verdict.CONTRADICTED, note + (f"; others are ({'; '.join(others)})." if others else "."))


@check(Kind.ARITHMETIC)
def dearer(claim: Claim, evidence: Evidence) -> Finding:
    """Table 3's two replacements have more parameters and operations than LightM-UNet, as printed."""
    table = evidence.tables[3]
    rows = [row for row in table.rows if row.startswith("VSSM→")]
    said = (
        f"{row}: {shown(quotient(table, PARAMS, row), 1)} times the parameters, {shown(quotient(table, GFLOPS, row))} "
        "times the GFLOPs"
        for row in rows
    )
    more = all(margin(table, column, row) < 0 for row in rows for column in (PARAMS, GFLOPS))
    return Finding(holds(more), f"As printed, {'; '.join(said)}.")


@check(Kind.ARITHMETIC)
def beats_convolution(claim: Claim, evidence: Evidence) -> Finding:
    """Self-attention and the VSS Module are above the convolution in every accuracy column of Table 3."""
    table, conv = evidence.tables[3], "VSSM→Conv3"
    below = [
        (row, column)
        for row in ("VSSM→Self-Attention", OURS)
        for column in table.accuracy
        if table[row, column] <= table[conv, column]
    ]
    if not below:
        return Finding(Verdict.REPRODUCED, "Both are above in all columns of Table 3.")
    listed = ", ".join(f"{column} {table[row, column]} against {table[conv, column]}" for row, column in below)
    averages = not any("Average" in column for _, column in below)
    note = f"Not in every column: {below[0][0]} is not above in {listed}."
    if averages:
        note = f"True of the averages. {note}"
    if len(equal_accuracies(evidence, 3, conv, 1, "SegResNet")) == len(table.accuracy):
        note += " The convolution's row repeats SegResNet's accuracies (see Table 3)."
    return Finding(Verdict.CONVENTION if averages else Verdict.CONTRADICTED, note)
