"""nnU-Net's own commands plan, train and predict with networks of ours, in the environment of `make nnunet`."""

import json
import subprocess

import nibabel
import numpy as np
import pytest

from lightm_book.nnunet_run import DATASET, ENVIRONMENT, Session, Training, lay_out, plan, train_and_score

pytestmark = pytest.mark.skipif(
    not (ENVIRONMENT / "lightm-stamp").is_file(), reason="nnU-Net is not installed in .venv-nnunet: run `make nnunet`"
)
TINY = ("width=4", "depths=[1,1,1]", "bottleneck_depth=1")
# nnU-Net's default trainer and no other: a training step, a validation step, and what it says of the network.
STOCK = f"""
import math
import torch
from nnunetv2.run.run_training import get_trainer_from_args
names = "{DATASET}", "3d_fullres", 0, "nnUNetTrainer", "nnUNetPlans_lightm-unet"
trainer = get_trainer_from_args(*names, device=torch.device("cpu"))
trainer.on_train_start()
trainer.network.train()
losses = [float(trainer.train_step(next(trainer.dataloader_train))["loss"]) for _ in range(2)]
trainer.network.eval()
with torch.no_grad():
    positives = trainer.validation_step(next(trainer.dataloader_val))["tp_hard"]
network = type(trainer.network.network).__name__
print("STOCK", type(trainer).__name__, network, all(map(math.isfinite, losses)), positives.shape)
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Session:
    """Eight made-up volumes with a box in two halves, planned and preprocessed by nnU-Net."""
    folder, rng = tmp_path_factory.mktemp("nnunet"), np.random.default_rng(0)
    for kind in ("imagesTr", "labelsTr"):
        (folder / "source" / kind).mkdir(parents=True)
    cases = [f"box_{number}" for number in range(8)]
    for case in cases:
        label = np.zeros((24, 28, 20), np.uint8)
        low = rng.integers(4, 8, 3)
        label[low[0] : low[0] + 12, low[1] : low[1] + 12, low[2] : low[2] + 8] = 1
        label[low[0] + 6 : low[0] + 12, low[1] : low[1] + 12, low[2] : low[2] + 8] = 2
        image = (label * 100 + rng.normal(0, 20, label.shape)).astype(np.float32)
        for kind, values in (("imagesTr", image), ("labelsTr", label)):
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / "source" / kind / f"{case}.nii.gz")
    made = Session(folder)
    lay_out(folder / "source", made.raw, cases[:6], cases[6:])
    plan(made, ["3d_fullres"])
    return made


def test_lightm_imports_beside_nnunet_and_builds_its_networks_with_the_versions_there(session):
    code = """
import torch, lightm
from importlib.metadata import version
assert version("dynamic-network-architectures") != "0.3.1", "this is the environment of the book"
for name in ("lightm-unet", "lightm-unet-released-2024-03-17", "lightm-unet-released-2024-03-29", "u-mamba-bot"):
    options = {"n_stages": 3} if "mamba" in name else {}
    lightm.build_model(name, 3, 1, 2, width=8, **options)(torch.zeros(1, 1, 16, 16, 16))
print("built")
"""
    assert "built" in session("python", "-c", code)


def test_nnunet_trains_and_predicts_with_our_network_and_both_score_its_masks_alike(session):
    done = train_and_score(session, Training("lightm-unet", "3d_fullres", TINY, iterations=2))
    assert [case["case"] for case in done["cases"]] == ["box_6", "box_7"]
    assert all(len(case["nnunet"]) == len(case["lightm"]) == 4 for case in done["cases"])  # DSC and IoU of two classes
    assert done["largest_difference"] < 1e-12
    [plans] = session.results.glob("Dataset004_Hippocampus/*/plans.json")
    settings = json.loads(plans.read_text())["configurations"]["3d_fullres"]
    assert settings["architecture"]["network_class_name"] == "lightm.nnunet.network.PlannedNetwork"
    said = session("python", "-c", STOCK)  # after ours: the plan is there
    assert "STOCK nnUNetTrainer LightMUNet True (2,)" in said


def test_a_wrong_number_of_epochs_is_said_and_nothing_is_trained(session):
    words = ("nnUNetv2_train", DATASET, "3d_fullres", "0", "-tr", "nnUNetTrainerLightM", "-device", "cpu")
    variables = session.variables | {"LIGHTM_NNUNET_EPOCHS": "many"}
    done = subprocess.run([session.bin / words[0], *words[1:]], env=variables, capture_output=True, text=True)
    assert done.returncode and "LIGHTM_NNUNET_EPOCHS=many must be a whole number" in done.stderr
