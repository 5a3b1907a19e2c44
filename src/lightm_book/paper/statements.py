"""How the claims of the text are written down: tuples in the paper's order; sentences about costs give two each."""

from lightm_book.paper.checks import arithmetic, counts
from lightm_book.paper.claim import Check, Claim, Kind
from lightm_book.paper.sources import COUNTING_RECORD
from lightm_book.paper.tables import PARAMS

RECORD = ("counting", COUNTING_RECORD)
RUNS = "Highest accuracy in {}, and in our runs?"

Statement = tuple[str, str, str, Kind, str, Check, tuple[str, ...]]


def claims_of(section: str, *statements: Statement) -> tuple[Claim, ...]:
    """(id, detail, quote, kind, what is checked, check, evidence) -> the claims of one section."""
    return tuple(
        Claim(id, section, detail, quote, kind, checked, check, evidence)
        for id, detail, quote, kind, checked, check, evidence in statements
    )


def cost_statements(id: str, detail: str, quote: str, *parts: tuple[str, str, Check, Check]) -> tuple[Statement, ...]:
    """Two statements for each part of a sentence: (end of the id, name, check of cells, check of true counts)."""
    statements = []
    for end, name, printed, once in parts:
        asked = f"Does the figure for {name} follow from the table?"
        statements.append((f"{id}-{end}", detail, quote, Kind.ARITHMETIC, asked, printed, ("costs",)))
        asked = f"Is it true of the networks, {name} counted once?"
        statements.append((f"{id}-{end}-once", detail, quote, Kind.COUNTING, asked, once, RECORD))
    return tuple(statements)


def times(number: int, column: str, rival: str, nth: int) -> tuple[Check, Check]:
    """The quote's nth number is a quotient of costs: of the cells; of the true counts."""
    return arithmetic.times(number, column, rival, nth), counts.times_once(number, column, rival, nth)


def percent_saved(rival: str, nth: int) -> tuple[Check, Check]:
    """The quote's nth number is a saving of parameters in Table 2: by the cells; by the true counts."""
    once = counts.times_once(2, PARAMS, rival, nth, reduction=True)
    return arithmetic.percent_saved(2, PARAMS, rival, nth), once


def share_called_saving(column: str, nth: int) -> tuple[Check, Check]:
    """The quote's nth number is a share of U-Mamba's cost in Table 1, worded as a saving."""
    once = counts.share_once(1, column, "U-Mamba", nth)
    return arithmetic.share_called_saving(1, column, "U-Mamba", nth), once
