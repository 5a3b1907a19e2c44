"""What `import lightm` gives, and at which price."""

import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

import lightm
from lightm.errors import LightMError
from lightm.inference import Predictor


def test_importing_lightm_loads_nothing_heavy_and_its_names_come_when_used():
    script = (
        "import sys\n"
        "import lightm\n"
        "assert not {'torch', 'numpy', 'monai', 'importlib.metadata'} & sys.modules.keys()\n"
        "assert set(lightm.__all__) <= set(dir(lightm))\n"
        "lightm.selective_scan\n"
        "assert 'torch' in sys.modules and 'monai' not in sys.modules\n"
        "from lightm import *\n"
        "assert all(name in globals() for name in lightm.__all__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_names_are_those_of_the_rooms():
    from lightm.models import build_model
    from lightm.models.unet import LightMUNet
    from lightm.scan import selective_scan

    assert lightm.build_model is build_model and lightm.LightMUNet is LightMUNet
    assert lightm.selective_scan is selective_scan and "lightm-unet" in {info.name for info in lightm.list_models()}
    with pytest.raises(AttributeError, match="module 'lightm' has no attribute 'lode'"):
        lightm.lode  # noqa: B018


def test_a_run_folder_and_its_weights_file_load_as_the_trained_network(tiny_run, tmp_path, monkeypatch):
    run, _ = tiny_run
    images = torch.rand(2, 1, 16, 16)
    expected = Predictor(run, "cpu").model(images)
    shutil.copy(run / "best" / "model.safetensors", tmp_path / "lungs.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    for source in (run, str(run), tmp_path / "lungs.safetensors", "~/lungs.safetensors"):
        network = lightm.load(source)
        assert isinstance(network, lightm.LightMUNet) and not network.training
        assert torch.equal(network(images), expected)


def test_what_can_not_be_loaded_gets_one_sentence(tiny_run, tmp_path):
    run, _ = tiny_run
    weights = (run / "best" / "model.safetensors").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(weights[: len(weights) // 2])
    (tmp_path / "text.safetensors").write_text("no weights")
    save_file({"a": torch.zeros(1)}, tmp_path / "nameless.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "part.safetensors", {"lightm": '{"model": {}, "task": {}}'})
    network = '{"model": {"name": "segresnet", "options": {}}, "task": '
    task = '{"spatial_dims": 2, "in_channels": 1, "classes": ["background", "lung"]}}'
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors", {"lightm": network + task})
    for name, sentence in (
        ("nowhere", "There is no run folder and no weights file"),
        ("", "is not a run folder: it has no config.toml"),
        ("half.safetensors", "is no safetensors file, or a damaged one"),
        ("text.safetensors", "is no safetensors file, or a damaged one"),
        ("nameless.safetensors", "does not name its network: build it with lightm.build_model"),
        ("part.safetensors", "does not describe its network whole"),
        ("other.safetensors", "are of another architecture"),
    ):
        with pytest.raises(LightMError, match=sentence) as caught:
            lightm.load(tmp_path / name)
        assert "\n" not in str(caught.value)
