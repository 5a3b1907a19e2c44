"""Three editions of one source, in plain Markdown; their first cell; and marking."""

import importlib.util
import re
import subprocess

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from lightm.errors import LightMError
from lightm_book.builders import mark as marking
from lightm_book.builders.build_book import for_the_page
from lightm_book.builders.build_notebooks import FIRST_CELL, SOURCES, read_source, write
from lightm_book.builders.editions import CHECK, edition
from lightm_book.builders.plain_markdown import equations, plain

NAMES = [path.stem for path in sorted(SOURCES.glob("*.py"))]
MYST = re.compile(r"\{[a-z:]+\}`|^:::.*|\$\$ \([\w-]+\)$", re.M)
EXERCISE = """# %% [markdown]
# # Tiny
#
# See {doc}`02_selective_scan`.
#
# :::{exercise} ★★ Two numbers
# :label: ex-scan-compose
# Which step?
# :::
#
# :::{hint}
# :class: dropdown
# Try it.
# :::
#
# :::{solution} ex-scan-compose
# :class: dropdown
# The *second* forgets.
#
# ```python
# step = (0, 5)
# ```
# :::

# %%
from lightm_book.exercises import check

step = STUB

check("ex-scan-compose", step)

# %% [markdown]
# :::{exercise} ★★★ Open: why?
# :label: ex-scan-open
# Why?
# :::
#
# :::{solution} ex-scan-open
# :class: dropdown
# Because.
# :::
"""


def made(tmp_path, kind, stub="None"):
    path = tmp_path / "tiny.py"
    path.write_text(EXERCISE.replace("STUB", stub), encoding="utf-8")
    return edition(read_source(path), "tiny", kind)


def text_of(notebook):
    return "\n".join(cell.source for cell in notebook.cells[1:])


def test_the_readers_edition_folds_hint_and_solution(tmp_path):
    text = text_of(made(tmp_path, "reader"))
    assert "### Exercise ★★ Two numbers\n\nWhich step?" in text
    assert "<details><summary>Hint</summary>\n\nTry it.\n\n</details>" in text
    assert "<details><summary>Solution</summary>\n\nThe *second* forgets." in text and "step = None" in text


def test_the_students_edition_has_hints_and_no_solution_and_room_for_open_answers(tmp_path):
    notebook = made(tmp_path, "student")
    text = text_of(notebook)
    assert "Try it." in text and "forgets" not in text and "(0, 5)" not in text and "Because" not in text
    assert notebook.cells[-1].source == "*Your answer:*" and text.count("*Your answer:*") == 1


def test_the_instructors_edition_has_the_solution_in_the_place_of_the_answer(tmp_path):
    notebook = made(tmp_path, "instructor")
    (code,) = [cell.source for cell in notebook.cells[1:] if cell.cell_type == "code"]
    assert code == 'step = (0, 5)\n\n\ncheck("ex-scan-compose", step)'
    assert "**Solution.** The *second* forgets." in text_of(notebook) and "**Solution.** Because." in text_of(notebook)


def test_an_unknown_edition_is_named(tmp_path):
    with pytest.raises(LightMError, match="no edition 'teacher'"):
        made(tmp_path, "teacher")


def test_a_page_gets_the_myst_of_the_source_back(tmp_path):
    notebook = made(tmp_path, "reader")
    source = read_source(tmp_path / "tiny.py")
    page = nbformat.reads(for_the_page(notebook, source), as_version=4)
    assert [cell.source for cell in page.cells] == [cell.source for cell in source.cells]


@pytest.mark.parametrize("name", NAMES)
def test_no_edition_shows_myst_in_jupyter(name):
    for kind in ("reader", "student", "instructor"):
        notebook = edition(read_source(SOURCES / f"{name}.py"), name, kind)
        prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
        assert not [
            found for text in prose for found in re.findall(r"\{[a-z:]+\}`|^:::.*|\$\$ \([\w-]+\)$", text, re.M)
        ]
        nbformat.validate(notebook)
        if kind == "student":
            assert "<summary>Solution" not in "".join(prose)


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("{doc}`02_selective_scan`", "[The selective scan](02_selective_scan.ipynb)"),
        ("{doc}`the table <../book/scorecard>`", r"[the table](https://\S+/blob/main/book/scorecard.md)"),
        ("{cite:t}`liao2024lightmunet`", r"[Liao et al. (2024)](https://arxiv.org/abs/2403.05246)"),
        ("({cite}`gu2023mamba`)", r"(([Gu and Dao, 2023](https://arxiv.org/abs/2312.00752)))"),
        (":::{note}\nMind `this`.\n:::", "> **Note.**\n>\n> Mind `this`."),
        ("(a-label)=\n## Title", "## Title"),
        ("{abbr}`LN (LayerNorm)`", "LN (LayerNorm)"),
        ("```python\nx = {1}\n```", "```python\nx = {1}\n```"),
    ],
)
def test_roles_and_directives_become_plain_markdown(myst, markdown):
    pattern = re.escape(markdown).replace(re.escape(r"\S+"), r"\S+")
    assert re.fullmatch(pattern, plain(myst, "01_state_space_models"))


def test_an_equation_is_called_by_its_number_in_its_chapter_and_by_a_link_elsewhere():
    label, (chapter, number) = next(iter(equations().items()))
    assert plain(f"$$\nx\n$$ ({label})", chapter) == f"$$\nx\n\\tag{{{number}}} $$"
    assert plain(f"{{eq}}`{label}`", chapter) == f"({number})"
    assert plain(f"{{eq}}`{label}`", "13_cost").endswith(f"]({chapter}.ipynb)")


def first_cell(monkeypatch, tmp_path, address):
    """Run the first cell as in a kernel that lacks lightm; what it would hand to pip."""
    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTM_REPOSITORY", str(address))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code = TransformerManager().transform_cell(FIRST_CELL.format(url="https://nowhere.invalid/lightm"))

    class Shell:
        def run_line_magic(self, name, line):
            calls.append((name, line))

    exec(code, {"get_ipython": Shell})
    return calls


def test_the_first_cell_says_in_a_sentence_that_the_repository_cannot_be_reached(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match=r"gone can't be reached: set LIGHTM_REPOSITORY to another address"):
        first_cell(monkeypatch, tmp_path, tmp_path / "gone")


def test_the_first_cell_installs_from_the_address_that_is_named_with_the_tested_versions(monkeypatch, tmp_path):
    clone = tmp_path / "elsewhere"
    (clone / "requirements").mkdir(parents=True)
    (clone / "requirements" / "constraints.txt").write_text("# why\nnumpy==1.0\nno-such-package==2.0\n")
    for command in ("init", "add .", "-c user.name=a -c user.email=a@b.c commit -q -m x"):
        subprocess.run(["git", *command.split()], cwd=clone, check=True, capture_output=True)
    pip, cd = first_cell(monkeypatch, tmp_path, clone)
    assert pip[0] == "pip" and "-c {clone}/pins.txt" in pip[1] and cd == ("cd", "{clone}/notebooks")
    pins = (tmp_path / "lightm-repository" / "pins.txt").read_text()
    assert "no-such-package==2.0" in pins and "numpy" not in pins  # what is there already stays


def test_marking_gives_as_many_points_as_stars_for_a_right_answer_only(tmp_path, monkeypatch):
    labels = {"ex-scan-compose": "(0, 5)", "ex-ssm-row": "1", "ex-vss-below": "None", "ex-vss-view": "1 / 0"}
    monkeypatch.setattr(marking, "stars", lambda: dict.fromkeys(labels, 2))
    monkeypatch.setattr(marking, "NOTEBOOKS", tmp_path)
    answers = [f'x = {x}\ncheck("{label}", x)' for label, x in labels.items()]
    cells = ["from lightm_book.exercises import check", *answers]
    path = tmp_path / "tiny.ipynb"
    write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    lines = [line.split() for line in marking.mark(path).splitlines()[1:]]
    assert [line[1] for line in lines] == ["2/2", "0/2", "0/2", "0/2", "2/8"]
    assert "replace None" in " ".join(lines[2]) and "ZeroDivisionError" in lines[3][2]


def test_the_points_of_the_chapters_are_their_stars():
    stars = marking.stars()
    assert stars["ex-ssm-row"] == 1 and stars["ex-real-permute"] == 3 and "ex-ssm-open" not in stars


def test_what_is_no_notebook_with_exercises_is_refused(tmp_path):
    (tmp_path / "text.ipynb").write_text("no JSON")
    with pytest.raises(LightMError, match="can't be read as a notebook"):
        marking.marks(tmp_path / "text.ipynb")
    write(nbformat.v4.new_notebook(), tmp_path / "empty.ipynb")
    with pytest.raises(LightMError, match="has no exercise"):
        marking.marks(tmp_path / "empty.ipynb")


def test_a_check_is_found_where_it_ends_a_cell():
    assert CHECK.findall('x = 1\n\ncheck("ex-a-b", x)') == ["ex-a-b"] and not CHECK.findall('# check("ex-a", x)')
