"""DSC and IoU of label maps, per case and foreground class, through MONAI.

    DSC = 2 |P ∩ T| / (|P| + |T|)        IoU = |P ∩ T| / |P ∪ T|

A class that is absent from truth and prediction scores 1 (nothing was missed), one that is only predicted scores 0.
A mean is taken over cases first, then over foreground classes; the background is never scored.
"""

from collections.abc import Iterable, Sequence

import torch
from monai.metrics import compute_dice, compute_iou
from monai.networks.utils import one_hot
from torch import Tensor


def dice_iou(pred: Tensor, target: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """DSC and IoU of label maps pred, target (B, *S), integers below K = num_classes -> two float64 (B, K - 1)."""
    pred = one_hot(pred.unsqueeze(1).long(), num_classes, dtype=torch.float64)  # (B, K, *S); float64 counts exactly
    target = one_hot(target.unsqueeze(1).long(), num_classes, dtype=torch.float64)  # (B, K, *S)
    same = {"include_background": False, "ignore_empty": False}
    return compute_dice(pred, target, **same), compute_iou(pred, target, **same)


def case_scores(case_id: str, dsc: Tensor, iou: Tensor, classes: Sequence[str]) -> dict:
    """What a record keeps of one case; dsc, iou (K - 1,) -> `{"case": id, "dsc": {class: value}, "iou": {…}}`."""
    named = [dict(zip(classes[1:], scores.tolist(), strict=True)) for scores in (dsc, iou)]
    return {"case": case_id, "dsc": named[0], "iou": named[1]}


def summarise(cases: Iterable[dict]) -> dict:
    """Means over cases, per foreground class and over all: `{"cases": n, "dsc": {"mean", "per_class"}, "iou": {…}}`."""
    cases = list(cases)
    summary: dict = {"cases": len(cases)}
    for metric in ("dsc", "iou"):
        names = cases[0][metric] if cases else ()
        per_class = {name: sum(c[metric][name] for c in cases) / len(cases) for name in names}
        summary[metric] = {"mean": sum(per_class.values()) / max(len(per_class), 1), "per_class": per_class}
    return summary
