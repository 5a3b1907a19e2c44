"""`lightm export` writes the page and says in one line what is wrong."""

from lightm.cli import main


def test_a_run_becomes_one_file(tiny_run, tmp_path, capsys):
    path = tmp_path / "page.html"
    assert main(["export", str(tiny_run[0]), "--html", str(path)]) == 0
    assert "page.html" in capsys.readouterr().out
    text = path.read_text("utf-8")
    assert text.startswith("<!doctype html>") and "SYNTHETIC" in text
    assert main(["export", str(tiny_run[0]), "--html", str(path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["export", str(tiny_run[0]), "--html", str(path), "--force"]) == 0


def test_what_is_no_run_is_refused_in_one_line(tmp_path, capsys):
    assert main(["export", str(tmp_path), "--html", str(tmp_path / "page.html")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()
