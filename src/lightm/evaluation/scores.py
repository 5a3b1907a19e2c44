"""The scores of one pair of masks, P predicted and T true, for one class.

    DSC  = 2 |P ∩ T| / (|P| + |T|)          IoU = |P ∩ T| / |P ∪ T|
    NSD  = share of both surfaces that lies within a tolerance of the other one
    HD95 = the larger of the two 95th percentiles of the distance from one surface to the other
    ASSD = mean of those distances, over both surfaces together
    RVD  = (|P| - |T|) / |T|

The surface of a mask is its voxels with a neighbour (across a face) outside of it, or at the rim of the image; its
distances are those between voxel centres, in millimetres where the spacing is known. DSC, IoU and the distances are
MONAI's; HD95, ASSD and NSD equal its `compute_hausdorff_distance`, `compute_average_surface_distance(symmetric=True)`
and `compute_surface_dice`, but the surfaces are searched once for all three.

Empty masks. A score that has no meaning is NaN and left out of every mean; how many were is reported:

    P      T       state      DSC, IoU, NSD   HD95, ASSD   RVD
    some   some    scored     as above        as above     as above
    none   some    missed     0               NaN          -1
    some   none    invented   0               NaN          NaN
    none   none    absent     NaN             NaN          NaN
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics import compute_dice, compute_iou
from monai.metrics.utils import get_edge_surface_distance

from lightm.errors import LightMError

METRICS = ("dsc", "iou", "nsd", "hd95", "assd", "rvd")
NAMES = {"dsc": "DSC", "iou": "IoU", "nsd": "NSD", "hd95": "HD95", "assd": "ASSD", "rvd": "RVD"}
DISTANCES = ("hd95", "assd")  # have a unit; for these smaller is better
# MONAI 1.5 and 1.6 warn of an argument that they themselves pass.
warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
STATES = ("scored", "missed", "invented", "absent")


def score_masks(
    pred: np.ndarray,
    true: np.ndarray,
    spacing: Sequence[float],
    tolerance: float = 1.0,
    known: np.ndarray | None = None,
) -> dict[str, float | str]:
    """Scores of two masks pred, true (*S), bool -> {"state", "dsc", "iou", "nsd", "hd95", "assd", "rvd", "volume", …}.

    spacing: of the axes S, in mm or pixels. tolerance: of the NSD, in the same unit. known: (*S), False where the truth
    is not known: there nothing is counted. "volume" and "true_volume" are in mm³ (pixels²).
    LightMError if the shapes differ or `tolerance` is below 0.
    """
    if pred.shape != true.shape or len(spacing) != pred.ndim:
        raise LightMError(f"Masks of {pred.shape} and {true.shape} with {len(spacing)} spacings can't be compared.")
    if not 0 <= tolerance < float("inf"):
        raise LightMError(f"The tolerance is {tolerance}; give a distance from 0 up.")
    if known is not None:
        pred, true = pred & known, true & known
    voxel = float(np.prod(spacing))
    p, t = int(pred.sum()), int(true.sum())
    scores: dict[str, float | str] = dict.fromkeys(METRICS, float("nan"))
    scores |= {"state": "scored" if p and t else "missed" if t else "invented" if p else "absent"}
    scores |= {"volume": p * voxel, "true_volume": t * voxel}
    if t:
        scores["rvd"] = (p - t) / t
    if not p or not t:
        return scores | ({} if scores["state"] == "absent" else {"dsc": 0.0, "iou": 0.0, "nsd": 0.0})
    box = _box(pred | true)
    pred, true, known = pred[box], true[box], None if known is None else known[box]
    # Two channels in float64: MONAI counts exactly then, and given one channel it would answer in float32.
    masks = [torch.from_numpy(np.stack([~mask, mask])[None]).double() for mask in (pred, true)]  # (1, 2, *S)
    for name, score in (("dsc", compute_dice), ("iou", compute_iou)):
        scores[name] = float(score(*masks, include_background=False)[0, 0])
    there, back = _distances(pred, true, spacing, known)
    if len(there) and len(back):
        scores["hd95"] = float(max(np.percentile(there, 95), np.percentile(back, 95)))
        both = np.concatenate([there, back])
        scores["assd"], scores["nsd"] = float(both.mean()), float((both <= tolerance).mean())
    return scores


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around a mask: a small organ in a whole CT costs no more than the organ."""
    ends = [np.flatnonzero(mask.any(tuple(k for k in range(mask.ndim) if k != axis))) for axis in range(mask.ndim)]
    return tuple(slice(int(found[0]), int(found[-1]) + 1) for found in ends)


def _distances(
    pred: np.ndarray, true: np.ndarray, spacing: Sequence[float], known: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """From each surface voxel of pred to the surface of true, and the reverse."""
    _, distances, _ = get_edge_surface_distance(
        torch.from_numpy(np.ascontiguousarray(pred)),
        torch.from_numpy(np.ascontiguousarray(true)),
        spacing=list(map(float, spacing)),
        symmetric=True,
        mask=None if known is None else torch.from_numpy(np.ascontiguousarray(known)),
        warn_empty=False,
    )
    there, back = (np.asarray(d, dtype=np.float64) for d in distances)
    return there[np.isfinite(there)], back[np.isfinite(back)]
