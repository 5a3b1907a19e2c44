"""The exercises of the chapters: complete, and their folded solutions right."""

import ast
import re

import pytest

from lightm_book.builders.build_notebooks import SOURCES, read_source
from lightm_book.builders.editions import CHECK, edition, exercises_of, solutions_of
from lightm_book.exercises import EXERCISES

NAMES = [path.stem for path in sorted(SOURCES.glob("*.py"))]


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def source(name):
    return read_source(SOURCES / f"{name}.py")


def checked(source):
    cells = [cell.source for cell in source.cells if cell.cell_type == "code"]
    return [label for cell in cells for label in CHECK.findall(cell)]


def test_every_check_belongs_to_an_exercise_of_a_chapter_and_the_other_way_round():
    used = [label for name in NAMES for label in checked(read_source(SOURCES / f"{name}.py"))]
    assert sorted(used) == sorted(EXERCISES)


def test_a_chapter_has_four_to_six_exercises_one_of_them_open(source):
    solutions = solutions_of(source)
    assert list(exercises_of(source)) == list(solutions)
    assert 4 <= len(solutions) <= 6
    assert [label for label, code in solutions.items() if code] == checked(source)
    assert [label for label, code in solutions.items() if not code] == [next(reversed(solutions))]


def test_exercises_have_one_to_three_stars_and_become_harder(source):
    stars = [re.fullmatch(r"(★{1,3}) \S.*", title)[1] for title in exercises_of(source).values()]
    assert stars == sorted(stars) and stars[0] == "★" and stars[-1] == "★★★"


def test_a_hint_stands_between_question_and_solution(source):
    for cell in source.cells:
        if cell.cell_type == "markdown" and "{exercise}" in cell.source:
            order = re.findall(r"^:::\{(\w+)\}", cell.source, re.M)
            assert order == ["exercise", "hint", "solution"], cell.source
            assert cell.source.count(":class: dropdown") == 2


def test_the_folded_solutions_are_right(name, source, monkeypatch):
    monkeypatch.setenv("LIGHTM_MARK", "1")  # a wrong one raises
    code = [cell.source for cell in edition(source, name, "instructor").cells if cell.cell_type == "code"]
    start = next(n for n, text in enumerate(code) if "lightm_book.exercises import check" in text)
    space: dict = {}
    for text in code[:start]:  # the chapter's imports and nothing else: quick
        if "%pip" not in text:
            found = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(found, []), name, "exec"), space)
    for text in code[start:]:
        exec(compile(text, name, "exec"), space)
