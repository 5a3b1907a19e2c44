"""Count the memory of every system's training step and write results/memory.json; no GPU is needed.

A row takes a second or a few of a core, and the cores share them. Run it after a change of a network or of what a scan
keeps for its backward pass.
"""

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from lightm.files import whole_file
from lightm.memory_table import count_row, settings

RECORD = Path(__file__).resolve().parent.parent / "results" / "memory.json"


def count(arguments: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(1)  # there is nothing to compute
    row = count_row(**arguments).as_dict()
    print(f"{arguments}: peak {row['peak'] / 2**30:.2f} GiB", flush=True)
    return row


def main() -> int:
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(count, settings()))
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    with whole_file(RECORD) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
