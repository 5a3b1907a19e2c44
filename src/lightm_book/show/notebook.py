"""What the chapters need around the mathematics: checked parameters, and the package's own source shown in place."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from IPython import get_ipython

import lightm
from lightm.errors import LightMError, suggest

PROFILES = ("smoke", "paper")
PACKAGES = (Path(lightm.__file__).parent, Path(__file__).parents[1])  # of lightm, and of the book


def check_profile(profile: str, settings: Mapping[str, Mapping[str, Any]] | None = None) -> SimpleNamespace:
    """The settings of the chosen profile; a wrong profile or parameter fails before work is done.

    Args:
        profile: "smoke" (seconds on two CPU cores) or "paper" (a GPU), from the cell tagged `parameters`.
        settings: for each profile its settings by name, the same names in both; None for a chapter without any.

    Returns:
        the settings as attributes, so that `run = check_profile(...)` is followed by `run.epochs`.

    Raises:
        LightMError: `profile` is unknown, papermill was given a parameter that chapters don't have (it only warns), or
            the two profiles don't have the same settings.
    """
    for name in injected_parameters() - {"profile"}:
        raise LightMError(f"The notebook has no parameter {name!r}. {suggest(name, ['profile'])}")
    if profile not in PROFILES:
        raise LightMError(f"The notebook parameter profile={profile!r} is unknown. {suggest(str(profile), PROFILES)}")
    if settings is None:
        return SimpleNamespace()
    if set(settings) != set(PROFILES):
        raise LightMError(f"check_profile needs settings for {' and '.join(PROFILES)}, not for {sorted(settings)}.")
    smoke, paper = (settings[name] for name in PROFILES)
    if lopsided := sorted(set(smoke) ^ set(paper)):
        raise LightMError(f"The setting {lopsided[0]!r} is given in one profile only: give it in both.")
    return SimpleNamespace(**settings[profile])


def injected_parameters() -> set[str]:
    """The names that papermill set in this notebook: it adds a cell that begins with `# Parameters`."""
    shell = get_ipython()
    cells = shell.user_ns.get("In", []) if shell else []
    injected = [ast.parse(cell) for cell in cells if cell.startswith("# Parameters\n")]
    return {
        target.id
        for tree in injected
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
    }


class Source:
    """A piece of the package's source, shown highlighted by Jupyter and by the book, as plain text elsewhere.

    has_page: the book has a page of this file, so its name may be a link.
    """

    def __init__(self, code: str, file: str, language: str = "python", has_page: bool = True):
        self.code, self.file, self.language, self.has_page = code, file, language, has_page

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        # Markdown, not HTML: Jupyter and the book each highlight it in their own theme, light or dark. The link leads
        # from a notebook to the file; the book's build turns it into a link to its own page of that module.
        name = f"[`{self.file}`](../src/{self.file})" if self.has_page else f"`{self.file}`"
        return {
            "text/markdown": f"{name}\n\n```{self.language}\n{self.code}\n```",
            "text/plain": f"# {self.file}\n{self.code}",
        }

    def __repr__(self) -> str:
        return f"# {self.file}\n{self.code}"


def show_source(obj: Callable | type | ModuleType, start: str | None = None, end: str | None = None) -> Source:
    """The source of something in the package, so that a chapter shows the code that runs and never a copy of it.

    Docstrings of several lines are folded to their first line: the chapter around the code is the explanation.

    Args:
        obj: a function, method, class or module of lightm or lightm_book.
        start: a piece of text: begin at the first line that contains it.
        end: a piece of text: stop after the first line, from `start` on, that contains it.

    Returns:
        an object for the last line of a cell; Jupyter displays it as highlighted code under the name of its file.

    Raises:
        LightMError: `obj` is not the package's, or no line contains `start` or `end`.
    """
    obj = obj.fget if isinstance(obj, property) else obj
    obj = inspect.unwrap(getattr(obj, "py_func", obj))  # py_func: what numba compiled
    try:
        path = Path(inspect.getsourcefile(obj) or "")
        code = inspect.getsource(obj)
    except (TypeError, OSError):
        path, code = Path(), ""
    package = next((folder for folder in PACKAGES if path.is_relative_to(folder)), None)
    if package is None:
        raise LightMError(f"show_source({obj!r}): not a part of lightm; give a function, class or module of it.")
    lines = fold_docstrings(textwrap.dedent(code)).splitlines()
    return Source(cut(lines, start, end, obj), path.relative_to(package.parent).as_posix())


LANGUAGES = {".py": "python", ".c": "c", ".h": "c", ".js": "javascript", ".json": "json"}


def show_file(path: Path, start: str | None = None, end: str | None = None) -> Source:
    """The same for a file of the package that is not imported: a C source, a script, kernels for a GPU.

    Raises:
        LightMError: it is not the package's, of no known language, or no line contains `start` or `end`.
    """
    package = next((folder for folder in PACKAGES if path.is_relative_to(folder)), None)
    if package is None or path.suffix not in LANGUAGES or not path.is_file():
        raise LightMError(f"show_file({path.name}): give a file of lightm that ends in {', '.join(LANGUAGES)}.")
    shown = cut(path.read_text("utf-8").splitlines(), start, end, path.name)
    return Source(shown, path.relative_to(package.parent).as_posix(), LANGUAGES[path.suffix], has_page=False)


def cut(lines: list[str], start: str | None, end: str | None, obj: object) -> str:
    """The lines from the first that contains `start` to the next that contains `end`, without common indentation."""
    first = 0 if start is None else find_line(lines, start, 0, obj)
    last = len(lines) - 1 if end is None else find_line(lines, end, first, obj)
    return textwrap.dedent("\n".join(lines[first : last + 1])).strip("\n")


def find_line(lines: list[str], text: str, first: int, obj: object) -> int:
    for number in range(first, len(lines)):
        if text in lines[number]:
            return number
    name = getattr(obj, "__qualname__", getattr(obj, "__name__", obj))
    raise LightMError(f"show_source of {name}: no line contains {text!r}; give a piece of text that is in the source.")


def fold_docstrings(code: str) -> str:
    """The code with every docstring of several lines cut to its first line, which then ends in an ellipsis."""
    lines = code.splitlines()
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
            continue
        doc = node.body[0]
        is_doc = isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant) and isinstance(doc.value.value, str)
        if is_doc and doc.end_lineno > doc.lineno:
            opening = lines[doc.lineno - 1].rstrip()
            quotes = opening.lstrip("rR \t")[:3]
            lines[doc.lineno - 1] = f"{opening} …{quotes}"
            lines[doc.lineno : doc.end_lineno] = [None] * (doc.end_lineno - doc.lineno)
    return "\n".join(line for line in lines if line is not None)
