"""The counted memory of every system at many settings, as rows: what results/memory.json holds.

`lightm-book count --memory` writes the file, without a GPU, a second or a few of a core a row; chapter 13 reads it and
counts some of its rows again. Run it after a change of a network or of what a scan keeps for its backward pass.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from lightm.errors import LightMError
from lightm.files import whole_file
from lightm.models import build_model, options_for_size
from lightm_book.counting.memory import StepMemory, count_memory, largest_batch, with_fused_mamba
from lightm_book.paper.evidence import CHANNELS
from lightm_book.paper.settings import setting

FIRST = "lightm-unet-released-2024-03-17"
SYSTEMS = (
    "lightm-unet",
    "lightm-unet-1m",
    FIRST,
    "lightm-unet-released-2024-03-29",
    "nnunet",
    "segresnet",
    "unetr",
    "swin-unetr",
    "u-mamba-bot",
)
PAPER_SIZE = {dims: int(setting("size", dims).value[0]) for dims in (2, 3)}
BATCH = {dims: int(setting("batch size", dims).value[0]) for dims in (2, 3)}
CLOSER = ("lightm-unet", FIRST, "nnunet", "segresnet")  # counted at each of SIDES, in each of WAYS
WAYS = (("fp32", False), ("fp32", True), ("bf16", False), ("bf16", True))  # precision, checkpointing
SIDES = {2: (256, 512, 768, 1024), 3: (64, 96, 128, 160)}
PLACE = ("model", "dims", "side", "precision", "checkpointing", "fused")
Place = tuple[str, int, int, str, bool, bool]


@dataclass(frozen=True)
class MemoryRow:
    """One system at one setting: the count with one image, and with the paper's batch where it was asked for.

    fused   each Mamba block as mamba_ssm's fused kernel keeps and makes tensors, see memory.with_fused_mamba
    """

    model: str
    dims: int
    side: int
    precision: str
    checkpointing: bool
    fused: bool
    one: StepMemory
    many: StepMemory | None

    @property
    def place(self) -> Place:
        return self.model, self.dims, self.side, self.precision, self.checkpointing, self.fused

    def peak(self, batch: int) -> int:
        """Peak bytes of a step with `batch` images: counted for one and for the paper's batch, else on their line."""
        each = (self.many.peak - self.one.peak) / (self.many.batch - 1)
        return round(self.one.peak + (batch - 1) * each)

    def fits(self, capacity: int) -> int:
        """The most images that fit `capacity` bytes."""
        return largest_batch(capacity, self.one, self.many)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the bytes with one image, and the peak with `batch` images."""
        kept = ("parameters", "gradients", "optimizer", "activations", "peak")
        plain = {key: getattr(self.one, key) for key in kept}
        names = dict(zip(PLACE, self.place, strict=True))
        more = {"batch": self.many.batch, "peak_of_batch": self.many.peak} if self.many else {}
        return names | plain | {"by_part": self.one.rows(1)} | more


def count_row(
    model: str,
    dims: int,
    side: int,
    precision: str = "fp32",
    checkpointing: bool = False,
    fused: bool = False,
    many: bool = True,
) -> MemoryRow:
    """Count a system of `lightm.models` on images of side^dims with the channels and classes of the paper's data."""
    in_channels, out_channels = CHANNELS[dims]
    options = options_for_size(model, (side,) * dims)
    with torch.device("meta"):
        network = build_model(model, dims, in_channels, out_channels, **options)
    network = with_fused_mamba(network) if fused else network
    shape = (in_channels, *[side] * dims)
    way = {"precision": precision, "checkpointing": checkpointing}
    counts = [count_memory(network, shape, batch, **way) for batch in ((1, BATCH[dims]) if many else (1,))]
    return MemoryRow(model, dims, side, precision, checkpointing, fused, counts[0], counts[1] if many else None)


def settings() -> Iterator[dict[str, Any]]:
    """Arguments of `count_row` for every row of the record, in its order."""
    for dims, side in PAPER_SIZE.items():
        for model in SYSTEMS:
            for precision, checkpointing in WAYS if model in CLOSER else WAYS[:1]:
                way = {"precision": precision, "checkpointing": checkpointing}
                yield {"model": model, "dims": dims, "side": side} | way
        yield {"model": FIRST, "dims": dims, "side": side, "fused": True}
    for dims, sides in SIDES.items():
        for model in CLOSER:
            for side in sides:
                if side != PAPER_SIZE[dims]:
                    yield {"model": model, "dims": dims, "side": side, "many": False}


def write_memory(path: Path) -> None:
    """Count every row of `settings` and write the record; the cores share the rows."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(_counted, settings()))
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _counted(arguments: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(1)  # there is nothing to compute
    row = count_row(**arguments).as_dict()
    print(f"{arguments}: peak {row['peak'] / 2**30:.2f} GiB", flush=True)
    return row


def read_memory(path: str | Path) -> dict[Place, MemoryRow]:
    """The rows of results/memory.json by `MemoryRow.place`."""
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = [_row(values) for values in plain]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LightMError(f"Can't read {path}: {error!r}. Make it with: lightm-book count --memory.") from error
    return {row.place: row for row in rows}


def _row(v: dict[str, Any]) -> MemoryRow:
    shape = (CHANNELS[v["dims"]][0], *[v["side"]] * v["dims"])
    fixed = (v["parameters"], v["gradients"], v["optimizer"])
    one = StepMemory(shape, 1, *fixed, v["activations"], v["peak"], v["by_part"], {})
    many = StepMemory(shape, v["batch"], *fixed, 0, v["peak_of_batch"], {}, {}) if "batch" in v else None
    return MemoryRow(*(v[key] for key in PLACE), one, many)
