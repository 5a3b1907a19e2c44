"""Patches of cases at their own resolution: what is in the middle, what they depend on, and the cache behind them."""

import os

import numpy as np
import pytest
import torch
from faulty import volumes

from lightm.data.base import Case, Dataset
from lightm.data.patches import PatchData
from lightm.data.prepared import Cache
from lightm.errors import LightMError


class Dots(Dataset):
    """Volumes of noise, one of them smaller than a patch, with a few voxels of label 1 and one of label 2."""

    name, spatial_dims, classes, case_ids = "dots", 3, ("background", "some", "one"), ("a", "b", "small", "empty")
    reads = 0

    def fingerprint(self):
        return "dots"

    def _read(self, case_id):
        self.reads += 1
        rng = np.random.default_rng(len(case_id))
        shape = (6, 20, 5) if case_id == "small" else (20, 24, 28)
        label = np.zeros(shape, np.uint8)
        if case_id != "empty":
            label[2, 3:6, 4], label[5, 15, 2] = 1, 2
        return Case(case_id, rng.standard_normal((1, *shape)).astype(np.float32), label, (1.0, 1.0, 2.0))


def make(dots=None, foreground=1.0, **options):
    dots = dots or Dots()
    return PatchData(dots, dots.case_ids, (8, 8, 8), "zscore", foreground=foreground, **options)


def test_a_patch_has_a_voxel_of_a_structure_in_its_middle_each_class_alike():
    data, seen = make(), []
    for draw in range(60):
        image, label = data[1, 0, draw]
        assert image.shape == (1, 8, 8, 8) and label.shape == (8, 8, 8) and image.is_contiguous()
        seen.append(set(label.unique().tolist()))
    assert all(found != {0} for found in seen)
    assert 15 < sum(2 in found for found in seen) < 45  # one voxel as often as three


def test_the_share_of_patches_around_structures_is_as_asked():
    data = make(foreground=0.0)
    rare = sum(bool(data[0, 0, draw][1].any()) for draw in range(60))
    often = make(foreground=0.5)
    assert rare < 12 < sum(bool(often[0, 0, draw][1].any()) for draw in range(60)) < 50


def test_a_patch_depends_on_seed_case_epoch_and_draw_alone():
    one, other = make(seed=3, augment=True), make(seed=3, augment=True)
    other[0, 5, 1]  # what was drawn before makes no difference
    for which in ((0, 0, 0), (1, 2, 0), (2, 0, 3)):
        assert all(torch.equal(a, b) for a, b in zip(one[which], other[which], strict=True))
    images = [one[0, 0, 0][0], one[0, 0, 1][0], one[0, 1, 0][0], make(seed=4, augment=True)[0, 0, 0][0]]
    assert all(not torch.equal(a, b) for i, a in enumerate(images) for b in images[:i])


def test_a_case_smaller_than_a_patch_and_one_without_structures_are_taken():
    data = make()
    image, label = data[2, 0, 0]
    assert image.shape == (1, 8, 8, 8) and (label > 0).any() and not image[:, 0].any()
    assert not data[3, 0, 0][1].any()
    assert data[2][0].shape == (1, 6, 20, 5)  # as a whole, it stays as it is


def test_cases_are_resampled_to_one_spacing():
    data = make(spacing=(1.0, 2.0, 1.0))
    assert data[0][0].shape == (1, 20, 12, 56) and data[0][1].shape == (20, 12, 56) and not data.native
    assert data.scored_at == "spacing 1 x 2 x 1" and make().scored_at == "native"
    with pytest.raises(LightMError, match="A spacing of 2 numbers does not suit an image with 3 axes"):
        make(spacing=(1.0, 2.0))


def test_cases_that_do_not_fit_into_memory_are_refused_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("lightm.data.patches._memory", lambda: 10_000)
    with pytest.raises(LightMError, match=r"do not fit into memory .*data\.cache=FOLDER"):
        make()
    make(cache=Cache(tmp_path, "dots"))


def digest_of(data):
    parts = []
    data.update_hash(parts.append)
    return b"".join(parts)


def test_a_cached_case_is_not_read_again_and_is_the_same(tmp_path):
    plain, first, second = make(), Dots(), Dots()
    make(first, cache=Cache(tmp_path, "dots"))
    cached = make(second, cache=Cache(tmp_path, "dots"))
    assert (first.reads, second.reads) == (4, 0)
    assert torch.equal(cached[0, 1, 2][0], plain[0, 1, 2][0]) and digest_of(cached) == digest_of(plain)


def test_another_content_or_transform_is_another_entry(tmp_path):
    for identity, options in (("x", {}), ("y", {}), ("x", {"spacing": (2.0, 2.0, 2.0)})):
        dots = Dots()
        make(dots, cache=Cache(tmp_path, identity), **options)
        assert dots.reads == 4


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "foreign"])
def test_a_broken_entry_is_made_anew(tmp_path, harm):
    make(cache=Cache(tmp_path, "dots"))
    entries = sorted(tmp_path.glob("*.safetensors"))
    whole = entries[0].read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 4
    harmed = {"cut": whole[:-9], "flip": bytes(flipped), "empty": b"", "foreign": entries[1].read_bytes()}[harm]
    entries[0].write_bytes(harmed)
    dots = Dots()
    data = make(dots, cache=Cache(tmp_path, "dots"))
    assert dots.reads == 1 and digest_of(data) == digest_of(make())
    assert entries[0].stat().st_size == len(whole)


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    left = tmp_path / ".abc.safetensors.partial-xyz.safetensors"
    left.write_bytes(b"half")
    (tmp_path / "mine.new").mkdir()
    make(cache=Cache(tmp_path, "dots"))
    assert left.exists()  # another process may be writing it
    os.utime(left, (0, 0))
    make(cache=Cache(tmp_path, "dots"))
    assert not left.exists() and (tmp_path / "mine.new").exists()


def test_a_folder_of_one_s_own_is_cached_by_its_content(tmp_path, own_cache):
    from lightm.training.config import config_from_dict
    from lightm.training.task import load_data

    root = volumes(tmp_path / "set", cases=5)
    table = {"name": "folder", "root": str(root), "size": [8, 8, 8], "sampling": "patches", "ratios": [3, 1, 1]}
    config = config_from_dict({"data": table | {"cache": str(tmp_path / "kept")}})
    load_data(config).load("train")
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert len(names) == 3
    threshold = config_from_dict({"data": table | {"cache": str(tmp_path / "kept"), "options": {"threshold": 0.5}}})
    load_data(threshold).load("train")
    assert len(list((tmp_path / "kept").iterdir())) == 6  # other options, other labels perhaps
