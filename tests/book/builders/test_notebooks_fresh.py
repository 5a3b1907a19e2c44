"""The committed notebooks are what `make notebooks` makes of their sources, and what the book promises of them.

That their outputs are what the code gives is checked by `pytest --nbval notebooks`.
"""

import re

import nbformat
import pytest
import yaml

from lightm_book import ROOT
from lightm_book.builders.build_notebooks import NOTEBOOKS, SOURCES, read_source
from lightm_book.builders.editions import edition

NAMES = [path.stem for path in sorted(SOURCES.glob("*.py"))]
LOCAL_PATH = re.compile(r"(?<![\w./])/(?:home|root|Users|work|tmp|var|opt|private|mnt|content)/[\w.-]+")
PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def notebook(name):
    path = NOTEBOOKS / f"{name}.ipynb"
    assert path.exists(), f"notebooks/{name}.ipynb is missing: make notebooks ONLY={name}"
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(output):
    """The readable text of an output: streams and text formats, without pictures."""
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    return PICTURE.sub("", "\n".join(value for kind, value in data.items() if kind.startswith("text/")))


def test_the_table_of_contents_has_every_chapter_and_no_other():
    listed = re.findall(r"file: notebooks/(\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
    assert listed == NAMES
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(NAMES)
    assert yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["format"] == "jb-book"


def test_cells_are_those_of_the_source(name, notebook):
    source = edition(read_source(SOURCES / f"{name}.py"), name, "reader")
    wanted = [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in source.cells]
    found = [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]
    for number, (want, have) in enumerate(zip(wanted, found, strict=False), 1):
        assert have == want, f"cell {number} differs from notebooks/src/{name}.py: make notebooks ONLY={name}"
    assert len(found) == len(wanted)
    assert notebook.metadata == source.metadata


def test_cells_ran_once_in_order_and_without_error(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output.ename for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]


def of_the_chapter(name):
    """The code cells of a source that a page shows, without those of the exercises."""
    exercises = False
    for cell in read_source(SOURCES / f"{name}.py").cells:
        if cell.cell_type == "markdown":
            headings = [line for line in cell.source.splitlines() if line.startswith("## ")]
            exercises = headings[-1] == "## Exercises" if headings else exercises
        elif not exercises and "remove-cell" not in cell.metadata.get("tags", []):
            yield cell


@pytest.mark.parametrize("name", NAMES[5:])
def test_a_line_of_code_is_no_wider_than_the_page(name):
    assert not [line for cell in of_the_chapter(name) for line in cell.source.splitlines() if len(line) > 88]


@pytest.mark.parametrize("name", NAMES[5:])
def test_setting_up_and_drawing_are_folded_so_that_the_text_stands_first(name):
    for cell in of_the_chapter(name):
        if any(call in cell.source for call in ("check_profile(", "plt.show()", "frames_slider(")):
            assert "hide-input" in cell.metadata.get("tags", []), cell.source[:200]


def test_the_parameters_cell_sets_the_small_profile_and_nothing_else(notebook):
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(cells) == 1
    lines = [line for line in cells[0].source.splitlines() if line and not line.startswith("#")]
    assert len(lines) == 1 and lines[0].startswith('profile = "smoke"')


def test_every_picture_has_a_text_for_those_who_cannot_see_it(notebook):
    for cell in code_cells(notebook):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 20, f"no alt text for the figure of the cell\n{cell.source}"


def test_a_chapter_has_a_figure_to_touch(notebook):
    assert any(
        "frames-slider" in o.get("data", {}).get("text/html", "") for c in code_cells(notebook) for o in c.outputs
    )


def test_outputs_name_no_path_of_the_machine_that_made_them(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert not LOCAL_PATH.findall(texts(output))
