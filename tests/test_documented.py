"""Every command that a page shows is one that its program takes."""

import re
import shlex

import papermill
import pytest
from documented import PAGES, commands
from papermill.cli import papermill as papermill_cli

from lightm.cli import LIGHTM
from lightm.errors import LightMError
from lightm_book import ROOT
from lightm_book.cli import LIGHTM_BOOK
from lightm_book.show.notebook import PROFILES

CHAPTERS = sorted((ROOT / "notebooks" / "src").glob("*.py"))
TEXTS = (*PAGES, *(f"notebooks/src/{path.name}" for path in CHAPTERS))
SHOWN, MENTIONED = commands(*TEXTS), commands(*TEXTS, mentions=True)
PARSERS = {"lightm": LIGHTM, "lightm-book": LIGHTM_BOOK}


@pytest.mark.parametrize("line", SHOWN)
def test_a_command_on_a_page_is_one_that_its_program_takes(line):
    program, *words = shlex.split(line)
    if program == "torchrun":
        program, words = words[(start := words.index("-m") + 1)], words[start + 1 :]
    if program == "papermill":
        given = papermill_cli.make_context("papermill", words).params
        notebook = ROOT / given["notebook_path"]
        assert set(dict(given["parameters"])) <= set(papermill.inspect_notebook(notebook)), "unknown parameter"
        assert dict(given["parameters"])["profile"] in PROFILES
    else:
        PARSERS[program].parse(words)


@pytest.mark.parametrize("line", MENTIONED)
def test_a_command_that_a_text_mentions_exists(line):
    program, *words = shlex.split(line)
    try:
        PARSERS[program].parse(words)
    except SystemExit as stop:  # --help
        assert stop.code == 0
    except LightMError as error:  # mentioned without what it needs, as in `lightm predict`
        assert re.search("arguments are required|expected one argument", str(error)), error


def test_the_page_on_the_command_line_has_a_row_and_a_section_for_every_command():
    page = (ROOT / "book/command_line.md").read_text(encoding="utf-8")
    for name in LIGHTM._parsers()[1]:
        assert f"| `lightm {name}` |" in page, name
        assert f"\n## `lightm {name}`" in page or name == "nnunet", name  # the page on bridges has that


def test_the_pages_show_what_this_module_looks_for():
    shown = "\n".join(SHOWN)
    for program in ("lightm train", "lightm predict", "lightm-book reproduce", "papermill", "torchrun"):
        assert f"\n{program} " in f"\n{shown}"


def test_a_chapter_runs_from_any_folder():
    for path in CHAPTERS:
        assert not re.search(r"""["']\.\./""", path.read_text(encoding="utf-8")), path.name
