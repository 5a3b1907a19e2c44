"""The process that measures the peak memory of one contender on a CPU, see memory.py.

`python -m lightm_book.bench.memory_process REQUEST`, REQUEST a JSON object, prints the bytes.
"""

import json
import sys
from typing import Any

import torch

from lightm_book.bench.memory import added_by


def main(request: dict[str, Any]) -> int:
    """Bytes for {"kind": "scan" or "step", "threads": n, ...}; the rest are arguments of `memory_call` of that kind."""
    torch.set_num_threads(request.pop("threads"))
    kind = request.pop("kind")
    if kind == "scan":
        from lightm_book.bench.scan import memory_call
    else:
        from lightm_book.bench.step import memory_call
    return added_by(memory_call(**request), torch.device("cpu"))


if __name__ == "__main__":
    print(main(json.loads(sys.argv[1])))
