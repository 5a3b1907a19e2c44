"""The command line as a newcomer meets it, mistakes first."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tiny import cheaply, tiny_config

import lightm
from lightm.cli import main
from lightm.data import load_dataset
from lightm.data.download import write_folder
from lightm.training.record import load_record


@pytest.fixture
def recipe(tmp_path):
    """The tiny run as a recipe file."""
    path = tmp_path / "tiny.toml"
    path.write_text(tiny_config().to_toml())
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("trian", "There is no command 'trian'. Did you mean 'train'?"),
        ("--foo", "Name a command"),
        ("train", "Name a recipe, such as smoke; `lightm train --list` has all. See `lightm train --help`."),
        ("train none.toml", "There is no recipe none.toml. Known: converged, "),
        ("train smoke --resum", "No use for '--resum'; did you mean --resume?"),
        ("train smoke --out x extra", "No use for 'extra'."),
        ("train smoke train.epochs 3", "'train.epochs' is not a setting; write key=value"),
        ("train smoke train.epoch=3", "Unknown key 'train.epoch'. Did you mean 'epochs'?"),
        ("train smoke --out x epochs=3", "Unknown key 'epochs'. Did you mean 'train.epochs'?"),
        ("train smoke train.epochs=many", 'train.epochs = "many" must be a whole number.'),
        ("train smoke model.name=lightmunet", "There is no model 'lightmunet'. Did you mean 'lightm-unet'?"),
        (
            "train smoke model.options.widht=8",
            "'lightm-unet' has no option 'widht'. Did you mean 'width'?",
        ),
        ("train smoke --resume", "There is nothing to resume in runs/smoke; leave out --resume to start there."),
        ("predict runs/none image.png", "The following arguments are required: OUTPUT."),
        ("predict runs/none image.png out.png", "There is no file image.png; correct the path."),
        ("evaluate runs/none", "There is no run folder and no weights file runs/none; correct the path"),
        ("evaluate runs/none --split tset", "invalid choice: 'tset'"),
        ("evaluate runs/none --json none/scores.json", "There is no folder none; make it"),
        ("count --model lightm", "There is no model 'lightm'."),
        ("count --model lightm-unet --size 100", "must be divisible by 8"),
        ("count --model lightm-unet --size 1 2 3", "--size has 3 numbers; give one, or 2 for --dims 2."),
        ("count --model lightm-unet --depth -1", "Argument --depth: -1 must be a whole number from 0 to 100."),
        ("count --model lightm-unet --size 1e9", "Argument --size: 1e9 must be a whole number from 1 to"),
        ("count --model swin-unetr --options depths=0", "swin-unetr can't be built with model.options = {'depths': 0}"),
        ("train smoke optim.lr=1e308", "optim.lr = 1e+308 must be at most 1000."),
        ("train smoke data.size=[60000,60000]", "data.size = 60000 must be at most 8192."),
        ("train smoke data.size=[8192,8192]", "lower data.size."),
        ("train smoke name=../../x", 'name = "../../x" must be one that a folder can have'),
        ("train smoke model.options.scan_backend=[1,64]", "type 'str' for argument 'backend'"),
        ("train smoke model.options.name=x", "model.options: name has its place in [model] itself."),
        ("train smoke --from runs/none", "There is no run folder and no weights file runs/none"),
        ("train smoke --resume --from runs/none", "leave out --from."),
        ("count --model lightm-unet --options width", "'width' is not a setting; write key=value"),
    ],
)
def test_a_mistake_gets_one_sentence_and_nothing_is_made(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert err.startswith("lightm: ") and err.count("\n") == 1 and sentence in err and not out
    assert not list(tmp_path.iterdir())


def test_without_arguments_it_says_what_there_is(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2 and "lightm train smoke" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["info", "plan", "train", "predict", "evaluate", "export", "count", "data"])
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0 and f"\n  lightm {command}" in capsys.readouterr().out.partition("examples:")[2]


def test_info_says_what_is_here_and_how_to_get_what_is_not(capsys, monkeypatch):
    monkeypatch.delenv("LIGHTM_DATA", raising=False)
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert f"lightm {lightm.__version__} (" in out and " ready " in lines["reference"]
    assert "SYNTHETIC" in lines["phantom-cxr"] and "300 cases" in lines["phantom-cxr"]
    assert " missing " in lines["lits"] and "lightm data fetch lits" in lines["lits"]
    assert "lightm-unet" in lines and out.count(" in use ") == 1


def test_data_lists_the_data_sets_and_checks_one(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("LIGHTM_DATA", raising=False)
    assert main(["data", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert " ready " in lines["phantom-ct"] and " missing " in lines["lits"] and " yours " in lines["folder"]

    write_folder(load_dataset("phantom-cxr", cases=3, size=16), tmp_path / "mine")
    arguments = ["data", "verify", "folder", "--root", str(tmp_path / "mine")]
    assert main(arguments) == 0
    assert "3 cases, 2D" in capsys.readouterr().out
    next((tmp_path / "mine" / "images").iterdir()).write_bytes(b"no picture")
    assert main(arguments) == 1
    assert "1 error, 0 warnings" in capsys.readouterr().out


def test_count_prints_a_table_and_json(capsys):
    assert main("count --model lightm-unet --size 64 --options width=8 --json".split()) == 0
    counted = json.loads(capsys.readouterr().out)
    assert main("count --model lightm-unet --size 64 --options width=8".split()) == 0
    assert f"{counted['params']:,}" in capsys.readouterr().out


def test_a_run_killed_by_the_system_goes_on_then_predicts_and_is_scored(recipe, tiny_run, tmp_path, capsys):
    out = str(tmp_path / "run")
    script = (
        "import os, signal, sys\n"
        "from lightm.training.config import load_config\n"
        "from lightm.training.trainer import Trainer\n"
        "def die(number):\n"
        "    if number == 6:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "Trainer(load_config(sys.argv[1]), sys.argv[2], on_iteration=die).fit()\n"
    )
    command = [sys.executable, "-c", script, recipe, out]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "epoch 1/3" in done.stderr and not (tmp_path / "run" / "record.json").exists()

    with cheaply():
        assert main(["train", recipe, "--resume", "--out", out, "train.workers=0"]) == 0
    assert "DSC lung" in capsys.readouterr().out
    whole, record = tiny_run
    for part in ("last", "best"):
        weights = [(folder / part / "model.safetensors").read_bytes() for folder in (whole, tmp_path / "run")]
        assert weights[0] == weights[1]
    assert load_record(tmp_path / "run" / "record.json")["test"] == record["test"]

    Image.fromarray(np.eye(30, dtype=np.uint8) * 200).save(tmp_path / "image.png")
    assert main(["predict", out, str(tmp_path / "image.png"), str(tmp_path / "label.png")]) == 0
    assert "1 lung" in capsys.readouterr().out and Image.open(tmp_path / "label.png").size == (30, 30)

    with cheaply():
        assert main(["evaluate", out, "--json", str(tmp_path / "scores.json")]) == 0
    for name in ("scores.json", "run/record.json"):
        before = (tmp_path / name).read_bytes()
        flags = ["--force"] if name.startswith("run") else []  # a run's own record never
        assert main(["evaluate", out, "--json", str(tmp_path / name), *flags]) == 2
        assert (tmp_path / name).read_bytes() == before
    assert f"{record['test']['summary']['dsc']['mean']:.4f}" in capsys.readouterr().out
    assert json.loads((tmp_path / "scores.json").read_text())["scores"] == record["test"]


def test_help_and_the_list_of_recipes_come_without_loading_torch():
    script = (
        "import contextlib, io, sys\n"
        "from lightm.cli import main\n"
        "from lightm_book.cli import main as book\n"
        "for run, line in [(main, '--help'), (main, 'predict --help'), (main, 'train --list'), (book, '--help')]:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        assert run(line.split()) == 0\n"
        "assert not {'torch', 'numpy'} & sys.modules.keys()\n"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_a_recipe_without_data_says_that_its_images_are_synthetic_and_a_run_says_where_it_begins(tiny_run, tmp_path):
    (tmp_path / "no_data.toml").write_text(
        "[model]\noptions = { width = 8, depths = [1], bottleneck_depth = 1, d_state = 4 }\n"
        "[train]\nepochs = 1\niterations_per_epoch = 1\nbatch_size = 2\n"
    )
    command = [sys.executable, "-m", "lightm", "train", "no_data.toml", "data.size=[16,16]", "--from", str(tiny_run[0])]
    command += ["data.options.cases=10", "data.options.size=16"]
    done = run(command, tmp_path)
    assert "The images are SYNTHETIC (phantom-cxr): [data] in a recipe names others." in done.stderr
    assert f"The weights are those of tiny after epoch {tiny_run[1]['best']['epoch']}." in done.stderr


def run(command, folder, **variables):
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_the_command_line_runs_under_the_variables_of_colab_and_of_old_consoles(tiny_run, tmp_path, encoding):
    Image.fromarray(np.eye(30, dtype=np.uint8) * 200).save(tmp_path / "image.png")
    # Jupyter sets its own backend, which stands for nothing where matplotlib_inline is not installed.
    variables = {"MPLBACKEND": "a-backend-that-is-not-here", "PYTHONIOENCODING": encoding}
    lightm = [sys.executable, "-m", "lightm"]
    run([*lightm, "predict", str(tiny_run[0]), "image.png", f"{encoding}.png"], tmp_path, **variables)
    run([*lightm, "evaluate", str(tiny_run[0])], tmp_path, **variables)
    again = [str(tiny_run[0] / "config.toml"), "train.epochs=1", "--out", "run"]
    done = run([*lightm, "train", *again], tmp_path, **variables)
    assert (tmp_path / "run" / "curves.png").exists() and "DSC lung" in done.stdout
    script = "import sys; from lightm.cli import main; main(['info']); print('\u2192 \u00b5')"
    run([sys.executable, "-c", script], tmp_path, **variables)


def test_ctrl_c_before_the_training_is_one_line(recipe, tmp_path):
    script = (
        "import signal, sys, lightm.training.task as task\n"
        "task.load_dataset = lambda *a, **o: signal.raise_signal(signal.SIGINT)\n"
        "from lightm.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where tests run in the background
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script, "train", recipe, "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 130 and done.stderr.splitlines()[-1] == "lightm: Stopped."
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()
