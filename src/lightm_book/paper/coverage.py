"""Which rows of the paper's tables our systems stand for, and which rows nobody has measured at the paper's size."""

from collections.abc import Mapping

from lightm.models.registry import SIZE_OPTIONS
from lightm_book.compare.rows import Record, label
from lightm_book.paper.settings import setting
from lightm_book.paper.tables import NETWORKS_OF_ROW, TABLES


def row_of(system: str) -> str | None:
    """The row of the paper's tables that a system may stand for; None if it has none there.

    A LightM-UNet with another option than the text's, or of another width, is in no table.
    """
    name, *options = system.split(", ")
    if any(not option.startswith(SIZE_OPTIONS) for option in options):
        return None
    return next((row for row, names in NETWORKS_OF_ROW.items() if name in names), None)


def unmeasured(records: Mapping[str, Record]) -> list[tuple[int, str]]:
    """(table, row) of the paper for which no run on the table's data at the paper's image size is recorded."""
    missing = []
    for number, table in TABLES.items():
        size = [int(n) for n in setting("size", table.dims).value]
        for row in table.rows:
            runs = [r for r in records.values() if row_of(label(r)) == row and r["data"]["name"] == table.dataset]
            if not any(run["config"]["data"]["size"] == size for run in runs):
                missing.append((number, row))
    return missing
