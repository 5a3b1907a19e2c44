"""lightm data: list, verify, show and fetch as they are typed."""

import json
import tarfile

import numpy as np
import pooch
import pytest
from PIL import Image

from lightm.cli import main
from lightm.data import download, load_dataset
from lightm.data.download import write_folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("LIGHTM_DATA", str(tmp_path / "data"))
    write_folder(load_dataset("phantom-cxr", cases=4, size=32), tmp_path / "mine")
    return tmp_path / "mine"


def test_verify_says_that_all_is_well_or_what_is_not(folder, tmp_path, capsys):
    assert main(["data", "verify", str(folder)]) == 0
    assert "No fault was found" in capsys.readouterr().out
    mask = next((folder / "masks").iterdir())
    Image.fromarray(np.full((32, 32), 9, np.uint8)).save(mask)
    assert main(["data", "verify", str(folder), "--json", str(tmp_path / "r.json")]) == 1
    out, err = capsys.readouterr()
    assert f"masks/{mask.name}: holds 9, but the classes are 0 to 1 (background, lung)" in out and not err
    assert json.loads((tmp_path / "r.json").read_text())["faults"][0]["kind"] == "undeclared-label"
    assert main(["data", "verify", str(folder), "--accept", "undeclared-label"]) == 0


def test_training_stops_before_it_starts(folder, tmp_path, capsys):
    mask = next((folder / "masks").iterdir())
    mask.write_bytes(mask.read_bytes()[:40])
    recipe = tmp_path / "r.toml"
    recipe.write_text(f'[data]\nname = "folder"\nroot = "{folder.as_posix()}"\nsize = [16, 16]\n')
    assert main(["train", str(recipe), "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert f"1 error(s) in the data of {folder}" in err and mask.name in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_list_and_show(folder, capsys):
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert "phantom-ct " in out and "hippocampus " in out and "missing" in out
    assert main(["data", "show", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "4 cases, 2D, 1 channel" in out and "lung" in out and "normalise  zscore" in out
    assert main(["data", "verify", "phantom-ct"]) == 0 and "no files" in capsys.readouterr().out


def test_a_named_set_is_shown_with_its_terms(tmp_path, folder, capsys):
    write_folder(load_dataset("phantom-ct", cases=2, size=24), tmp_path / "data" / "Task03_Liver")
    assert main(["data", "show", "lits"]) == 0
    out = capsys.readouterr().out
    assert "CC BY-SA 4.0" in out and "doi:10.1016/j.media.2022.102680" in out and "liver" in out
    assert main(["data", "list"]) == 0 and "lits                 ready" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("data", "The following arguments are required: WHAT"),
        ("data verify", "The following arguments are required: NAME-or-FOLDER"),
        ("data verify hipocampus", "neither a data set nor a folder hipocampus. Did you mean 'hippocampus'?"),
        ("data verify hippocampus", "there is no folder"),
        ("data verify folder", "type `lightm data verify FOLDER`"),
        ("data verify . --json none/r.json", "There is no folder none"),
        ("data verify .", "holds neither images/ and masks/ nor imagesTr/ and labelsTr/"),
        ("data fetch phantom-ct", "is drawn by a program"),
        ("data fetch lit", "There is no data set 'lit' to fetch. Did you mean 'lits'?"),
        ("data fetch lits --archive none.tar", "There is no file none.tar"),
        ("data show nowhere", "There is neither a data set nor a folder nowhere"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTM_DATA", str(tmp_path / "data"))
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert err.startswith("lightm: ") and err.count("\n") == 1 and sentence in err and not out
    assert not list(tmp_path.iterdir())


def test_fetch_unpacks_an_archive_that_is_here(tmp_path, folder, capsys, monkeypatch):
    write_folder(load_dataset("phantom-ct", cases=2, size=24), tmp_path / "Task03_Liver")
    with tarfile.open(tmp_path / "Task03_Liver.tar", "w") as tar:
        tar.add(tmp_path / "Task03_Liver", "Task03_Liver")
    archive = tmp_path / "Task03_Liver.tar"
    monkeypatch.setitem(download.DECATHLON_MD5, "Task03_Liver", pooch.file_hash(str(archive), "md5"))
    assert main(["data", "fetch", "lits", "--archive", str(archive)]) == 0
    out = capsys.readouterr().out
    assert "Task03_Liver: 2 cases." in out and "CC BY-SA 4.0" in out
    assert main(["data", "fetch", "lits", "--archive", str(archive)]) == 2
    assert "is there already" in capsys.readouterr().err
