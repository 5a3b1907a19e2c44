"""Write book/scorecard.md from lightm_book.paper and results/: nothing on that page is typed by hand.

    lightm-book claims           write the page
    lightm-book claims --check   exit code 1 if the committed page is not the one that would be written
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

from lightm_book import ROOT
from lightm_book.paper import CLAIMS, TABLES, Claim, Evidence, Finding, Kind, Verdict, load_evidence
from lightm_book.paper.checks.arithmetic import iou_bound, margin, mean_of_classes, pairs, quotient
from lightm_book.paper.checks.counts import true_value
from lightm_book.paper.digits import shown
from lightm_book.paper.sources import CODE, COMMIT, PAGES, REPOSITORY
from lightm_book.paper.tables import GFLOPS, OURS, PARAMS

PAGE = "book/scorecard"

SIGNS = {
    Verdict.REPRODUCED: "✓ reproduced",
    Verdict.CONVENTION: "≈ reproduced under a convention",
    Verdict.CONTRADICTED: "✗ contradicted",
    Verdict.UNTESTABLE: "– not testable here",
    Verdict.OPEN: "○ open",
}
MEANING = {
    Verdict.REPRODUCED: "It follows from the paper's own numbers, or we measured or built the same.",
    Verdict.CONVENTION: "It holds with a convention or a reading that the paper does not state. The note says which.",
    Verdict.CONTRADICTED: "Another place of the paper, the released code, or our count or measurement says otherwise. "
    "The note says which.",
    Verdict.UNTESTABLE: "Nothing that we have can decide it.",
    Verdict.OPEN: "It can be decided, and the record that would do so is not there yet.",
}

STYLE = """<style>
table.scorecard { table-layout: fixed; min-width: 46rem; font-size: 0.85em; }
table.scorecard th:nth-child(1) { width: 12%; }
table.scorecard th:nth-child(2) { width: 25%; }
table.scorecard th:nth-child(3), table.scorecard th:nth-child(4) { width: 14%; }
table.scorecard td { overflow-wrap: anywhere; }
table.scorecard code, table.scorecard code .pre { white-space: normal; }
</style>
"""
INTRO = """# Scorecard

Every statement of the LightM-UNet paper {cite}`liao2024lightmunet` that can be checked, with its place, the paper's own
words, our verdict and the evidence. The page is written by a program (`lightm-book claims`) from the paper's statements
as data (`lightm_book.paper`) and the records under `results/`; it changes when they do.

We report what reproduces the printed digits. That is not a statement about how the authors arrived at them: where
two places disagree, one of them is most likely a slip of the pen, as every long paper has some, and none of this takes
away from the idea of the network. The lines quoted from the released code stand in
"""


def page(evidence: Evidence) -> str:
    """The whole page as MyST."""
    findings = {claim.id: claim.judge(evidence) for claim in CLAIMS.values()}
    released = f"[the authors' repository]({REPOSITORY}) at commit [{COMMIT[:7]}]({REPOSITORY}/tree/{COMMIT}).\n"
    parts = [INTRO.rstrip() + " " + released, STYLE, _verdicts(findings), _in_words(evidence, findings)]
    for section in dict.fromkeys(claim.section for claim in CLAIMS.values()):
        claims = [claim for claim in CLAIMS.values() if claim.section == section]
        parts.append(f"## {section}\n\n{_claims(claims, findings)}")
    parts.append(
        "## The arithmetic behind it\n\nComputed from the printed cells, exactly, and rounded for this page.\n"
    )
    parts += [_costs(evidence), _margins(evidence), _averages(evidence), _bounds(evidence), _equal_rows(evidence)]
    return "\n".join(parts)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], numbers_from: int | None = None) -> str:
    """A Markdown table; columns from `numbers_from` on are set flush right."""
    head = list(head)
    right = len(head) if numbers_from is None else numbers_from
    rule = ["---" if i < right else "---:" for i in range(len(head))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *rows))


def _verdicts(findings: dict[str, Finding]) -> str:
    counts = Counter((findings[claim.id].verdict, claim.kind) for claim in CLAIMS.values())
    rows = [
        [SIGNS[verdict], *(str(counts[verdict, kind]) for kind in Kind), str(sum(counts[verdict, k] for k in Kind))]
        for verdict in Verdict
    ]
    rows.append(["all", *(str(sum(counts[v, kind] for v in Verdict)) for kind in Kind), str(len(CLAIMS))])
    meaning = "".join(f"{SIGNS[verdict]}\n: {MEANING[verdict]}\n\n" for verdict in Verdict)
    return f"## Verdicts\n\n{meaning}{_table(['', *(kind.capitalize() for kind in Kind), 'All'], rows, 1)}"


def _in_words(evidence: Evidence, findings: dict[str, Finding]) -> str:
    by_kind = {kind: [claim for claim in CLAIMS.values() if claim.kind is kind] for kind in Kind}

    def having(kind: Kind, *verdicts: Verdict) -> list[Claim]:
        return [claim for claim in by_kind[kind] if findings[claim.id].verdict in verdicts]

    def named(claims: list[Claim]) -> str:
        return "".join(f"\n  - [{claim.place}](#{claim.id}): {findings[claim.id].note}" for claim in claims)

    held = (Verdict.REPRODUCED, Verdict.CONVENTION)
    lines = []
    holds, fails = having(Kind.ARITHMETIC, *held), having(Kind.ARITHMETIC, Verdict.CONTRADICTED)
    lines.append(
        f"**The printed numbers fit each other** in {len(holds)} of {len(by_kind[Kind.ARITHMETIC])} checks. "
        + (f"In {len(fails)} they don't:{named(fails)}" if fails else "")
    )
    if evidence.counting:
        cells = [c for c in by_kind[Kind.COUNTING] if c.section.startswith("Table")]
        fit = [c for c in cells if findings[c.id].verdict in held]
        rest = [c for c in cells if c not in fit]
        lines.append(
            f"**Parameters and operations**: {len(fit)} of the {len(cells)} numbers under {PARAMS} and {GFLOPS} are "
            "reproduced to every printed digit by what the tool thop reports, operations times the training batch."
            + (f" Not so:{named(rest)}" if rest else "")
        )
        lines.append(
            "**The abstract's costs**, with each parameter and each operation of the networks counted once:"
            + named([CLAIMS["abstract-parameters-once"], CLAIMS["abstract-operations-once"]])
        )
    else:
        lines.append(
            f"**Parameters and operations**: {len(by_kind[Kind.COUNTING])} claims wait for the count record, which "
            "`lightm-book count --json` makes."
        )
    measured = having(Kind.ACCURACY, *held, Verdict.CONTRADICTED)
    lines.append(
        f"**Accuracy**: {len(measured)} of {len(by_kind[Kind.ACCURACY])} claims are decided by a run on the same data "
        "at the paper's settings. The split, logs and trained weights of the paper are not public."
    )
    fails, waits = having(Kind.METHOD, Verdict.CONTRADICTED), having(Kind.METHOD, Verdict.OPEN)
    lines.append(
        f"**The network and its training**: {len(having(Kind.METHOD, *held))} of {len(by_kind[Kind.METHOD])} "
        "statements describe what is built here or was released"
        + (f", {len(waits)} still to be decided" if waits else "")
        + (f". Where the released code differs:{named(fails)}" if fails else ".")
    )
    fails = having(Kind.WORDING, Verdict.CONTRADICTED)
    lines.append("**Wording**" + (f", where two places disagree:{named(fails)}" if fails else ": nothing disagrees."))
    return "## In plain words\n\n" + "".join(f"- {line}\n" for line in lines)


def _claims(claims: list[Claim], findings: dict[str, Finding]) -> str:
    rows = []
    for claim in claims:
        finding = findings[claim.id]
        place = f"[{claim.detail or claim.section}]{{#{claim.id}}}"
        asked = f"*{claim.asked}* " if claim.asked else ""
        nothing = "none" if finding.verdict is Verdict.UNTESTABLE else "the quotation"
        evidence = ", ".join(_link(key) for key in claim.evidence) or nothing
        rows.append([place, f"“{_text(claim.quote)}”", SIGNS[finding.verdict], evidence, f"{asked}{finding.note}"])
    table = _table(["Place", "Quote", "Verdict", "Evidence", "What is checked, and what we find"], rows)
    return f"```{{table}}\n:class: scorecard\n{table}```\n"


def _text(quote: str) -> str:
    """A quotation for a table cell: the cells of a row set apart by dots, nothing taken for Markdown."""
    return re.sub(r"([\\*_`<>\[\]])", r"\\\1", quote.replace(" | ", " · "))


def _link(key: str) -> str:
    if key in PAGES:
        target = PAGES[key]
        return f"[{target.text}]({f'#{target.label}' if target.file == PAGE else f'../{target.file}'})"
    if key in CODE:
        return f"[{CODE[key].text}]({CODE[key].url})"
    return f"`{key}`"


def _heading(key: str, title: str) -> str:
    return f"({PAGES[key].label})=\n### {title}\n\n"


def _costs(evidence: Evidence) -> str:
    counted = evidence.counting
    rows = []
    for number, table in TABLES.items():
        for rival in (row for row in table.rows if row != OURS):
            cells = [f"Table {number}, {rival}"]
            for column in (PARAMS, GFLOPS):
                times = quotient(table, column, rival)
                cells += [shown(times), shown(100 / times)]
                if counted:
                    there, here = (true_value(counted[number, row], column) for row in (rival, OURS))
                    cells.append(shown(there / here))
            rows.append(cells)
    columns = [("Params", "Params, %"), ("GFLOPs", "GFLOPs, %")]
    once = ["parameters, counted once", "MACs, counted once"]
    head = ["Against"]
    for pair, true in zip(columns, once, strict=True):
        head += [*pair, *([true] if counted else [])]
    note = f"How many times {OURS}'s printed cost goes into the other's, and what percentage of the other's it is" + (
        "; then the same quotient of the true counts of one image.\n\n" if counted else ".\n\n"
    )
    return _heading("costs", "Costs") + note + _table(head, rows, 1)


def _margins(evidence: Evidence) -> str:
    parts = []
    for number, table in TABLES.items():
        rows = [
            [f"Table {number}, {rival}", *(f"{margin(table, column, rival):+}" for column in table.accuracy)]
            for rival in table.rows
            if rival != OURS
        ]
        parts.append(_table(["Against", *table.accuracy], rows, 1))
    note = f"{OURS}'s printed accuracy less the other's, in percentage points.\n\n"
    return _heading("margins", "Margins") + note + "\n".join(parts)


def _averages(evidence: Evidence) -> str:
    rows = []
    for number, table in TABLES.items():
        for row in table.rows:
            if (row, "Average DSC") in table.cells:
                cells = [f"Table {number}, {row}"]
                for metric in ("DSC", "mIoU"):
                    cells += [shown(mean_of_classes(table, row, metric), 3), str(table[row, f"Average {metric}"])]
                rows.append(cells)
    note = "The mean of the liver and the tumour column, and what is printed.\n\n"
    return _heading("averages", "Averages") + note + _table(["", "DSC", "printed", "mIoU", "printed"], rows, 1)


def _bounds(evidence: Evidence) -> str:
    rows = []
    for number, table in TABLES.items():
        for row in table.rows:
            for dsc, iou in pairs(table):
                least = iou_bound(Fraction(table[row, dsc]))
                name = f"Table {number}, {row}, {dsc.removesuffix('DSC').strip()}".rstrip(", ")
                slack = Fraction(table[row, iou]) - least
                rows.append([name, str(table[row, dsc]), shown(least), str(table[row, iou]), shown(slack)])
    note = (
        "For one case IoU = DSC / (2 − DSC), a convex function. So for means over the same cases the mIoU is at least "
        "this function of the DSC (Jensen's inequality), with equality only if all cases score the same.\n\n"
    )
    return _heading("bounds", "Bounds") + note + _table(["", "DSC", "least mIoU", "printed", "slack"], rows, 1)


def _equal_rows(evidence: Evidence) -> str:
    places = [(number, row) for number, table in TABLES.items() for row in table.rows]
    rows = []
    for i, (n, row) in enumerate(places):
        for m, other in places[i + 1 :]:
            one, two = TABLES[n], TABLES[m]
            if one.columns == two.columns and all(one[row, c] == two[other, c] for c in one.accuracy):
                costs = [f"{t[r, column]:,f}" for column in (PARAMS, GFLOPS) for t, r in ((one, row), (two, other))]
                rows.append([f"Table {n}, {row}", f"Table {m}, {other}", *costs])
    head = ["Row", "Row", *(f"{column}, {which}" for column in (PARAMS, GFLOPS) for which in ("first", "second"))]
    note = "Rows of different tables whose accuracies are the same in every printed digit, and their costs.\n\n"
    return _heading("rows", "Equal rows") + note + _table(head, rows, 2)


def write_scorecard(check: bool = False) -> int:
    """Write the page, or only say whether the committed one is up to date; returns the exit code."""
    path = ROOT / f"{PAGE}.md"
    text = page(load_evidence(ROOT))
    if not check:
        path.write_text(text, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        print(f"{PAGE}.md is out of date: run lightm-book claims.", file=sys.stderr)
        return 1
    return 0
