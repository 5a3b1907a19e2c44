"""Imports among the rooms of lightm_book point one way, and no two modules import each other in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import lightm_book

PACKAGE = Path(lightm_book.__file__).parent
MODULES = {
    ".".join(("lightm_book", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imported(name: str) -> set[str]:
    """The modules of the package that a module's import statements name, wherever they stand in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in MODULES else node.module for one in whole}
    return found & MODULES.keys()


GRAPH = {name: imported(name) for name in MODULES}


def test_no_modules_import_each_other_in_a_circle():
    assert len(list(TopologicalSorter(GRAPH).static_order())) == len(GRAPH)  # CycleError names the circle


def test_no_rooms_import_each_other_in_a_circle():
    rooms: dict[str, set[str]] = {}
    for name, others in GRAPH.items():
        here = ".".join(name.split(".")[1:2])
        rooms.setdefault(here, set()).update(".".join(other.split(".")[1:2]) for other in others)
    rooms = {here: others - {here, ""} for here, others in rooms.items() if here}
    assert "compare" in rooms["paper"] and list(TopologicalSorter(rooms).static_order())
