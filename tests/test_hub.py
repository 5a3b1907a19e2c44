"""Networks in the form of the Hugging Face Hub, in folders: nothing here needs a network."""

import json
import subprocess
import sys

import pytest
import torch

import lightm
from lightm.errors import LightMError
from lightm.inference import load

pytest.importorskip("huggingface_hub", reason="needs the extra hub: pip install 'lightm[hub]'")

from lightm.hub import HubNetwork

SMALL = {"width": 8, "depths": [1], "bottleneck_depth": 1}
NETWORKS = {
    "lightm-unet": (2, SMALL, (2, 1, 12, 8)),
    "lightm-unet-released-2024-03-17": (3, {"width": 8, "blocks_down": [1, 1], "blocks_up": [1]}, (1, 1, 8, 6, 4)),
    "segresnet": (2, {"init_filters": 8}, (1, 1, 16, 16)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_from_its_folder_as_it_was(name, tmp_path):
    dims, options, shape = NETWORKS[name]
    model = HubNetwork(name, dims, 1, 3, options).eval()
    model.save_pretrained(tmp_path / "saved")
    again = HubNetwork.from_pretrained(tmp_path / "saved")
    image = torch.randn(shape)
    assert not again.training and torch.equal(again(image), model(image)) and again(image).shape[1] == 3
    files = {path.name for path in (tmp_path / "saved").iterdir()}
    assert files == {"config.json", "model.safetensors", "README.md"}
    assert json.loads((tmp_path / "saved/config.json").read_text())["name"] == name
    assert type(again.network) is type(model.network)


def test_a_trained_run_becomes_such_a_folder_and_says_what_its_images_need(tiny_run, tmp_path):
    run, _ = tiny_run
    HubNetwork.from_run(run).save_pretrained(str(tmp_path / "lungs"))
    again = HubNetwork.from_pretrained(str(tmp_path / "lungs"))
    image = torch.randn(1, 1, 16, 16)
    assert torch.equal(again(image), load(run)(image)) and isinstance(again.network, lightm.LightMUNet)
    assert again.about["classes"] == ["background", "lung"] and again.about["size"] == [16, 16]


def test_what_is_no_such_folder_gets_one_sentence(tmp_path):
    with pytest.raises(LightMError, match=r"has no config\.json"):
        HubNetwork.from_pretrained(tmp_path)
    HubNetwork("lightm-unet", 2, 1, 2, SMALL).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"name": "lightm-unet"}')
    with pytest.raises(LightMError, match="does not describe a network"):
        HubNetwork.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(LightMError, match=r"has no model\.safetensors"):
        HubNetwork.from_pretrained(tmp_path)


def test_without_the_package_the_sentence_says_what_to_install():
    code = "import sys; sys.modules['huggingface_hub'] = None; import lightm; lightm.build_model; import lightm.hub"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert done.returncode and last.startswith("lightm.errors.LightMError") and "pip install 'lightm[hub]'" in last
