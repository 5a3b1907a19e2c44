"""Scores of a model on the cases of a split, at the size it was trained at and at the cases' own."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.nn import functional as F

from lightm.data.base import Dataset
from lightm.data.loading import SegmentationData
from lightm.metrics import case_scores, dice_iou, summarise


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
) -> dict[str, Any]:
    """Score every case of `data`; the processes share the work and each gets the whole answer.

    native: a data set from which the untouched masks are read; logits are then resized to each mask before the argmax.
    Returns {"size", "cases": [per case and class DSC and IoU], "summary": means, "loss": mean over cases or None}.
    """
    was_training = model.training
    model.eval()
    rank, world = accelerator.process_index, accelerator.num_processes
    found = []
    for indices in _chunks(range(rank, len(data), world), batch_size):
        images, labels = (
            torch.stack(part).to(accelerator.device) for part in zip(*(data[i] for i in indices), strict=True)
        )
        with autocast(accelerator.device, precision):
            logits = model(images).float()  # (B, K, *S)
        costs = (
            [None] * len(indices)
            if loss is None
            else [loss(a[None], b[None]).item() for a, b in zip(logits, labels, strict=True)]
        )
        for i, logit, label, cost in zip(indices, logits, labels, costs, strict=True):
            case_id = data.case_ids[i]
            if native is not None:
                label = torch.from_numpy(native.read(case_id).label)  # (*S of the file)
            pred = (
                resize_logits(logit[None], label.shape).argmax(1).cpu()
            )  # (1, *S); scored on the CPU: MPS has no float64
            dsc, iou = dice_iou(pred, label[None].cpu(), len(data.classes))
            found.append((i, cost, case_scores(case_id, dsc[0], iou[0], data.classes)))
    model.train(was_training)
    found = sorted(gather_object(found), key=lambda entry: entry[0])
    cases = [scores for _, _, scores in found]
    return {
        "size": "native" if native is not None else list(data.size),
        "cases": cases,
        "summary": summarise(cases),
        "loss": None if loss is None or not found else sum(cost for _, cost, _ in found) / len(found),
    }


def _chunks(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(indices), size):
        yield indices[start : start + size]
