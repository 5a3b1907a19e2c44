"""The last part of the scorecard: quotients, margins, averages, bounds and equal rows of the printed tables."""

from fractions import Fraction

from lightm_book.paper import TABLES, Evidence
from lightm_book.paper.checks.arithmetic import iou_bound, margin, mean_of_classes, pairs, quotient
from lightm_book.paper.checks.counts import text_value, true_value
from lightm_book.paper.digits import shown
from lightm_book.paper.sources import PAGES
from lightm_book.paper.tables import GFLOPS, NETWORKS_OF_ROW, OURS, PARAMS
from lightm_book.show.tables import markdown_table


def arithmetic(evidence: Evidence) -> str:
    """The whole part, as MyST."""
    note = "## The arithmetic behind it\n\nComputed from the printed cells, exactly, and rounded for this page.\n"
    return "\n".join([note, _costs(evidence), _margins(), _averages(), _bounds(), _equal_rows()])


def _heading(key: str, title: str) -> str:
    return f"({PAGES[key].label})=\n### {title}\n\n"


def _costs(evidence: Evidence) -> str:
    counted = evidence.counting
    rows = []
    for number, table in TABLES.items():
        for rival in (row for row in table.rows if row != OURS):
            cells = [f"Table {number}, {rival}"]
            for column in (PARAMS, GFLOPS):
                times = quotient(table, column, rival)
                cells += [shown(times), shown(100 / times)]
                if counted:
                    there, first = (true_value(counted[number, row], column) for row in (rival, OURS))
                    text = there  # of Table 3 the text's own variants
                    if number == 3:
                        text = text_value(evidence, column, table.dims, NETWORKS_OF_ROW[rival][0])
                    cells += [shown(there / first), shown(text / text_value(evidence, column, table.dims))]
            rows.append(cells)
    head = ["Against"]
    for column, what in ((PARAMS, "parameters"), (GFLOPS, "MACs")):
        name = column.removesuffix("(M)")
        head += [name, f"{name}, %"]
        head += [f"{what} once, first upload", f"{what} once, text"] if counted else []
    note = f"How many times {OURS}'s printed cost goes into the other's, and what percentage of the other's it is"
    if counted:
        note += "; then the same quotient of the true counts of one image, for the first upload and the text's network"
    note += ".\n\n"
    return _heading("costs", "Costs") + note + markdown_table(head, rows) + "\n"


def _margins() -> str:
    parts = []
    for number, table in TABLES.items():
        rows = [
            [f"Table {number}, {rival}", *(f"{margin(table, column, rival):+}" for column in table.accuracy)]
            for rival in table.rows
            if rival != OURS
        ]
        parts.append(markdown_table(["Against", *table.accuracy], rows) + "\n")
    note = f"{OURS}'s printed accuracy less the other's, in percentage points.\n\n"
    return _heading("margins", "Margins") + note + "\n".join(parts)


def _averages() -> str:
    rows = []
    for number, table in TABLES.items():
        for row in table.rows:
            if (row, "Average DSC") in table.cells:
                cells = [f"Table {number}, {row}"]
                for metric in ("DSC", "mIoU"):
                    cells += [shown(mean_of_classes(table, row, metric), 3), str(table[row, f"Average {metric}"])]
                rows.append(cells)
    note = "The mean of the liver and the tumour column, and what is printed.\n\n"
    head = ["", "DSC", "printed", "mIoU", "printed"]
    return _heading("averages", "Averages") + note + markdown_table(head, rows) + "\n"


def _bounds() -> str:
    rows = []
    for number, table in TABLES.items():
        for row in table.rows:
            for dsc, iou in pairs(table):
                least = iou_bound(Fraction(table[row, dsc]))
                name = f"Table {number}, {row}, {dsc.removesuffix('DSC').strip()}".rstrip(", ")
                slack = Fraction(table[row, iou]) - least
                rows.append([name, str(table[row, dsc]), shown(least), str(table[row, iou]), shown(slack)])
    note = (
        "For one case IoU = DSC / (2 − DSC), a convex function. So for means over the same cases the mIoU is at least "
        "this function of the DSC (Jensen's inequality), with equality only if all cases score the same.\n\n"
    )
    head = ["", "DSC", "least mIoU", "printed", "slack"]
    return _heading("bounds", "Bounds") + note + markdown_table(head, rows) + "\n"


def _equal_rows() -> str:
    places = [(number, row) for number, table in TABLES.items() for row in table.rows]
    rows = []
    for i, (n, row) in enumerate(places):
        for m, other in places[i + 1 :]:
            one, two = TABLES[n], TABLES[m]
            if one.columns == two.columns and all(one[row, c] == two[other, c] for c in one.accuracy):
                costs = [f"{t[r, column]:,f}" for column in (PARAMS, GFLOPS) for t, r in ((one, row), (two, other))]
                rows.append([f"Table {n}, {row}", f"Table {m}, {other}", *costs])
    head = ["Row", "Row", *(f"{column}, {which}" for column in (PARAMS, GFLOPS) for which in ("first", "second"))]
    note = "Rows of different tables whose accuracies are the same in every printed digit, and their costs.\n\n"
    return _heading("rows", "Equal rows") + note + markdown_table(head, rows) + "\n"
