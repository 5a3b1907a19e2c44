"""Build the book: train a small LightM-UNet, run every notebook, lay out the pages, build them with warnings as errors.

    lightm-book build               what `make book` does; the book is _build/html
    lightm-book build --committed   no training, no execution: the committed outputs, into _build/check
                                    (tests/book/builders looks at these pages; nbval checks the outputs)

Everything is written under _build. A step whose inputs are unchanged is skipped, so an interrupted build continues.
"""

import hashlib
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import nbformat
import yaml

from lightm import __version__
from lightm_book import ROOT
from lightm_book.builders.build_facts import CURVES, citation, errata, facts, headline, record_facts
from lightm_book.builders.build_notebooks import (
    ENVIRONMENT,
    NOTEBOOKS,
    SOURCES,
    merge_streams,
    quiet_stderr,
    read_source,
    strip_ansi,
)
from lightm_book.builders.build_try_it import WEIGHTS, try_it
from lightm_book.builders.front import for_the_front_page
from lightm_book.builders.model_card import model_card
from lightm_book.builders.teaching import chapter_table, load_chapters, purposes, schedules
from lightm_book.paper import load_evidence

BUILD = ROOT / "_build"
RECIPE = "smoke"
RUN = BUILD / "runs" / "smoke"
EXECUTED = BUILD / "executed"
PARAMETERS = {"profile": "smoke"}


Step = Callable[[], str | None]  # does its work; returns why there was none to do, or None

# Notebooks run side by side: much of a chapter is imports and drawing, which keep one core busy.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
WORKERS = min(2, CORES)


class BuildError(Exception):
    """A step failed; the message is all that a reader needs."""


class Progress:
    """Lines like `[3/12] notebook 02_selective_scan: 9 s (0:41 so far, about 2:10 left)`.

    What is left is estimated from the last build's times, kept in _build/step_seconds.json, or from those of this one.
    """

    def __init__(self, steps: dict[str, Step]):
        self.steps, self.rest, self.start = steps, list(steps), time.monotonic()
        self.file = BUILD / "step_seconds.json"
        self.seconds: dict[str, float] = json.loads(self.file.read_text()) if self.file.exists() else {}

    def one(self, name: str) -> None:
        print(f"[{self.place()}] {name} ...", flush=True)
        self.report(name, *timed(self.steps[name]))

    def together(self, names: list[str]) -> None:
        """Do these steps, WORKERS at a time, the longest ones first."""
        if not names:
            return
        print(f"[{self.place()}] {len(names)} notebooks, {WORKERS} at a time ...", flush=True)
        names = sorted(names, key=lambda name: -self.seconds.get(name, math.inf))
        with ThreadPoolExecutor(WORKERS) as pool:
            futures = {pool.submit(timed, self.steps[name]): name for name in names}
            try:
                for future in as_completed(futures):
                    self.report(futures[future], *future.result())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def report(self, name: str, note: str | None, took: float) -> None:
        place = self.place()
        self.rest.remove(name)
        if note is None:
            self.seconds[name] = round(took, 1)
            self.file.write_text(json.dumps(self.seconds, indent=1))
        so_far = clock(time.monotonic() - self.start)
        print(f"[{place}] {name}: {note or f'{took:.0f} s'} ({so_far} so far{self.left()})", flush=True)

    def place(self) -> str:
        return f"{len(self.steps) - len(self.rest) + 1}/{len(self.steps)}"

    def left(self) -> str:
        known = [self.seconds[name] for name in self.steps if name in self.seconds]
        if not self.rest or not known:
            return ""
        guess = sum(known) / len(known)
        seconds = [self.seconds.get(name, guess) / (WORKERS if "notebook" in name else 1) for name in self.rest]
        return f", about {clock(sum(seconds))} left"


def timed(step: Step) -> tuple[str | None, float]:
    start = time.monotonic()
    return step(), time.monotonic() - start


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def digest(paths: Iterable[Path], *extra: str) -> str:
    """A hash of files (names and bytes) and of the versions that a result depends on."""
    total = hashlib.sha256("\0".join([platform.python_version(), *extra]).encode())
    for path in sorted(paths):
        total.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def package_digest(*more: Path) -> str:
    package = [p for kind in ("py", "toml", "json") for p in (ROOT / "src").rglob(f"*.{kind}")]
    package = [*package, ROOT / "requirements" / "constraints.txt"]
    return digest([*package, *more])


def chapters() -> list[str]:
    """The notebooks of the table of contents, in its order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    names = [file.removeprefix("notebooks/") for file in files if file.startswith("notebooks/")]
    for name in names:
        if not (NOTEBOOKS / f"{name}.ipynb").exists():
            raise BuildError(f"_toc.yml names notebooks/{name}.ipynb, which is not there: make notebooks ONLY={name}")
    return names


def train() -> str | None:
    """`lightm train smoke`; an interrupted run of the same recipe and package is resumed."""
    key, stamp = package_digest(), RUN.with_suffix(".key")
    same = stamp.exists() and stamp.read_text() == key
    if same and (RUN / "record.json").exists():
        return "unchanged, kept"
    resume = same and (RUN / "last").exists()
    if not resume:
        shutil.rmtree(RUN, ignore_errors=True)
    RUN.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(key)
    command = [sys.executable, "-m", "lightm", "train", RECIPE, "--out", str(RUN)]
    code = run_and_wait([*command, *(["--resume"] if resume else [])])
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise BuildError(f"Training the recipe {RECIPE} failed, see above.")
    return None


def run_and_wait(command: list[str]) -> int:
    """The exit code of a command that may take its time over Ctrl-C, which reaches it too: training saves first."""
    with subprocess.Popen(command, cwd=ROOT) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue


def execute(name: str, package: str) -> str | None:
    """Run one notebook with papermill into _build/executed, unless it, the package and the recipes are unchanged."""
    import papermill

    source, result = NOTEBOOKS / f"{name}.ipynb", EXECUTED / f"{name}.ipynb"
    key, stamp = digest([source], package, json.dumps(PARAMETERS)), EXECUTED / f"{name}.key"
    if stamp.exists() and result.exists() and stamp.read_text() == key:
        return "unchanged, kept"
    # papermill only warns about a parameter that the notebook doesn't have
    if unknown := set(PARAMETERS) - set(papermill.inspect_notebook(source)):
        raise BuildError(f"notebooks/{name}.ipynb has no parameter {sorted(unknown)}: tag a cell `parameters`.")
    EXECUTED.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    part = EXECUTED / f"{name}.part.ipynb"
    try:
        papermill.execute_notebook(source, part, PARAMETERS, cwd=NOTEBOOKS, progress_bar=False, kernel_name="python3")
    except papermill.PapermillExecutionError as error:
        text = [f"notebooks/{name}.ipynb failed in cell In[{error.exec_count}]:", *error.traceback]
        raise BuildError(strip_ansi("\n".join(text))) from None
    os.replace(part, result)
    stamp.write_text(key)
    return None


def for_the_page(notebook: nbformat.NotebookNode, source: nbformat.NotebookNode | None = None) -> str:
    """The notebook as the page shows it: no trace of papermill, and links to the book's own pages of the source.

    source: the chapter's source; the page takes its Markdown, in MyST, where the notebook has plain Markdown.
    """
    notebook.metadata.pop("papermill", None)
    merge_streams(notebook)
    myst = {cell.id: cell.source for cell in source.cells if cell.cell_type == "markdown"} if source else {}
    for cell in notebook.cells:
        cell.source = myst.get(cell.id, cell.source)
        for extra in ("papermill", "execution"):
            cell.metadata.pop(extra, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata.tags.append("remove-cell")
        for output in cell.get("outputs", []):
            markdown = output.get("data", {}).get("text/markdown")
            if markdown:
                output.data["text/markdown"] = link_modules(markdown)
    return nbformat.writes(notebook) + "\n"


def link_modules(markdown: str) -> str:
    """A notebook links to `../src/lightm/ssm.py`; a page to the book's own copy, `../_modules/lightm/ssm.html`."""
    return re.sub(r"\]\(\.\./src/([\w/]+?)(?:/__init__)?\.py\)", r"](../_modules/\1.html)", markdown)


def stage(folder: Path, names: list[str], committed: bool) -> None:
    """Lay out what Sphinx reads; a file is touched only if it changed, so that Sphinx builds only what did."""
    pages: dict[str, bytes] = {name: (ROOT / name).read_bytes() for name in ("_config.yml", "_toc.yml")}
    for path in (ROOT / "book").rglob("*"):
        if path.is_file():
            pages[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    durations = {}
    for name in names:
        notebook = nbformat.read((NOTEBOOKS if committed else EXECUTED) / f"{name}.ipynb", as_version=4)
        durations[name] = notebook.metadata.get("papermill", {}).get("duration")
        pages[f"notebooks/{name}.ipynb"] = for_the_page(notebook, read_source(SOURCES / f"{name}.py")).encode()
    text = "This copy was built from the committed notebooks without running them: nothing was measured.\n"
    if not committed:
        text = facts(durations, RUN)
        pages[f"book/{CURVES}"] = (RUN / CURVES).read_bytes()
    evidence, plans = load_evidence(ROOT), load_chapters(NOTEBOOKS if committed else EXECUTED)
    rates = len(list((ROOT / "results" / "rates").glob("*.json")))
    panel, files = try_it(None if committed else RUN)
    pages |= {f"book/_static/try_it/{name}": content for name, content in files.items()}
    marks = {
        "book/checklist.md": {"facts of the records": record_facts(evidence.runs, rates)},
        "book/this_build.md": {"facts of the build": text},
        "book/intro.md": {"headline": headline(evidence.runs), "findings": for_the_front_page(evidence)},
        "book/how_to_read.md": {"chapters": chapter_table(plans)},
        "book/instructor.md": {"schedules": schedules(plans), "purposes": purposes(plans)},
        "book/model_card.md": {"model card": model_card(WEIGHTS)},
        "book/try_it.md": {"the panel": panel},
        "book/errata.md": {"errata": errata(ROOT / "book" / "errata.toml")},
        "book/cite.md": {"citation": citation(ROOT / "CITATION.cff")},
    }
    for name, of_page in marks.items():
        for mark, found in of_page.items():
            if f"% {mark}\n".encode() not in pages[name]:
                raise BuildError(f"{name} has no line `% {mark}`, where the build puts what it computed.")
            pages[name] = pages[name].replace(f"% {mark}\n".encode(), found.encode())
    pages["_config.yml"] = pages["_config.yml"].replace(b"lightm VERSION", f"lightm {__version__}".encode())
    for path in [p for p in folder.rglob("*") if p.is_file() and p.relative_to(folder).as_posix() not in pages]:
        path.unlink()
    for name, content in pages.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def build_pages(folder: Path, out: Path, log: Path) -> None:
    """jupyter-book, warnings as errors; its chatter goes to a log, its warnings to the terminal when it fails."""
    html = out / "_build" / "html"
    for page in [*html.glob("book/*.html"), *html.glob("notebooks/*.html")]:
        source = folder / page.relative_to(html)
        if not any(source.with_suffix(kind).exists() for kind in (".md", ".ipynb")):
            page.unlink()  # Sphinx never removes the page of a file that is gone
    shutil.rmtree(html / "_modules", ignore_errors=True)  # it compares dates, which a file moved into place may fool
    (html / "book" / "errata.html").unlink(missing_ok=True)  # when no page is due, Sphinx doesn't write _modules again
    command = [Path(sys.executable).with_name("jupyter-book"), "build", str(folder), "--path-output", str(out)]
    result = subprocess.run(
        [*command, "-W", "--keep-going"], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    log.write_text(result.stdout, encoding="utf-8")
    if result.returncode:
        shutil.rmtree(out / "_build" / ".doctrees", ignore_errors=True)  # else the next run would warn of nothing
        text = strip_ansi(result.stdout).replace(f"{folder}/", "")
        worth = [line for line in text.splitlines() if re.search("WARNING:|ERROR:|Error:|Exception:", line)]
        shown = "\n".join(worth or text.splitlines()[-20:])
        raise BuildError(
            f"{shown}\njupyter-book failed with the warnings above; the whole log: {log.relative_to(ROOT)}"
        )


def offer(html: Path, names: list[str]) -> None:
    """A page's download button gives the notebook in plain Markdown, as it is committed."""
    for name in names:
        shutil.copyfile(NOTEBOOKS / f"{name}.ipynb", html / "_sources" / "notebooks" / f"{name}.ipynb")


def build_book(committed: bool = False) -> int:
    """Build it, or, from the committed outputs, a copy to look at; returns the exit code."""
    BUILD.mkdir(exist_ok=True)
    os.environ |= ENVIRONMENT
    out = BUILD / "check" if committed else ROOT
    folder = out / "stage" if committed else BUILD / "stage"
    try:
        names = chapters()
        package = package_digest(*(ROOT / "results").rglob("*.json"))
        notebooks = {} if committed else {f"notebook {name}": partial(execute, name, package) for name in names}
        before = {} if committed else {"train a small LightM-UNet": train}
        after = {
            "lay out the pages": partial(stage, folder, names, committed),
            "build the pages": partial(build_pages, folder, out, BUILD / "jupyter-book.log"),
            "lay out the downloads": partial(offer, out / "_build" / "html", names),
        }
        progress = Progress({**before, **notebooks, **after})
        for name in before:
            progress.one(name)
        share = str(CORES // WORKERS)
        os.environ |= {"OMP_NUM_THREADS": share, "NUMBA_NUM_THREADS": share}
        with quiet_stderr(BUILD / "kernels.log"):
            progress.together(list(notebooks))
        for name in after:
            progress.one(name)
    except BuildError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run it again: it continues with what is left.", file=sys.stderr)
        return 130
    if not committed:
        page = BUILD / "html" / "index.html"
        print(f"\nThe book: open {page}\nor serve it: {sys.executable} -m http.server -d {page.parent} 8000")
    return 0
