"""Cross entropy plus Dice, "a simple combination" (the paper, Section 3.1), the latter MONAI's."""

import math
from collections.abc import Sequence

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F

from lightm.errors import LightMError
from lightm.training.config import TrainConfig

FOCAL_GAMMA = 2.0  # what Lin et al. found to work best


class NonFiniteLoss(LightMError):
    """Loss or gradient is NaN or infinite; the weights were not updated with it."""


def check_finite(values: Sequence[float], cases: Sequence[Sequence[str]], iteration: int, epoch: int) -> None:
    """values: the loss of each part of a batch and then the norm of the gradient. cases: those of each part.

    iteration, epoch: counted from 0. NonFiniteLoss, naming the cases, unless all values are finite.
    """
    everything = [case for part in cases for case in part]
    named = [("The loss is", part) for part in cases] + [("The gradient's norm is", everything)]
    for value, (what, suspects) in zip(values, named, strict=True):
        if not math.isfinite(value):
            raise NonFiniteLoss(
                f"{what} {value} at iteration {iteration + 1} (epoch {epoch + 1}), with the cases "
                f"{', '.join(suspects)}; the weights were not updated. Look at these images, or lower optim.lr, or set "
                "optim.clip = 1."
            )


class DiceCrossEntropy(nn.Module):
    """Mean cross entropy over voxels + (1 - soft Dice) averaged over foreground classes and cases.

    The paper names the two parts and no more. Settled here: equal weights; softmax probabilities; the background has no
    Dice term (it would reward what is easy) but takes part in the cross entropy; Dice is taken case by case, so a case
    counts the same in whatever batch it stands; 1e-5 is added to numerator and denominator, so a class that is absent
    from truth and prediction costs nothing.
    """

    def __init__(self):
        super().__init__()
        self.dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """logits (B, K, *S), label (B, *S) of integers 0 … K-1 -> scalar, in float32 or better."""
        logits = logits.float() if logits.itemsize < 4 else logits
        # Voxel by voxel, then the mean: on CUDA the mean inside cross_entropy is summed in no fixed order.
        cross_entropy = F.cross_entropy(logits, label.long(), reduction="none").mean()  # of (B, *S)
        return cross_entropy + self.dice(logits, label.unsqueeze(1))  # label: (B, 1, *S)


class WeightedDiceCrossEntropy(nn.Module):
    """`DiceCrossEntropy` with what other data needs; with none of it, the same number to rounding.

    ignore: voxels with this label count nowhere. weights: one for each class, in a weighted mean of the cross entropy.
    gamma: the cross entropy of a voxel times (1 - p)^gamma, p being the probability of its label: the focal loss of Lin
    et al. 2017 (arXiv:1708.02002), in which the many easy voxels around a small target hardly count. Unlike in
    `monai.losses.DiceFocalLoss` without background, a voxel of the background is part of it.
    """

    def __init__(self, ignore: int | None = None, weights: Sequence[float] = (), gamma: float = 0.0):
        super().__init__()
        self.ignore, self.gamma = ignore, gamma
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32) if weights else None)
        self.dice = DiceLoss(include_background=False, to_onehot_y=True)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """logits (B, K, *S), label (B, *S) of integers 0 … K-1 or `ignore` -> scalar, in float32 or better."""
        logits = logits.float() if logits.itemsize < 4 else logits
        known = torch.ones_like(label, dtype=torch.bool) if self.ignore is None else label != self.ignore  # (B, *S)
        label = label.where(known, 0).long()
        cost = F.cross_entropy(logits, label, reduction="none")  # (B, *S)
        if self.gamma:
            cost = cost * (1 - torch.exp(-cost)).clamp_min(0) ** self.gamma  # exp(-cost): probability of the label
        share = known.to(cost.dtype)
        if self.weights is not None:
            share = share * self.weights.to(cost)[label]
        mean = (cost * share).sum() / share.sum().clamp_min(1e-6)
        # What is masked after the softmax has no probability, and its label is background, which Dice leaves out.
        return mean + self.dice(logits.softmax(1) * known.unsqueeze(1), label.unsqueeze(1))


def build_loss(config: TrainConfig, classes: int, ignore: int | None = None) -> nn.Module:
    """The loss of a recipe. LightMError if it has weights for another number of classes."""
    weights = config.class_weights
    if weights and (len(weights) != classes or not sum(weights)):
        raise LightMError(
            f"train.class_weights = {list(weights)} must be {classes} numbers, not all 0: one for each class, the "
            "background's first."
        )
    if config.loss == "dice-ce" and not weights and ignore is None:
        return DiceCrossEntropy()
    return WeightedDiceCrossEntropy(ignore, weights, FOCAL_GAMMA if config.loss == "dice-focal" else 0.0)
