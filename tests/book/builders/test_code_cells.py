"""Code on the pages: nothing is cut at the width of a page, and what only prepares or draws is folded."""

import pytest

from lightm_book.builders.build_notebooks import SOURCES, read_source

CHAPTERS = [path.stem for path in sorted(SOURCES.glob("*.py"))]
COLUMNS = 88  # what fits beside the table of contents at 1300 pixels
FOLDED = ("check_profile(", "plt.show()", "frames_slider(")  # the set-up, and whatever draws


@pytest.fixture(params=CHAPTERS)
def cells(request):
    """The code cells that a reader sees."""
    notebook = read_source(SOURCES / f"{request.param}.py")
    return [c for c in notebook.cells if c.cell_type == "code" and "remove-cell" not in c.metadata.get("tags", [])]


def test_no_line_of_code_is_cut_at_the_width_of_a_page(cells):
    long = [line for cell in cells for line in cell.source.splitlines() if len(line) > COLUMNS]
    assert not long, f"{len(long)} lines of code have more than {COLUMNS} columns:\n" + "\n".join(long)


def test_cells_that_set_up_or_draw_are_folded(cells):
    open_cells = [
        cell.source
        for cell in cells
        if any(text in cell.source for text in FOLDED) and "hide-input" not in cell.metadata.get("tags", [])
    ]
    assert not open_cells, f"{len(open_cells)} cells need the tag hide-input, the first:\n" + open_cells[0]
