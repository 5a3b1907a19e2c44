"""The tools that run the notebooks and lay out the pages."""

import sys

import nbformat
import pytest

from lightm_book.builders import build_book, build_facts, build_notebooks
from lightm_book.builders.build_book import BuildError, execute, for_the_page, link_modules
from lightm_book.cli import main

SOURCE = """# %% [markdown]
# # Tiny

# %% tags=["parameters"]
profile = "paper"

# %% mystnb={"image": {"alt": "nothing"}}
import os
print(profile, os.path.basename(os.getcwd()))
print("to stdout")

# %%
1 + 1

# %%
1 + 1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project of one notebook source; the tools' paths lead there."""
    (tmp_path / "notebooks" / "src").mkdir(parents=True)
    (tmp_path / "_build").mkdir()
    for module in (build_book, build_notebooks):
        monkeypatch.setattr(module, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(build_notebooks, "SOURCES", tmp_path / "notebooks" / "src")
    for name, path in {"ROOT": tmp_path, "BUILD": tmp_path / "_build", "EXECUTED": tmp_path / "executed"}.items():
        monkeypatch.setattr(build_book, name, path)
    return tmp_path


def add(folder, source, name="tiny"):
    path = folder / "notebooks" / "src" / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    notebook = build_notebooks.read_source(path)
    build_notebooks.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    return notebook


def test_a_notebook_is_the_same_file_each_time_and_keeps_what_its_source_says(folder):
    ids = [cell.id for cell in add(folder, SOURCE).cells]
    notebook = build_notebooks.read_source(folder / "notebooks" / "src" / "tiny.py")
    assert [cell.id for cell in notebook.cells] == ids and len(set(ids)) == len(ids)
    contents = []
    for _ in range(2):
        build_notebooks.execute(notebook, "tiny")
        build_notebooks.write(notebook, folder / "notebooks" / "tiny.ipynb")
        contents.append((folder / "notebooks" / "tiny.ipynb").read_bytes())
    assert contents[0] == contents[1]
    shown = notebook.cells[3]
    assert shown.metadata == {"mystnb": {"image": {"alt": "nothing"}}}
    assert [output.text for output in shown.outputs] == ["paper notebooks\nto stdout\n"]
    assert notebook.metadata.language_info == {"name": "python"}


def test_an_edited_cell_changes_its_own_id_only(folder):
    before = [cell.id for cell in add(folder, SOURCE).cells]
    after = [cell.id for cell in add(folder, SOURCE.replace('"to stdout"', '"edited"')).cells]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, True, False, True, True]


def test_a_failing_cell_is_named_and_nothing_is_written(folder):
    notebook = add(folder, "# %%\nx = 1\n\n# %%\nassert x == 2, 'the claim'\n")
    before = (folder / "notebooks" / "tiny.ipynb").read_bytes()
    with pytest.raises(SystemExit, match=r"(?s)tiny\.py: cell 3 failed:\n    assert x == 2.*the claim"):
        build_notebooks.execute(notebook, "tiny")
    assert (folder / "notebooks" / "tiny.ipynb").read_bytes() == before


def test_the_book_runs_a_notebook_once_with_its_profile_and_again_only_when_something_changed(folder):
    add(folder, SOURCE)
    assert execute("tiny", "package 1") is None
    assert execute("tiny", "package 1") == "unchanged, kept"
    notebook = nbformat.read(folder / "executed" / "tiny.ipynb", as_version=4)
    assert "smoke notebooks" in notebook.cells[4].outputs[0].text  # cell 3 is the one that papermill adds
    assert execute("tiny", "package 2") is None


def test_the_book_refuses_a_notebook_without_the_parameter(folder):
    add(folder, "# %%\nprofile = 1\n")
    with pytest.raises(BuildError, match=r"no parameter \['profile'\]"):
        execute("tiny", "package")


def test_the_book_names_the_notebook_and_the_cell_that_failed(folder):
    add(folder, SOURCE + "\n# %%\nassert profile == 'paper', 'the claim'\n")
    with pytest.raises(BuildError, match=r"(?s)tiny\.ipynb failed in cell In\[7\]:.*assert profile.*the claim"):
        execute("tiny", "package")
    assert not (folder / "executed" / "tiny.ipynb").exists()


def test_a_page_shows_no_trace_of_papermill():
    cell = nbformat.v4.new_code_cell(
        "profile = 'smoke'", metadata={"tags": ["injected-parameters"], "papermill": {"x": 1}}
    )
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"papermill": {"input_path": "/somewhere"}})
    text = for_the_page(notebook)
    assert "papermill" not in text and "remove-cell" in text


@pytest.mark.parametrize(
    ("file", "page"), [("vss.py", "vss.html"), ("scan/__init__.py", "scan.html"), ("scan/cpu.py", "scan/cpu.html")]
)
def test_a_page_links_to_the_books_own_copy_of_the_source(file, page):
    assert link_modules(f"[`x`](../src/lightm/{file})\n") == f"[`x`](../_modules/lightm/{page})\n"


def test_the_table_of_contents_must_not_name_a_missing_notebook(folder):
    (folder / "_toc.yml").write_text("parts: [{chapters: [{file: book/a}, {file: notebooks/gone}]}]", encoding="utf-8")
    with pytest.raises(BuildError, match=r"notebooks/gone\.ipynb, which is not there"):
        build_book.chapters()


def test_a_changed_or_renamed_file_changes_the_digest(folder):
    file = folder / "a.txt"
    file.write_text("1")
    first = build_book.digest([file])
    assert build_book.digest([file]) == first != build_book.digest([file], "another version")
    file.write_text("2")
    assert build_book.digest([file]) != first
    file.write_text("1")
    assert build_book.digest([file.rename(folder / "b.txt")]) != first


def test_no_result_no_headline():
    assert build_facts.headline({}) == ""


def test_without_the_packages_of_the_book_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "lightm_book.builders.build_notebooks", raising=False)
    monkeypatch.setitem(sys.modules, "jupytext", None)
    assert main(["notebooks", "--only", "none"]) == 2
    err = capsys.readouterr().err
    assert "needs the package jupytext: type `pip install" in err and err.count("\n") == 1
