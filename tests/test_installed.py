"""Installed and not cloned: the wheel, and the source archive, in an environment of their own and an empty folder."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import numpy as np
import pytest
from documented import commands
from PIL import Image

from lightm_book import ROOT

TINY = ["data.size=[16,16]", "data.options={cases=20,size=24}", "train.epochs=1", "train.iterations_per_epoch=2"]
TINY += ["model.options.width=8", "model.options.depths=[1]", "model.options.bottleneck_depth=1"]
# What is shown and not run here, and why.
PARSED = {
    "lightm train released --rehearse": "takes a minute; tests/training/test_config.py trains shrunken recipes",
    "lightm predict runs/volumes scan.nii.gz liver.nii.gz --sliding": "tests/test_inference.py slides over volumes",
    "lightm-book bench scan": "takes minutes; tests/book/bench runs it small",
    "lightm-book bench scan --peers --shape 1,64,65536,16 --json scan.json": "the same",
    "lightm-book bench step --model lightm-unet --size 256 256 --peers mamba.py": "the same",
    "lightm-book reproduce --rehearse": "takes minutes; tests/book/reproduce rehearses a part of it",
    "torchrun --nproc_per_node 2 -m lightm train smoke": "two processes; tests/training has them",
}
# What needs more than the package, and the sentence that says so.
NEEDS = {
    "lightm data verify montgomery-shenzhen": "LIGHTM_DATA is not set: type `export LIGHTM_DATA=FOLDER`",
    "lightm data show hippocampus": "LIGHTM_DATA is not set: type `export LIGHTM_DATA=FOLDER`",
    "lightm data verify my-folder": "There is neither a data set nor a folder my-folder",
    "lightm evaluate --predictions mine --labels labelsTs --against theirs --tolerance 2": "There is no folder mine",
    "lightm evaluate --predictions theirs --labels labelsTs --html report.html": "There is no folder theirs",
    "lightm plan mine": "There is no folder mine",
    "lightm plan mine --out first.toml --memory 8": "There is no folder mine",
    "lightm predict runs/volumes imagesTs livers": "There is no file imagesTs",
    "lightm predict runs/volumes ct-series liver.nii.gz": "There is no file ct-series",
    "lightm predict runs/two brain_0000.nii.gz brain_0001.nii.gz tumour.nii.gz": "There is no file brain_0000.nii.gz",
    "lightm data fetch hippocampus": "LIGHTM_DATA is not set: type `export LIGHTM_DATA=FOLDER`, or name the folder",
    "lightm-book reproduce --budget 30": "There is no NVIDIA GPU that PyTorch can use here",
    "lightm-book build": "`lightm-book build` works on a clone of the repository",
    "lightm-book notebooks": "`lightm-book notebooks` works on a clone of the repository",
    "lightm-book claims": "`lightm-book claims` works on a clone of the repository",
    "lightm train montgomery": "There is no recipe montgomery.",
}
# Runs the commands one after the other in one process, so that torch is loaded once.
DRIVER = """
import contextlib, io, json, sys
from importlib.metadata import entry_points
programs = {name: entry_points(group="console_scripts", name=name)[name].load() for name in ("lightm", "lightm-book")}
answers = []
for program, *words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = programs[program](words)
        except SystemExit as stop:
            code = stop.code
    answers.append((code, out.getvalue(), err.getvalue()))
import lightm, lightm_book
print(json.dumps({"answers": answers, "from": [lightm.__file__, lightm_book.__file__]}))
"""


def run(*command, **options) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, encoding="utf-8", **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(kind: str, source: Path, out: Path) -> Path:
    """The archive that setuptools builds of a source folder: kind "sdist" or "wheel"."""
    out.mkdir(parents=True)
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    run(sys.executable, "-c", code, out, cwd=source)
    return next(out.iterdir())


def install(wheel: Path, folder: Path) -> Path:
    """A fresh environment with the wheel, which borrows all other packages from this one; returns its Python."""
    venv.create(folder, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    python = Path(paths["scripts"], "python")
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index", "--no-deps", wheel)
    # Not through PYTHONPATH: paths of a .pth file come last, and .pth files that lie there (ours) are not read.
    borrowed = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    Path(paths["purelib"], "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    return python


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> dict[str, Path]:
    """The wheel of the checkout, the source archive, and the wheel that pip would build of that."""
    folder = tmp_path_factory.mktemp("built")
    left_out = shutil.ignore_patterns(".git", ".venv*", "_build", "build", "*.egg-info", "__pycache__", ".*_cache")

    def skipped(at, names):
        return left_out(at, names) | ({"runs"} if Path(at) == ROOT else set())  # and keep results/runs

    shutil.copytree(ROOT, folder / "source", ignore=skipped)
    sdist = build("sdist", folder / "source", folder / "sdist")
    with tarfile.open(sdist) as tar:
        tar.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(folder)
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    return {
        "wheel": build("wheel", folder / "source", folder / "wheel"),
        "unpacked": unpacked,
        "wheel of the sdist": build("wheel", unpacked, folder / "again"),
    }


@pytest.fixture(scope="module")
def python(archives, tmp_path_factory) -> Path:
    return install(archives["wheel"], tmp_path_factory.mktemp("an environment") / "venv")


@pytest.fixture
def elsewhere(tmp_path) -> dict:
    """Options of a process in an empty folder, whose name is no plain word, under what Colab and odd consoles set."""
    folder = tmp_path / "an empty folder, für alles"
    folder.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "LIGHTM"))}
    odd = {"MPLBACKEND": "module://no.such.backend", "PYTHONIOENCODING": "ascii", "HOME": str(folder)}
    return {"cwd": folder, "env": kept | odd | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}}


def contents(python: Path) -> dict[str, bytes]:
    root = next(python.parents[1].glob("lib*/python*/site-packages"))
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for package in ("lightm", "lightm_book")
        for path in (root / package).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def test_every_documented_command_works_or_says_in_one_sentence_what_it_needs(python, elsewhere):
    Image.fromarray(np.eye(30, dtype=np.uint8) * 200).save(elsewhere["cwd"] / "radiograph.png")
    shown = [line for line in commands("README.md", "book/command_line.md") if line not in PARSED]
    lines = sorted({*shown, *NEEDS}, key=_order)
    asked = [[*shlex.split(line), *(TINY if line.startswith("lightm train smoke") else [])] for line in lines]
    said = json.loads(run(python, "-c", DRIVER, input=json.dumps(asked), **elsewhere))
    assert all(str(python.parents[1].resolve()) in str(Path(place).resolve()) for place in said["from"])
    for line, (code, out, err) in zip(lines, said["answers"], strict=True):
        if line in NEEDS:
            assert code == 2 and NEEDS[line] in err and err.count("\n") == 1, (line, err)
            assert "data_scripts" not in err and str(ROOT) not in err
        else:
            assert code == 0 and out, (line, out, err)
    made = {path.relative_to(elsewhere["cwd"]).as_posix() for path in elsewhere["cwd"].rglob("*") if path.is_file()}
    assert {"lungs.png", "scores.json", "runs/smoke/record.json", "runs/wide/record.json"} <= made
    git = json.loads((elsewhere["cwd"] / "runs/smoke/record.json").read_text())["environment"]["git"]
    assert git == {"commit": None, "dirty": None, "why": "installed without its repository"}


def test_the_installed_scripts_start_and_the_front_door_opens(python, elsewhere):
    for name in ("lightm", "lightm-book"):
        assert run(python.with_name(name), "--version", **elsewhere).startswith("lightm 0.")
    assert "lightm.models.unet" in run(python, "-c", "import lightm; print(lightm.LightMUNet)", **elsewhere)


def test_the_source_archive_installs_the_same_files_as_the_wheel(archives, python, tmp_path):
    whole = contents(python)
    assert {"lightm/recipes/smoke.toml", "lightm_book/plans/gpu.toml", "lightm/py.typed"} <= whole.keys()
    assert {"lightm/weights/LICENSE.txt", "lightm/export/page/page.js", "lightm_book/try_it/panel.html"} <= whole.keys()
    assert contents(install(archives["wheel of the sdist"], tmp_path / "venv")) == whole


def test_the_tests_of_the_source_archive_collect(archives):
    here = {"cwd": archives["unpacked"], "env": os.environ | {"PYTHONPATH": str(archives["unpacked"] / "src")}}
    collected = run(sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", "tests", **here)
    assert "tests/test_installed.py: " in collected and "tests/book/paper/test_paper.py: " in collected


def _order(line: str) -> tuple[int, str]:
    """Training first, then what reads the run."""
    return (0 if line == "lightm train smoke" else 1, line)


def test_the_records_that_chapters_read_are_installed_with_the_package(python, elsewhere):
    """So that a notebook alone, without a clone, shows what the book shows."""
    code = "from lightm_book import ROOT; print(*sorted(p.relative_to(ROOT) for p in ROOT.rglob('*.json')), sep='\\n')"
    installed = run(python, "-c", code, **elsewhere).split()
    wanted = [path.relative_to(ROOT).as_posix() for path in (ROOT / "results").rglob("*.json")]
    assert wanted and set(wanted) <= set(installed) and "tests/models/released_outputs.json" in installed
