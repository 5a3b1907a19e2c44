"""Plans for a class: reading time from the words of the chapters, machine time as `make book` measured it.

The plans, quizzes and prompts are data, book/teaching.toml. Pages get tables of them (`schedules`, `chapter_table`);
`make workshop` makes its folder of the same (`workshop.py`).
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml

from lightm.errors import LightMError
from lightm_book import ROOT
from lightm_book.show.tables import markdown_table

DATA = ROOT / "book" / "teaching.toml"
WORDS_A_MINUTE, LINES_A_MINUTE = 120, 30  # of prose with formulas, and of code that the page shows unfolded
HIDDEN = {"hide-input", "remove-input", "remove-cell", "hide-cell"}


@dataclass(frozen=True)
class Section:
    """A part of a chapter under one heading; the first of a chapter has its title. seconds: None if not measured."""

    title: str
    cells: tuple[nbformat.NotebookNode, ...]

    @property
    def words(self) -> int:
        prose = " ".join(cell.source for cell in self.cells if cell.cell_type == "markdown")
        return len(re.findall(r"[A-Za-z]{2,}", re.sub(r"\$\$.*?\$\$", "", prose, flags=re.DOTALL)))

    @property
    def lines(self) -> int:
        shown = [c for c in self.cells if c.cell_type == "code" and not HIDDEN & set(c.metadata.get("tags", []))]
        return sum(1 for cell in shown for line in cell.source.splitlines() if line.strip())

    @property
    def reading(self) -> float:
        """Minutes."""
        return self.words / WORDS_A_MINUTE + self.lines / LINES_A_MINUTE

    @property
    def seconds(self) -> float | None:
        took = [c.metadata.get("papermill", {}).get("duration") for c in self.cells if c.cell_type == "code"]
        known = [seconds for seconds in took if seconds is not None]
        return sum(known) if known else 0.0 if not took else None


@dataclass(frozen=True)
class Chapter:
    """A chapter with its number, its notebook's name, its title and sections, and what teaching.toml has for it."""

    number: int
    name: str
    sections: tuple[Section, ...]
    about: dict

    @property
    def title(self) -> str:
        return self.sections[0].title


def load_chapters(folder: Path) -> dict[int, Chapter]:
    """The notebooks of a folder (NN_name.ipynb) by number; LightMError if one has no entry in teaching.toml."""
    about = load_teaching()["chapter"]
    found = {}
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        if path.name.endswith(".part.ipynb"):
            continue
        number = int(path.name[:2])
        if str(number) not in about:
            raise LightMError(f"book/teaching.toml has no [chapter.{number}] for {path.name}; write one.")
        notebook = nbformat.read(path, as_version=4)
        found[number] = Chapter(number, path.stem, _sections(notebook), about[str(number)])
    return found


def _sections(notebook: nbformat.NotebookNode) -> tuple[Section, ...]:
    parts: list[tuple[str, list]] = []
    for cell in notebook.cells:
        heading = re.search(r"^##? (.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        pieces = re.split(r"(?m)^(?=##? )", cell.source) if heading else [cell.source]
        for piece in pieces:
            if not piece.strip():
                continue
            start = re.match(r"##? (.+)", piece) if heading else None
            if start:
                parts.append((start[1].strip(), []))
            if parts:
                parts[-1][1].append(nbformat.from_dict({**cell, "source": piece}))
    return tuple(Section(title, tuple(cells)) for title, cells in parts)


def load_teaching() -> dict:
    """book/teaching.toml; LightMError if a plan's minutes don't add up."""
    data = tomllib.loads(DATA.read_text(encoding="utf-8"))
    for plan in data["plan"]:
        total = sum(session["minutes"] for session in plan["session"])
        if total != plan["minutes"]:
            raise LightMError(
                f"The sessions of {plan['name']!r} take {total} minutes, not {plan['minutes']}: mend {DATA}."
            )
    return data


@dataclass(frozen=True)
class Session:
    """A row of a timetable. All times are minutes; machine is None if it was not measured."""

    title: str
    start: int
    minutes: int
    chapters: tuple[int, ...]
    skip: tuple[str, ...]
    reading: float
    machine: float | None
    do: str


def timetable(plan: dict, chapters: dict[int, Chapter]) -> list[Session]:
    """The sessions of a plan; LightMError for a skipped heading that no chapter has, or too short a session."""
    rows, start = [], 0
    for session in plan["session"]:
        read, skip = session.get("read", []), session.get("skip", [])
        sections = [section for number in read for section in chapters[number].sections]
        if unknown := set(skip) - {section.title for section in sections}:
            raise LightMError(f"{session['title']!r} skips {sorted(unknown)}, which no chapter of it has: mend {DATA}.")
        kept = [section for section in sections if section.title not in skip]
        reading = sum(section.reading for section in kept)
        seconds = [section.seconds for section in sections]  # a notebook runs whole
        machine = None if None in seconds else sum(seconds) / 60
        if reading + (machine or 0) > session["minutes"]:
            need = reading + (machine or 0)
            raise LightMError(
                f"{session['title']!r} of {plan['name']!r} has {session['minutes']} minutes and needs {need:.0f} for "
                f"reading and machine: skip more or give it more in {DATA}."
            )
        rows.append(
            Session(
                session["title"],
                start,
                session["minutes"],
                tuple(read),
                tuple(skip),
                reading,
                machine,
                session.get("do", ""),
            )
        )
        start += session["minutes"]
    return rows


def schedules(chapters: dict[int, Chapter], link: str = "{{doc}}`../notebooks/{name}`") -> str:
    """The timetables as Markdown, for book/instructor.md and for the scripts of the workshop."""
    parts = []
    for plan in load_teaching()["plan"]:
        rows, skips = [], []
        for session in timetable(plan, chapters):
            names = ", ".join(link.format(name=chapters[n].name, title=chapters[n].title) for n in session.chapters)
            machine = (
                "" if not session.chapters else "not measured" if session.machine is None else f"{session.machine:.1f}"
            )
            reading = f"{session.reading:.0f}" if session.chapters else ""
            rows.append(
                [
                    f"{session.start // 60}:{session.start % 60:02d}",
                    session.title,
                    session.minutes,
                    reading,
                    machine,
                    names,
                    session.do,
                ]
            )
            if session.skip:
                skips.append(f"* **{session.title}**, skip: {'; '.join(session.skip)}.\n")
        head = ["from", "session", "minutes", "reading", "machine", "read", "do"]
        table = markdown_table(head, rows, ":--")
        parts.append(
            f"### {plan['name']}\n\n{plan['about']} {plan['minutes']} minutes with breaks.\n\n"
            f"```{{table}}\n:class: cards\n{table}\n```\n\n{''.join(skips)}"
        )
    return "\n".join(parts)


def chapter_table(chapters: dict[int, Chapter]) -> str:
    """Which chapter needs which, and what mathematics, in the order of the table of contents."""
    rows = []
    for number in reading_order():
        chapter = chapters[number]
        needs = ", ".join(f"{{doc}}`{n} <../notebooks/{chapters[n].name}>`" for n in chapter.about["needs"]) or "none"
        rows.append(
            [f"{{doc}}`{number} {chapter.title} <../notebooks/{chapter.name}>`", needs, chapter.about["mathematics"]]
        )
    return markdown_table(["chapter", "needs chapter", "mathematics, besides"], rows, ":--") + "\n"


def purposes(chapters: dict[int, Chapter]) -> str:
    """What each chapter is for, as a definition list in the order of the table of contents."""
    found = [(chapters[number].name, chapters[number].about["purpose"]) for number in reading_order()]
    return "\n".join(f"{{doc}}`../notebooks/{name}`\n: {purpose}\n" for name, purpose in found)


def reading_order() -> list[int]:
    """The numbers of the chapters as _toc.yml lists them."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [int(found[1]) for file in files if (found := re.match(r"notebooks/(\d+)_", file))]
