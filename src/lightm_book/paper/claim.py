"""What a claim is, and what can be said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from lightm_book.paper.evidence import Evidence
from lightm_book.paper.tables import Cell


class Verdict(StrEnum):
    """What we found. CONVENTION: holds under a convention or reading that the paper does not state."""

    REPRODUCED = "reproduced"
    CONVENTION = "reproduced under a convention"
    CONTRADICTED = "contradicted"
    UNTESTABLE = "not testable here"
    OPEN = "open"


class Kind(StrEnum):
    """What sort of check decides."""

    ARITHMETIC = "the printed numbers among themselves"
    COUNTING = "parameters and operations"
    ACCURACY = "accuracy on the data"
    METHOD = "the network and its training"
    WORDING = "wording and history"


@dataclass(frozen=True)
class Finding:
    """A verdict and its reason, in one or two sentences of Markdown with the numbers that decide."""

    verdict: Verdict
    note: str


Check = Callable[[str, Evidence], Finding]


@dataclass(frozen=True)
class Claim:
    """A statement of the paper that can be checked.

    id: stable name, its anchor on the scorecard. section, detail: where it stands. quote: the paper's own words.
    checked: what exactly is checked. check: quote and evidence -> finding; numbers are read from the quote.
    evidence: keys of `lightm_book.paper.sources`, or paths of records. cells: the printed numbers that it covers.
    """

    id: str
    section: str
    detail: str
    quote: str
    kind: Kind
    checked: str
    check: Check
    evidence: tuple[str, ...]
    cells: tuple[Cell, ...] = ()

    @property
    def place(self) -> str:
        return f"{self.section}, {self.detail}" if self.detail else self.section

    def judge(self, evidence: Evidence) -> Finding:
        """The finding on this evidence. Pure: the same evidence gives the same finding."""
        return self.check(self.quote, evidence)
