"""A recipe is checked key by key before any work starts, and has one canonical text and hash."""

import json
import re
from pathlib import Path

import pytest
import torch
from tiny import train

from lightm.data import list_datasets, load_dataset
from lightm.data.splits import make_split, save_split
from lightm.errors import LightMError
from lightm.training.config import Config, config_from_dict, load_config
from lightm.training.recipes import find_split, list_recipes
from lightm.training.shrink import SIZE, shrink
from lightm.training.task import Task, build_network, load_data
from lightm_book.paper.sources import CODE

RECIPES = [recipe.name for recipe in list_recipes()]


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[optim]\nlearning_rate = 1", "Unknown key 'optim.learning_rate'"),
        ("[optm]\nlr = 1", "Unknown key 'optm'. Did you mean 'optim'?"),
        ("[train]\nepoch = 3", "Did you mean 'epochs'?"),
        ("[train]\nepochs = 0", "train.epochs = 0 must be at least 1"),
        ("[train]\nepochs = 2.0", "train.epochs = 2.0 must be a whole number"),
        ("[train]\nepochs = true", "train.epochs = true must be a whole number"),
        ('[optim]\nlr = "fast"', 'optim.lr = "fast" must be a number'),
        ("[optim]\nlr = 0", "optim.lr = 0.0 must be more than 0"),
        ("[optim]\nlr = nan", "optim.lr = nan must be more than 0"),
        ("[optim]\nlr = inf", "optim.lr = inf must be at most 1000"),
        ("[optim]\nlr = 1e308", "optim.lr = 1e+308 must be at most 1000"),
        ("[optim]\nmomentum = 1.0", "optim.momentum = 1.0 must be less than 1"),
        ("[data]\nsize = [60000, 60000]", "data.size = 60000 must be at most 8192"),
        ("[data.options]\ncases = 10000000000", "data.options.cases = 1e+10 is more than can be computed"),
        ("[model.options]\nwidth = 1000000", "model.options.width = 1e+06 is more than can be computed"),
        ("[model.options]\ndepths = [1, 1000000]", "model.options.depths = 1e+06 is more than can be computed"),
        ("[model.options]\nname = 1", "model.options: name has its place in [model] itself"),
        ("[model.options]\nwidth = 2026-01-01", "model.options.width = \"2026-01-01\" must be a number, text"),
        ('name = "../../x"', 'name = "../../x" must be one that a folder can have'),
        ('name = ".."', 'name = ".." must be one that a folder can have'),
        ('[optim]\nname = "adamv"', "Did you mean 'adam"),
        ("[data]\nsize = 64", "data.size = 64 must be a list of whole numbers"),
        ("[data]\nsize = [64, 0]", "data.size = 0 must be at least 1"),
        ("[data]\nratios = [7, 3]", "data.ratios = [7, 3] must be three numbers"),
        ('[train]\nprecision = "fp16"', "use 'bf16'"),
        ("[train]\nbatch_size = 4\naccumulate = 3", "train.accumulate = 3 must divide train.batch_size = 4"),
        ("train = 3", "train must be a section"),
        ("epochs = 3", "Unknown key 'epochs'. Did you mean 'train.epochs'?"),
        ("[train", "is not a recipe"),
    ],
)
def test_a_wrong_recipe_names_the_key_and_the_remedy(tmp_path, text, sentence):
    with pytest.raises(LightMError, match=re.escape(sentence)):
        load_config(write(tmp_path, text))


def test_a_missing_recipe_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for asked in ("smok", "smok.toml", "experiments/smok.toml"):
        with pytest.raises(LightMError, match=rf"no recipe {asked}\. Did you mean 'smoke'\?.*`lightm train --list`"):
            load_config(asked)
    with pytest.raises(LightMError, match="is a folder; name a file in it, such as"):
        load_config(tmp_path)


def test_a_name_is_a_recipe_of_the_package_and_a_path_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("smoke", "smoke.toml", "own"):
        Path(name).write_text("[train]\nepochs = 99")
    assert load_config("smoke").train.epochs < 99
    for path in ("smoke.toml", "./smoke", "own", "~/own", Path("smoke.toml")):
        assert load_config(path).train.epochs == 99


def test_every_recipe_of_the_package_says_what_it_is_for_and_what_it_needs():
    assert {"smoke", "phantom-ct", "paper"} <= set(RECIPES)
    for recipe in list_recipes():
        assert recipe.summary.endswith(".") and len(recipe.summary) < 100 and recipe.time, recipe
        assert recipe.data == load_config(recipe.name).data.name


def test_overrides_are_typed_and_reach_options(tmp_path):
    path = write(tmp_path, "[train]\nepochs = 9")
    config = load_config(path, ["optim.lr=1e-3", "train.epochs=3", "model.name=paper-conv3", "model.options.width=16"])
    assert (config.optim.lr, config.train.epochs) == (1e-3, 3)
    assert (config.model.name, config.model.options) == ("paper-conv3", {"width": 16})
    assert config.name == "recipe"
    with pytest.raises(LightMError, match=r"write key=value"):
        load_config(path, ["optim.lr"])
    with pytest.raises(LightMError, match=r"Unknown key 'train.epoch'"):
        load_config(path, ["train.epoch=3"])


def test_the_canonical_text_reads_back_as_the_same_recipe(tmp_path):
    config = config_from_dict(
        {
            "name": 'quotes " and é',
            "data": {"size": [3, 5], "options": {"b": [1, 2.5, "x \\ y"], "a key": True, "c": {"d": 1e-300}}},
            "optim": {"lr": 1e-05, "betas": [0.9, 0.95]},
        }
    )
    again = load_config(write(tmp_path, config.to_toml()))
    assert again == config and again.sha256 == config.sha256 and again.to_toml() == config.to_toml()


def test_the_hash_follows_what_decides_the_result():
    base = Config()
    assert config_from_dict({"train": {"workers": 3}, "name": "other"}).sha256 == base.sha256
    changed = config_from_dict({"optim": {"lr": 2e-3}, "data": {"options": {"cases": 3}}})
    assert changed.sha256 != base.sha256
    assert base.difference(changed) == "optim.lr is 0.001, there 0.002; data.options.cases is unset, there 3"
    assert base.difference(config_from_dict({"train": {"workers": 3}})) == ""


def test_a_record_is_a_recipe_too(tmp_path):
    config = config_from_dict({"name": "x", "train": {"epochs": 4}})
    (tmp_path / "record.json").write_text(json.dumps({"config": config.to_dict(), "seed": 0}))
    assert load_config(tmp_path / "record.json") == config


@pytest.mark.parametrize("name", RECIPES)
def test_every_committed_recipe_is_valid_and_its_network_takes_its_images(name):
    config = load_config(name)
    assert config.name == name
    data = {info.name: info for info in list_datasets()}[config.data.name]
    assert not config.data.split or find_split(config.data.split, config.folder).is_file()
    task = Task(data.spatial_dims, 1, ["background", "a", "b"], "zscore")
    with torch.device("meta"):  # shapes only: no memory, no arithmetic
        logits = build_network(config, task)(torch.empty(config.train.batch_size, 1, *config.data.size))
    assert logits.shape == (config.train.batch_size, 3, *config.data.size)


def test_where_the_data_lies_is_no_part_of_the_identity_and_enters_no_record():
    elsewhere = config_from_dict({"data": {"root": "elsewhere"}})
    assert elsewhere.sha256 == Config().sha256
    assert elsewhere.public() == Config().to_dict()


def test_a_split_is_found_beside_the_recipe_or_in_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "splits").mkdir()
    save_split(make_split(load_dataset("phantom-cxr", cases=10)), tmp_path / "splits" / "own.json")
    config = config_from_dict({"data": {"split": "splits/own.json", "options": {"cases": 10}}})
    recipe = tmp_path / "run.json"
    recipe.write_text(json.dumps({"config": config.to_dict()}))
    assert len(load_data(load_config(recipe)).cases("test")) == 2
    (tmp_path / "elsewhere").mkdir()
    recipe = recipe.rename(tmp_path / "elsewhere" / "run.json")
    with pytest.raises(LightMError, match=r"data\.split = 'splits/own\.json' is neither beside the recipe"):
        load_data(load_config(recipe))
    monkeypatch.chdir(tmp_path)
    assert len(load_data(load_config(recipe)).cases("test")) == 2


def test_the_recipe_in_a_record_finds_the_split_of_the_package_wherever_the_record_lies(tmp_path):
    for dataset in ("montgomery-shenzhen", "hippocampus"):
        recorded = f"splits/{dataset}-seed0.json"  # as records have it, old ones too
        assert json.loads(find_split(recorded, tmp_path).read_text())["dataset"] == dataset


def small(config):
    return shrink(config, SIZE[len(config.data.size)])


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_shrinks_and_keeps_its_training(name):
    config = load_config(name)
    shrunken = small(config)
    assert shrunken.name == config.name and shrunken.data.name.startswith("phantom")
    changed = {"train.epochs", "train.batch_size", "train.accumulate", "train.iterations_per_epoch", "optim.warmup"}
    differing = {part.partition(" is ")[0] for part in shrunken.difference(config).split("; ")}
    assert {key for key in differing if not key.startswith(("data.", "model.options.", "eval."))} <= changed
    task = Task(len(shrunken.data.size), 1, ["background", "a"], "zscore")
    with torch.device("meta"):
        logits = build_network(shrunken, task)(torch.empty(2, 1, *shrunken.data.size))
    assert logits.shape == (2, 2, *shrunken.data.size)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("name", ["lightm-unet", "lightm-unet-1m", "unetr", "swin-unetr", "nnunet", "u-mamba-bot"])
@pytest.mark.parametrize("dims", [2, 3])
def test_other_networks_fit_the_small_images_too(name, dims, narrow):
    config = config_from_dict({"data": {"size": [512] * dims}, "model": {"name": name}})
    shrunken = shrink(config, {2: 32, 3: 16}[dims], narrow=True) if narrow else small(config)
    with torch.device("meta"):
        network = build_network(shrunken, Task(dims, 1, ["background", "a"], "zscore"))
        assert network.eval()(torch.empty(1, 1, *shrunken.data.size)).shape == (1, 2, *shrunken.data.size)


@pytest.mark.parametrize("name", ["paper", "released", "strong"])
def test_the_shrunken_recipes_train(name, tmp_path):
    network = ["model.options.width=8", "model.options.depths=[1]", "model.options.bottleneck_depth=1"]
    config = shrink(load_config(name, network), 16, cases=10, iterations=3)
    record = train(config, tmp_path / "run")
    assert [row["epoch"] for row in record["curve"]] == [1, 2] and record["data"]["synthetic"]


def test_the_released_recipe_says_what_the_authors_trainer_says():
    config = load_config("released")
    optim, said = config.optim, {name: CODE[name].quote for name in ("optimiser", "schedule", "epochs", "iterations")}
    assert (
        f"= {optim.name.capitalize()}(" in said["optimiser"]
        and f"eps={optim.eps:.0e}".replace("e-0", "e-") in (said["optimiser"])
    )
    assert f"exponent={optim.power}" in said["schedule"]
    assert f"{optim.lr:.0e}".replace("e-0", "e-") in CODE["learning rate"].quote
    assert said["epochs"].endswith(f" {config.train.epochs}")
    assert said["iterations"].endswith(f" {config.train.iterations_per_epoch}")
