"""Cross entropy plus Dice, "a simple combination" (the paper, Section 3.1), the latter MONAI's."""

import math
from collections.abc import Sequence

from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F

from lightm.errors import LightMError


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
