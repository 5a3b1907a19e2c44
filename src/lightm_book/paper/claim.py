"""What a claim is: a row of data, and the name of the check that decides it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

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


def holds(true: bool) -> Verdict:
    """For checks that know two answers."""
    return Verdict.REPRODUCED if true else Verdict.CONTRADICTED


@dataclass(frozen=True)
class Claim:
    """A statement of the paper that can be checked.

    id: stable name, its anchor on the scorecard. section, detail: where it stands. quote: the paper's own words.
    asked: what exactly is checked. check, arguments: the function of `CHECKS` that decides, and what it is given.
    evidence: keys of `lightm_book.paper.sources`, or paths of records. cells: the printed numbers that it covers.
    """

    id: str
    section: str
    detail: str
    quote: str
    kind: Kind
    asked: str
    check: str
    arguments: Mapping[str, Any]
    evidence: tuple[str, ...]
    cells: tuple[Cell, ...] = field(default=())

    @property
    def place(self) -> str:
        return f"{self.section}, {self.detail}" if self.detail else self.section

    def judge(self, evidence: Evidence) -> Finding:
        """The finding on this evidence. Pure: the same evidence gives the same finding."""
        return CHECKS[self.check](self, evidence, **self.arguments)


CHECKS: dict[str, Callable[..., Finding]] = {}
KINDS: dict[str, Kind] = {}  # of each check


def check(kind: Kind) -> Callable[[Callable[..., Finding]], Callable[..., Finding]]:
    """Enter a function (claim, evidence, arguments of the row) -> finding among the `CHECKS`, under its own name."""

    def enter(function: Callable[..., Finding]) -> Callable[..., Finding]:
        CHECKS[function.__name__], KINDS[function.__name__] = function, kind
        return function

    return enter
