"""What a claim is: a row of data, and the name of the check that decides it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lightm_book.paper.digits import numbers
from lightm_book.paper.evidence import TEXT, Evidence
from lightm_book.paper.tables import Cell


class Verdict(StrEnum):
    """What we found. CONVENTION: holds under a convention or reading that the paper does not state.

    REDUCED: our runs were trained to the end, but are smaller or shorter than the paper's, so that they decide nothing
    about its numbers; `Finding.scale` says how much, and what they speak for.
    """

    REPRODUCED = "reproduced"
    CONVENTION = "reproduced under a convention"
    CONTRADICTED = "contradicted"
    REDUCED = "at reduced scale"
    UNTESTABLE = "not testable here"
    OPEN = "open"


class Kind(StrEnum):
    """What sort of check decides."""

    ARITHMETIC = "the printed numbers among themselves"
    COUNTING = "parameters and operations"
    ACCURACY = "accuracy on the data"
    METHOD = "the network and its training"
    WORDING = "wording and history"


class Sort(StrEnum):
    """What a verdict is worth: only a finding could have come out against the paper and says something of its own."""

    FINDING = "findings"
    BUILT = "true because we built it so"  # our network of the text has what the text says
    BOUND = "bounds"  # a necessary condition, kept by almost any numbers
    ONE_SIDED = "not open to contradiction"  # what would speak against it would only leave it open
    READ = "read or looked at, not computed"


@dataclass(frozen=True)
class Finding:
    """A verdict and its reason, in one or two sentences of Markdown with the numbers that decide.

    scale: of the runs, where they are smaller than the paper's. records: the runs that it rests on, by path.
    """

    verdict: Verdict
    note: str
    scale: str = ""
    records: tuple[str, ...] = ()


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

    @property
    def sort(self) -> Sort:
        if self.check == "tensors" and self.arguments["network"] == TEXT:
            return Sort.BUILT
        return SORTS[self.check]

    @property
    def question(self) -> tuple:
        """What is asked, wherever it stands: claims with the same one are one finding that is printed twice.

        The same digits in the same row of another table are the same question.
        """
        given = {k: sorted(v) if isinstance(v, list) else v for k, v in self.arguments.items()}
        quoted = tuple(cell.text for cell in self.cells) or numbers(self.quote)
        if self.cells:
            del given["table"]
        elif "nth" in given:
            quoted = quoted[given.pop("nth")]
        return self.check, repr(sorted(given.items())), quoted

    def judge(self, evidence: Evidence) -> Finding:
        """The finding on this evidence. Pure: the same evidence gives the same finding."""
        return CHECKS[self.check](self, evidence, **self.arguments)


CHECKS: dict[str, Callable[..., Finding]] = {}
KINDS: dict[str, Kind] = {}  # of each check
SORTS: dict[str, Sort] = {}


def check(kind: Kind, sort: Sort = Sort.FINDING) -> Callable[[Callable[..., Finding]], Callable[..., Finding]]:
    """Enter a function (claim, evidence, arguments of the row) -> finding among the `CHECKS`, under its own name."""

    def enter(function: Callable[..., Finding]) -> Callable[..., Finding]:
        name = function.__name__
        CHECKS[name], KINDS[name], SORTS[name] = function, kind, sort
        return function

    return enter
