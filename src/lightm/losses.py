"""Cross entropy plus Dice, "a simple combination" (the paper, Section 3.1), through MONAI."""

from monai.losses import DiceCELoss
from torch import Tensor, nn


class DiceCrossEntropy(nn.Module):
    """Mean cross entropy over voxels + (1 - soft Dice) averaged over foreground classes and cases.

    The paper names the two parts and no more. Settled here: equal weights; softmax probabilities; the background has no
    Dice term (it would reward what is easy) but takes part in the cross entropy; Dice is taken case by case, so a case
    counts the same in whatever batch it stands; 1e-5 is added to numerator and denominator, so a class that is absent
    from truth and prediction costs nothing.
    """

    def __init__(self):
        super().__init__()
        self.loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """logits (B, K, *S), label (B, *S) of integers 0 … K-1 -> scalar, in float32 or better."""
        return self.loss(logits.float() if logits.itemsize < 4 else logits, label.unsqueeze(1))  # label: (B, 1, *S)
