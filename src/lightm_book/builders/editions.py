"""One source, three notebooks.

reader      with solutions folded away, executed: notebooks/NAME.ipynb
student     without solutions, nothing executed, room for the answers to open questions: `make student`
instructor  solutions in the place of answers, executed in marking mode, so that each is asserted: `make instructor`

The marking in a source: an exercise is a Markdown cell with the directives {exercise}, {hint} and {solution}, and,
unless it is an open question, a code cell that ends with `check("its label", ...)`. The Python block of the solution
goes where that cell has its stub.
"""

import re

import nbformat

from lightm.errors import LightMError
from lightm_book.builders.plain_markdown import plain

EDITIONS = ("reader", "student", "instructor")
CHECK = re.compile(r'^check\("(ex-[\w-]+)", .*\)$', re.M)
EXERCISE = re.compile(r"^:::\{exercise\} *(?P<title>.*)\n:label: (?P<label>[\w-]+)$", re.M)
SOLUTION = re.compile(r"\n*^:::\{solution\} (?P<label>[\w-]+)\n(?P<rest>(?:.*\n)*?):::$", re.M)
CODE = re.compile(r"\n*```python\n(.*?)\n```", re.S)
ANSWER = "*Your answer:*"


def exercises_of(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """The exercises of a notebook as its source has it: label -> title with stars."""
    return {match["label"]: match["title"] for cell in _markdown(notebook) for match in EXERCISE.finditer(cell.source)}


def solutions_of(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """The code that answers each exercise, by label; "" for an open question."""
    found = {}
    for cell in _markdown(notebook):
        for match in SOLUTION.finditer(cell.source):
            code = CODE.search(match["rest"])
            found[match["label"]] = code[1] if code else ""
    return found


def edition(notebook: nbformat.NotebookNode, name: str, kind: str) -> nbformat.NotebookNode:
    """That edition of the chapter NAME; `notebook` is its source's, and is changed. LightMError for an unknown kind."""
    if kind not in EDITIONS:
        raise LightMError(f"There is no edition {kind!r}: choose one of {', '.join(EDITIONS)}.")
    solutions, cells = solutions_of(notebook), []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            open_ended = [match["label"] for match in SOLUTION.finditer(cell.source) if not solutions[match["label"]]]
            if kind == "student":
                cell.source = SOLUTION.sub("", cell.source)
                for label in open_ended:
                    cells.append(nbformat.v4.new_markdown_cell(ANSWER, id=f"{label}-answer"[:64]))
            if kind == "instructor":
                cell.source = SOLUTION.sub(_without_code, cell.source)
            cell.source = plain(cell.source, name)
        elif found := CHECK.search(cell.source):
            # What a reader answers is no regression: nbval looks at errors only, which marking mode raises.
            cell.metadata.tags = [*cell.metadata.get("tags", []), "nbval-ignore-output"]
            if kind == "instructor":
                cell.source = f"{solutions[found[1]]}\n\n\n{found[0]}"
    notebook.cells = cells
    return notebook


def _markdown(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def _without_code(match: re.Match) -> str:
    return f"\n\n**Solution.** {CODE.sub('', match['rest']).replace(':class: dropdown', '').strip()}"
