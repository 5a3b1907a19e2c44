"""Every command that a page shows is one that its program takes."""

import re
import shlex

import papermill
import pytest
from documented import PAGES, commands
from papermill.cli import papermill as papermill_cli

from lightm.cli import LIGHTM
from lightm_book import ROOT
from lightm_book.cli import LIGHTM_BOOK
from lightm_book.show.notebook import PROFILES

CHAPTERS = sorted((ROOT / "notebooks" / "src").glob("*.py"))
SHOWN = commands(*PAGES, *(f"notebooks/src/{path.name}" for path in CHAPTERS))


@pytest.mark.parametrize("line", SHOWN)
def test_a_command_on_a_page_is_one_that_its_program_takes(line):
    program, *words = shlex.split(line)
    if program == "accelerate":
        program, words = words[(start := words.index("-m") + 1)], words[start + 1 :]
    if program == "papermill":
        given = papermill_cli.make_context("papermill", words).params
        notebook = ROOT / given["notebook_path"]
        assert set(dict(given["parameters"])) <= set(papermill.inspect_notebook(notebook)), "unknown parameter"
        assert dict(given["parameters"])["profile"] in PROFILES
    else:
        {"lightm": LIGHTM, "lightm-book": LIGHTM_BOOK}[program].parse(words)


def test_the_pages_show_what_this_module_looks_for():
    shown = "\n".join(SHOWN)
    for program in ("lightm train", "lightm predict", "lightm-book reproduce", "papermill", "accelerate"):
        assert f"\n{program} " in f"\n{shown}"


def test_a_chapter_runs_from_any_folder():
    for path in CHAPTERS:
        assert not re.search(r"""["']\.\./""", path.read_text(encoding="utf-8")), path.name
