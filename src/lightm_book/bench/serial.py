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
from lightm.scan.inputs import ScanInputs

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
def scan(x: ScanInputs) -> Tensor:
    """y (B, L, D) for contiguous float32 tensors without a gate; threads share the channels."""
    batch, L, channels = x.u.shape
    N = x.A.shape[1]
    y = torch.empty_like(x.u)
    state = x.A.new_zeros(batch, channels, N)
    tensors = (*x.named().values(), y, state)
    if x.z is not None or any(not t.is_contiguous() or t.dtype != torch.float32 for t in tensors):
        raise ValueError("serial_scan.c takes contiguous float32 tensors and no gate.")
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in tensors]
    sizes = [ctypes.c_long(size) for size in (batch, L, channels, N)]
    count = min(torch.get_num_threads(), channels)
    cuts = [ctypes.c_long(channels * i // count) for i in range(count + 1)]
    call = _library().serial_scan
    threads.run([partial(call, *pointers, *sizes, first, last) for first, last in pairwise(cuts)])
    return y
