"""The classroom kit: one folder that works from a USB stick, made from the chapters and book/teaching.toml.

    lightm-book workshop               _build/workshop, with the times that `make book` measured
    lightm-book workshop --committed   the same from the committed notebooks: machine times are not measured

Slides (one file a chapter, with speaker notes), scripts with a clock, handout, cheat-sheet, quiz, prompts, rubric; the
book itself, where it is built. No page asks another host for anything.
"""

import re
import shutil
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from lightm.errors import LightMError
from lightm_book import ROOT
from lightm_book.builders.build_notebooks import NOTEBOOKS
from lightm_book.builders.front import findings
from lightm_book.builders.teaching import Chapter, Section, load_chapters, reading_order, schedules
from lightm_book.compare.curves import load_tunings
from lightm_book.paper import load_evidence
from lightm_book.show.front_picture import panel, the_u

BUILD = ROOT / "_build"
ASSETS = Path(__file__).parent / "workshop_assets"  # package data: style.css, slides.js, quiz.js
FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><link rel="stylesheet" href="{root}style.css"><link rel="stylesheet" href="{root}front.css">
<script>MathJax = {{tex: {{macros: {{R: "\\\\mathbb{{R}}", dt: "\\\\Delta"}}}}}};</script>
<script defer src="{root}tex-svg.js"></script>{head}</head>
<body class="{kind}">
{body}
</body></html>
"""
RUBRIC = (
    ("The answer", "is right, and says for which data, size and settings", "is right where it was tried", "is missing"),
    ("The reason", "in own words, names the line or the equation", "is repeated from the page", "is missing"),
    ("The check", "could have failed, and is run by somebody else", "runs", "there is none"),
    ("The limits", "says what was not tested", "hints at them", "promises more than the record holds"),
)


def markdown(text: str) -> str:
    """MyST as plain HTML: roles become their text, directives their content, formulas are left to MathJax."""
    text = re.sub(r"\{\w[\w:-]*\}`([^`<]*?)(?: ?<[^>`]*>)?`", lambda m: m[1].split("/")[-1].replace("_", " "), text)
    text = re.sub(r"\]\((\d\d_\w+)\.ipynb", r"](\1.html", text)  # to the slides of that chapter, which lie beside
    text = re.sub(r"^(:::+|```\{)(?!.*\{(math|table)).*$", "", text, flags=re.MULTILINE)
    md = MarkdownIt("commonmark", {"html": True}).enable("table").use(dollarmath_plugin)
    return re.sub(
        r'<(span|div) class="math (?:inline|block)">\s*(.*?)\s*</\1>',
        lambda m: rf"\({m[2]}\)" if m[1] == "span" else rf"\[{m[2]}\]",
        md.render(text),
        flags=re.DOTALL,
    )


def page(title: str, body: str, root: str = "", kind: str = "sheet", head: str = "") -> str:
    return FRAME.format(title=escape(title), body=body, root=root, kind=kind, head=head)


def slides(chapter: Chapter) -> str:
    """The slides of a chapter: its promise, a slide for each section with its formula and figure, what to remember."""
    parts = [_slide(f"<h1>{chapter.number}. {escape(chapter.title)}</h1><p>{escape(chapter.about['purpose'])}</p>", "")]
    for section in chapter.sections:
        if section.title != "Exercises":
            parts.append(_section(section, chapter))
    prompt = chapter.about["prompt"]
    parts.append(_slide(f"<h2>Discuss</h2><p>{escape(prompt['ask'])}</p>", f"Expect: {escape(prompt['expect'])}"))
    keys = '<p class="keys">Arrow keys move; N shows the speaker notes; P prints.</p>'
    script = '<script defer src="../slides.js"></script>'
    return page(f"{chapter.number}. {chapter.title}", "\n".join(parts) + keys, "../", "slides", script)


def _section(section: Section, chapter: Chapter) -> str:
    prose = "\n\n".join(cell.source for cell in section.cells if cell.cell_type == "markdown")
    prose = re.sub(r"^##? .+$", "", prose, count=1, flags=re.MULTILINE).strip()
    bullets = re.findall(r"(?m)^\* .+(?:\n  .+)*", prose)
    whole = section.title in (chapter.title, "In short")
    shown = "\n".join(bullets) if whole and bullets else _first_sentence(prose)
    formula = re.search(r"\$\$.+?\$\$", prose, re.DOTALL)
    title = "At the end you can say" if section.title == chapter.title else section.title
    body = f"<h2>{markdown(title).removeprefix('<p>').removesuffix('</p>' + chr(10))}</h2>{markdown(shown)}"
    body += markdown(formula[0]) if formula and not whole else ""
    minutes = f"<p>Reading: {section.reading:.0f} minutes.</p>"
    return _slide(body + _figure(section), minutes + markdown(prose))


def _first_sentence(prose: str) -> str:
    text = re.sub(
        r"^(>|:::|```|\||\$\$).*$", "", re.sub(r"\$\$.*?\$\$", "", prose, flags=re.DOTALL), flags=re.MULTILINE
    )
    first = next((part for part in re.split(r"\n\s*\n", text) if part.strip()), "")
    return re.split(r"(?<=[.?!:])\s", " ".join(first.split()))[0]


def _figure(section: Section) -> str:
    for cell in section.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "frames-slider" in data.get("text/html", ""):
                return data["text/html"]
            if "image/png" in data:
                alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", section.title)
                return f'<img src="data:image/png;base64,{data["image/png"].strip()}" alt="{escape(alt)}">'
    return ""


def _slide(body: str, notes: str) -> str:
    return f'<section class="slide"><div>{body}</div><aside class="notes">{notes}</aside></section>'


def quiz(chapters: dict[int, Chapter]) -> str:
    """Every chapter's questions as HTML; judged in the page (quiz.js); the right answer is not always first."""
    parts = []
    for number in reading_order():
        chapter = chapters[number]
        parts.append(f"<h2>{number}. {escape(chapter.title)}</h2>")
        for place, question in enumerate(chapter.about["quiz"]):
            name, options = f"q{number}-{place}", [(text, "no") for text in question["wrong"]]
            options.insert((number + place) % (len(options) + 1), (question["right"], "yes"))
            lines = "".join(
                f'<label><input type="radio" name="{name}" value="{value}"> {escape(text)}</label>'
                for text, value in options
            )
            parts.append(
                f'<fieldset class="quiz" data-why="{escape(question["why"])}">'
                f'<legend>{escape(question["ask"])}</legend>{lines}<p role="status"></p></fieldset>'
            )
    return "\n".join(parts)


def discussion(chapters: dict[int, Chapter]) -> str:
    """Prompts with what to expect, common wrong answers with a reply, and a rubric, as HTML."""
    parts = []
    for number in reading_order():
        about = chapters[number].about
        wrong = "".join(f"<li>{escape(w['answer'])} <em>{escape(w['reply'])}</em></li>" for w in about["wrong"])
        parts.append(
            f"<h2>{number}. {escape(chapters[number].title)}</h2><p>{escape(about['purpose'])}</p>"
            f"<p><strong>Ask:</strong> {escape(about['prompt']['ask'])}</p>"
            f"<p><strong>Expect:</strong> {escape(about['prompt']['expect'])}</p>"
            f"<p><strong>Common wrong answers</strong></p><ul>{wrong}</ul>"
        )
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in RUBRIC)
    head = "<tr><th></th><th>2 points</th><th>1 point</th><th>0 points</th></tr>"
    return "\n".join(parts) + f"<h2>Rubric</h2><table>{head}{rows}</table>"


def handout() -> str:
    """One page: the picture, the findings, the commands."""
    evidence = load_evidence(ROOT)
    found = findings(evidence, load_tunings(ROOT / "results" / "rates"))
    figure = f'<figure class="front pair">{panel(evidence, 2)}{the_u()}</figure>' if evidence.counting else ""
    commands = "<p><code>lightm check</code> · <code>lightm train smoke</code> · <code>lightm-book claim ID</code></p>"
    items = "".join(f"<li>{markdown(text)}</li>" for text in found)
    return f"<h1>LightM-UNet, line by line</h1>{figure}<ol>{items}</ol>{commands}"


def build_workshop(committed: bool = False) -> Path:
    """Write _build/workshop whole and return it; LightMError where the book was not built and committed is false."""
    source = NOTEBOOKS if committed else BUILD / "executed"
    if not committed and not list(source.glob("*.ipynb")):
        raise LightMError("The chapters were not run yet: `make book` first, or `lightm-book workshop --committed`.")
    chapters = load_chapters(source)
    part, out = BUILD / "workshop.part", BUILD / "workshop"
    shutil.rmtree(part, ignore_errors=True)
    (part / "slides").mkdir(parents=True)
    for path in (*ASSETS.iterdir(), ROOT / "book" / "_static" / "front.css", mathjax()):
        shutil.copy(path, part / path.name)
    for chapter in chapters.values():
        (part / "slides" / f"{chapter.name}.html").write_text(slides(chapter), encoding="utf-8")
    made = _sheets(chapters)
    for name, title, body, head in made:
        (part / f"{name}.html").write_text(page(title, body, head=head), encoding="utf-8")
    book = "<p>The book is not in this folder: build it with <code>make book</code> first.</p>"
    if (BUILD / "html" / "index.html").exists():
        shutil.copytree(BUILD / "html", part / "book")
        book = '<p><a href="book/index.html">The book</a></p>'
    links = "".join(
        f'<li><a href="slides/{chapters[n].name}.html">{n}. {escape(chapters[n].title)}</a></li>'
        for n in reading_order()
    )
    sheets = "".join(f'<li><a href="{name}.html">{escape(title)}</a></li>' for name, title, _, _ in made)
    lists = f"<h2>Sheets</h2><ul>{sheets}</ul><h2>Slides</h2><ul>{links}</ul>"
    body = f"<h1>Workshop: LightM-UNet, line by line</h1>{book}{lists}"
    (part / "index.html").write_text(page("Workshop", body), encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return out


def _sheets(chapters: dict[int, Chapter]) -> list[tuple[str, str, str, str]]:
    """(name of the file, title, body, head) of each sheet."""
    plans = re.sub(r"```.*\n|:class: cards\n", "", schedules(chapters, "[{title}](slides/{name}.html)"))
    notation = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
    judge = '<script defer src="quiz.js"></script>'
    return [
        ("script", "Scripts: half a day, two days", f"<h1>Scripts</h1>{markdown(plans)}", ""),
        ("handout", "Handout, one page", handout(), ""),
        ("cheat_sheet", "Cheat-sheet: notation", markdown(notation), ""),
        ("quiz", "Quiz", f"<h1>Quiz</h1>{quiz(chapters)}", judge),
        ("discussion", "Prompts, wrong answers, rubric", f"<h1>Discussion</h1>{discussion(chapters)}", ""),
    ]


def mathjax() -> Path:
    """MathJax as one file without fonts, from the package that gives the book its own."""
    from importlib.util import find_spec

    spec = find_spec("sphinx-mathjax-offline")
    folder = Path(spec.submodule_search_locations[0]) if spec else Path("nowhere")
    found = next(iter(folder.rglob("tex-svg.js")), None)
    if found is None:
        raise LightMError("MathJax is not there: pip install sphinx-mathjax-offline, or let make do it.")
    return found


def problems(folder: Path) -> list[str]:
    """What a page of the folder would ask of another host, or of a file that is not there; the book's own left out."""
    found = []
    for path in sorted(folder.glob("*.html")) + sorted(folder.glob("slides/*.html")):
        text = re.sub(r"data:image/[^\"]+", "", path.read_text(encoding="utf-8"))
        for target in re.findall(r'(?:src|href)="([^"#]+)"', text):
            if re.match(r"(https?:)?//", target) and f'href="{target}"' not in text:
                found.append(f"{path.name}: {target}")
            elif not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
                found.append(f"{path.name}: {target}")
    return found
