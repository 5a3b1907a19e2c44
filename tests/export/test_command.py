"""`lightm export` writes the page and says in one line what is wrong."""

import pytest

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


def test_a_run_becomes_an_onnx_model_in_2d_and_3d(tiny_run, volume_run, tmp_path, capsys):
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx: pip install 'lightm[onnx]'")
    for run, _ in (tiny_run, volume_run):
        path = tmp_path / f"{run.name}.onnx"
        assert main(["export", str(run), "--onnx", str(path)]) == 0
        assert path.name in capsys.readouterr().out
        words = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert "SYNTHETIC" in words["trained_on"] and "held-out_scores" in words


def test_a_run_becomes_a_program_of_torch_export(tiny_run, tmp_path, capsys):
    path = tmp_path / "a.pt2"
    assert main(["export", str(tiny_run[0]), "--pt2", str(path)]) == 0
    assert "import lightm.export.pt2" in capsys.readouterr().out and path.is_file()


def test_one_kind_of_file_is_asked_for_at_a_time(tiny_run, tmp_path, capsys):
    for words in ([], ["--html", "a.html", "--onnx", "a.onnx"], ["--pt2", "a.pt2", "--precision", "float16"]):
        assert main(["export", str(tiny_run[0]), *words]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
