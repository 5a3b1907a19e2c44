"""`lightm plan`: a recipe that suits the data, says why, and runs as written."""

import json
import tomllib

import nibabel
import numpy as np
import pytest
from PIL import Image

from lightm.cli import main
from lightm.errors import LightMError
from lightm.training.config import config_from_dict, load_config
from lightm.training.plan import Machine, plan, training_bytes
from lightm.training.task import Task

SMALL, LARGE = Machine(4 * 10**9, gpu=False), Machine(40 * 10**9, gpu=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)


def pictures(root, size=(40, 48), radius=8, cases=12):
    rng = np.random.default_rng(1)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    y, x = np.indices(size)
    for i in range(cases):
        mask = (y - rng.uniform(radius, size[0] - radius)) ** 2 + (x - size[1] / 2) ** 2 < radius**2
        image = np.clip(mask * 150 + rng.normal(60, 20, mask.shape), 0, 255)
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"c{i:02d}.png")
        Image.fromarray((mask * 255).astype(np.uint8)).save(root / "masks" / f"c{i:02d}.png")
    return root


def volumes(root, size=(40, 36, 20), steps=(1.0, 1.0, 3.0), high=1.0, ct=False, cases=12, edge=10):
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for i in range(cases):
        rng = np.random.default_rng(i)
        label = np.zeros(size, np.uint8)
        label[5 : 5 + edge, 8 : 8 + edge, 4 : 4 + edge] = 1
        image = nibabel.Nifti1Image((label * high + rng.normal(0, 0.3, size)).astype(np.float32), np.diag([*steps, 1]))
        nibabel.save(image, root / "imagesTr" / f"c{i:02d}_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(label, image.affine), root / "labelsTr" / f"c{i:02d}.nii.gz")
        steps = (steps[0], steps[1], steps[2] * 1.02)
    content = {"channel_names": {"0": "CT" if ct else "MRI"}, "labels": {"background": 0, "organ": 1}}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def planned(root, machine=SMALL, **options):
    text = plan("folder", str(root), options, machine)
    return config_from_dict(tomllib.loads(text)), text


def test_small_volumes_are_resized_to_the_size_of_the_median_case(tmp_path):
    config, text = planned(volumes(tmp_path / "set"))
    assert (config.data.sampling, config.data.size) == ("whole", (48, 48, 32))
    assert config.data.normalise == "zscore" and config.train.loss == "dice-ce"
    assert "12 cases of about 36 x 40 x 20" in text and "organ" in text


def test_large_volumes_are_seen_in_patches_at_one_spacing(tmp_path):
    root = volumes(tmp_path / "set", (120, 100, 30), high=800.0, ct=True, cases=4, edge=12)
    config, text = planned(root)
    assert config.data.sampling == "patches" and len(config.data.spacing) == 3
    assert np.prod(config.data.size) <= 64**3 and all(n % 16 == 0 for n in config.data.size)
    assert config.data.normalise.startswith("window:") and "lie outside of the usual abdominal window" in text
    assert config.train.loss == "dice-focal" and "focal loss leaves the many easy ones aside" in text
    assert config.data.ratios == (2, 1, 1) and "So few cases" in text
    larger, _ = planned(root, LARGE)
    assert np.prod(larger.data.size) > np.prod(config.data.size) and larger.train.precision == "bf16"


def test_a_structure_that_the_resize_would_lose_is_kept_by_patches(tmp_path):
    config, text = planned(pictures(tmp_path / "small", (400, 400), radius=2))
    assert config.data.sampling == "patches" and config.data.size == (256, 256) and "all but vanish" in text
    config, _ = planned(pictures(tmp_path / "large", (400, 800), radius=80))
    assert config.data.sampling == "whole" and config.data.size == (176, 352)


def test_less_memory_gives_a_smaller_batch_then_a_narrower_network_then_a_refusal(tmp_path):
    root = pictures(tmp_path / "set", (256, 256), radius=60, cases=12)
    found = [planned(root, Machine(int(m * 1e9), gpu=False))[0] for m in (4, 0.6, 0.3)]
    assert [c.train.batch_size for c in found] == sorted((c.train.batch_size for c in found), reverse=True)
    assert found[0].train.batch_size > found[2].train.batch_size or found[2].model.options["width"] == 8
    with pytest.raises(LightMError, match=r"needs .* GB in training, and 0\.0 GB may be used; give more"):
        planned(root, Machine(10**6, gpu=False))


def test_the_estimate_of_memory_grows_as_size_and_width_do():
    task = Task(2, 1, ["background", "a"], "zscore")

    def needed(size, width):
        return training_bytes(config_from_dict({"data": {"size": size}, "model": {"options": {"width": width}}}), task)

    assert needed([64, 64], 16) == pytest.approx(4 * needed([32, 32], 16), rel=0.1)
    assert needed([64, 64], 32) == pytest.approx(2 * needed([64, 64], 16), rel=0.2)


def test_options_and_odd_names_are_kept_and_data_with_faults_refused(tmp_path):
    root = pictures(tmp_path / 'odd "name"')
    config, text = planned(root, classes=["background", "nodule"], channels=1)
    assert config.data.options == {"classes": ["background", "nodule"], "channels": 1} and "nodule" in text
    assert config.data.root == str(root)
    assert planned(root, threshold=0)[0].data.options == {"threshold": 0}
    (root / "masks" / "c03.png").write_bytes(b"")
    with pytest.raises(LightMError, match="1 error"):
        planned(root)
    with pytest.raises(LightMError, match="3 are the least"):
        planned(pictures(tmp_path / "two", cases=2))
    with pytest.raises(LightMError, match="is drawn by a program, and has recipes"):
        plan("phantom-ct", "", {}, SMALL)


def test_a_planned_recipe_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    root = pictures(tmp_path / "mine")
    assert main(["plan", str(root), "--memory", "1"]) == 0
    assert "mine.toml is written. Next: lightm train mine.toml" in capsys.readouterr().out
    assert main(["plan", str(root)]) == 2 and "is there already" in capsys.readouterr().err
    shorter = ["train.epochs=1", "model.options.width=8", "model.options.depths=[1]", "train.validate_every=1"]
    assert load_config("mine.toml").name == "mine"
    assert main(["train", "mine.toml", *shorter]) == 0
    assert (tmp_path / "runs" / "mine" / "record.json").exists()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("plan nowhere", "There is no folder nowhere"),
        ("plan . --memory -1", "must be gigabytes"),
        ("plan . --memory nan", "must be gigabytes"),
        ("plan . --out x.txt", "a recipe's name ends in .toml"),
        ("plan . --out none/x.toml", "There is no folder none"),
    ],
)
def test_mistakes_are_one_sentence(command, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2 and sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("*.toml"))
