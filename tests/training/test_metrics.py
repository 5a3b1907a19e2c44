"""DSC and IoU count voxels, exactly."""

import pytest
import torch

from lightm.errors import LightMError
from lightm.training.metrics import dice_iou


def masks(*rows):
    return torch.tensor([rows])  # (1, H, W)


def test_scores_are_those_of_counting_by_hand():
    prediction = masks([0, 1, 1, 0], [0, 1, 2, 0])
    truth = masks([0, 0, 1, 1], [0, 1, 2, 2])
    dsc, iou = dice_iou(prediction, truth, num_classes=3)
    assert dsc.tolist() == [[2 * 2 / 6, 2 * 1 / 3]]
    assert iou.tolist() == [[2 / 4, 1 / 2]]


@pytest.mark.parametrize("num_classes", [2, 3])
def test_scores_are_in_double_precision_and_hold_their_relation_case_by_case(num_classes):
    generator = torch.Generator().manual_seed(0)
    prediction, truth = (torch.rand(2, 7, 9, 11, generator=generator) > 0.4).to(torch.uint8)  # (B, H, W) each
    dsc, iou = dice_iou(prediction, truth, num_classes)
    assert dsc.dtype == iou.dtype == torch.float64 and dsc.shape == (7, num_classes - 1)
    torch.testing.assert_close(iou, dsc / (2 - dsc), rtol=1e-14, atol=0)


def test_an_absent_class_that_is_not_predicted_scores_one_and_an_invented_one_zero():
    nothing, something = masks([0, 0]), masks([0, 1])
    assert [score.item() for score in dice_iou(nothing, nothing, 2)] == [1, 1]
    assert [score.item() for score in dice_iou(something, nothing, 2)] == [0, 0]


def test_maps_of_different_shapes_or_with_unknown_classes_are_refused():
    with pytest.raises(LightMError, match="shape"):
        dice_iou(torch.zeros(1, 2, 2), torch.zeros(1, 4, 4), 2)
    with pytest.raises(LightMError, match="holds the value 2, but there are 2 classes"):
        dice_iou(masks([0, 2]), masks([0, 1]), 2)
