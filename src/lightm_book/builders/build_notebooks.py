"""Make the notebooks from their sources: notebooks/src/NAME.py (percent format) -> notebooks/NAME.ipynb, executed.

The other editions of the same source (editions.py) go to _build/student and _build/instructor.

The result is a function of the source and the package: run twice, it is the same file, byte for byte. Cell ids come
from the cells' text; no times, no Python version and no path of this machine are kept. A file is replaced only when
every cell ran. On the command line: `lightm-book notebooks`, `make notebooks`.
"""

import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from lightm.errors import LightMError, suggest
from lightm_book import ROOT
from lightm_book.builders.editions import edition
from lightm_book.builders.plain_markdown import SOURCES, repository

NOTEBOOKS = ROOT / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
TIMEOUT = 600  # seconds a cell
# One environment for everyone who builds: no debugger chatter, one order of sets; and threads that wait asleep, because
# on two cores that something else uses too, threads that spin while they wait make everything several times slower.
ENVIRONMENT = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "passive"}
ENVIRONMENT |= {"LIGHTM_STATIC": "1"}  # live figures give their frames: the page has no kernel
# Packages that are there already stay as they are: Colab's PyTorch is built for its GPU, and what the kernel has
# loaded can't be replaced. All others come in the versions that the book was tested with.
FIRST_CELL = """# Colab and a notebook on its own lack lightm: this installs it. Elsewhere it does nothing.
# LIGHTM_REPOSITORY in the environment names another address or a local clone.
import importlib.metadata
import importlib.util
import os
import re
import subprocess
from pathlib import Path

if importlib.util.find_spec("lightm") is None:
    address = os.environ.get("LIGHTM_REPOSITORY", "{url}")
    clone = Path("lightm-repository")
    command = ["git", "clone", "--quiet", "--depth", "1", address, str(clone)]
    if not clone.exists() and subprocess.run(command).returncode:
        raise SystemExit(
            f"{{address}} can't be reached: set LIGHTM_REPOSITORY to another address of "
            "lightm's repository, or to a folder that holds a clone of it."
        )
    there = {{d.name.lower() for d in importlib.metadata.distributions()}}
    pins = (clone / "requirements/constraints.txt").read_text().splitlines()
    pins = [p for p in pins if re.split("[=; ]", p)[0].lower() not in there]
    (clone / "pins.txt").write_text("\\n".join(pins))
    %pip install --quiet -c {{clone}}/pins.txt "{{clone}}[baselines,count]" ipywidgets
    %cd {{clone}}/notebooks
"""


def read_source(path: Path) -> nbformat.NotebookNode:
    """The notebook of a percent source, not executed, in MyST: stable cell ids, a hidden first cell, no metadata."""
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    first = FIRST_CELL.format(url=repository()).strip()
    notebook.cells.insert(0, nbformat.v4.new_code_cell(first, metadata={"tags": ["remove-cell"]}))
    seen: set[str] = set()
    for cell in notebook.cells:
        cell.metadata.pop("lines_to_next_cell", None)  # a note of jupytext to itself
        text, copies = cell.cell_type + cell.source, 0
        while (cell_id := hashlib.sha256(f"{text}{copies}".encode()).hexdigest()[:8]) in seen:
            copies += 1
        seen.add(cell_id)
        cell.id = cell_id
    return notebook


def execute(notebook: nbformat.NotebookNode, name: str) -> None:
    """Run every cell in notebooks/, in place; SystemExit names the notebook and the cell that failed."""
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(NOTEBOOKS)}},
        record_timing=False,
    )
    try:
        with quiet_stderr():
            client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        number, cell = failing_cell(notebook)
        lines = "\n".join(f"    {line}" for line in cell.source.splitlines())
        sys.exit(f"notebooks/src/{name}.py: cell {number} failed:\n{lines}\n{strip_ansi(str(error))[-3000:]}")
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("needs_background", None)
    merge_streams(notebook)
    notebook.metadata.language_info = {"name": "python"}  # the kernel added its Python version


def failing_cell(notebook: nbformat.NotebookNode) -> tuple[int, nbformat.NotebookNode]:
    """The cell that was running: the last one that has a prompt number, or the first of the code cells."""
    cells = [(n, c) for n, c in enumerate(notebook.cells, 1) if c.cell_type == "code"]
    started = [pair for pair in cells if pair[1].outputs or pair[1].execution_count]
    errors = [pair for pair in started if any(o.output_type == "error" for o in pair[1].outputs)]
    return (errors or started[-1:] or cells)[0]


def merge_streams(notebook: nbformat.NotebookNode) -> None:
    """Join pieces of one stream: how a kernel cuts its output into messages depends on time."""
    for cell in notebook.cells:
        joined: list[nbformat.NotebookNode] = []
        for output in cell.get("outputs", []):
            last = joined[-1] if joined else None
            if last and output.output_type == last.output_type == "stream" and output.name == last.name:
                last.text += output.text
            else:
                joined.append(output)
        if "outputs" in cell:
            cell.outputs = joined


@contextmanager
def quiet_stderr(log: Path = Path(os.devnull)) -> Iterator[None]:
    """Send what kernels write to the terminal's stderr (a warning about local TCP, each time) to a file instead."""
    terminal = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def strip_ansi(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def write(notebook: nbformat.NotebookNode, path: Path) -> bool:
    """Write the notebook whole or not at all; False if the file has this content already."""
    text = nbformat.writes(notebook) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    part = path.with_suffix(".ipynb.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
    return True


def build_notebooks(only: Sequence[str] = (), kind: str = "reader") -> None:
    """Make these chapters, or all, in one of `editions.EDITIONS`; LightMError for a name that is none.

    The reader's go to notebooks/, the others to _build/student and _build/instructor. The student's isn't executed.
    """
    names = [path.stem for path in sorted(SOURCES.glob("*.py"))]
    for name in only:
        if name not in names:
            raise LightMError(f"There is no notebooks/src/{name}.py. {suggest(name, names)}")
    os.environ |= ENVIRONMENT | {"LIGHTM_MARK": "1" if kind == "instructor" else "0"}
    folder = NOTEBOOKS if kind == "reader" else ROOT / "_build" / kind
    folder.mkdir(parents=True, exist_ok=True)
    for step, name in enumerate(only or names, 1):
        print(f"[{step}/{len(only or names)}] {name} ...", end=" ", flush=True)
        start = time.monotonic()
        notebook = edition(read_source(SOURCES / f"{name}.py"), name, kind)
        if kind != "student":
            execute(notebook, name)
        changed = write(notebook, folder / f"{name}.ipynb")
        print(f"{'written' if changed else 'unchanged'}, {time.monotonic() - start:.1f} s", flush=True)
