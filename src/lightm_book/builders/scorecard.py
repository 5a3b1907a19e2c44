"""Write book/scorecard.md from lightm_book.paper and results/: nothing on that page is typed by hand.

    lightm-book claims           write the page
    lightm-book claims --check   exit code 1 if the committed page is not the one that would be written
"""

import re
import sys
from collections import Counter

from lightm_book import ROOT
from lightm_book.builders.scorecard_arithmetic import arithmetic
from lightm_book.paper import CLAIMS, TABLES, Claim, Evidence, Finding, Kind, Sort, Verdict, load_evidence
from lightm_book.paper.checks.counts import text_value, true_value
from lightm_book.paper.digits import shown
from lightm_book.paper.distance import iterations, paper_iterations
from lightm_book.paper.sources import CODE, COMMIT, HISTORY, PAGES, REPOSITORY
from lightm_book.paper.tables import GFLOPS, OURS, PARAMS, TRANSFORMERS
from lightm_book.show.tables import markdown_table

PAGE = "book/scorecard"

SIGNS = {
    Verdict.REPRODUCED: "✓ reproduced",
    Verdict.CONVENTION: "≈ reproduced under a convention",
    Verdict.CONTRADICTED: "✗ contradicted",
    Verdict.REDUCED: "◐ at reduced scale",
    Verdict.UNTESTABLE: "– not testable here",
    Verdict.OPEN: "○ open",
}
MEANING = {
    Verdict.REPRODUCED: "It follows from the paper's own numbers, or we measured or built the same.",
    Verdict.CONVENTION: "It holds with a convention or a reading that the paper does not state. The note says which.",
    Verdict.CONTRADICTED: "Another place of the paper, the released code, or our count or measurement says otherwise. "
    "The note says which.",
    Verdict.REDUCED: "Our runs were trained to the end, but are smaller or shorter than the paper's: they decide "
    "nothing about its numbers. The cell says how large they are and, of a comparison, what it speaks for.",
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
    parts = [INTRO.rstrip() + " " + released, STYLE, _glance(evidence, findings), _both_networks(evidence, findings)]
    parts += [_verdicts(findings), _in_words(evidence, findings)]
    for section in dict.fromkeys(claim.section for claim in CLAIMS.values()):
        claims = [claim for claim in CLAIMS.values() if claim.section == section]
        parts.append(f"## {section}\n\n{_claims(claims, findings)}")
    return "\n".join([*parts, arithmetic(evidence)])


def independent(claims: dict[str, Claim] = CLAIMS) -> list[Claim]:
    """The claims that could have come out against the paper, each question once."""
    found: dict[tuple, Claim] = {}
    for claim in claims.values():
        if claim.sort is Sort.FINDING:
            found.setdefault(claim.question, claim)
    return list(found.values())


def _glance(evidence: Evidence, findings: dict[str, Finding]) -> str:
    once, sorts = independent(), Counter(claim.sort for claim in CLAIMS.values())
    others = ", ".join(f"{sorts[sort]} {sort}" for sort in Sort if sort is not Sort.FINDING)
    verdicts = Counter(findings[claim.id].verdict for claim in once)
    cells = sum(len(table.cells) for table in TABLES.values())
    lines = [
        f"**Scope.** {len(CLAIMS)} claims, with all {cells} printed cells of the three tables. {len(once)} are "
        "independent findings: they could have come out against the paper, and each counts once, however often the "
        f"paper has it. Counted apart: {sorts[Sort.FINDING] - len(once)} of them in another place again; {others}.",
        f"**What came out** of the {len(once)} findings: "
        + ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in Verdict if verdicts[verdict])
        + ".",
    ]
    if evidence.runs:
        lines += _runs_in_words(evidence)
    return "## At a glance\n\n" + "".join(f"- {line}\n" for line in lines)


def _runs_in_words(evidence: Evidence) -> list[str]:
    runs = list(evidence.runs.values())
    data = {run["data"]["name"]: sum(run["data"]["cases"].values()) for run in runs if not run["data"]["synthetic"]}
    none = ", ".join({t.dataset: "" for t in TABLES.values() if t.dataset not in data})
    machines = Counter(run["environment"]["hardware"]["cpu"] for run in runs)
    gpus = {run["environment"]["hardware"]["gpu"] for run in runs} - {None}
    longest = max(runs, key=iterations)
    size, dims = longest["config"]["data"]["size"], len(longest["config"]["data"]["size"])
    hours = sum(run["cost"]["wall_seconds"] for run in runs) / 3600
    return [
        f"**Data.** {'; '.join(f'{name}: {cases} cases' for name, cases in data.items())}."
        + (f" No run on {none}." if none else ""),
        f"**Machine and hours.** {len(runs)} runs, {hours:.1f} hours together, on "
        f"{', '.join(f'{cpu} ({n})' for cpu, n in machines.items())}, {', '.join(sorted(gpus)) or 'without a GPU'}. "
        f"The longest has {iterations(longest):,} of the paper's {paper_iterations(dims):,} iterations, at "
        f"{' × '.join(map(str, size))}.",
    ]


def _both_networks(evidence: Evidence, findings: dict[str, Finding]) -> str:
    if not evidence.counting:
        return ""
    cells = [c for c in CLAIMS.values() if c.check == "printed_by_thop" and c.arguments["row"] == OURS]
    fit = sum(findings[claim.id].verdict is Verdict.CONVENTION for claim in cells)
    written = "".join(f"{said.line()}\n" for said in HISTORY)
    ratios, lower = [], []
    for number in (1, 2):
        dims = TABLES[number].dims
        ours = {column: text_value(evidence, column, dims) for column in (PARAMS, GFLOPS)}
        rivals = {row: evidence.counting[number, row] for row in TABLES[number].rows if row != OURS}
        params, macs = (shown(true_value(rivals["nnU-Net"], column) / ours[column], 1) for column in (PARAMS, GFLOPS))
        ratios.append(f"{params} times fewer parameters and {macs} times fewer MACs in {dims}D")
        lower += [true_value(rivals[row], GFLOPS) > ours[GFLOPS] for row in TRANSFORMERS]
    than = "both Transformers in both tables" if all(lower) else f"{sum(lower)} of {len(lower)} Transformers' counts"
    return f"""## Two networks of one name

In {fit} of the {len(cells)} cells for {OURS} under {PARAMS} and {GFLOPS} the printed number is what thop reports for
the authors' first upload, of 2024-03-17. The network is the one file of code that changed in their second. They wrote:

{written}
We read the thread in an excerpt, which breaks off soon after these words. Put together, the printed counts are those
of code that was, by the authors' own account, uploaded by mistake. It does not follow which code trained the networks
whose accuracies are printed, or that anything in the text is wrong. Every claim about counts is therefore checked for
both, the first upload and the network that the text describes. The latter speaks for the paper: counted once, it has
{" and ".join(ratios)} than nnU-Net, and fewer MACs than {than}.
"""


def _verdicts(findings: dict[str, Finding]) -> str:
    counts = Counter((findings[claim.id].verdict, claim.kind) for claim in CLAIMS.values())
    rows = [
        [SIGNS[verdict], *(str(counts[verdict, kind]) for kind in Kind), str(sum(counts[verdict, k] for k in Kind))]
        for verdict in Verdict
    ]
    rows.append(["all", *(str(sum(counts[v, kind] for v in Verdict)) for kind in Kind), str(len(CLAIMS))])
    meaning = "".join(f"{SIGNS[verdict]}\n: {MEANING[verdict]}\n\n" for verdict in Verdict)
    return f"## Verdicts\n\n{meaning}{markdown_table(['', *(kind.capitalize() for kind in Kind), 'All'], rows)}\n"


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
    reduced = having(Kind.ACCURACY, Verdict.REDUCED)
    lines.append(
        f"**Accuracy**: {len(measured)} of {len(by_kind[Kind.ACCURACY])} claims are decided by a run on the same data "
        f"at the paper's settings, and {len(reduced)} shown at reduced scale. The split, logs and trained weights of "
        "the paper are not public."
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
        if finding.records:
            more = f" and {len(finding.records) - 1} more" if len(finding.records) > 1 else ""
            evidence += f", `{finding.records[0]}`{more}"
        sign = SIGNS[finding.verdict] + (f": {finding.scale}" if finding.scale else "")
        rows.append([place, f"“{_text(claim.quote)}”", sign, evidence, f"{asked}{finding.note}"])
    table = markdown_table(["Place", "Quote", "Verdict", "Evidence", "What is checked, and what we find"], rows, ":--")
    return f"```{{table}}\n:class: scorecard\n{table}\n```\n"


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
