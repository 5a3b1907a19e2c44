"""src/lightm_book/bench/serial_scan.c, compiled by the C compiler that is here and called through ctypes."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from lightm.cpu import threads

SOURCE = Path(__file__).with_name("serial_scan.c")
FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")


def compiler() -> str | None:
    """A C compiler's path, or None."""
    return next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)


def unavailable() -> str:
    """Why it can't run here; empty if it can."""
    if not SOURCE.exists():
        return "its source is in the repository, not in the installed package: git clone lightm's address"
    if compiler() is None:
        return "it needs a C compiler, such as gcc"
    try:
        _library()
    except (OSError, subprocess.CalledProcessError):
        return f"{compiler()} could not compile {SOURCE.name}"
    return ""


@cache
def _library() -> ctypes.CDLL:
    folder = tempfile.mkdtemp(prefix="lightm-bench-")
    try:
        out = Path(folder, "serial_scan.so")
        subprocess.run([compiler(), *FLAGS, str(SOURCE), "-o", str(out), "-lm"], check=True, capture_output=True)
        return ctypes.CDLL(str(out))  # stays loaded without its file
    finally:
        shutil.rmtree(folder)


@torch.no_grad()
def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """y (B, L, D) for contiguous float32 tensors (B, L, D), (D, N), (B, L, N), (D,); threads share the channels."""
    batch, L, channels = u.shape
    N = A.shape[1]
    y = torch.empty_like(u)
    state = A.new_zeros(batch, channels, N)
    tensors = (u, delta, A, B, C, D, delta_bias, y, state)
    if any(not x.is_contiguous() or x.dtype != torch.float32 for x in tensors):
        raise ValueError("serial_scan.c takes contiguous float32 tensors.")
    pointers = [ctypes.c_void_p(x.data_ptr()) for x in tensors]
    sizes = [ctypes.c_long(size) for size in (batch, L, channels, N)]
    count = min(torch.get_num_threads(), channels)
    cuts = [ctypes.c_long(channels * i // count) for i in range(count + 1)]
    call = _library().serial_scan
    threads.run([partial(call, *pointers, *sizes, first, last) for first, last in pairwise(cuts)])
    return y
