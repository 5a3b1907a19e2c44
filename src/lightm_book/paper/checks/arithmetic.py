"""Checks that need the printed numbers only: do the paper's statements follow from its own tables?"""

from decimal import Decimal
from fractions import Fraction

from lightm_book.paper.claim import Check, Finding, Verdict
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


def times(number: int, column: str, rival: str, nth: int = 0) -> Check:
    """The quote's nth number is the quotient of a rival's and LightM-UNet's cell."""

    def check(quote: str, evidence: Evidence) -> Finding:
        table, said = evidence.tables[number], numbers(quote)[nth]
        there, here = table[rival, column], table[OURS, column]
        note = f"Table {number}: {there:,f} / {here:,f} = {shown(quotient(table, column, rival))}."
        return Finding(
            Verdict.REPRODUCED if agrees(said, quotient(table, column, rival)) else Verdict.CONTRADICTED, note
        )

    return check


def percent_saved(number: int, column: str, rival: str, nth: int = 0) -> Check:
    """The quote's nth number is by how many percent LightM-UNet's cell lies below a rival's."""

    def check(quote: str, evidence: Evidence) -> Finding:
        table, said = evidence.tables[number], numbers(quote)[nth]
        saved = 100 * (1 - 1 / quotient(table, column, rival))
        note = f"Table {number}: 1 − {table[OURS, column]:,f} / {table[rival, column]:,f} = {shown(saved)} %."
        return Finding(Verdict.REPRODUCED if agrees(said, saved) else Verdict.CONTRADICTED, note)

    return check


def share_called_saving(number: int, column: str, rival: str, nth: int = 0) -> Check:
    """Is "only p % fewer" the saving? If not: is p the share that is left?"""

    def check(quote: str, evidence: Evidence) -> Finding:
        table, said = evidence.tables[number], numbers(quote)[nth]
        share = 100 / quotient(table, column, rival)
        if agrees(said, 100 - share):
            return Finding(Verdict.REPRODUCED, f"Table {number}: {shown(100 - share)} % less.")
        note = (
            f"Table {number}: LightM-UNet has {shown(share)} % *of* {rival}'s {UNIT[column]}, "
            f"which is {shown(100 - share)} % less: the wording understates the saving."
        )
        low, high = (100 * end for end in ratio_range(table[OURS, column], table[rival, column]))
        if not agrees(said, share):
            reach = "within" if low - half_unit(said) <= said <= high + half_unit(said) else "outside"
            note += f" The share is printed as {said} %, {reach} what the rounding of the two cells allows."
        return Finding(Verdict.CONTRADICTED, note)

    return check


def points_above(number: int, column: str, rival: str, nth: int = 0) -> Check:
    """The quote's nth number is LightM-UNet's lead over a rival, in percentage points."""

    def check(quote: str, evidence: Evidence) -> Finding:
        table, said = evidence.tables[number], numbers(quote)[nth]
        lead = margin(table, column, rival)
        relative = 100 * Fraction(lead) / Fraction(table[rival, column])
        note = (
            f"Table {number}: {table[OURS, column]} − {table[rival, column]} = {lead} percentage points "
            f"({shown(relative)} % of {rival}'s {column})."
        )
        return Finding(Verdict.REPRODUCED if lead == said else Verdict.CONTRADICTED, note)

    return check


def loss_without(row: str, other: str, nth: int) -> Check:
    """The quote's nth number is the average mIoU that an ablation loses; the other ablation may have it instead."""

    def check(quote: str, evidence: Evidence) -> Finding:
        table, said = evidence.tables[3], numbers(quote)[nth]
        lost, others = (margin(table, "Average mIoU", name) for name in (row, other))
        note = f"Table 3, {row}: {table[OURS, 'Average mIoU']} − {table[row, 'Average mIoU']} = {lost} points of mIoU."
        if lost == said:
            return Finding(Verdict.REPRODUCED, note)
        if others == said:
            note += f" The text's {said} is the loss {other}: the two figures have changed places."
        return Finding(Verdict.CONTRADICTED, note)

    return check


def average(number: int, row: str, metric: str) -> Check:
    """The cell in the column Average is the mean of the two classes, as far as rounding lets one tell."""

    def check(quote: str, evidence: Evidence) -> Finding:
        table = evidence.tables[number]
        printed, mean = table[row, f"Average {metric}"], mean_of_classes(table, row, metric)
        liver, tumour = (table[row, f"{part} {metric}"] for part in ("Liver", "Tumor"))
        note = f"({liver} + {tumour}) / 2 = {shown(mean, 3)}."
        if agrees(printed, mean):
            return Finding(Verdict.REPRODUCED, note)
        slack = half_unit(printed) + (half_unit(liver) + half_unit(tumour)) / 2
        if abs(Fraction(printed) - mean) < slack:
            return Finding(Verdict.REPRODUCED, note + " Within the rounding of the two cells.")
        off = shown(abs(Fraction(printed) - mean))
        return Finding(Verdict.CONTRADICTED, note + f" Printed is {printed}: {off} away, more than rounding explains.")

    return check


def convexity(number: int, row: str) -> Check:
    """Every (DSC, mIoU) of the row keeps the bound mIoU >= DSC / (2 - DSC) for means over cases."""

    def check(quote: str, evidence: Evidence) -> Finding:
        table = evidence.tables[number]
        broken = [iou for dsc, iou in pairs(table) if not bounded(table, row, dsc, iou)]
        slack = min(Fraction(table[row, iou]) - iou_bound(Fraction(table[row, dsc])) for dsc, iou in pairs(table))
        if broken:
            return Finding(Verdict.CONTRADICTED, f"{', '.join(broken)}: below the bound, by {shown(-slack)} points.")
        return Finding(Verdict.REPRODUCED, f"The mIoU is above the bound, by at least {shown(slack)} points.")

    return check


def mean_over_cases(quote: str, evidence: Evidence) -> Finding:
    """Pooled over all pixels mIoU would equal the bound; a mean over cases that differ lies above it."""
    above = pooled = 0
    for table in evidence.tables.values():
        for row in table.rows:
            for dsc, iou in pairs(table):
                if "Average" in dsc:
                    continue
                highest = iou_bound(Fraction(table[row, dsc]) + half_unit(table[row, dsc]))
                above += Fraction(table[row, iou]) - half_unit(table[row, iou]) > highest
                pooled += bounded(table, row, dsc, iou)
    note = (
        f"The paper does not say what the means are taken over. In {above} of {pooled} pairs the mIoU lies above "
        "DSC / (2 − DSC) by more than rounding: they are means over cases (or folds), not scores of pooled pixels."
    )
    return Finding(Verdict.CONVENTION if above == pooled else Verdict.OPEN, note)


def own_result(row: str, where: tuple[int, str]) -> Check:
    """The row's accuracies are not those of another network, digit for digit."""

    def check(quote: str, evidence: Evidence) -> Finding:
        table, (number, other) = evidence.tables[3], where
        there = evidence.tables[number]
        same = [c for c in table.accuracy if table[row, c] == there[other, c]]
        if len(same) < len(table.accuracy):
            return Finding(Verdict.REPRODUCED, f"{len(same)} of {len(table.accuracy)} accuracies equal {other}'s.")
        note = (
            f"All {len(same)} accuracies are those of {other} in Table {number}, digit for digit, and the networks are "
            f"two: {table[row, GFLOPS]:,f} against {there[other, GFLOPS]:,f} GFLOPs. "
        )
        if evidence.counting:
            ours, theirs = evidence.counting[3, row]["params"], evidence.counting[number, other]["params"]
            same_size = f"both have {ours:,}" if ours == theirs else f"they have {ours:,} and {theirs:,}"
            note += f"They are close relatives: counted once, {same_size} parameters. "
        note += "The paper does not say why."
        return Finding(Verdict.CONTRADICTED, note)

    return check


def repeats_row(number: int, row: str, columns: tuple[str, ...], source: int) -> Check:
    """The cells of one table's row are those of the same row in another table."""

    def check(quote: str, evidence: Evidence) -> Finding:
        here, there = evidence.tables[number], evidence.tables[source]
        other = [c for c in columns if here[row, c] != there[row, c]]
        if other:
            return Finding(Verdict.CONTRADICTED, f"Tables {number} and {source} differ in {', '.join(other)}.")
        return Finding(Verdict.REPRODUCED, f"All {len(columns)} numbers are those of Table {source}.")

    return check


def cells_said(number: int, row: str, columns: tuple[str, ...]) -> Check:
    """The quote's numbers are these cells, in this order."""

    def check(quote: str, evidence: Evidence) -> Finding:
        table = evidence.tables[number]
        cells = tuple(table[row, column] for column in columns)
        note = f"Table {number}: {' and '.join(f'{cell:,f}' for cell in cells)}."
        return Finding(Verdict.REPRODUCED if numbers(quote) == cells else Verdict.CONTRADICTED, note)

    return check


def rounds_to(columns: tuple[int, ...], nth: int = 0) -> Check:
    """The quote's nth number, in millions, is LightM-UNet's printed number of parameters in these tables."""

    def check(quote: str, evidence: Evidence) -> Finding:
        said = numbers(quote)[nth]
        cells = {number: evidence.tables[number][OURS, PARAMS] for number in columns}
        note = f"Printed: {', '.join(f'{cell}M in Table {number}' for number, cell in cells.items())}."
        fits = [number for number, cell in cells.items() if agrees(said, Fraction(cell))]
        if len(fits) == len(cells):
            return Finding(Verdict.REPRODUCED, note)
        if fits:
            return Finding(Verdict.CONVENTION, f"{note} True of Table {fits[0]} only.")
        return Finding(Verdict.CONTRADICTED, note)

    return check


def over_percent_below_transformers(quote: str, evidence: Evidence) -> Finding:
    """LightM-UNet's printed parameters lie by more than the quoted percentage below every Transformer's."""
    least = numbers(quote)[0]
    pairs_ = [(number, rival) for number in (1, 2) for rival in TRANSFORMERS]
    saved = [100 * (1 - 1 / quotient(evidence.tables[number], PARAMS, rival)) for number, rival in pairs_]
    said = (f"{shown(s)} % ({rival}, Table {n})" for (n, rival), s in zip(pairs_, saved, strict=True))
    note = f"The savings as printed: {', '.join(said)}."
    over = sum(s > least for s in saved)
    if over == len(saved):
        return Finding(Verdict.REPRODUCED, note)
    note += f" {over or 'None'} of them {'are' if over > 1 else 'is'} over {least} %"
    above = [
        f"{rival}, Table {n}"
        for n in (1, 2)
        for rival in evidence.tables[n].rows
        if rival not in (*TRANSFORMERS, OURS) and 100 * (1 - 1 / quotient(evidence.tables[n], PARAMS, rival)) > least
    ]
    note += f"; others are ({'; '.join(above)})." if above else "."
    return Finding(Verdict.CONTRADICTED, note)


def lowest(column: str, rivals: tuple[str, ...]) -> Check:
    """LightM-UNet's cell is below those of the rivals in Tables 1 and 2."""

    def check(quote: str, evidence: Evidence) -> Finding:
        parts, lower = [], []
        for number in (1, 2):
            table = evidence.tables[number]
            others = {table[row, column]: row for row in rivals}
            least = min(others)
            lower.append(table[OURS, column] < least)
            them = f"{'at least ' * (len(rivals) > 1)}{least:,f} ({others[least]})"
            parts.append(f"{table[OURS, column]:,f} against {them} in Table {number}")
        note = f"As printed: {'; '.join(parts)}."
        return Finding(Verdict.REPRODUCED if all(lower) else Verdict.CONTRADICTED, note)

    return check


def dearer_ablations(quote: str, evidence: Evidence) -> Finding:
    """Table 3's two replacements have more parameters and operations than LightM-UNet, as printed."""
    table = evidence.tables[3]
    rows = tuple(row for row in table.rows if row.startswith("VSSM→"))
    said = [
        f"{row}: {shown(quotient(table, PARAMS, row), 1)} times the parameters, {shown(quotient(table, GFLOPS, row))} "
        "times the GFLOPs"
        for row in rows
    ]
    dearer = all(margin(table, column, row) < 0 for row in rows for column in (PARAMS, GFLOPS))
    return Finding(Verdict.REPRODUCED if dearer else Verdict.CONTRADICTED, f"As printed, {'; '.join(said)}.")


def beats_convolution(quote: str, evidence: Evidence) -> Finding:
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
    note += " The convolution's row repeats SegResNet's accuracies (see Table 3)." if _repeated(evidence) else ""
    return Finding(Verdict.CONVENTION if averages else Verdict.CONTRADICTED, note)


def _repeated(evidence: Evidence) -> bool:
    return own_result("VSSM→Conv3", (1, "SegResNet"))("", evidence).verdict is Verdict.CONTRADICTED
