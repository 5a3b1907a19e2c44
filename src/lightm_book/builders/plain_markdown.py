"""MyST Markdown, as the chapters are written in, to the Markdown that Jupyter and Colab show.

Roles become text and links, numbered equations show their number, and directives become paragraphs, quotations, and
<details> that fold. What this module doesn't know keeps its text and loses its markup.
"""

import re
from functools import cache, partial

import yaml
from pybtex.database import parse_file

from lightm_book import ROOT

SOURCES = ROOT / "notebooks" / "src"
ROLE = re.compile(r"\{([a-z:]+)\}`([^`]*)`")
EQUATION = re.compile(r"\$\$\s*\(([\w-]+)\)")  # the end of one that has a label
TARGET = re.compile(r"^\([\w-]+\)=\n", re.M)
DIRECTIVE = re.compile(
    r"^(?P<fence>:{3,}|`{3,})\{(?P<name>[\w:-]+)\} *(?P<argument>.*)\n(?P<options>(?::[\w-]+:.*\n)*)"
    r"(?P<body>(?:.*\n)*?)(?P=fence)[ \t]*$",
    re.M,
)
FOLDED = {"hint": "Hint", "solution": "Solution", "dropdown": ""}


def plain(text: str, chapter: str) -> str:
    """The text of one Markdown cell of notebooks/src/CHAPTER.py."""
    text = DIRECTIVE.sub(_directive, text)
    text = EQUATION.sub(lambda match: rf"\tag{{{equations()[match[1]][1]}}} $$", text)
    for name, meaning in macros().items():
        text = re.sub(rf"\\{name}(?![A-Za-z])", lambda _, meaning=meaning: meaning, text)
    return TARGET.sub("", ROLE.sub(partial(_role, chapter), text))


def _directive(match: re.Match) -> str:
    name, argument = match["name"], match["argument"].strip()
    body = DIRECTIVE.sub(_directive, match["body"]).strip()
    if name == "exercise":
        return f"### Exercise {argument}\n\n{body}"
    if name in FOLDED or "dropdown" in match["options"]:
        summary = FOLDED.get(name) or argument or name.capitalize()
        return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"
    if name == "math":
        return f"$$\n{body}\n$$"
    title = argument if argument and name == "admonition" else name.split(":")[-1].capitalize()
    return "\n".join(f"> {line}".rstrip() for line in [f"**{title}.**", "", *body.splitlines()])


def _role(chapter: str, match: re.Match) -> str:
    name, content = match[1], match[2]
    titled = re.fullmatch(r"(.*?)\s*<([^>]*)>", content, re.S)
    text, target = (titled[1], titled[2]) if titled else (content, content)
    if name == "doc":
        return f"[{text if titled else title_of(target)}]({link_to(target)})"
    if name in ("eq", "math:numref"):
        where, number = equations().get(target, (chapter, target))
        return f"({number})" if where == chapter else f"[({number}) in {title_of(where)}]({where}.ipynb)"
    if name.startswith("cite"):
        works = [citation(key.strip(), name == "cite:t") for key in target.split(",")]
        return ", ".join(works) if name == "cite:t" else f"({'; '.join(works)})"
    if name == "term":
        return f"[{text}]({link_to('../book/glossary')})"
    if name == "math":
        return f"${content}$"
    return text


def link_to(target: str) -> str:
    """From one notebook to another, in the same folder; to a page of the book, at the repository's address."""
    if not target.startswith(".."):
        return f"{target}.ipynb"
    return f"{repository()}/blob/main/{target.removeprefix('../')}.md"


@cache
def title_of(target: str) -> str:
    """The title of a chapter (its file's name) or of a page (its path from notebooks/)."""
    chapter = not target.startswith("..")
    path = SOURCES / f"{target}.py" if chapter else ROOT / f"{target.removeprefix('../')}.md"
    heading = r"^# # (.+)$" if chapter else r"^# (.+)$"
    found = re.search(heading, path.read_text(encoding="utf-8"), re.M) if path.exists() else None
    return found[1] if found else target.rsplit("/", 1)[-1].replace("_", " ")


@cache
def equations() -> dict[str, tuple[str, int]]:
    """Of every labelled equation the chapter and its number there."""
    found = {}
    for path in sorted(SOURCES.glob("*.py")):
        labels = EQUATION.findall(path.read_text(encoding="utf-8"))
        found |= {label: (path.stem, number) for number, label in enumerate(labels, 1)}
    return found


@cache
def _works() -> dict:
    return parse_file(ROOT / "book" / "references.bib").entries


def citation(key: str, textual: bool = False) -> str:
    """Author and year, linked where the bibliography has an address."""
    entry = _works()[key]
    names = [str(person.rich_last_names[0]) for person in entry.persons["author"]]
    authors = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
    text = f"{authors} ({entry.fields['year']})" if textual else f"{authors}, {entry.fields['year']}"
    arxiv = re.search(r"arXiv:([\d.]+)", entry.fields.get("howpublished", ""))
    doi = f"https://doi.org/{entry.fields['doi']}" if "doi" in entry.fields else None
    address = f"https://arxiv.org/abs/{arxiv[1]}" if arxiv else doi or entry.fields.get("url")
    return f"[{text}]({address})" if address else text


@cache
def _config() -> dict:
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def repository() -> str:
    return _config()["repository"]["url"]


def macros() -> dict[str, str]:
    """The book's own TeX macros, which a notebook doesn't have."""
    return _config()["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]
