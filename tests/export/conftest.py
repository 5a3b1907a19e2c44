"""What the tests of the exported page share: networks, node, and Chromium."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import CHROMIUM, Browser

from lightm.export import describe
from lightm.export.html import RUNTIME, runtime_sources

NODE = shutil.which("node")
DRIVER = Path(__file__).with_name("driver.js")


@pytest.fixture
def node(tmp_path):
    """A function: job (JSON-able) -> what driver.js answers. Arrays go in and out as files of the folder it gets."""
    if NODE is None:
        pytest.skip("no node here: install Node.js 18 or newer to run the page's scripts without a browser")

    def run(job: dict) -> dict:
        scripts = [tmp_path / name for name in runtime_sources()]
        for path, text in zip(scripts, runtime_sources().values(), strict=True):
            path.write_text(text, "utf-8")
        job = {**job, "scripts": list(map(str, scripts)), "module": str(RUNTIME / "kernels.wasm")}
        (tmp_path / "job.json").write_text(json.dumps(job))
        command = [NODE, str(DRIVER), str(tmp_path / "job.json")]
        done = subprocess.run(command, text=True, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture
def engine(node, tmp_path):
    """A function: model, images (B, C, H, W), options of `run` -> {"logits": (B, K, H, W), name: (B, C, H, W), …}."""

    def run(model, images: torch.Tensor, **options) -> dict[str, np.ndarray]:
        described = describe(model)
        (tmp_path / "weights").write_bytes(described.weights)
        images.numpy().astype("<f4").tofile(tmp_path / "images")
        answer = node(
            {
                "task": "run",
                "description": described.description,
                "weights": str(tmp_path / "weights"),
                "images": str(tmp_path / "images"),
                "shape": list(images.shape),
                "options": options,
                "out": str(tmp_path / "out"),
            }
        )
        values, at, found = np.fromfile(tmp_path / "out", "<f4"), 0, {}
        for name, (H, W, C) in answer["arrays"]:  # image by image
            piece = values[at : at + H * W * C].reshape(H, W, C).transpose(2, 0, 1)
            found.setdefault(name, []).append(piece)
            at += H * W * C
        return {name: np.stack(pieces) for name, pieces in found.items()}

    return run


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A running Chromium without a network."""
    if os.name == "nt":
        pytest.skip("the pipe to Chromium is made as POSIX systems do")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install chromium to use the exported page as a reader does")
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser
