"""Radiographs packed into one file are read as from their folder: exactly, or as near as the file says."""

import hashlib
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from lightm.data import load_dataset, montgomery_shenzhen
from lightm.data.packed import pack
from lightm.data.splits import make_split, read_split, save_split
from lightm.errors import LightMError

CASES = [f"CHNCXR_{i:04d}_{i % 2}" for i in range(8)]


@pytest.fixture
def xrays(tmp_path, monkeypatch):
    """A folder of eight synthetic pictures that passes for the data set, with every gray value in them."""
    root, rng, manifest = tmp_path / "cxr", np.random.default_rng(0), {}
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for case in CASES:
        gray = rng.permutation(np.arange(24 * 32) % 256).reshape(24, 32).astype(np.uint8)
        mask = (gray > 127).astype(np.uint8)
        Image.fromarray(gray).save(root / "images" / f"{case}.png")
        Image.fromarray(mask * 255).save(root / "masks" / f"{case}.png")
        image = hashlib.sha256((root / "images" / f"{case}.png").read_bytes()).hexdigest()
        manifest[case] = image, hashlib.sha256(mask.tobytes()).hexdigest()
    monkeypatch.setattr(montgomery_shenzhen, "manifest", lambda: manifest)
    monkeypatch.setenv("LIGHTM_DATA", str(tmp_path))
    return load_dataset("montgomery-shenzhen")


def both(xrays, packed, case):
    a, b = xrays.read(case), packed.read(case)
    assert (a.image.dtype, a.image.shape, a.spacing) == (b.image.dtype, b.image.shape, b.spacing)
    np.testing.assert_array_equal(a.label, b.label)
    assert a.label.dtype == b.label.dtype
    return np.abs(a.image - b.image).max()


def test_packed_without_loss_it_is_the_same_data_set(xrays, tmp_path):
    pack(xrays, tmp_path / "all.zip")
    packed = load_dataset("montgomery-shenzhen", root=tmp_path / "all.zip")
    assert packed.fingerprint() == xrays.fingerprint() and packed.packed == {"max_error": 0, "exact_cases": 8}
    assert [both(xrays, packed, case) for case in CASES] == [0] * 8


@pytest.mark.parametrize("error", [1, 2, 3, 10])
def test_no_gray_value_is_off_by_more_than_the_file_says_and_exact_cases_by_nothing(xrays, tmp_path, error):
    pack(xrays, tmp_path / "some.zip", error, CASES[:3])
    packed = load_dataset("montgomery-shenzhen", root=tmp_path / "some.zip")
    assert [both(xrays, packed, case) for case in CASES] == [0] * 3 + [error] * 5
    assert packed.fingerprint() != xrays.fingerprint() and packed.packed == {"max_error": error, "exact_cases": 3}


def test_a_split_of_the_original_is_a_split_of_the_packed_copy(xrays, tmp_path):
    pack(xrays, tmp_path / "some.zip", 2)
    packed = load_dataset("montgomery-shenzhen", root=tmp_path / "some.zip")
    split = make_split(xrays)
    save_split(split, tmp_path / "split.json")
    assert read_split(tmp_path / "split.json", packed) == split == make_split(packed)


def test_the_packed_file_is_found_where_the_folder_would_be(xrays, tmp_path):
    pack(xrays, tmp_path / "cxr.zip", 2)
    assert load_dataset("montgomery-shenzhen").packed is None  # the folder is there, and comes first
    (tmp_path / "cxr").rename(tmp_path / "elsewhere")
    assert load_dataset("montgomery-shenzhen").packed["max_error"] == 2


def test_the_same_pictures_give_the_same_file(xrays, tmp_path):
    for name in ("a", "b"):
        pack(xrays, tmp_path / f"{name}.zip", 2, CASES[:1])
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_can_not_be_read_is_named(xrays, tmp_path):
    pack(xrays, tmp_path / "ok.zip")
    with zipfile.ZipFile(tmp_path / "ok.zip") as file:
        members = {name: file.read(name) for name in file.namelist()}
    for name, change, sentence in (
        ("format", {"manifest.json": json.dumps({"format": 2, "dataset": "montgomery-shenzhen"}).encode()}, "format 2"),
        ("other", {"manifest.json": json.dumps({"format": 1, "dataset": "lits"}).encode()}, "holds data set lits"),
        ("none", {"manifest.json": b"{"}, "not a file of packed images"),
        ("gone", {f"masks/{CASES[0]}.png": None}, "not made of all"),
    ):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as file:
            for member, content in {**members, **change}.items():
                if content is not None:
                    file.writestr(member, content)
        with pytest.raises(LightMError, match=sentence):
            load_dataset("montgomery-shenzhen", root=tmp_path / f"{name}.zip")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(LightMError, match="not a file of packed images"):
        load_dataset("montgomery-shenzhen", root=tmp_path / "text.zip")
    content = bytearray((tmp_path / "ok.zip").read_bytes())
    content[content.index(b"WEBP") + 60] ^= 255
    (tmp_path / "ok.zip").write_bytes(content)
    with pytest.raises(LightMError, match=f"{CASES[0]} is missing or damaged"):
        load_dataset("montgomery-shenzhen", root=tmp_path / "ok.zip").read(CASES[0])


def test_what_can_not_be_packed_is_refused_and_leaves_no_file(xrays, tmp_path):
    with pytest.raises(LightMError, match="no case 'x' to keep exact"):
        pack(xrays, tmp_path / "no.zip", 2, ["x"])
    with pytest.raises(LightMError, match="max_error=-1"):
        pack(xrays, tmp_path / "no.zip", -1)
    with pytest.raises(LightMError, match="no 8-bit gray picture"):
        pack(load_dataset("phantom-ct", cases=2, size=16), tmp_path / "no.zip")
    assert not (tmp_path / "no.zip").exists()
