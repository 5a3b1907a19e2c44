"""The bridge to nnU-Net without nnU-Net: what its code asks of a network and of a plans file, see `lightm.nnunet`."""

import ast
import json
import pydoc

import pytest
import torch

import lightm
from lightm.cli import main
from lightm.errors import LightMError
from lightm.models.registry import MODELS
from lightm.nnunet import TRAINERS
from lightm.nnunet.network import CLASS_NAME, PlannedNetwork
from lightm.nnunet.plans import planned

SMALL = {"width": 8, "depths": [1, 1, 1], "bottleneck_depth": 1}
PLANS = {
    "dataset_name": "Dataset004_Hippocampus",
    "plans_name": "nnUNetPlans",
    "configurations": {
        "2d": {"patch_size": [56, 40], "batch_size": 366, "architecture": {"network_class_name": "theirs"}},
        "3d_fullres": {"patch_size": [14, 56, 40], "batch_size": 9, "architecture": {"network_class_name": "theirs"}},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    },
}


def build(settings: dict, deep_supervision: bool) -> torch.nn.Module:
    """The network of a configuration, as nnU-Net 2.8.1 builds one from the names and keywords in its plans file."""
    architecture = json.loads(json.dumps(settings["architecture"]))
    assert architecture["_kw_requires_import"] == []
    network_class = pydoc.locate(architecture["network_class_name"])
    keywords = {**architecture["arch_kwargs"], "deep_supervision": deep_supervision}
    return network_class(input_channels=2, num_classes=3, **keywords)


def outputs_expected(settings: dict) -> list[list[float]]:
    """The scale of each label that nnU-Net's trainer compares, from the strides, the last one without its weight."""
    scales = (1 / torch.tensor(settings["architecture"]["arch_kwargs"]["strides"]).cumprod(0)).tolist()[:-1]
    return scales[:-1]


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    folder = tmp_path / "preprocessed" / PLANS["dataset_name"]
    folder.mkdir(parents=True)
    (folder / "nnUNetPlans.json").write_text(json.dumps(PLANS))
    monkeypatch.setenv("nnUNet_preprocessed", str(folder.parent))
    return folder


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_a_plan_builds_the_network_that_it_names_and_nothing_else_of_it_changes(configuration):
    new = planned(PLANS, "lightm-unet", SMALL)
    settings = new["configurations"][configuration]
    assert new["plans_name"] == "nnUNetPlans_lightm-unet"
    assert settings["architecture"]["network_class_name"] == CLASS_NAME
    assert new["configurations"]["3d_cascade_fullres"] == PLANS["configurations"]["3d_cascade_fullres"]
    same = PLANS["configurations"][configuration]["batch_size"]
    assert settings["batch_size"] == same and new["dataset_name"] == PLANS["dataset_name"]
    network = build(settings, deep_supervision=False)
    assert isinstance(network.network, lightm.LightMUNet)
    assert network(torch.randn(1, 2, *settings["patch_size"])).shape == (1, 3, *settings["patch_size"])


def test_a_patch_that_the_network_can_not_take_becomes_the_next_larger_one():
    for name, options, size in (
        ("lightm-unet", SMALL, [16, 56, 40]),
        ("lightm-unet", {**SMALL, "depths": [1]}, [14, 56, 40]),
        ("swin-unetr", {}, [32, 64, 64]),
    ):
        assert planned(PLANS, name, options)["configurations"]["3d_fullres"]["patch_size"] == size


def test_a_network_of_one_output_gives_the_list_that_the_trainer_asks_for_and_loses_no_weight_by_it():
    settings = planned(PLANS, "lightm-unet", SMALL)["configurations"]["2d"]
    network = build(settings, deep_supervision=True)
    image = torch.randn(2, 2, 56, 40)
    full, *others = network(image)
    assert full.shape == (2, 3, 56, 40) and not others and outputs_expected(settings) == [[1, 1]]
    network.decoder.deep_supervision = False  # as nnU-Net's trainer does for its predictions
    assert torch.equal(network(image), full)
    assert build(settings, deep_supervision=False).state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize("name", ["u-mamba-bot", "u-mamba-enc", "nnunet"])
def test_a_network_of_several_outputs_gives_one_for_each_label_of_the_trainer(name):
    pytest.importorskip("dynamic_network_architectures", reason="needs the extra baselines")
    settings = planned(PLANS, name, {"width": 4})["configurations"]["3d_fullres"]
    network = build(settings, deep_supervision=True)
    image = torch.randn(1, 2, *settings["patch_size"])
    found = network(image)
    compared = outputs_expected(settings)
    assert len(found) == len(compared) + 1  # the last has the weight 0
    for logits, scale in zip(found, compared, strict=False):
        assert list(logits.shape[2:]) == [n * s for n, s in zip(settings["patch_size"], scale, strict=True)]
    network.decoder.deep_supervision = False
    assert network(image).shape[1:] == (3, *settings["patch_size"])
    assert build(settings, deep_supervision=False).state_dict().keys() == network.state_dict().keys()


def test_every_network_of_the_list_fits_some_patch():
    for name in MODELS:
        try:
            new = planned(PLANS, name)
        except LightMError as error:
            assert "which can't be imported" in str(error), error  # an extra that is not here
            continue
        assert all(n >= 14 for n in new["configurations"]["3d_fullres"]["patch_size"]), name


def test_nnunet_finds_nothing_by_which_to_draw_the_weights_anew():
    assert not hasattr(PlannedNetwork(1, 2, "lightm-unet", 2, SMALL, [[1, 1], [2, 2], [2, 2]]), "initialize")


def test_the_command_writes_a_plan_beside_the_other_and_says_how_to_train(dataset, capsys):
    before = (dataset / "nnUNetPlans.json").read_bytes()
    words = ["nnunet", "plans", "4", "--options", "width=8", "depths=[1,1,1]"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "3d_fullres: lightm-unet, patches of 16x56x40 (planned: 14x56x40)" in out
    assert "nnUNetv2_train Dataset004_Hippocampus 2d 0 -p nnUNetPlans_lightm-unet" in out
    assert (dataset / "nnUNetPlans.json").read_bytes() == before
    new = json.loads((dataset / "nnUNetPlans_lightm-unet.json").read_text())
    assert new["configurations"]["2d"]["architecture"]["arch_kwargs"]["options"] == {"width": 8, "depths": [1, 1, 1]}
    assert main(words) == 2 and "--force" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["5"], "it holds none"),
        (["Dataset004_Hippocampus", "--plans", "other"], "nnUNetv2_plan_and_preprocess"),
        (["nowhere.json"], "There is no plans file"),
        (["4", "--model", "lightm-une"], "lightm-unet"),
        (["4", "--options", "widht=8"], "width"),
        (["4", "--model", "unetr", "--options", "img_size=40"], "divisible by 16"),
    ],
)
def test_what_can_not_be_planned_gets_one_sentence_and_leaves_no_file(dataset, capsys, words, sentence):
    assert main(["nnunet", "plans", *words]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert [path.name for path in dataset.iterdir()] == ["nnUNetPlans.json"]


def test_other_files_are_no_plans(dataset, capsys, monkeypatch):
    for text in ("[]", "{", '{"configurations": {}}', '{"configurations": {"2d": {"patch_size": [8, 8]}}}'):
        (dataset / "nnUNetPlans.json").write_text(text)
        assert main(["nnunet", "plans", "4"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.delenv("nnUNet_preprocessed")
    assert main(["nnunet", "plans", "4"]) == 2 and "nnUNet_preprocessed is not set" in capsys.readouterr().err


def test_the_folder_of_the_trainer_is_printed_and_has_one_class_of_its_files_name(capsys):
    assert main(["nnunet", "path"]) == 0
    assert capsys.readouterr().out.strip() == str(TRAINERS)
    [file] = TRAINERS.glob("*.py")
    classes = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]
    assert classes == [file.stem] == ["nnUNetTrainerLightM"]
