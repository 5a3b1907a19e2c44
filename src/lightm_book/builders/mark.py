"""Mark a notebook that has a learner's answers: run it in marking mode and count the points, one per star."""

import os
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from lightm.errors import LightMError
from lightm_book.builders.build_notebooks import (
    ENVIRONMENT,
    KERNEL,
    NOTEBOOKS,
    SOURCES,
    TIMEOUT,
    quiet_stderr,
    read_source,
    strip_ansi,
)
from lightm_book.builders.editions import CHECK, exercises_of, solutions_of


@dataclass(frozen=True)
class Mark:
    """What an exercise earned. said: what `check` printed or raised."""

    label: str
    stars: int
    right: bool
    said: str


def stars() -> dict[str, int]:
    """The points of each exercise that is checked, of all chapters."""
    found = {}
    for path in sorted(SOURCES.glob("*.py")):
        notebook = read_source(path)
        checked = {label for label, code in solutions_of(notebook).items() if code}
        found |= {label: title.count("★") for label, title in exercises_of(notebook).items() if label in checked}
    return found


def marks(path: Path) -> list[Mark]:
    """Run the notebook, going on after errors, and look at its check cells.

    Raises:
        LightMError: it isn't a notebook, has no exercise, or a cell takes too long.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises several kinds
        raise LightMError(f"{path} can't be read as a notebook: {error}") from error
    points = stars()
    cells = [(found[1], cell) for cell in notebook.cells if cell.cell_type == "code" and (found := _last(cell.source))]
    if not cells:
        raise LightMError(f'{path} has no exercise: a cell that ends with check("ex-...", answer).')
    resources = {"metadata": {"path": str(NOTEBOOKS)}}
    client = NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name=KERNEL["name"], resources=resources, allow_errors=True
    )
    try:
        with quiet_stderr():
            client.execute(env=os.environ | ENVIRONMENT | {"LIGHTM_MARK": "1"})
    except (CellTimeoutError, DeadKernelError) as error:
        raise LightMError(f"{path} was not run to its end: {strip_ansi(str(error)).splitlines()[0]}") from error
    return [_mark(label, cell, points.get(label, 0)) for label, cell in cells]


def _last(source: str):
    found = list(CHECK.finditer(source))
    return found[-1] if found else None


def _mark(label: str, cell: nbformat.NotebookNode, points: int) -> Mark:
    errors = [output for output in cell.outputs if output.output_type == "error"]
    printed = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
    said = f"{errors[0].ename}: {strip_ansi(errors[0].evalue)}" if errors else printed
    said = said.removeprefix(f"NotRight: {label}: ").strip().splitlines()
    return Mark(label, points, not errors and said[-1:] == ["Right."], said[-1] if said else "")


def mark(path: Path) -> str:
    """A table of what each exercise of a notebook earned, and the sum."""
    found = marks(path)
    width = max(len(one.label) for one in found)
    lines = [f"{one.label:<{width}}  {one.stars * one.right}/{one.stars}  {one.said}" for one in found]
    earned, possible = sum(one.stars * one.right for one in found), sum(one.stars for one in found)
    return "\n".join([f"{path}", *lines, f"{'points':<{width}}  {earned}/{possible}"])
