"""A MONAI bundle: MONAI's own commands verify it and run it, and the label maps are those of `lightm predict`."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, verify_metadata, verify_net_in_out
from monai.bundle import run as run_bundle
from PIL import Image
from safetensors.torch import load_file

from lightm.cli import main
from lightm.data.images import read_image
from lightm.errors import LightMError
from lightm.export import export_bundle
from lightm.export.bundle_steps import Prepare, ReadImage
from lightm.inference import Predictor, load, predict_file

# What MONAI's bundle specification (docs/source/mb_specification.rst of MONAI) requires of metadata.json.
REQUIRED = ("version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version", "task")
REQUIRED += ("description", "authors", "copyright", "network_data_format")
IMAGE = ("type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data", "channel_def")
KINDS = {"array": ("spatial_shape", "value_range"), "string": ("type", "format", "dtype"), "integer": ("num_channels",)}
FORMAT = {
    "type": "object",
    "required": list(IMAGE),
    "properties": {name: {"type": kind} for kind, names in KINDS.items() for name in names},
}
SCHEMA = {
    "type": "object",
    "required": list(REQUIRED),
    "properties": {
        "network_data_format": {
            "type": "object",
            "properties": {
                part: {"type": "object", "required": [name], "properties": {name: FORMAT}}
                for part, name in (("inputs", "image"), ("outputs", "pred"))
            },
        }
    },
}


@pytest.fixture(scope="module")
def bundles(tiny_run, volume_run, tmp_path_factory):
    """(run folder, its bundle) in 2D and in 3D."""
    out = tmp_path_factory.mktemp("bundles")
    return [(run, export_bundle(run, out / run.name)) for run, _ in (tiny_run, volume_run)]


def files(bundle: Path) -> tuple[str, str]:
    return str(bundle / "configs/metadata.json"), str(bundle / "configs/inference.json")


def test_monai_verifies_the_metadata(bundles, tmp_path, monkeypatch):
    def download_url(url, filepath, **options):  # MONAI would fetch its schema
        Path(filepath).write_text(json.dumps(SCHEMA))

    monkeypatch.setattr("monai.bundle.scripts.download_url", download_url)
    for _, bundle in bundles:
        meta, _ = files(bundle)
        verify_metadata(meta_file=meta, filepath=str(tmp_path / "schema.json"))
        broken = json.loads(Path(meta).read_text())
        del broken["network_data_format"]["inputs"]["image"]["dtype"]
        (tmp_path / "broken.json").write_text(json.dumps(broken))
        with pytest.raises(ValueError, match="dtype"):
            verify_metadata(meta_file=str(tmp_path / "broken.json"), filepath=str(tmp_path / "schema.json"))


def test_monai_verifies_what_goes_into_the_network_and_what_comes_out(bundles):
    for _, bundle in bundles:
        meta, config = files(bundle)
        verify_net_in_out("network", meta_file=meta, config_file=config, device="cpu", bundle_root=str(bundle))
        with pytest.raises(ValueError, match="channel"):
            wrong = {"_meta_#network_data_format#outputs#pred#num_channels": 5}
            verify_net_in_out("network_def", meta_file=meta, config_file=config, device="cpu", **wrong)


def test_the_network_of_the_bundle_has_the_weights_of_the_run(bundles):
    for run, bundle in bundles:
        parser = ConfigParser()
        parser.read_config(files(bundle)[1])
        parser["bundle_root"], parser["device"] = str(bundle), "cpu"
        found, expected = parser.get_parsed_content("network"), load(run)
        stored = load_file(bundle / "models/model.safetensors")
        assert found.state_dict().keys() == expected.state_dict().keys() == stored.keys() and not found.training
        assert all(torch.equal(weight, expected.state_dict()[name]) for name, weight in found.state_dict().items())
        assert isinstance(load(bundle / "models/model.safetensors"), type(expected))


def test_monai_runs_the_bundle_and_the_label_maps_are_those_of_lightm_predict(bundles, tmp_path):
    rng = np.random.default_rng(0)
    picture, volume = tmp_path / "picture.png", tmp_path / "volume.nii.gz"
    Image.fromarray(rng.integers(0, 255, (30, 41), dtype=np.uint8)).save(picture)
    values = rng.normal(0, 100, (20, 17, 13)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, 1.0, 2.0, 1.0])), volume)
    for (run, bundle), image in zip(bundles, (picture, volume), strict=True):
        out, expected = tmp_path / run.name, tmp_path / f"expected-{image.name}"
        predict_file(run, image, expected)
        run_bundle(
            config_file=files(bundle)[1],
            meta_file=files(bundle)[0],
            bundle_root=str(bundle),
            images=[str(image)],
            output_dir=str(out),
            device="cpu",
        )
        assert (out / image.name).read_bytes() == expected.read_bytes() or image is volume  # gzip has a time in it
        if image is volume:
            found, right = nibabel.load(out / image.name), nibabel.load(expected)
            assert np.array_equal(found.get_fdata(), right.get_fdata()) and np.array_equal(found.affine, right.affine)


def test_a_colour_picture_is_read_as_by_lightm_predict(tiny_run, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)).save(tmp_path / "colour.png")
    expected = Predictor(tiny_run[0], "cpu").check(read_image(tmp_path / "colour.png"), "colour.png")
    assert np.array_equal(ReadImage(1)(tmp_path / "colour.png")["image"].numpy(), expected)
    assert np.array_equal(expected[0], np.array(Image.open(tmp_path / "colour.png").convert("L")))


def test_the_command_that_the_readme_shows_runs_in_the_bundles_folder(bundles, tmp_path):
    pytest.importorskip("fire", reason="python -m monai.bundle needs the package fire")
    _, bundle = bundles[0]
    Image.new("L", (20, 30), 90).save(tmp_path / "image.png")
    words = ["--config_file", "configs/inference.json", "--images", f"['{tmp_path / 'image.png'}']"]
    words += ["--output_dir", str(tmp_path / "eval")]
    done = subprocess.run([sys.executable, "-m", "monai.bundle", "run", *words], cwd=bundle, capture_output=True)
    assert done.returncode == 0 and (tmp_path / "eval/image.png").is_file(), done.stderr
    assert "python -m monai.bundle run --config_file configs/inference.json" in (bundle / "docs/README.md").read_text()


def test_no_pickle_is_in_a_bundle_and_it_says_what_the_network_is(bundles):
    _, bundle = bundles[0]
    found = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    configs = {"configs/metadata.json", "configs/inference.json"}
    assert found == configs | {"models/model.safetensors", "docs/README.md"}
    words = json.loads((bundle / "configs/metadata.json").read_text())
    assert "SYNTHETIC" in words["data_source"] and "Held-out scores" in words["facts"]
    assert "Not a medical device" in words["intended_use"]
    assert str(bundle) not in "".join((bundle / name).read_text() for name in (*configs, "docs/README.md"))


def test_what_can_not_be_segmented_gets_one_sentence(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "gray.png")
    with pytest.raises(LightMError, match=r"gray\.png has 1 channels and the network takes 2"):
        ReadImage(2)(tmp_path / "gray.png")
    with pytest.raises(LightMError, match=r"gray\.png is 2D and the network 3D"):
        Prepare([8, 8, 8], "zscore")(ReadImage(1)(tmp_path / "gray.png"))


def test_the_command_writes_a_bundle_and_replaces_only_a_bundle(tiny_run, tmp_path, capsys):
    words = ["export", str(tiny_run[0]), "--bundle"]
    assert main([*words, str(tmp_path / "lungs")]) == 0 and "MONAI bundle" in capsys.readouterr().out
    assert main([*words, str(tmp_path / "lungs")]) == 2 and "--force" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "lungs"), "--force"]) == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious").write_text("data")
    assert main([*words, str(tmp_path / "mine"), "--force"]) == 2
    assert (tmp_path / "mine/precious").read_text() == "data" and "it is no bundle" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "no/where")]) == 2
    assert main([*words, str(tmp_path / "half"), "--precision", "float16"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lungs", "mine"]
