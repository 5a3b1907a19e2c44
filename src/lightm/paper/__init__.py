"""The paper's claims and tables as data, each with its place in the paper, and what can be said about them.

>>> from lightm.paper import CLAIMS, TABLES, Evidence
>>> TABLES[2]["LightM-UNet", "Params(M)"]
Decimal('1.09')
>>> finding = CLAIMS["comparative-miou"].judge(Evidence())
>>> finding.verdict.value, finding.note
('reproduced', "Table 1: 77.48 − 75.37 = 2.11 percentage points (2.80 % of U-Mamba's Average mIoU).")
"""

from lightm.paper import claims_front, claims_method, claims_results, claims_setup
from lightm.paper.claim import Claim, Finding, Kind, Verdict
from lightm.paper.claims_tables import TABLE_CLAIMS
from lightm.paper.evidence import Evidence, load_evidence, read_counting
from lightm.paper.settings import SETTINGS, Setting, setting
from lightm.paper.tables import MODELS, TABLES, Cell, Table

__all__ = [
    "CLAIMS",
    "MODELS",
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
        claims_front.ABSTRACT,
        claims_front.INTRODUCTION,
        claims_method.METHODOLOGIES,
        claims_setup.SETUP,
        claims_results.COMPARATIVE,
        claims_results.ABLATION,
        TABLE_CLAIMS[1],
        TABLE_CLAIMS[2],
        TABLE_CLAIMS[3],
        claims_results.FIGURES,
        claims_results.CONCLUSION,
    )
    for claim in part
}
