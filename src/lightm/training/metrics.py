"""DSC and IoU of label maps, per case and foreground class, through MONAI.

    DSC = 2 |P ∩ T| / (|P| + |T|)        IoU = |P ∩ T| / |P ∪ T|

A class that is absent from truth and prediction scores 1 (nothing was missed), one that is only predicted scores 0.
A mean is taken over cases first, then over foreground classes; the background is never scored. A class that no case of
a part holds says nothing about a network: it has no mean, and takes no part in that over the classes.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from monai.metrics import compute_dice, compute_iou
from torch import Tensor

from lightm.errors import LightMError


def dice_iou(pred: Tensor, target: Tensor, num_classes: int, ignore: int | None = None) -> tuple[Tensor, Tensor]:
    """DSC and IoU of label maps pred, target (B, *S), integers below K = num_classes -> two float64 (B, K - 1).

    ignore: where the target has this value, nothing is counted.
    """
    if pred.shape != target.shape:
        raise LightMError(f"The prediction has the shape {tuple(pred.shape)}, but the truth {tuple(target.shape)}.")
    if ignore is not None:
        known = target != ignore
        pred, target = pred.where(known, 0), target.where(known, 0)  # background in both: not scored
    highest = max(int(pred.max()), int(target.max()))
    if highest >= num_classes:
        raise LightMError(f"A label map holds the value {highest}, but there are {num_classes} classes, 0 included.")
    scores = []
    for k in range(1, num_classes):  # one class after the other: a whole CT in one-hot form is tens of gigabytes
        masks = [torch.stack([labels != k, labels == k], dim=1).double() for labels in (pred, target)]  # (B, 2, *S)
        # Two channels in float64: it counts exactly, and given one channel compute_dice would answer in float32.
        same = {"include_background": False, "ignore_empty": False}
        scores.append([score(*masks, **same)[:, 0] for score in (compute_dice, compute_iou)])
    dsc, iou = zip(*scores, strict=True)
    return torch.stack(dsc, dim=1), torch.stack(iou, dim=1)


def case_scores(case_id: str, dsc: Tensor, iou: Tensor, classes: Sequence[str]) -> dict:
    """What a record keeps of one case; dsc, iou (K - 1,) -> `{"case": id, "dsc": {class: value}, "iou": {…}}`."""
    named = [dict(zip(classes[1:], scores.tolist(), strict=True)) for scores in (dsc, iou)]
    return {"case": case_id, "dsc": named[0], "iou": named[1]}


def summarise(cases: Iterable[dict], occurring: Collection[str] | None = None) -> dict:
    """Means over cases, per foreground class and over all: `{"cases": n, "dsc": {"mean", "per_class"}, "iou": {…}}`.

    occurring: the classes that a label map of these cases holds; the others are left out. None, or none: all are taken.
    """
    cases = list(cases)
    summary: dict = {"cases": len(cases)}
    for metric in ("dsc", "iou"):
        names = [n for n in (cases[0][metric] if cases else ()) if not occurring or n in occurring]
        per_class = {name: sum(c[metric][name] for c in cases) / len(cases) for name in names}
        summary[metric] = {"mean": sum(per_class.values()) / max(len(per_class), 1), "per_class": per_class}
    return summary


def merit(row: Mapping[str, Any]) -> tuple[float, float]:
    """What makes one validation better than another: the DSC, at the cases' own size where that is scored (a small
    structure can vanish at the training size), and the loss between equal ones.
    """
    native, loss = row.get("val_dsc_native"), row.get("val_loss")
    return (row["val_dsc"] if native is None else native), (-math.inf if loss is None else -loss)
