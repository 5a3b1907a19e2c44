"""Scores against closed forms, and against MONAI's own functions."""

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

from lightm.errors import LightMError
from lightm.evaluation.scores import score_masks


def box(shape, *slices):
    mask = np.zeros(shape, bool)
    mask[slices] = True
    return mask


def sphere(shape, centre, radius, spacing):
    grid = np.indices(shape).astype(float)
    return sum(((g - c) * s) ** 2 for g, c, s in zip(grid, centre, spacing, strict=True)) <= radius**2


def test_two_boxes_that_are_shifted_along_the_coarse_axis():
    spacing = (1.0, 0.5, 2.5)
    true = box((20, 20, 20), slice(4, 14), slice(4, 14), slice(4, 14))
    pred = box((20, 20, 20), slice(4, 14), slice(4, 14), slice(6, 16))
    scores = score_masks(pred, true, spacing, tolerance=2.4)
    assert scores["dsc"] == pytest.approx(2 * 800 / 2000, abs=1e-12)
    assert scores["iou"] == pytest.approx(800 / 1200, abs=1e-12)
    assert scores["rvd"] == 0 and scores["volume"] == scores["true_volume"] == 1000 * 1.25
    # The face that juts out is 2 voxels of 2.5 mm away from the other box's face: the greatest distance.
    # In it the nearest surface voxel may be on the side instead, one voxel of 0.5 or 1 mm at a time.
    assert scores["hd95"] == pytest.approx(np.percentile(shifted_box_distances(spacing), 95))
    assert scores["assd"] == pytest.approx(shifted_box_distances(spacing).mean())
    assert scores["nsd"] == pytest.approx((shifted_box_distances(spacing) <= 2.4).mean())


def shifted_box_distances(spacing):
    """From the surface voxels of one box to those of the other, by comparing all of them."""
    points = []
    for start in (4, 6):
        inside = np.array([(i, j, k) for i in range(4, 14) for j in range(4, 14) for k in range(start, start + 10)])
        low, high = np.array([4, 4, start]), np.array([13, 13, start + 9])
        points.append(inside[((inside == low) | (inside == high)).any(1)] * np.array(spacing))
    a, b = points
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1).min(1))  # by symmetry the other way round is the same


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 2.5)])
def test_two_spheres_with_one_centre(spacing):
    shape = tuple(int(48 / s) + 5 for s in spacing)
    centre = [(n - 1) / 2 for n in shape]
    small, large = sphere(shape, centre, 14, spacing), sphere(shape, centre, 20, spacing)
    scores = score_masks(small, large, spacing, tolerance=6 + 1.5 * max(spacing))
    assert scores["dsc"] == pytest.approx(2 * 14**3 / (14**3 + 20**3), abs=0.01)
    assert scores["iou"] == pytest.approx(14**3 / 20**3, abs=0.01)
    assert scores["rvd"] == pytest.approx((14 / 20) ** 3 - 1, abs=0.01)
    assert scores["volume"] == pytest.approx(4 / 3 * math.pi * 14**3, rel=0.02)
    assert scores["assd"] == pytest.approx(6, abs=max(spacing) / 4)  # voxel centres, not the spheres themselves
    assert scores["hd95"] == pytest.approx(6, abs=max(spacing) / 2 + 0.3)
    assert scores["nsd"] == 1 and score_masks(small, large, spacing, tolerance=3)["nsd"] == 0


@pytest.mark.parametrize("dims", [2, 3])
def test_scores_are_those_of_monai(dims):
    rng = np.random.default_rng(dims)
    from scipy.ndimage import gaussian_filter

    shape, spacing = (24, 20, 16)[:dims], (0.7, 1.3, 2.0)[:dims]
    pred, true = (gaussian_filter(rng.normal(size=shape), 2) > 0.01 for _ in range(2))
    scores = score_masks(pred, true, spacing, tolerance=1.5)
    a, b = (torch.from_numpy(np.stack([~m, m])[None]).float() for m in (pred, true))
    same = {"spacing": list(spacing), "include_background": False}
    assert scores["hd95"] == pytest.approx(compute_hausdorff_distance(a, b, percentile=95, **same).item(), rel=1e-5)
    assd = compute_average_surface_distance(a, b, symmetric=True, **same).item()
    assert scores["assd"] == pytest.approx(assd, rel=1e-5)
    assert scores["nsd"] == pytest.approx(compute_surface_dice(a, b, [1.5], **same).item(), rel=1e-5)


def test_the_four_cases_of_empty_masks():
    none, some = np.zeros((6, 6), bool), box((6, 6), slice(2, 4), slice(2, 5))
    expected = {  # dsc, hd95, rvd
        "scored": (some, some, 1, 0, 0),
        "missed": (none, some, 0, None, -1),
        "invented": (some, none, 0, None, None),
        "absent": (none, none, None, None, None),
    }
    for state, (pred, true, dsc, hd95, rvd) in expected.items():
        scores = score_masks(pred, true, (1, 1))
        assert scores["state"] == state
        for name, value in (("dsc", dsc), ("iou", dsc), ("nsd", dsc), ("hd95", hd95), ("assd", hd95), ("rvd", rvd)):
            assert math.isnan(scores[name]) if value is None else scores[name] == value, (state, name)


def test_a_mask_of_one_voxel_and_one_at_the_rim_have_surfaces():
    one, beside = box((5, 5, 5), 0, 0, 0), box((5, 5, 5), 0, 0, 2)
    scores = score_masks(one, beside, (1, 1, 3.0))
    assert scores["hd95"] == scores["assd"] == 6 and scores["dsc"] == 0


def test_where_the_truth_is_not_known_nothing_is_counted():
    true, pred = box((8, 8), slice(2, 6), slice(2, 6)), box((8, 8), slice(2, 6), slice(2, 8))
    assert score_masks(pred, true, (1, 1))["dsc"] < 1
    scores = score_masks(pred, true, (1, 1), known=box((8, 8), slice(None), slice(0, 6)))
    assert scores["dsc"] == 1 and scores["hd95"] == 0


def test_masks_of_different_shapes_or_a_senseless_tolerance_are_refused():
    with pytest.raises(LightMError, match="can't be compared"):
        score_masks(np.ones((2, 2), bool), np.ones((2, 3), bool), (1, 1))
    with pytest.raises(LightMError, match="tolerance is -1"):
        score_masks(np.ones((2, 2), bool), np.ones((2, 2), bool), (1, 1), tolerance=-1)
