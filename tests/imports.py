"""Who imports whom in a package, read from its source."""

import ast
from pathlib import Path
from types import ModuleType


def modules_of(package: ModuleType) -> dict[str, Path]:
    """Dotted name -> file of every module of a package."""
    folder, name = Path(package.__file__).parent, package.__name__
    return {
        ".".join((name, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in folder.rglob("*.py")
    }


def imported(name: str, modules: dict[str, Path]) -> set[str]:
    """The modules that a module's import statements name, wherever they stand in it."""
    found = set()
    for node in ast.walk(ast.parse(modules[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in modules else node.module for one in whole}
    return found
