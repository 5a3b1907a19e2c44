"""What the front page and the first screen of README.md say: four findings, computed from the records.

    lightm-book front           write README.md's findings and book/_static/front.svg
    lightm-book front --check   exit code 1 if they are not what would be written

The front page itself gets both while the book is laid out (`build_book.stage`).
"""

import re
import sys
from collections import Counter
from datetime import date

from lightm.files import whole_file
from lightm_book import ROOT
from lightm_book.compare.curves import Tuning, load_tunings
from lightm_book.compare.verdicts import BASE, Standing, standings
from lightm_book.paper import CLAIMS, TABLES, Evidence, Kind, Verdict, load_evidence
from lightm_book.paper.checks.counts import text_value, true_value
from lightm_book.paper.coverage import row_of
from lightm_book.paper.digits import shown
from lightm_book.paper.tables import GFLOPS, NETWORKS_OF_ROW, OURS, PARAMS
from lightm_book.reproduce.plan import load_plan
from lightm_book.show.front_picture import front_figure, front_svg

HELD = (Verdict.REPRODUCED, Verdict.CONVENTION)
README, SVG = ROOT / "README.md", ROOT / "book" / "_static" / "front.svg"
MARKS = "<!-- findings -->\n{}<!-- /findings -->"


def findings(evidence: Evidence, tunings: list[Tuning]) -> list[str]:
    """The four findings in Markdown with {doc} roles, a few sentences each; without records fewer."""
    found = [_like_for_like(evidence, tunings)]
    if evidence.counting:
        found = [_reproduced(evidence), _once(evidence), _text_and_code(evidence), *found]
    return [text for text in found if text]


def _reproduced(evidence: Evidence) -> str:
    cells = [c for c in CLAIMS.values() if c.kind is Kind.COUNTING and c.section.startswith("Table")]
    rest = [c for c in cells if c.judge(evidence).verdict not in HELD]
    not_so = f" (not {rest[0].detail} in Table {rest[0].arguments['table']})" if len(rest) == 1 else ""
    return (
        f"**{len(cells) - len(rest)} of {len(cells)} printed costs come out to every digit**{not_so}, "
        "under a convention that the paper does not state: what the tool thop reports, operations times the training "
        f"batch, and for {OURS} of the authors' first upload. {{doc}}`../notebooks/09_counting`"
    )


def _once(evidence: Evidence) -> str:
    table, rows = TABLES[2], {row: evidence.counting[2, row] for row in TABLES[2].rows}
    first, text, quotients = {}, {}, {}
    for column in (PARAMS, GFLOPS):
        rival = true_value(rows["nnU-Net"], column)
        first[column], text[column] = true_value(rows[OURS], column), text_value(evidence, column, 2)
        printed = table["nnU-Net", column] / table[OURS, column]
        quotients[column] = f"{printed:.0f}x becomes {shown(rival / first[column])}x and {shown(rival / text[column])}x"
    small = (
        f"**Counted once, “1M” parameters are {shown(first[PARAMS])}M in the first upload and {shown(text[PARAMS])}M "
        f"in the network of the text.** Against nnU-Net on the radiographs, {quotients[PARAMS]} in parameters, and "
        f"{quotients[GFLOPS]} in operations, of the two in this order. "
    )
    if first[GFLOPS] > true_value(rows["nnU-Net"], GFLOPS) > text[GFLOPS]:
        small += "The text's network is frugal in both, and that speaks for the paper. "
    return small + "{doc}`../notebooks/09_counting`"


def _text_and_code(evidence: Evidence) -> str:
    claims = [claim for claim in CLAIMS.values() if claim.kind is Kind.METHOD]
    verdicts = Counter(claim.judge(evidence).verdict for claim in claims)
    held = sum(verdicts[verdict] for verdict in HELD)
    uploads = [date.fromisoformat(name[-10:]) for name in NETWORKS_OF_ROW[OURS] if "released" in name]
    return (
        f"**Text and code are three networks**: the text, the first upload, and its correction "
        f"{(max(uploads) - min(uploads)).days} days later. Of {len(claims)} statements of the text about network and "
        f"training, {held} describe what is built here or was released; {verdicts[Verdict.CONTRADICTED]} the released "
        "code does otherwise. {doc}`../notebooks/10_paper_and_code`"
    )


def _like_for_like(evidence: Evidence, tunings: list[Tuning]) -> str:
    """How LightM-UNet stands among the networks of Table 2, trained alike on its data; the places that it lost, too."""
    rivals = [row for row in TABLES[2].rows if row != OURS]
    for experiment in evidence.experiments:
        systems = [s for s in experiment.systems if row_of(s) in rivals]
        if experiment.dataset == TABLES[2].dataset and BASE in experiment.systems and systems:
            break
    else:
        return ""
    printed = 1 + sum(TABLES[2][row, "DSC"] > TABLES[2][OURS, "DSC"] for row in rivals)
    wanted = {*systems, *(s for s in experiment.systems if row_of(s) == OURS)}
    rows = [row for row in standings(experiment, evidence.family) if row.system in wanted]
    names = {BASE: "the text's network", min(NETWORKS_OF_ROW[OURS][1:]): "the first upload"}
    places = [
        f"{name} {_nth(1 + _ahead(rows, system, systems))}"
        for system, name in names.items()
        if system in experiment.systems
    ]
    size, among = " × ".join(map(str, experiment.size)), len(systems) + 1
    text = (
        f"**Like for like, printed {_nth(printed)} of {len(rivals) + 1}, measured {' and '.join(places)} of {among}** "
        f"by mean DSC: the same radiographs and recipe for all, at {size}, {experiment.passes:.1f} passes. "
    )
    if experiment.carries_verdicts:
        return text + _verdicts(rows) + " {doc}`../notebooks/12_results`"
    return f"{text}That is the beginning of a training, no verdict. {_pending(tunings)}{{doc}}`../notebooks/12_results`"


def _nth(place: int) -> str:
    return f"{place}" + {1: "st", 2: "nd", 3: "rd"}.get(place, "th")


def _ahead(rows: list[Standing], system: str, rivals: list[str]) -> int:
    """How many of the rivals have a higher mean DSC than the system."""
    scores = {row.system: row.dsc[0] for row in rows}
    return sum(scores[rival] > scores[system] for rival in rivals)


def _verdicts(rows: list[Standing]) -> str:
    """The rivals by what may be said of them against the text's network."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.against:
            name = row_of(row.system)
            groups.setdefault(row.verdict, []).append(row.system if name == OURS else name)
    return "Against the text's network: " + "; ".join(f"{v}, {', '.join(names)}" for v, names in groups.items()) + "."


def _pending(tunings: list[Tuning]) -> str:
    """What is known of the trainings to the end: the rates tried so far, on validation cases, and what is missing."""
    pieces = [piece for piece in load_plan("converged") if piece.kind == "tune"]
    made = {path.stem for path in (ROOT / "results").rglob("*.json")}
    done, text = sum(piece.name in made for piece in pieces), "Trainings to the end are still to come"
    if done < len(pieces):
        text += f", after the learning rates: {done} of {len(pieces)} trials are made"
    for tuning in tunings:
        best = {name: max(rates.values()) for name, rates in tuning.scores.items()}
        rivals = [name for name in best if row_of(name) not in (OURS, None)]
        if BASE in best and rivals:
            ahead = sum(best[name] > best[BASE] for name in rivals)
            text += f", with {ahead} of {len(rivals)} rivals ahead of the text's network on validation cases"
    return text + ". "


def for_readme(found: list[str]) -> str:
    """The findings as a list for README.md: the chapters named and not linked, as there are no pages beside it."""
    return "".join(f"* {_plain(text)}\n" for text in found)


def _plain(text: str) -> str:
    return re.sub(r"\{doc\}`\.\./notebooks/0?(\d+)_\w+`", r"(Chapter \1)", text)


def for_the_front_page(evidence: Evidence) -> str:
    """Picture and findings as MyST, for book/intro.md."""
    found = findings(evidence, load_tunings(ROOT / "results" / "rates"))
    return "\n".join([front_figure(evidence), *(f"1. {text}" for text in found), ""])


def write_front(check: bool = False) -> int:
    """Write what README.md shows, or only say whether it is up to date; returns the exit code."""
    evidence = load_evidence(ROOT)
    found = for_readme(findings(evidence, load_tunings(ROOT / "results" / "rates")))
    readme = README.read_text(encoding="utf-8")
    marked = re.sub(r"<!-- findings -->\n.*?<!-- /findings -->", lambda _: MARKS.format(found), readme, flags=re.DOTALL)
    css = (ROOT / "book" / "_static" / "front.css").read_text(encoding="utf-8")
    wanted = {README: marked, SVG: front_svg(evidence, css)}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run lightm-book front.", file=sys.stderr)
        return int(bool(stale))
    for path in stale:
        with whole_file(path) as part:
            part.write_text(wanted[path], encoding="utf-8")
    return 0
