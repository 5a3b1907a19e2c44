"""The paper's claims and tables as data, each with its place in the paper, and what can be said about them.

>>> from lightm_book.paper import CLAIMS, TABLES, Evidence
>>> TABLES[2]["LightM-UNet", "Params(M)"]
Decimal('1.09')
>>> finding = CLAIMS["comparative-miou"].judge(Evidence())
>>> finding.verdict.value, finding.note
('reproduced', "Table 1: 77.48 − 75.37 = 2.11 percentage points (2.80 % of U-Mamba's Average mIoU).")
"""

from lightm_book.paper.claim import Claim, Finding, Kind, Sort, Verdict
from lightm_book.paper.claims import load_claims
from lightm_book.paper.evidence import Evidence, load_evidence, read_counting
from lightm_book.paper.settings import SETTINGS, Setting, setting
from lightm_book.paper.tables import NETWORKS_OF_ROW, TABLES, Cell, Table

__all__ = [
    "CLAIMS",
    "NETWORKS_OF_ROW",
    "SETTINGS",
    "TABLES",
    "Cell",
    "Claim",
    "Evidence",
    "Finding",
    "Kind",
    "Setting",
    "Sort",
    "Table",
    "Verdict",
    "load_evidence",
    "read_counting",
    "setting",
]

# Every claim by its id, in the order of the scorecard.
CLAIMS: dict[str, Claim] = load_claims()
