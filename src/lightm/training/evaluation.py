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
from lightm.data.patches import PatchData
from lightm.training.metrics import case_scores, dice_iou, summarise
from lightm.training.windows import slide


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

    Cases of `PatchData` are looked at window by window. native: a data set from which the untouched masks are read;
    logits are resized to each mask before the argmax.
    progress: called as progress(done, total) after each batch of this process's cases.
    Returns the scores at the training size, those at the cases' own (None if not asked for), and the mean loss (None
    without one). Scores are {"size", "cases": DSC and IoU per case and class, "summary": their means}.
    """
    was_training, device = model.training, accelerator.device
    model.eval()
    found, by_window = [], isinstance(data, PatchData)
    share = range(accelerator.process_index, len(data), accelerator.num_processes)

    def forward(images: Tensor) -> Tensor:
        with autocast(device, precision):
            return model(images).float()  # (B, C, *S) -> (B, K, *S)

    for indices in _chunks(share, 1 if by_window else batch_size):
        images = torch.stack([data[i][0] for i in indices])  # (B, C, *S)
        logits = slide(forward, images, data.size, device) if by_window else forward(images.to(device))
        for i, logit in zip(indices, logits.split(1), strict=True):  # (1, K, *S): scored case by case
            label = data[i][1][None]  # (1, *S)
            cost = None if loss is None else loss(logit, label.to(logit.device)).item()
            at_size = at_own = _score(data, i, logit, label)
            if native is not None and not data.native:
                own = torch.from_numpy(native.read(data.case_ids[i]).label)[None]  # (1, *S)
                at_own = _score(data, i, resize_logits(logit, own.shape[1:]), own)
            found.append((i, at_size, at_own, cost))
        progress(len(found), len(share))
    model.train(was_training)
    found = sorted(gather_object(found), key=lambda entry: entry[0])
    _, trained, natives, costs = zip(*found, strict=True)
    return (
        _summary(data.scored_at, trained),
        None if native is None else _summary("native", natives),
        None if loss is None else sum(costs) / len(costs),
    )


def _score(data: SegmentationData, i: int, logit: Tensor, label: Tensor) -> tuple[dict, set[str]]:
    """Scores of case i, and the classes that it holds: logit (1, K, *S), label (1, *S); on the CPU, because MPS has no
    float64.
    """
    dsc, iou = dice_iou(logit.argmax(1).cpu(), label, len(data.classes), data.ignore)
    counts = torch.bincount(label.flatten(), minlength=256)
    held = {name for value, name in enumerate(data.classes) if value and counts[value]}
    return case_scores(data.case_ids[i], dsc[0], iou[0], data.classes), held


def _summary(size: list[int] | str, scored: Sequence[tuple[dict, set[str]]]) -> dict[str, Any]:
    cases, held = zip(*scored, strict=True)
    return {"size": size, "cases": list(cases), "summary": summarise(cases, set().union(*held))}


def _chunks(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(indices), size):
        yield indices[start : start + size]
