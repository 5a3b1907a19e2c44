import numpy as np
import pytest
import torch

from lightm.data import load_dataset
from lightm.data.base import Case
from lightm.data.loading import SegmentationData, load_batches, worker_count
from lightm.data.transforms import CT_WINDOW, Augmentation, augment, normalise_image, preprocess, resize_image
from lightm.errors import LightMError

GEOMETRY = Augmentation(gain=0, gamma=0, offset=0, noise=0)


def landmark(size):
    """An image that equals its label: an off-centre box, 100 on 0."""
    label = np.zeros(size, np.uint8)
    label[tuple(slice(n // 4, n // 4 + n // 3) for n in size)] = 1
    return Case("box", 100.0 * label[None].astype(np.float32), label, (1.0,) * len(size))


def edges_agree(image, label):
    """Halfway between dark and bright lies where the label changes, but for the voxels at the very border."""
    inside = image[0] > (image.min() + image.max()) / 2
    return float((inside != label.bool()).float().mean())


@pytest.mark.parametrize("size", [(32, 48), (96, 80), (64, 64), (50, 37)])
def test_image_and_label_stay_aligned_in_2d(size):
    image, label = preprocess(landmark((64, 72)), size, "zscore")
    assert (
        image.shape == (1, *size)
        and label.shape == size
        and image.dtype == torch.float32
        and label.dtype == torch.uint8
    )
    assert edges_agree(image, label) < 0.02
    for axis in (0, 1):  # the centre of mass is where it was, as a fraction of the size
        places = (torch.arange(size[axis]) + 0.5) / size[axis]
        before = (np.nonzero(landmark((64, 72)).label)[axis].mean() + 0.5) / (64, 72)[axis]
        assert float(
            (label.float().mean(1 - axis) * places).sum() / label.float().mean(1 - axis).sum()
        ) == pytest.approx(before, abs=0.01)


@pytest.mark.parametrize("size", [(16, 24, 20), (40, 36, 50)])
def test_image_and_label_stay_aligned_in_3d(size):
    image, label = preprocess(landmark((32, 30, 40)), size, "zscore")
    assert image.shape == (1, *size)
    assert edges_agree(image, label) < 0.04


def test_shrinking_an_image_filters_before_it_samples():
    stripes = torch.zeros(1, 64, 64)
    stripes[:, ::2] = 1
    assert (resize_image(stripes, (16, 16)) - 0.5).abs().max() < 0.1  # sampled alone it would be 0 or 1
    planes = torch.zeros(1, 32, 32, 32)
    planes[..., ::2] = 1
    small = resize_image(planes, (8, 8, 8))
    assert (small - 0.5).abs().max() < 0.15


def test_resizing_a_volume_does_not_depend_on_the_order_of_its_axes():
    volume = torch.randn(2, 20, 24, 28, generator=torch.Generator().manual_seed(0))
    straight = resize_image(volume, (10, 9, 14))
    turned = resize_image(volume.permute(0, 3, 2, 1), (14, 9, 10)).permute(0, 3, 2, 1)
    assert torch.allclose(straight, turned, atol=1e-5)


def test_zscore_makes_each_channel_of_each_case_alike():
    image = torch.randn(2, 40, 40) * torch.tensor([3.0, 500.0])[:, None, None] + 7
    normal = normalise_image(image, "zscore")
    assert torch.allclose(normal.mean((1, 2)), torch.zeros(2), atol=1e-4)
    assert torch.allclose(normal.std((1, 2)), torch.ones(2), atol=1e-3)
    assert torch.isfinite(normalise_image(torch.full((1, 4, 4), 9.0), "zscore")).all()


def test_ct_maps_the_same_hu_to_the_same_input_in_every_case():
    low, high = CT_WINDOW
    values = normalise_image(torch.tensor([[low - 500, low, (low + high) / 2, high, high + 500]]), "ct")
    assert values.tolist() == [[-1.0, -1.0, 0.0, 1.0, 1.0]]


def test_unknown_normalisation_and_wrong_number_of_axes_are_named():
    with pytest.raises(LightMError, match="Did you mean 'zscore'"):
        preprocess(landmark((16, 16)), (8, 8), "zscor")
    with pytest.raises(LightMError, match="give one an axis"):
        preprocess(landmark((16, 16)), (8, 8, 8), "zscore")


@pytest.mark.parametrize("size", [(40, 56), (24, 28, 20)])
def test_augmentation_is_decided_by_the_generator(size):
    image, label = preprocess(landmark(size), size, "zscore")
    kept = image.clone(), label.clone()
    one, two, other = (augment(image, label, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
    assert not torch.equal(one[0], other[0]) and not torch.equal(one[1], other[1])
    assert torch.equal(image, kept[0]) and torch.equal(label, kept[1])  # the cached case is left alone
    assert one[0].shape == image.shape and one[1].dtype == torch.uint8 and torch.isfinite(one[0]).all()


@pytest.mark.parametrize("size", [(64, 96), (32, 40, 24)])
@pytest.mark.parametrize("seed", range(4))
def test_augmentation_moves_image_and_label_together(size, seed):
    image, label = preprocess(landmark(size), size, "zscore")
    moved, moved_label = augment(image, label, np.random.default_rng(seed), GEOMETRY)
    assert edges_agree(moved, moved_label) < 0.02
    assert set(moved_label.unique().tolist()) == {0, 1}


def test_a_rotation_keeps_shapes_on_a_grid_that_is_not_square():
    size = (60, 120)
    label = np.zeros(size, np.uint8)
    label[20:40, 50:70] = 1  # a square of 20 x 20 in the middle
    case = Case("square", label[None].astype(np.float32), label, (1.0, 1.0))
    settings = Augmentation(rotation=45, zoom=0, shift=0, gain=0, gamma=0, offset=0, noise=0)
    for seed in range(5):
        _, turned = augment(
            torch.from_numpy(case.image), torch.from_numpy(label), np.random.default_rng(seed), settings
        )
        assert abs(int(turned.sum()) - 400) < 25
        rows, columns = np.nonzero(turned.numpy())
        assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=2)


def test_without_any_setting_nothing_changes():
    image, label = preprocess(landmark((33, 20)), (33, 20), "zscore")
    nothing = Augmentation(rotation=0, zoom=0, shift=0, gain=0, gamma=0, offset=0, noise=0)
    same, same_label = augment(image, label, np.random.default_rng(0), nothing)
    assert torch.allclose(same, image, atol=1e-4) and torch.equal(same_label, label)


def test_sides_are_swapped_only_on_request():
    image, label = preprocess(landmark((32, 32)), (32, 32), "zscore")
    still = {"rotation": 0, "zoom": 0, "shift": 0}
    for settings, swaps in ((Augmentation(**still), False), (Augmentation(**still, flip=(1,)), True)):
        variants = [augment(image, label, np.random.default_rng(seed), settings)[1] for seed in range(12)]
        assert any(torch.equal(variant, label.flip(1)) for variant in variants) == swaps
        assert any(torch.equal(variant, label) for variant in variants)
        assert not any(torch.equal(variant, label.flip(0)) for variant in variants)


@pytest.fixture(scope="module")
def phantoms():
    return load_dataset("phantom-cxr", cases=6, size=48)


def test_cases_are_read_once_in_order_with_progress(phantoms):
    steps = []
    data = SegmentationData(
        phantoms, phantoms.case_ids[2:5], (32, 32), "zscore", progress=lambda *step: steps.append(step)
    )
    assert steps == [(1, 3), (2, 3), (3, 3)] and len(data) == 3 and data.classes == phantoms.classes
    image, label = data[1]
    expected = preprocess(phantoms.read(phantoms.case_ids[3]), (32, 32), "zscore")
    assert torch.equal(image, expected[0]) and torch.equal(label, expected[1])


def test_variants_depend_on_seed_case_epoch_and_draw_alone(phantoms):
    def load(seed=5):
        return SegmentationData(phantoms, phantoms.case_ids, (32, 32), "zscore", augment=True, seed=seed)

    data, resumed = load(), load()
    first = data[2][0]
    _ = data[4, 3, 0], data[0]
    assert torch.equal(data[2, 0, 0][0], first) and torch.equal(data[-4][0], first)
    assert not torch.equal(load(seed=6)[2][0], first)
    later, again = data[2, 3, 0][0], data[2, 3, 1][0]  # another epoch, and the same case once more in it
    assert not torch.equal(later, first) and not torch.equal(again, later)
    assert torch.equal(resumed[2, 3, 1][0], again)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_whoever_makes_them(phantoms, workers):
    data = SegmentationData(phantoms, phantoms.case_ids, (32, 32), "zscore", augment=True)
    draws = [[(0, 0, 0), (5, 0, 0)], [(5, 0, 1), (3, 0, 0)], [(0, 1, 0), (1, 1, 0)]]
    batches = list(load_batches(data, iter(draws), workers, pin_memory=False))
    for drawn, (images, labels) in zip(draws, batches, strict=True):
        assert labels.shape == (2, 32, 32)
        assert torch.equal(images, torch.stack([data[draw][0] for draw in drawn]))


def test_workers_suit_the_machine():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert worker_count(3, cpu) == 3 and worker_count(0, gpu) == 0 and worker_count(-1, cpu) == 0
    assert 1 <= worker_count(-1, gpu, processes=1000) <= worker_count(-1, gpu) <= 12


def test_an_empty_list_of_cases_is_named(phantoms):
    with pytest.raises(LightMError, match="list of case names is empty"):
        SegmentationData(phantoms, (), (32, 32), "zscore")


def test_a_window_of_ones_own_is_linear_between_its_ends():
    image = torch.tensor([[-2000.0, -1000, -300, 400, 3000]])[None]  # (C, H, W)
    assert normalise_image(image, "window:-1000:400").tolist() == [[[-1, -1, 0, 1, 1]]]
    assert torch.equal(normalise_image(image, "window:-175:250"), normalise_image(image, "ct"))


def test_percentiles_keep_a_few_bright_voxels_from_deciding():
    image = torch.rand(2, 40, 50, generator=torch.Generator().manual_seed(0))
    bright = image.clone()
    bright[0, 0, :3] = 1e6
    plain, cut = normalise_image(image, "percentile"), normalise_image(bright, "percentile")
    assert type(cut) is torch.Tensor and (plain - cut).abs().mean() < 0.01 and cut.max() < 3
    assert cut.mean((1, 2)).abs().max() < 1e-5
    assert normalise_image(bright, "zscore")[0, 1:].abs().max() < 0.1  # all that is left of the contrast without it


@pytest.mark.parametrize("how", ["window:", "window:5", "window:3:1", "window:nan:1", "window:0:inf", "window:a:b"])
def test_a_window_that_is_none_is_named(how):
    with pytest.raises(LightMError, match="must be window:LOW:HIGH"):
        normalise_image(torch.zeros(1, 2, 2), how)
