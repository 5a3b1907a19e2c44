"""How many threads a command takes on a machine that others use, and the scan in plain PyTorch on part of its cores."""

import os
import subprocess
import sys

import pytest
import torch

from lightm.cpu import cores, threads
from lightm.cpu.cores import idle_cores, quota_of
from lightm.scan import chunked, selective_scan

STAT = """cpu  300 0 300 600 0 0 0 0 0 0
cpu0 100 0 100 {idle0} 0 0 0 0 0 0
cpu1 100 0 {system1} 200 {wait1} 0 0 0 0 0
cpu2 100 {nice2} 100 200 0 0 0 {steal2} 0 0
intr 1
"""


def stat(idle0=200, system1=100, wait1=0, nice2=0, steal2=0):
    return STAT.format(idle0=idle0, system1=system1, wait1=wait1, nice2=nice2, steal2=steal2)


@pytest.mark.parametrize(
    ("after", "allowed", "free"),
    [
        (stat(idle0=210, wait1=10, steal2=10), {0, 1, 2}, 2),  # what another machine took is not free
        (stat(idle0=210, system1=110, nice2=10), {0, 1, 2}, 1),  # a program that is nice is busy, too
        (stat(idle0=210, system1=105, wait1=5, nice2=10), {0, 1, 2}, 2),
        (stat(idle0=210, system1=110, nice2=10), {1, 2}, 0),
        (stat(idle0=210, system1=110, nice2=10), {0}, 1),
    ],
)
def test_cores_that_others_use_are_not_free(after, allowed, free):
    assert idle_cores(stat(), after, allowed) == free


@pytest.mark.parametrize(
    ("quota", "period", "whole"),
    [("max", "100000", None), ("-1\n", "100000\n", None), ("150000", "100000", 2), ("50000", "100000", 1)],
)
def test_a_quota_is_worth_whole_cores(quota, period, whole):
    assert quota_of(quota, period) == whole


def threads_of_a_command(environ: dict[str, str], before: str = "", earlier: str = "None") -> dict:
    """What torch and OpenMP get in a process of their own, where `before` runs first."""
    code = (
        f"from lightm.cpu import cores\n{before}\ncores.share_cores({earlier})\nimport torch\n"
        "print(torch.get_num_threads())"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(cores.DECIDED_BY_USER)}
    done = subprocess.run([sys.executable, "-c", code], env=clean | environ, capture_output=True, text=True, check=True)
    return {"threads": int(done.stdout), "said": done.stderr}


def test_a_command_takes_the_cores_that_are_free_and_says_so():
    found = threads_of_a_command({}, "cores.processors = lambda: 4\ncores.free_cores = lambda: 1")
    assert found["threads"] == 1
    assert found["said"].startswith("lightm: computing with 1 of 4 cores (others are busy;")


def test_a_run_goes_on_with_the_threads_it_had():
    found = threads_of_a_command({}, "cores.processors = lambda: 4\ncores.free_cores = lambda: 3", earlier="2")
    assert found["threads"] == 2 and "as before" in found["said"]


def test_variables_of_the_user_decide_alone():
    found = threads_of_a_command({"OMP_NUM_THREADS": "2"}, "cores.free_cores = lambda: 1")
    assert found == {"threads": 2, "said": ""}


def test_the_scan_in_plain_torch_gives_the_same_bits_on_one_core_and_on_two(monkeypatch):
    """However many cores compute it, the channels are cut alike; inference mode reaches the other threads."""
    torch.manual_seed(0)
    u, delta = torch.randn(2, 2, 48, 70).unbind()
    A, B, C = -torch.rand(48, 3), torch.randn(2, 3, 70), torch.randn(2, 3, 70)
    found = []
    for cores_here, torchs in ((1, True), (2, True), (2, False)):  # False: no OpenMP of GNU, as on macOS
        monkeypatch.setattr(chunked, "processors", lambda count=cores_here: count)
        monkeypatch.setattr(threads, "are_torchs", lambda found=torchs: found)
        with torch.inference_mode():
            found.append(selective_scan(u, delta, A, B, C, backend="chunked", delta_softplus=True))
    assert all(torch.equal(found[0], other) for other in found[1:])
