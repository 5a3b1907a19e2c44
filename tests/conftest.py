"""What all tests share: where real data lies, if it is there at all."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def real_data(monkeypatch) -> Path:
    """The folder that LIGHTM_TEST_DATA or else LIGHTM_DATA names (as LIGHTM_DATA for the test), or a skip.

    The first is for a run of all tests: notebooks must show the same whether real data is there or not.
    """
    home = Path(os.environ.get("LIGHTM_TEST_DATA") or os.environ.get("LIGHTM_DATA") or "nowhere")
    if not home.is_dir():
        pytest.skip("needs real data: set LIGHTM_TEST_DATA to the folder that holds cxr/ and Task04_Hippocampus/")
    monkeypatch.setenv("LIGHTM_DATA", str(home))
    return home


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The run folder and the record of an uninterrupted tiny training; tests read it and leave it as it is."""
    from tiny import tiny_config, train

    out = tmp_path_factory.mktemp("runs") / "tiny"
    return out, train(tiny_config(), out, curves=True)


@pytest.fixture(scope="session")
def volume_run(tmp_path_factory):
    """The same in 3D."""
    from tiny import train, volume_config

    out = tmp_path_factory.mktemp("runs") / "volume"
    return out, train(volume_config(), out)
