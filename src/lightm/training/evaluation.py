"""Scores of a model on the cases of a split, at the size it was trained at and at the cases' own."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.nn import functional as F

from lightm.data.base import Dataset
from lightm.data.loading import SegmentationData
from lightm.training.metrics import case_scores, dice_iou, summarise


def autocast(device: torch.device, precision: str) -> Any:
    """bf16 autocast or nothing. Not Accelerate's own, which is one setting for all runs of a process."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def resize_logits(logits: Tensor, size: Sequence[int]) -> Tensor:
    """(B, K, *S) -> (B, K, *size), bilinear or trilinear, voxel centres aligned as `preprocess` aligns them."""
    mode = {2: "bilinear", 3: "trilinear"}[len(size)]
    return logits if logits.shape[2:] == tuple(size) else F.interpolate(logits, tuple(size), mode=mode)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: SegmentationData,
    *,
    accelerator: Accelerator,
    batch_size: int,
    precision: str = "fp32",
    loss: nn.Module | None = None,
    native: Dataset | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Any], dict[str, Any] | None, float | None]:
    """Score every case of `data`; the processes share the work and each gets the whole answer.

    native: a data set from which the untouched masks are read; logits are resized to each mask before the argmax.
    progress: called as progress(done, total) after each batch of this process's cases.
    Returns the scores at the training size, those at the cases' own (None if not asked for), and the mean loss (None
    without one). Scores are {"size", "cases": DSC and IoU per case and class, "summary": their means}.
    """
    was_training, device = model.training, accelerator.device
    model.eval()
    found = []
    share = range(accelerator.process_index, len(data), accelerator.num_processes)
    for indices in _chunks(share, batch_size):
        images = torch.stack([data[i][0] for i in indices]).to(device)  # (B, C, *S)
        with autocast(device, precision):
            logits = model(images).float()  # (B, K, *S)
        for i, logit in zip(indices, logits.split(1), strict=True):  # (1, K, *S): scored case by case
            label = data[i][1][None]  # (1, *S)
            cost = None if loss is None else loss(logit, label.to(device)).item()
            own = None if native is None else torch.from_numpy(native.read(data.case_ids[i]).label)[None]
            at_size = _score(data, i, logit, label)
            found.append(
                (i, at_size, None if own is None else _score(data, i, resize_logits(logit, own.shape[1:]), own), cost)
            )
        progress(len(found), len(share))
    model.train(was_training)
    found = sorted(gather_object(found), key=lambda entry: entry[0])
    _, trained, natives, costs = zip(*found, strict=True)
    return (
        {"size": list(data.size), "cases": list(trained), "summary": summarise(trained)},
        None if native is None else {"size": "native", "cases": list(natives), "summary": summarise(natives)},
        None if loss is None else sum(costs) / len(costs),
    )


def _score(data: SegmentationData, i: int, logit: Tensor, label: Tensor) -> dict:
    """Scores of case i: logit (1, K, *S), label (1, *S); on the CPU, because MPS has no float64."""
    dsc, iou = dice_iou(logit.argmax(1).cpu(), label, len(data.classes))
    return case_scores(data.case_ids[i], dsc[0], iou[0], data.classes)


def _chunks(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(indices), size):
        yield indices[start : start + size]
