"""Evidence for the checks of lightm_book.paper other than what is there: altered tables, made-up networks."""

import dataclasses

from lightm_book.paper import CLAIMS, TABLES, Cell, Evidence, Verdict
from lightm_book.paper.evidence import Networks

PRINTED = Evidence()  # the tables as printed, our own networks, no records


class FakeNetworks(Networks):
    """Networks made of given tensor shapes and counts."""

    def __init__(self, shapes=(), counts=()):
        self.given, self.counts = dict(shapes), dict(counts)

    @property
    def names(self):
        return frozenset({*self.given, *(name for name, _ in self.counts)})

    def shapes(self, name, dims):
        return self.given[name]

    def count(self, name, dims, size=None):
        return self.counts[name, size or dims]


def altered(*changes: tuple[int, str, str, str]) -> Evidence:
    """The printed evidence with other numbers in some cells."""
    tables = dict(TABLES)
    for number, row, column, text in changes:
        cells = dict(tables[number].cells)
        assert (row, column) in cells
        cells[row, column] = Cell(number, row, column, text)
        tables[number] = dataclasses.replace(tables[number], cells=cells)
    return Evidence(tables=tables, networks=PRINTED.networks)


def verdict(id: str, evidence: Evidence = PRINTED, quote: str | None = None) -> Verdict:
    claim = CLAIMS[id] if quote is None else dataclasses.replace(CLAIMS[id], quote=quote)
    return claim.judge(evidence).verdict
