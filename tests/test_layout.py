"""Two houses: `lightm` never imports `lightm_book`, and imports among its modules point one way."""

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

from imports import imported, modules_of

import lightm

# From the ground up: what stands on a line may import what stands on lines above it, and its own folder.
FLOORS = (
    ("errors", "files", "cpu"),
    ("scan", "kernels", "data", "ssm"),
    ("models", "counting", "evaluation"),
    ("training",),
    ("inference", "export", "nnunet", "hub"),
    ("cli",),
    ("__main__",),
)
MODULES = modules_of(lightm)
# The front door names rooms and imports none until a name is used: it closes no circle.
GRAPH = {name: imported(name, MODULES) & MODULES.keys() if name != "lightm" else set() for name in MODULES}


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def test_the_package_never_imports_what_belongs_to_the_book():
    assert {
        (name, other) for name in MODULES for other in imported(name, MODULES) if other.startswith("lightm_book")
    } == set()


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
        if any(
            other == "numba" or other.startswith(("numba.", "lightm.cpu.vectors")) for other in imported(name, MODULES)
        )
    }
    watched = {entry[0] for entry in _sources()}
    assert {MODULES[name].name for name in compiled} <= watched and "cpu_backward.py" in watched
