"""Imports among the rooms of lightm_book point one way, and no two modules import each other in a circle."""

from graphlib import TopologicalSorter

from imports import imported, modules_of

import lightm_book

MODULES = modules_of(lightm_book)
GRAPH = {name: imported(name, MODULES) & MODULES.keys() for name in MODULES}


def test_no_modules_import_each_other_in_a_circle():
    assert len(list(TopologicalSorter(GRAPH).static_order())) == len(GRAPH)  # CycleError names the circle


def test_no_rooms_import_each_other_in_a_circle():
    rooms: dict[str, set[str]] = {}
    for name, others in GRAPH.items():
        here = ".".join(name.split(".")[1:2])
        rooms.setdefault(here, set()).update(".".join(other.split(".")[1:2]) for other in others)
    rooms = {here: others - {here, ""} for here, others in rooms.items() if here}
    assert "compare" in rooms["paper"] and list(TopologicalSorter(rooms).static_order())
