"""The paper's claims and tables as data, each with its place in the paper, and what can be said about them.

>>> from lightm_book.paper import CLAIMS, TABLES, Evidence
>>> TABLES[2]["LightM-UNet", "Params(M)"]
Decimal('1.09')
>>> finding = CLAIMS["comparative-miou"].judge(Evidence())
>>> finding.verdict.value, finding.note
('reproduced', "Table 1: 77.48 − 75.37 = 2.11 percentage points (2.80 % of U-Mamba's Average mIoU).")
"""

from lightm_book.paper.claim import Claim, Finding, Kind, Verdict
from lightm_book.paper.claims import front, method, results, setup
from lightm_book.paper.claims.tables import TABLE_CLAIMS
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
    "Table",
    "Verdict",
    "load_evidence",
    "read_counting",
    "setting",
]

# Every claim by its id, in the order of the scorecard.
CLAIMS: dict[str, Claim] = {
    claim.id: claim
    for part in (
        front.ABSTRACT,
        front.INTRODUCTION,
        method.METHODOLOGIES,
        setup.SETUP,
        results.COMPARATIVE,
        results.ABLATION,
        TABLE_CLAIMS[1],
        TABLE_CLAIMS[2],
        TABLE_CLAIMS[3],
        results.FIGURES,
        results.CONCLUSION,
    )
    for claim in part
}
