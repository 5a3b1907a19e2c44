"""lightm.cpu.memory: large pages, and memory that was freed is used again without new page faults."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightm.cpu.memory import new_empty

FAULTS = """
import resource, sys, torch
from lightm.cpu.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else None
def use():
    torch.ones(48 * 2**20 // 4)  # 48 MB, above every threshold of glibc
for _ in range(20):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str, **environment: str) -> tuple[str, int]:
    out = subprocess.run(
        [sys.executable, "-c", FAULTS, mode], env=environment, capture_output=True, text=True, check=True
    )
    kept, count = out.stdout.split()
    return kept, int(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has these thresholds")
def test_freed_memory_is_used_again_without_page_faults():
    kept, count = faults("keep", OMP_NUM_THREADS="1")
    if kept == "False":
        pytest.skip("this C library has no mallopt")
    assert count * 10 < faults("leave", OMP_NUM_THREADS="1")[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has these thresholds")
def test_thresholds_of_the_environment_are_left_alone():
    kept, count = faults("keep", MALLOC_MMAP_THRESHOLD_="4096", OMP_NUM_THREADS="1")
    assert kept == "True" and count > 1000  # every large block is still mapped afresh, as the user asked


LARGE = """
import resource, sys, torch
from lightm.cpu.memory import new_empty
like = torch.zeros(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
tensor = new_empty(like, 2**14, 2**10) if sys.argv[1] == "large" else like.new_empty(2**14, 2**10)  # 64 MiB
tensor.fill_(1)
print(tensor.sum().item(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not PAGES.exists() or "[madvise]" not in PAGES.read_text(),
    reason="Linux gives large pages on request only if set so",
)
def test_a_large_tensor_takes_large_pages():
    counts = {}
    for mode in ("large", "small"):
        command = [sys.executable, "-c", LARGE, mode]
        total, count = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert float(total) == 2**24
        counts[mode] = int(count)
    assert counts["large"] * 4 < counts["small"]


def test_a_new_tensor_is_like_the_old_one():
    like = torch.zeros(3, dtype=torch.float64)
    for shape in ((0,), (2, 3), (2**10, 2**10)):
        tensor = new_empty(like, *shape)
        assert tensor.shape == shape and tensor.dtype == like.dtype and tensor.is_contiguous()
