"""What claims are held against: the printed tables, the count record, the records of runs, and our own networks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightm.errors import LightMError
from lightm_book.paper.settings import setting
from lightm_book.paper.sources import COUNTING_RECORD, RUN_RECORDS
from lightm_book.paper.tables import TABLES, Table

if TYPE_CHECKING:
    from lightm.counting import Complexity
    from lightm_book.compare.rows import Experiment
    from lightm_book.compare.verdicts import Family

# Image channels and classes: of the data sets, and of the released networks whose counts are the printed ones.
CHANNELS = {2: (3, 2), 3: (1, 3)}

TEXT = "lightm-unet"  # our network of the paper's text

_COUNTED = {
    "table": int,
    "row": str,
    "model": str,
    "dims": int,
    "thop_params": int,
    "thop_macs": int,
    "batch": int,
    "params": int,
    "macs": int,
}


class Networks:
    """The package's networks at the paper's settings: their counts and the shapes of their tensors, without memory."""

    @cached_property
    def names(self) -> frozenset[str]:
        from lightm.models import list_models

        return frozenset(info.name for info in list_models())

    @lru_cache(maxsize=64)  # noqa: B019  (one instance a program)
    def count(self, name: str, dims: int, size: tuple[int, ...] | None = None) -> Complexity:
        """Parameters and MACs for one image of `size`, by default the paper's."""
        from lightm.counting import count

        size = size or tuple(int(n) for n in setting("size", dims).value)
        options = {"img_size": size} if name == "unetr" else {}
        return count(self._build(name, dims, **options), (CHANNELS[dims][0], *size))

    @lru_cache(maxsize=64)  # noqa: B019
    def shapes(self, name: str, dims: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of the state_dict."""
        return {key: tuple(tensor.shape) for key, tensor in self._build(name, dims).state_dict().items()}

    def _build(self, name: str, dims: int, **options):
        import torch

        from lightm.models import build_model

        with torch.device("meta"):
            return build_model(name, dims, *CHANNELS[dims], **options)


@dataclass(frozen=True)
class Evidence:
    """All that a check may look at. Tests hand in altered tables and made-up records."""

    tables: Mapping[int, Table] = field(default_factory=lambda: TABLES)
    counting: Mapping[tuple[int, str], Mapping[str, Any]] = field(default_factory=dict)
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    networks: Networks = field(default_factory=Networks)


    @cached_property
    def experiments(self) -> list[Experiment]:
        """The runs, those together that may be compared."""
        from lightm_book.compare.rows import experiments

        return experiments(self.runs)

    @cached_property
    def family(self) -> Family:
        """All comparisons of the book with the network of the text, corrected together."""
        from lightm_book.compare.verdicts import family

        return family(self.runs)


def load_evidence(root: str | Path) -> Evidence:
    """The evidence in a checkout of the repository: results/counting.json and the records of results/runs/."""
    from lightm.training.record import list_records

    root = Path(root)
    counted = root / COUNTING_RECORD
    runs = {f"{RUN_RECORDS}/{name}.json": record for name, record in list_records(root / RUN_RECORDS).items()}
    return Evidence(counting=read_counting(counted) if counted.exists() else {}, runs=runs)


def read_counting(path: str | Path) -> dict[tuple[int, str], Mapping[str, Any]]:
    """What `lightm-book count --json` printed: (table, row) -> its exact counts, all rows there."""
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LightMError(f"Can't read {path}: {error}. Make it with: lightm-book count --json.") from error
    counted = {}
    for row in rows:
        for key, kind in _COUNTED.items():
            if type(row.get(key)) is not kind:
                raise LightMError(f"{path}: {key} of {row.get('row')!r} must be {kind.__name__}, not {row.get(key)!r}.")
        place = row["table"], row["row"].replace("->", "→").replace(" → ", "→")
        if row["table"] not in TABLES or place[1] not in TABLES[row["table"]].rows:
            raise LightMError(f"{path}: Table {row['table']} of the paper has no row {row['row']!r}.")
        counted[place] = row
    if missing := {(n, row) for n, table in TABLES.items() for row in table.rows} - counted.keys():
        raise LightMError(f"{path} lacks {sorted(missing)}. Make it again with: lightm-book count --json.")
    return counted
