"""What own data asks of a training: voxels that nobody knows, patches, folds, and small targets."""

import dataclasses
import json

import nibabel
import numpy as np
import pytest
import torch
from tiny import MODEL, train

from lightm.data import load_dataset
from lightm.data.splits import make_folds
from lightm.errors import LightMError
from lightm.training.config import Config, config_from_dict, load_config
from lightm.training.losses import DiceCrossEntropy, WeightedDiceCrossEntropy, build_loss
from lightm.training.metrics import case_scores, dice_iou, summarise
from lightm.training.task import load_data
from lightm.training.trainer import Trainer


@pytest.fixture
def logits():
    return torch.randn(2, 3, 6, 7, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def label():
    return torch.randint(0, 3, (2, 6, 7, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_with_nothing_to_ignore_the_losses_are_the_same_number(logits, label):
    plain = DiceCrossEntropy()(logits, label)
    for loss in (WeightedDiceCrossEntropy(), WeightedDiceCrossEntropy(9), WeightedDiceCrossEntropy(weights=(2, 2, 2))):
        torch.testing.assert_close(loss(logits, label), plain, rtol=1e-6, atol=1e-6)


def test_what_is_to_be_ignored_changes_neither_loss_nor_gradient_whatever_is_predicted_there(logits, label):
    label[:, :2] = 255
    other = logits.clone()
    other[:, :, :2] += 5 * torch.randn(2, 3, 2, 7, 8, dtype=torch.float64)
    for gamma in (0.0, 2.0):
        loss = WeightedDiceCrossEntropy(255, gamma=gamma)
        assert loss(logits, label) == loss(other, label)
        cut = WeightedDiceCrossEntropy(gamma=gamma)(logits[:, :, 2:], label[:, 2:])
        torch.testing.assert_close(loss(logits, label), cut, rtol=1e-6, atol=1e-6)
    logits.requires_grad_()
    loss(logits, label).backward()
    assert not logits.grad[:, :, :2].any() and logits.grad[:, :, 2:].all()
    assert loss(logits, torch.full_like(label, 255)).isfinite()


def test_focal_loss_and_weights_are_what_their_formulas_say(logits, label):
    p = logits.softmax(1).gather(1, label[:, None].long())[:, 0]
    dice = WeightedDiceCrossEntropy()(logits, label) + p.log().mean()
    focal = WeightedDiceCrossEntropy(gamma=2.0)(logits, label) - dice
    torch.testing.assert_close(focal, (-((1 - p) ** 2) * p.log()).mean())
    w = torch.tensor([1.0, 5.0, 0.0], dtype=torch.float64)[label.long()]
    weighted = WeightedDiceCrossEntropy(weights=(1, 5, 0))(logits, label) - dice
    torch.testing.assert_close(weighted, -(w * p.log()).sum() / w.sum())


def test_a_recipe_chooses_its_loss():
    def loss(classes=3, ignore=None, **train):
        return build_loss(config_from_dict({"train": train}).train, classes, ignore)

    assert type(loss()) is DiceCrossEntropy
    assert (loss(loss="dice-focal").gamma, loss(ignore=7).ignore) == (2.0, 7)
    assert loss(class_weights=[0.5, 1, 2]).weights.tolist() == [0.5, 1, 2]
    for weights in ([1, 2], [0, 0, 0]):
        with pytest.raises(LightMError, match="must be 3 numbers, not all 0"):
            loss(class_weights=weights)


def test_scores_leave_out_what_is_to_be_ignored():
    pred, true = torch.tensor([[1, 1, 1, 0]]), torch.tensor([[1, 0, 9, 9]])
    dsc, _ = dice_iou(pred, true, 2, ignore=9)
    assert dsc.item() == pytest.approx(2 / 3)
    with pytest.raises(LightMError, match="holds the value 9"):
        dice_iou(pred, true, 2)


def test_a_class_that_no_case_holds_does_not_lift_the_mean():
    cases = [case_scores("a", torch.tensor([0.5, 1.0]), torch.tensor([0.4, 1.0]), ("background", "organ", "never"))]
    summary = summarise(cases, {"organ"})
    assert summary["dsc"] == {"mean": 0.5, "per_class": {"organ": 0.5}}
    assert summarise(cases)["dsc"]["mean"] == 0.75


def test_new_settings_leave_the_text_and_the_hash_of_older_recipes_as_they_were():
    assert not {"folds", "spacing", "sampling"} & set(Config().to_dict()["data"])
    assert not {"loss", "class_weights"} & set(Config().to_dict()["train"])
    changed = config_from_dict({"data": {"folds": 5, "fold": 2}})
    assert changed.sha256 != Config().sha256 and changed.to_dict()["data"]["folds"] == 5
    assert config_from_dict({"data": {"cache": "x"}}).sha256 == Config().sha256
    assert config_from_dict({"data": {"cache": "x"}}).public() == Config().to_dict()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"folds": 2}, "give at least 3 folds"),
        ({"folds": 5, "fold": 5}, "a fold from 0 to one less"),
        ({"fold": 1}, "give at least 3 folds"),
        ({"folds": 5, "split": "x.json"}, "and no data.split"),
        ({"spacing": [1.0, 1.0]}, 'goes with data.sampling = "patches"'),
        ({"spacing": [1.0], "sampling": "patches"}, "must have a number for each of the 2 axes"),
        ({"sampling": "patch"}, "Did you mean 'patches'"),
    ],
)
def test_settings_that_contradict_each_other_are_named(data, sentence):
    with pytest.raises(LightMError, match=sentence):
        config_from_dict({"data": data})


def test_the_folds_of_a_recipe_are_those_of_a_cross_validation():
    options = {"cases": 10, "size": 24}
    folds = make_folds(load_dataset("phantom-cxr", **options), 5, seed=1)
    table = {"options": options, "size": [16, 16], "folds": 5, "split_seed": 1}
    splits = [load_data(config_from_dict({"data": table | {"fold": k}})).split for k in range(5)]
    assert [s.sha256 for s in splits] == [s.sha256 for s in folds]
    assert sorted(case for s in splits for case in s.test) == sorted(load_dataset("phantom-cxr", **options).case_ids)


def patch_config(tmp_path, **data) -> Config:
    table = {
        "name": "patches",
        "data": {
            "name": "phantom-ct",
            "size": [8, 8, 8],
            "options": {"cases": 10, "size": [20, 16, 24]},
            "sampling": "patches",
            **data,
        },
        "model": {"options": MODEL},
        "train": {"epochs": 2, "batch_size": 2, "iterations_per_epoch": 5, "loss": "dice-focal"},
    }
    return config_from_dict(table)


def test_a_run_on_patches_goes_on_bit_for_bit_and_scores_whole_cases(tmp_path):
    whole = train(patch_config(tmp_path, cache=str(tmp_path / "cache")), tmp_path / "whole")
    assert whole["test"]["size"] == "native" and whole["test"]["summary"] == whole["test_native"]["summary"]

    def stop(number):
        if number == 8:
            raise KeyboardInterrupt

    config = patch_config(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "broken", on_iteration=stop)
    again = train(config, tmp_path / "broken", resume=True)
    weights = [(tmp_path / run / "last" / "model.safetensors").read_bytes() for run in ("whole", "broken")]
    assert weights[0] == weights[1]
    assert again["test"] == whole["test"] and again["config_sha256"] == whole["config_sha256"]


def test_a_run_at_another_spacing_is_scored_there_and_at_native_size(tmp_path):
    record = train(patch_config(tmp_path, spacing=[8.0, 8.0, 8.0]), tmp_path / "run")
    assert record["test"]["size"] == "spacing 8 x 8 x 8" and record["test_native"]["size"] == "native"


def test_a_label_to_ignore_is_learned_from_nowhere_and_scored_nowhere(tmp_path):
    root = tmp_path / "set"
    (root / "imagesTr").mkdir(parents=True), (root / "labelsTr").mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        label = np.zeros((8, 8, 8), np.uint8)
        label[2:6, 2:6, 2:6], label[:, :, 6:] = 1, 2
        image = (label == 1) + rng.normal(0, 0.1, label.shape)
        nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), np.eye(4)), root / f"imagesTr/c{i}_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(label, np.eye(4)), root / f"labelsTr/c{i}.nii.gz")
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "cube": 1, "ignore": 2}}))
    table = {
        "data": {"name": "folder", "root": str(root), "size": [8, 8, 8]},
        "model": {"options": MODEL},
        "optim": {"lr": 0.01},
        "train": {"epochs": 2, "batch_size": 2},
    }
    trainer = Trainer(config_from_dict(table), tmp_path / "run", quiet=True)
    record = trainer.fit()
    assert record["data"]["classes"] == ["background", "cube"] and trainer.task.ignore == 2
    assert list(record["test"]["summary"]["dsc"]["per_class"]) == ["cube"]
    assert dataclasses.asdict(trainer.task)["ignore"] == 2
    assert load_config(tmp_path / "run" / "config.toml").data.sampling == "whole"
