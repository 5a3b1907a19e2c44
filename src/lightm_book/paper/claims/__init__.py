"""The claims as data: one TOML file for each section of the paper, and what reads them.

    [id]                              stable: it is the claim's anchor on the scorecard
    place = "2.2, equation (1)"       where in the section
    quote = "..."                     the paper's own words; of a table's claims the cells
    asked = "..."                     what exactly is checked
    once = "..."                      what is asked of the true counts: a second claim, id-once, of the check NAME_once
    check.NAME = { ... }              the function of `lightm_book.paper.checks` that decides, and its arguments
    evidence = ["costs"]              keys of `lightm_book.paper.sources`, or paths; left out for what is counted
    kind = "accuracy"                 only where it is not the one of the check
"""

import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from lightm_book.paper.checks import accuracy, arithmetic, counts, network, wording  # noqa: F401  (they enter CHECKS)
from lightm_book.paper.claim import KINDS, Claim, Kind
from lightm_book.paper.sources import COUNTING_RECORD
from lightm_book.paper.tables import TABLES, Table

_SECTIONS = (
    *("1_abstract", "2_introduction", "3_methodologies", "4_setup", "5_comparative", "6_ablation"),
    *("7_tables", "8_figures", "9_conclusion"),
)


def load_claims() -> dict[str, Claim]:
    """Every claim by its id, in the order of the scorecard."""
    claims: dict[str, Claim] = {}
    for name in _SECTIONS:
        rows = tomllib.loads((files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))
        section = rows.pop("section")
        found = _of_tables(section, rows) if name == "7_tables" else _of_text(section, rows)
        claims |= {claim.id: claim for claim in found}
    return claims


def _of_text(section: str, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Claim]:
    for id, row in rows.items():
        yield _claim(id, section, row)
        if "once" in row:
            ((name, arguments),) = row["check"].items()
            once = {"asked": row["once"], "check": {f"{name}_once": arguments}, "evidence": ()}
            yield _claim(f"{id}-once", section, {**row, **once})


def _claim(id: str, section: str, row: Mapping[str, Any], **more: Any) -> Claim:
    ((name, arguments),) = row["check"].items()
    kind = Kind[row["kind"].upper()] if "kind" in row else KINDS[name]
    evidence = tuple(row.get("evidence") or (("counting", COUNTING_RECORD) if kind is Kind.COUNTING else ()))
    fields = {"detail": row.get("place", ""), "quote": row.get("quote", ""), "asked": row["asked"]} | more
    return Claim(id, section, kind=kind, check=name, arguments=arguments, evidence=evidence, **fields)


def _of_tables(section: str, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Claim]:
    """`each` row of the file for each row of the tables; those under `once` after the last row of their table."""
    for number, table in TABLES.items():
        for name in table.rows:
            for id, row in rows["each"].items():
                if number in row.get("tables", TABLES):
                    yield _of_row(id, section, row, table, name)
        for id, row in rows["once"].items():
            if row["table"] == number:
                yield _of_row(id, section, row, table, row["row"])


def _of_row(id: str, section: str, row: Mapping[str, Any], table: Table, name: str) -> Claim:
    words = {"table": table.number, "row": name, "slug": slug(name)}
    columns = {"all": table.columns, "all accuracies": table.accuracy}.get(str(row["cells"]), row["cells"])
    cells = tuple(table.cells[name, column] for column in columns)
    about = columns[0] if len(columns) == 1 else "all DSC and mIoU" if len(columns) > 2 else "DSC and mIoU"
    ((check, arguments),) = row["check"].items()
    evidence = row.get("evidence", ())
    if isinstance(evidence, dict):  # by the number of the table
        evidence = evidence[str(table.number)]
    return _claim(
        id.format(**words),
        section.format(**words),
        {**row, "check": {check: {"table": table.number, "row": name, **arguments}}, "evidence": evidence},
        detail=row.get("place", f"{{row}}, {about}").format(**words),
        quote=" | ".join(cell.text for cell in cells),
        cells=cells,
    )


def slug(row: str) -> str:
    """A row's name as part of an id: "w/o Adjustment factors" is "without-adjustment-factors"."""
    short = "".join(c if c.isalnum() else "-" for c in row.lower().replace("w/o", "without"))
    return "-".join(filter(None, short.split("-")))
