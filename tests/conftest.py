"""What all tests share: where real data lies, if it is there at all."""

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"  # a folder beside the repository, if there is one


@pytest.fixture
def real_data(monkeypatch) -> Path:
    """The folder that LIGHTM_DATA names (set for the test), or the test is skipped."""
    home = Path(os.environ.get("LIGHTM_DATA") or _BESIDE)
    if not home.is_dir():
        pytest.skip("needs real data: set LIGHTM_DATA to the folder that holds cxr/ and Task04_Hippocampus/")
    monkeypatch.setenv("LIGHTM_DATA", str(home))
    return home
