"""`lightm-book reproduce`: what is pending is made in order of value, nothing is lost, and a CPU can rehearse it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import pytest
import torch
from tiny import cheaply

from lightm.errors import LightMError
from lightm.training.config import load_config
from lightm.training.provenance import peak_memory
from lightm.training.record import list_records
from lightm.training.task import RunData
from lightm.training.trainer import Trainer
from lightm_book import ROOT
from lightm_book.bench.record import check_bench
from lightm_book.cli import main
from lightm_book.reproduce.plan import Piece, load_plan, select
from lightm_book.reproduce.rehearsal import rehearsed
from lightm_book.reproduce.session import reproduce, table
from lightm_book.reproduce.workshop import Workshop

RECIPE = """
[data]
size = [16, 16]
options = { cases = 20, size = 24 }
[model]
options = { width = 8, depths = [1], bottleneck_depth = 1, d_state = 4 }
[train]
epochs = 3
iterations_per_epoch = 3
batch_size = 4
"""
TWO = """
[[group]]
name = "{recipe}-{model}-{seed}"
why = "a test"
minutes = 0.5
recipe = ["tiny"]
model = ["lightm-unet"]
seed = [0, 1]
"""


@pytest.fixture
def plan(tmp_path):
    """A plan of two tiny runs."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tiny.toml").write_text(RECIPE)
    path = tmp_path / "mine" / "plan.toml"
    path.write_text(TWO)
    return path


def quietly(*args, **options):
    with cheaply():
        return reproduce(*args, device="cpu", report=lambda line: None, **options)


def test_a_setting_is_chosen_on_validation_cases_alone(plan, tmp_path, monkeypatch):
    plan.write_text(TWO.replace("seed = [0, 1]", 'seed = [100]\nkind = "tune"'))
    [piece] = load_plan(plan)
    workshop = Workshop(tmp_path / "out", tmp_path / "results")
    asked = []
    load = RunData.load
    monkeypatch.setattr(RunData, "load", lambda self, part, *a, **o: asked.append(part) or load(self, part, *a, **o))
    assert quietly([piece], workshop)
    record = workshop.record(piece)
    assert set(asked) == {"train", "val"} and "test" not in record and "test_native" not in record
    assert record["best"]["val_dsc_native"] == max(row["val_dsc_native"] for row in record["curve"])
    assert workshop.record(replace(piece, config=load_config(plan.with_name("tiny.toml"), ["optim.lr=3e-3"]))) is None
    assert "1 done, 0 pending" in table([piece], workshop)


def test_the_plan_of_the_long_runs_asks_for_three_rates_of_each_network():
    pieces = load_plan("converged")
    rates = [piece for piece in pieces if piece.kind == "tune"]
    assert len(rates) == 27 and len({piece.config.model.name for piece in rates}) == 9
    for piece in rates:
        assert piece.config.data.size == (128, 128) and piece.config.train.seed == 100


def test_the_plan_is_whole_and_in_order():
    pieces = load_plan("gpu")
    names = [piece.name for piece in pieces]
    assert len(set(names)) == len(names) and names[0] == "scan-check"
    rows = ["lightm-unet", "lightm-unet-released-2024-03-17", "lightm-unet-released-2024-03-29", "lightm-unet-1m"]
    rows += ["nnunet", "segresnet", "unetr", "swin-unetr", "u-mamba-bot"]
    for recipe in ("strong", "released"):
        wanted = {f"table2-short-{recipe}-{model}-seed0" for model in rows}
        wanted |= {f"table2-short-{recipe}-{m}-seed{s}" for m in ("lightm-unet", "segresnet", "nnunet") for s in (1, 2)}
        assert wanted <= set(names)
    for piece in pieces:
        if piece.kind == "train":
            assert piece.config.name == piece.name and piece.config.train.seed == int(piece.name[-1])
        if piece.name.startswith("table2"):
            assert piece.config.data.size == (512, 512) and piece.config.train.batch_size == 12
    assert "paper-lightm-unet-seed0" in names


def test_a_first_call_of_nine_minutes_checks_and_times_scan_and_step_and_begins_table_2():
    first = load_plan("gpu")[:5]
    assert [piece.name for piece in first[:4]] == ["scan-check", "scan-2d", "scan-3d", "step-2d"]
    assert sum(piece.minutes for piece in first[:4]) <= 6 < 9  # they can't stop half way; what follows can
    assert first[4].name == "table2-short-strong-lightm-unet-seed0" and first[4].config.data.size == (512, 512)


CHECK = '[[group]]\nname = "scan"\nkind = "check"\nwhy = "a test"\nminutes = 1\n'


@pytest.mark.parametrize("text", [TWO, CHECK])
def test_a_plan_is_listed_from_its_own_folder_too(plan, text, monkeypatch, capsys):
    plan.write_text(text)
    monkeypatch.chdir(plan.parent)
    assert main(["reproduce", "--list", "--plan", plan.name]) == 0
    assert f"0 done, {2 if text is TWO else 1} pending" in capsys.readouterr().out


def test_a_plan_without_pieces_is_named(plan):
    plan.write_text("")
    with pytest.raises(LightMError, match="has no piece"):
        load_plan(plan)


def test_every_reduced_record_is_a_piece_of_the_plan_that_made_it():
    workshop = Workshop("nowhere", ROOT / "results")
    pieces = load_plan("reduced")
    done = {piece.name for piece in pieces if workshop.record(piece)}
    assert done == {name for name in list_records(ROOT / "results" / "runs") if "-reduced-" in name} != set()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("why", "wy"), "unknown key 'wy'. Did you mean 'why'?"),
        (("minutes = 0.5\n", ""), "lacks minutes"),
        (("minutes = 0.5", 'minutes = "long"'), "minutes of group .* can't be 'long'"),
        (('-{seed}"', '"'), "two pieces are called tiny-lightm-unet"),
        (('["tiny"]', '["tony"]'), r"There is no recipe \S+tony\.toml"),
        (("seed = [0, 1]", 'seed = [0]\nvariant = ["x"]'), "no variant 'x'"),
        (("seed = [0, 1]", 'seed = [0]\nkind = "trane"'), "kind = 'trane' .* Did you mean 'train'?"),
    ],
)
def test_a_mistake_in_a_plan_is_named(plan, change, sentence):
    plan.write_text(TWO.replace(*change))
    with pytest.raises(LightMError, match=sentence):
        load_plan(plan)


def test_pieces_are_chosen_by_a_part_of_the_name_and_an_unknown_one_is_named():
    pieces = load_plan("gpu")
    assert [p.name for p in select(pieces, ["scan-check", "table2-short-strong-nnunet-seed?"])] == [
        "scan-check",
        *(f"table2-short-strong-nnunet-seed{seed}" for seed in range(3)),
    ]
    with pytest.raises(LightMError, match=r"No piece is called 'scan-chek'. Did you mean 'scan-check'"):
        select(pieces, ["scan-chek"])


def test_the_rehearsal_takes_every_kind_of_piece_and_every_network_through_the_same_code(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("LIGHTM_DATA", raising=False)
    only = ["scan-check", "scan-2d", "step-2d", "table2-short-strong", "paper-lightm", "beyond-short-directions2"]
    only += ["hippocampus-lightm-unet-seed0"]
    flags = [word for pattern in only for word in ("--only", pattern)]
    with cheaply():
        assert main(["reproduce", "--rehearse", "--out", str(tmp_path), *flags]) == 0
    said = capsys.readouterr().err
    assert "15 done in this call, 0 pending" in said
    pieces = select(load_plan("gpu"), only)
    records = list_records(tmp_path / "records")
    assert set(records) == {p.name for p in rehearsed(pieces, False) if p.kind == "train"}
    assert len({record["model"]["name"] for record in records.values()}) == 9
    for record in records.values():
        assert record["data"]["synthetic"]  # a rehearsal can't be mistaken for a result
        assert record["cost"]["images_per_second"] > 0 and record["cost"]["seconds_per_epoch"] > 0
        assert len(record["test"]["cases"]) == len(record["test_native"]["cases"]) > 0
    for name in ("scan-2d", "step-2d"):
        record = json.loads((tmp_path / "records" / "bench" / f"{name}.json").read_text())
        assert check_bench(record)["command"] == f"lightm-book reproduce --only {name}"
    check = json.loads((tmp_path / "records" / "checks" / "scan-check.json").read_text())
    assert all(case["bits_equal"] and case["worst_error"] < 1e-5 for case in check["cases"])
    assert not list((tmp_path / "begun").iterdir())
    assert main(["reproduce", "--rehearse", "--out", str(tmp_path), *flags]) == 0
    assert "0 done in this call, 0 pending" in capsys.readouterr().err


def test_a_call_that_runs_out_of_time_leaves_one_run_to_go_on_with(plan, tmp_path, monkeypatch):
    pieces, workshop = load_plan(plan), Workshop(tmp_path / "out")

    def slow(number):
        clock[0] += 12

    clock = [0.0]  # on which an iteration takes 12 seconds, and nothing else takes any
    with monkeypatch.context() as patch:
        patch.setattr("lightm.training.trainer.Trainer", partial(Trainer, on_iteration=slow))
        patch.setattr(time, "monotonic", lambda: clock[0])
        assert quietly(pieces, workshop, budget=1.25) is False
    statuses = [workshop.status(piece, {}) for piece in pieces]
    assert [status.done for status in statuses] == [False, False]
    assert 0 < statuses[0].share < 1 and statuses[1].share == 0
    assert {p.name for p in workshop.run_folder(pieces[0]).iterdir()} >= {"last", "config.toml", "split.json"}
    assert not list(workshop.run_folder(pieces[0]).glob("*.previous"))
    assert "% trained" in table(pieces, workshop)
    assert quietly(pieces, workshop) is True
    straight = Workshop(tmp_path / "straight")
    quietly(pieces[:1], straight)
    resumed, whole = (json.loads(w.record_path(pieces[0]).read_text()) for w in (workshop, straight))
    assert resumed["test"] == whole["test"] and resumed["cost"]["sessions"] == 2
    weights = [w.out / "finished" / pieces[0].name / "best" / "model.safetensors" for w in (workshop, straight)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_call_that_is_killed_goes_on_where_it_was(plan, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-W", "ignore", "-m", "lightm_book", "reproduce", "--plan", str(plan)]
    command += ["--device", "cpu", "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    log = out / "begun" / "tiny-lightm-unet-0" / "log.csv"
    until = time.monotonic() + 100
    while not log.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert log.exists() and not (out / "records").exists()  # killed in the middle of the first piece
    pieces, workshop = load_plan(plan), Workshop(out)
    assert workshop.resumable(pieces[0]) and quietly(pieces, workshop) is True
    straight = Workshop(tmp_path / "straight")
    quietly(pieces[:1], straight)
    weights = [w.out / "finished" / pieces[0].name / "best" / "model.safetensors" for w in (workshop, straight)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_record_in_results_counts_as_done_unless_its_recipe_is_another(plan, tmp_path):
    pieces, workshop = load_plan(plan), Workshop(tmp_path / "out")
    quietly(pieces[:1], workshop)
    results = tmp_path / "results"
    (results / "runs").mkdir(parents=True)
    record = workshop.record_path(pieces[0])
    (results / "runs" / record.name).write_text(record.read_text())
    elsewhere = Workshop(tmp_path / "elsewhere", results)
    assert elsewhere.status(pieces[0], {}).done
    changed = load_plan(plan.with_name(rewrite(plan, "seed = [0, 1]", 'seed = [0, 1]\nset = ["optim.lr=0.5"]')))
    assert not elsewhere.status(changed[0], {}).done


def test_what_took_a_while_once_is_expected_again_and_the_rest_is_a_guess(plan, tmp_path):
    pieces, workshop = load_plan(plan), Workshop(tmp_path / "out")
    assert "~0.5 min" in table(pieces, workshop) and "0 done, 2 pending" in table(pieces, workshop)
    quietly(pieces[:1], workshop)
    shown = table(pieces, workshop)
    assert "1 done, 1 pending" in shown and "~" not in shown


def rewrite(plan, old, new):
    path = plan.with_name("other.toml")
    path.write_text(plan.read_text().replace(old, new))
    return path.name


def test_a_run_begun_under_another_recipe_is_not_touched(plan, tmp_path, monkeypatch):
    pieces, workshop = load_plan(plan), Workshop(tmp_path / "out")
    with cheaply():
        trainer = Trainer(pieces[0].config, workshop.run_folder(pieces[0]), quiet=True, deadline=time.monotonic())
        with pytest.raises(KeyboardInterrupt):
            trainer.fit()
    changed = load_plan(plan.with_name(rewrite(plan, "seed = [0, 1]", 'seed = [0, 1]\nset = ["optim.lr=0.5"]')))
    with pytest.raises(LightMError, match=r"begun under another recipe: optim\.lr is 0\.5, there 0\.001; move it away"):
        quietly(changed, workshop)


def test_a_run_that_fails_does_not_keep_the_others_from_being_made(plan, tmp_path, monkeypatch):
    def full(number):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    def trainer(config, *args, **options):
        return Trainer(config, *args, on_iteration=full if config.train.seed == 0 else None, **options)

    monkeypatch.setattr("lightm.training.trainer.Trainer", trainer)
    pieces, workshop = load_plan(plan), Workshop(tmp_path / "out")
    with pytest.raises(LightMError, match=r"^tiny-lightm-unet-0 failed: CUDA out of memory\.$"):
        quietly(pieces, workshop)
    assert [workshop.status(piece, {}).done for piece in pieces] == [False, True]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can restart the peak of a process")
def test_each_piece_has_a_peak_of_memory_of_its_own(plan, tmp_path):
    block = torch.ones(400 * 2**18)  # 400 MiB that no piece uses
    before = peak_memory(torch.device("cpu"))
    del block
    pieces, workshop = load_plan(plan), Workshop(tmp_path / "out")
    quietly(pieces[:1], workshop)
    assert workshop.record(pieces[0])["cost"]["peak_memory_bytes"] < before - 200 * 2**20


def test_a_wrong_scan_stops_before_anything_is_trained(plan, tmp_path, monkeypatch):
    plan.write_text('[[group]]\nname = "check"\nkind = "check"\nwhy = "a test"\nminutes = 1\n' + TWO)
    wrong = {"backend": "gpu", "device": "x", "cases": [{"dtype": "float32", "worst_error": 0.1, "bits_equal": True}]}
    monkeypatch.setattr("lightm_book.reproduce.scan_check.check_gpu_scan", lambda **options: wrong)
    with pytest.raises(LightMError, match="The scan is wrong on this device"):
        quietly(load_plan(plan), Workshop(tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("*.json"))


def test_pieces_whose_data_are_not_here_are_set_aside_and_said(plan, tmp_path, monkeypatch):
    monkeypatch.delenv("LIGHTM_DATA", raising=False)
    pieces, said = load_plan(plan), []
    pieces += select(load_plan("gpu"), ["hippocampus-lightm-unet-seed0", "table1-short-lits-strong-unetr"])
    with cheaply():
        assert reproduce(pieces, Workshop(tmp_path / "out"), device="cpu", report=said.append) is True
    assert sum("set aside" in line for line in said) == 2 and said[-1] == "2 done in this call, 0 pending"


@pytest.mark.parametrize("recipe", ["paper-3d", "lits-released", "lits-strong"])
def test_the_recipes_for_lits_train_on_synthetic_ct_with_its_classes(recipe, tmp_path):
    config = load_config(recipe)
    assert config.data.size == (128, 128, 128) and config.train.batch_size == 2  # the paper, Section 3.1
    [piece] = rehearsed([Piece(recipe, "train", "a test", 1.0, recipe, config)], False)
    workshop = Workshop(tmp_path)
    quietly([piece], workshop)
    record = workshop.record(piece)
    assert record["data"]["classes"] == ["background", "liver", "tumour"] and record["data"]["synthetic"]
    assert record["config"]["optim"]["lr"] == config.optim.lr


def test_mistakes_get_one_sentence(plan, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("LIGHTM_DATA", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for arguments, sentence in (
        ([], "There is no NVIDIA GPU"),
        (["--device", "cpu", "--budget", "0.5", "--only", "scan"], "--budget 0.5 is too small"),
        (["--device", "cpu", "--only", "tabel"], "No piece is called 'tabel'"),
        (["--device", "cpu", "--only", "table2"], "LIGHTM_DATA is not set"),
        (["--device", "cpu", "--data", "nowhere.zip"], "--data nowhere.zip is not there"),
        (["--plan", "nowhere.toml"], "There is no plan nowhere.toml. Known: converged, gpu, reduced."),
    ):
        assert main(["reproduce", "--out", str(tmp_path / "out"), *arguments]) == 2
        said = capsys.readouterr().err
        assert sentence in said and len(said.splitlines()) == 1, said
    assert not (tmp_path / "out").exists()


def test_it_runs_where_only_pytorch_and_pure_packages_are(plan, tmp_path):
    """Without numba, nibabel, pooch, matplotlib and TensorBoard: a machine that has PyTorch, and what pip can carry."""
    missing = ("numba", "nibabel", "pooch", "matplotlib", "tensorboard")
    script = (
        "import sys\n"
        f"for name in {missing}: sys.modules[name] = None\n"
        "from lightm_book.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, "reproduce", "--plan", str(plan), "--device", "cpu"]
    command += ["--out", str(tmp_path / "out"), "--only", "tiny-lightm-unet-0"]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [record] = list_records(tmp_path / "out" / "records").values()
    assert record["model"]["scan"] == "chunked"
