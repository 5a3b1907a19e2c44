"""Two houses: `lightm` never imports `lightm_book`, and imports among its modules point one way."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import lightm

PACKAGE = Path(lightm.__file__).parent
# From the ground up: what stands on a line may import what stands on lines above it, and its own folder.
FLOORS = (
    ("errors", "files", "provenance", "cpu"),
    ("scan", "kernels", "data", "ssm", "counting"),
    ("models",),
    ("training",),
    ("inference",),
    ("cli",),
    ("__main__",),
)
MODULES = {
    ".".join(("lightm", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imported(name: str) -> set[str]:
    """The modules that a module's import statements name, wherever they stand in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in MODULES else node.module for one in whole}
    return found


GRAPH = {name: imported(name) & MODULES.keys() for name in MODULES}


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def test_the_package_never_imports_what_belongs_to_the_book():
    assert {(name, other) for name in MODULES for other in imported(name) if other.startswith("lightm_book")} == set()


def test_no_modules_import_each_other_in_a_circle():
    try:
        assert len(list(TopologicalSorter(GRAPH).static_order())) == len(GRAPH)
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_imports_point_one_way():
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    assert {room(name) for name in MODULES} - {""} == floor.keys(), "say on which floor a new room stands"
    upwards = {
        (name, other)
        for name, others in GRAPH.items()
        for other in others
        if room(name) and room(other) and room(name) != room(other) and floor[room(other)] >= floor[room(name)]
    }
    assert upwards == set()


def test_the_vss_module_needs_no_monai_and_the_front_needs_no_torch():
    for module, heavy in (("lightm.models.vss", "monai"), ("lightm.models", "monai"), ("lightm", "torch")):
        code = f"import sys, {module}; sys.exit({heavy!r} in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0, (module, heavy)


def test_a_kernel_is_stale_when_any_file_changes_that_it_is_compiled_from():
    from lightm.cpu.cache import _sources

    compiled = {
        name
        for name in MODULES
        if any(other == "numba" or other.startswith(("numba.", "lightm.cpu.vectors")) for other in imported(name))
    }
    watched = {entry[0] for entry in _sources()}
    assert {MODULES[name].name for name in compiled} <= watched and "cpu_backward.py" in watched
