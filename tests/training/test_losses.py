"""The loss is cross entropy plus Dice, as computed by hand."""

import math

import pytest
import torch

from lightm.training.losses import DiceCrossEntropy


def test_the_loss_is_that_of_counting_by_hand():
    p = torch.tensor([[0.9, 0.6, 0.2, 0.3]])  # probability of class 1 of four voxels, truth 1 1 0 0
    logits = torch.stack([(1 - p).log(), p.log()], dim=1).view(1, 2, 2, 2)  # (B, K, H, W)
    label = torch.tensor([[[1, 1], [0, 0]]])
    entropy = -(math.log(0.9) + math.log(0.6) + math.log(0.8) + math.log(0.7)) / 4
    dice = 1 - (2 * (0.9 + 0.6) + 1e-5) / ((0.9 + 0.6 + 0.2 + 0.3) + 2 + 1e-5)
    assert DiceCrossEntropy()(logits, label).item() == pytest.approx(entropy + dice, rel=1e-6)


def test_a_case_counts_the_same_in_whatever_batch_it_stands():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 3, 4, 5, 2, generator=generator)
    label = torch.randint(3, (3, 4, 5, 2), generator=generator)
    loss = DiceCrossEntropy()
    alone = [loss(logits[i : i + 1], label[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss(logits, label), sum(alone) / 3)


def test_an_absent_class_costs_nothing_and_certainty_of_the_truth_neither():
    label = torch.tensor([[[0, 1], [1, 0]]], dtype=torch.uint8)
    logits = 60.0 * torch.nn.functional.one_hot(label.long(), 3).movedim(-1, 1)  # class 2 is nowhere
    assert DiceCrossEntropy()(logits, label).item() == pytest.approx(0, abs=1e-6)


def test_bf16_logits_give_a_float32_loss_and_gradients():
    logits = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    loss = DiceCrossEntropy()(logits, torch.ones(1, 4, 4, dtype=torch.uint8))
    loss.backward()
    assert loss.dtype == torch.float32 and logits.grad.isfinite().all()
