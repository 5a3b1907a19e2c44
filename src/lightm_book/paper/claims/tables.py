"""The claims that the tables make: one for each printed number or for each group that is checked together."""

from collections.abc import Iterator

from lightm_book.paper.checks.accuracy import measured
from lightm_book.paper.checks.arithmetic import average, convexity, own_result, pairs, repeats_row
from lightm_book.paper.checks.counts import printed_by_thop
from lightm_book.paper.claim import Claim, Kind
from lightm_book.paper.sources import COUNTING_RECORD
from lightm_book.paper.tables import GFLOPS, OURS, PARAMS, TABLES, Table

_SLUG = {PARAMS: "params", GFLOPS: "gflops"}
_CHECKED = {
    PARAMS: "Parameters: each once, or what thop reports?",
    GFLOPS: "Operations: thop's MACs of one image times the batch?",
}


def table_claims(table: Table) -> Iterator[Claim]:
    """All claims of a table, row by row."""
    for row in table.rows:
        yield from _costs(table, row)
        yield _accuracy(table, row)
        yield from _averages(table, row)
        yield _bound(table, row)
    if table.number == 3:
        yield _equal(table, "VSSM→Conv3")
        yield _repeated(table)


def _slug(table: Table, row: str) -> str:
    short = "".join(c if c.isalnum() else "-" for c in row.lower().replace("w/o", "without"))
    return f"table-{table.number}-{'-'.join(filter(None, short.split('-')))}"


def _costs(table: Table, row: str) -> Iterator[Claim]:
    for column in (PARAMS, GFLOPS):
        cell = table.cells[row, column]
        yield Claim(
            f"{_slug(table, row)}-{_SLUG[column]}",
            f"Table {table.number}",
            f"{row}, {column}",
            cell.text,
            Kind.COUNTING,
            _CHECKED[column],
            printed_by_thop(table.number, row, column),
            ("counting", COUNTING_RECORD),
            (cell,),
        )


def _accuracy(table: Table, row: str) -> Claim:
    cells = tuple(table.cells[row, column] for column in table.accuracy)
    return Claim(
        f"{_slug(table, row)}-accuracy",
        f"Table {table.number}",
        f"{row}, {'DSC and mIoU' if len(cells) == 2 else 'all DSC and mIoU'}",
        " | ".join(cell.text for cell in cells),
        Kind.ACCURACY,
        "Within the 95 % intervals of our run at the paper's settings?",
        measured(table.number, row),
        ("ablations" if table.number == 3 else "results",),
        cells,
    )


def _averages(table: Table, row: str) -> Iterator[Claim]:
    for metric in ("DSC", "mIoU"):
        if (row, f"Average {metric}") in table.cells:
            cell = table.cells[row, f"Average {metric}"]
            yield Claim(
                f"{_slug(table, row)}-average-{metric.lower()}",
                f"Table {table.number}",
                f"{row}, {cell.column}",
                cell.text,
                Kind.ARITHMETIC,
                "The mean of the two classes?",
                average(table.number, row, metric),
                ("averages",),
                (cell,),
            )


def _bound(table: Table, row: str) -> Claim:
    cells = tuple(table.cells[row, column] for pair in pairs(table) for column in pair)
    return Claim(
        f"{_slug(table, row)}-bound",
        f"Table {table.number}",
        f"{row}, DSC with mIoU",
        " | ".join(cell.text for cell in cells),
        Kind.ARITHMETIC,
        "mIoU at least DSC / (2 − DSC), as for any mean over cases?",
        convexity(table.number, row),
        ("bounds",),
        cells,
    )


def _equal(table: Table, row: str) -> Claim:
    cells = tuple(table.cells[row, column] for column in table.accuracy)
    return Claim(
        f"{_slug(table, row)}-own-result",
        f"Table {table.number}",
        f"{row}, all DSC and mIoU",
        " | ".join(cell.text for cell in cells),
        Kind.ARITHMETIC,
        "Other accuracies than any other network's?",
        own_result(row, (1, "SegResNet")),
        ("rows",),
        cells,
    )


def _repeated(table: Table) -> Claim:
    cells = table.row(OURS)
    return Claim(
        f"{_slug(table, OURS)}-repeats-table-1",
        f"Table {table.number}",
        f"{OURS}, the whole row",
        " | ".join(cell.text for cell in cells),
        Kind.ARITHMETIC,
        "The row of Table 1 again?",
        repeats_row(table.number, OURS, table.columns, 1),
        ("rows",),
        cells,
    )


TABLE_CLAIMS: dict[int, tuple[Claim, ...]] = {number: tuple(table_claims(table)) for number, table in TABLES.items()}
