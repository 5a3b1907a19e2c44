"""A recipe is checked key by key before any work starts, and has one canonical text and hash."""

import json
import re
from pathlib import Path

import pytest
import torch

from lightm.config import Config, config_from_dict, load_config
from lightm.data import list_datasets, load_dataset
from lightm.data.splits import make_split, save_split
from lightm.errors import LightMError
from lightm.runs import build_network, load_task

RECIPES = sorted((Path(__file__).parents[1] / "experiments").glob("*.toml"))


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
        ("[optim]\nlr = inf", "optim.lr = inf must be finite"),
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


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(LightMError, match=r"none\.toml .*experiments"):
        load_config(tmp_path / "none.toml")


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
            "name": 'quotes " and \\ and é',
            "data": {"size": [3, 5], "options": {"b": [1, 2.5, "x"], "a key": True, "c": {"d": 1e-300}}},
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


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_committed_recipe_is_valid_and_its_network_takes_its_images(path):
    config = load_config(path)
    assert config.name == path.stem
    data = {info.name: info for info in list_datasets()}[config.data.name]
    assert not config.data.split or (path.parent / config.data.split).is_file()
    task = {"spatial_dims": data.spatial_dims, "in_channels": 1, "classes": ["background", "a", "b"]}
    with torch.device("meta"):  # shapes only: no memory, no arithmetic
        logits = build_network(config, task)(torch.empty(config.train.batch_size, 1, *config.data.size))
    assert logits.shape == (config.train.batch_size, 3, *config.data.size)


def test_where_the_data_lies_is_no_part_of_the_identity_and_enters_no_record():
    elsewhere = config_from_dict({"data": {"root": "elsewhere"}})
    assert elsewhere.sha256 == Config().sha256
    assert elsewhere.public() == Config().to_dict()


def test_the_recipe_in_a_record_of_results_finds_its_split(tmp_path):
    folder = tmp_path / "experiments" / "splits"
    folder.mkdir(parents=True)
    save_split(make_split(load_dataset("phantom-cxr", cases=10)), folder / "own.json")
    config = config_from_dict({"data": {"split": "splits/own.json", "options": {"cases": 10}}})
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "run.json").write_text(json.dumps({"config": config.to_dict()}))
    assert len(load_task(load_config(tmp_path / "results" / "run.json")).cases("test")) == 2
