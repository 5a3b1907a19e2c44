"""Tables 1, 2 and 3 of the paper counted again: thop's numbers, which are the printed ones, and the true ones.

The record results/counting.json is what `count_tables` returns, and `lightm-book count --json` prints.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lightm.counting import checked_shape, count, meta_copy
from lightm.errors import LightMError
from lightm.models import build_model
from lightm_book.paper.evidence import CHANNELS
from lightm_book.paper.settings import setting
from lightm_book.paper.tables import GFLOPS, PARAMS, TABLES


@dataclass(frozen=True)
class ThopCount:
    """What thop reports for one image: the convention of the paper's tables (GFLOPs there = macs x batch / 10^9)."""

    params: int
    macs: int


def thop_count(model: nn.Module, input_shape: Sequence[int], dtype: torch.dtype = torch.float32) -> ThopCount:
    """What a run of `thop.profile` (github.com/Lyken17/pytorch-OpCounter) reports for `model`; arguments as `count`.

    thop hooks the forward of layers of types that it knows and adds up what their hooks report: nothing for a weight
    that is used without calling its layer, and a layer that is registered under k paths k times over, its operations
    k^2 times. It is really run, on a copy on the meta device, where it reads the same shapes as anywhere else.
    """
    shape = checked_shape(input_shape)
    try:
        import thop
    except ImportError as error:
        raise LightMError(
            f"thop can't be imported ({error}); install it: pip install thop==0.1.1.post2209072238 setuptools"
        ) from error
    twin = meta_copy(model)
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it warns of every trilinear interpolation, which it counts as nothing
    try:
        macs, params = thop.profile(twin, inputs=(torch.empty(1, *shape, dtype=dtype, device="meta"),), verbose=False)
    finally:
        logging.disable(disabled)
    return ThopCount(int(params), int(macs))


# Row of a table -> the network whose thop numbers are the printed ones, and the options that differ from its defaults.
NETWORKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "nnU-Net": ("nnunet", {"deep_supervision": True}),
    "SegResNet": ("segresnet", {}),
    "UNETR": ("unetr", {}),  # in 2D: no setting gives its printed GFLOPs in 3D
    "SwinUNETR": ("swin-unetr", {}),
    "U-Mamba": ("u-mamba-bot", {"deep_supervision": True}),
    "LightM-UNet": ("lightm-unet-released-2024-03-17", {}),
    "VSSM→Conv3": ("released-conv3", {}),
    "VSSM→Self-Attention": ("released-attention", {}),
    "w/o Adjustment factors": ("released-no-adjustment", {}),
    "w/o Residual connections": ("released-no-residual", {}),
}


def count_row(number: int, row: str) -> dict[str, Any]:
    """One row of Table `number` counted again, ready for JSON.

    table, row        the place in the paper
    model, options    the network, for `lightm.models.build_model`
    dims, size        its spatial dimensions, and those of the image, as in Section 3
    thop_params, thop_macs    what thop reports for one image; exact integers
    batch             the training batch of Section 3; printed GFLOPs = thop_macs x batch / 10^9
    paper_params_m, paper_gflops    as printed
    params, macs      the truth (`lightm.counting.count`) for one image; exact integers
    """
    table, (model, options) = TABLES[number], NETWORKS[row]
    size = tuple(int(n) for n in setting("size", table.dims).value)
    (batch,) = setting("batch size", table.dims).value
    in_channels, out_channels = CHANNELS[table.dims]
    with torch.device("meta"):
        network = build_model(model, table.dims, in_channels, out_channels, **options)
    thop, true = (f(network, (in_channels, *size)) for f in (thop_count, count))
    return {
        "table": number,
        "row": row,
        "model": model,
        "options": dict(options),
        "dims": table.dims,
        "size": list(size),
        "thop_params": thop.params,
        "thop_macs": thop.macs,
        "batch": int(batch),
        "paper_params_m": float(table[row, PARAMS]),
        "paper_gflops": float(table[row, GFLOPS]),
        "params": true.params,
        "macs": true.macs,
    }


def count_tables() -> Iterator[dict[str, Any]]:
    """`count_row` of each row of Tables 1, 2 and 3, from top to bottom, as its counts are done."""
    for number, table in TABLES.items():
        for row in table.rows:
            yield count_row(number, row)
