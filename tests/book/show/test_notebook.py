import inspect

import pytest

from lightm.errors import LightMError
from lightm_book.show import figures, notebook
from lightm_book.show.notebook import PACKAGES, check_profile, show_file, show_source

SETTINGS = {"smoke": {"epochs": 2}, "paper": {"epochs": 100}}


def test_check_profile_gives_the_settings_of_the_profile():
    assert check_profile("smoke", SETTINGS).epochs == 2
    assert check_profile("paper", SETTINGS).epochs == 100
    assert vars(check_profile("smoke")) == {}


@pytest.mark.parametrize(
    ("profile", "settings", "message"),
    [
        ("smok", SETTINGS, "Did you mean 'smoke'"),
        (None, SETTINGS, "profile=None is unknown"),
        ("smoke", {"smoke": {"epochs": 2}, "paper": {}}, "'epochs' is given in one profile only"),
        ("smoke", {"smoke": {}}, "smoke and paper"),
    ],
)
def test_check_profile_names_what_is_wrong(profile, settings, message):
    with pytest.raises(LightMError, match=message):
        check_profile(profile, settings)


@pytest.fixture
def papermill_cells(monkeypatch):
    cells = ["profile = 'smoke'"]
    monkeypatch.setattr(notebook, "get_ipython", lambda: type("Shell", (), {"user_ns": {"In": cells}}))
    return cells


def test_check_profile_refuses_a_parameter_that_papermill_only_warns_about(papermill_cells):
    papermill_cells.append('# Parameters\nprofile = "smoke"\n')
    check_profile("smoke")
    papermill_cells.append("# Parameters\nprofle = 'paper'\n")
    with pytest.raises(LightMError, match=r"no parameter 'profle'. Did you mean 'profile'"):
        check_profile("smoke")


def test_show_source_shows_the_lines_between_two_pieces_of_text():
    source = show_source(check_profile, start="if settings is None", end="return")
    assert source.code == "if settings is None:\n    return SimpleNamespace()"
    assert source.file == "lightm_book/show/notebook.py"


def test_show_source_folds_long_docstrings_and_keeps_the_code():
    code = show_source(figures).code
    assert "Every frame is an ordinary" not in code
    assert '"""A slider that steps through pictures' in code and ' …"""' in code
    shown, whole = code.splitlines(), inspect.getsource(figures).splitlines()
    assert set(line for line in shown if "…" not in line) <= set(whole)
    compile(code, "folded", "exec")


def test_show_source_is_markdown_for_browsers_and_text_elsewhere():
    bundle = show_source(check_profile)._repr_mimebundle_()
    assert bundle["text/markdown"].startswith(
        "[`lightm_book/show/notebook.py`](../src/lightm_book/show/notebook.py)\n\n```python\ndef check"
    )
    assert bundle["text/plain"] == repr(show_source(check_profile))


@pytest.mark.parametrize(
    ("obj", "options"), [(len, {}), (pytest.raises, {}), (3, {}), (check_profile, {"start": "?!"})]
)
def test_show_source_refuses_what_it_cannot_show(obj, options):
    with pytest.raises(LightMError, match="show_source"):
        show_source(obj, **options)


def test_show_file_shows_lines_of_a_c_source_without_a_link_that_the_book_does_not_have():
    scan = PACKAGES[0] / "export" / "runtime" / "scan.c"
    shown = show_file(scan, "EXPORT void step_size", "}")
    assert shown.code.startswith("EXPORT void step_size") and shown.code in scan.read_text("utf-8")
    bundle = shown._repr_mimebundle_()
    assert bundle["text/markdown"].startswith("`lightm/export/runtime/scan.c`\n\n```c\nEXPORT void step_size")


@pytest.mark.parametrize(
    "path", [PACKAGES[0] / "gone.c", PACKAGES[0] / "py.typed", PACKAGES[0].parents[1] / "Makefile"]
)
def test_show_file_refuses_what_it_cannot_show(path):
    with pytest.raises(LightMError, match="show_file"):
        show_file(path)
