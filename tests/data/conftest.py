import numpy as np
import pytest
from PIL import Image

from lightm.data import load_dataset
from lightm.data.download import write_folder


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Remembered hashes go to a fresh folder, not to the user's."""
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)


@pytest.fixture
def pictures(tmp_path, own_cache):
    """A folder with four small radiographs (phantoms) and their masks as PNG."""
    write_folder(load_dataset("phantom-cxr", cases=4, size=32), tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def volumes(tmp_path, own_cache):
    """A folder with two small CT phantoms, laid out as the Medical Segmentation Decathlon does."""
    write_folder(load_dataset("phantom-ct", cases=2, size=24), tmp_path / "Task03_Liver")
    return tmp_path / "Task03_Liver"


@pytest.fixture
def save_gray():
    def save(path, values):
        Image.fromarray(np.asarray(values, np.uint8)).save(path)

    return save
