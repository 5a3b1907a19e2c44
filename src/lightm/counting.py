"""Tables 1, 2 and 3 of the paper counted again: thop's numbers, which are the printed ones, and the true ones.

The record results/counting.json is what `count_tables` returns, and `lightm count --paper --json` prints.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from lightm.baselines import BASELINES
from lightm.complexity import count, thop_count
from lightm.paper.evidence import CHANNELS
from lightm.paper.settings import setting
from lightm.paper.tables import GFLOPS, PARAMS, TABLES
from lightm.released import RELEASED

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
    params, macs      the truth (`lightm.complexity.count`) for one image; exact integers
    """
    table, (model, options) = TABLES[number], NETWORKS[row]
    size = tuple(int(n) for n in setting("size", table.dims).value)
    (batch,) = setting("batch size", table.dims).value
    build, *_ = (BASELINES | RELEASED)[model]
    in_channels, out_channels = CHANNELS[table.dims]
    with torch.device("meta"):
        network = build(table.dims, in_channels, out_channels, **options)
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
