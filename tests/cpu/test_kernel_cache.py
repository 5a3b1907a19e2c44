"""The cache of compiled kernels: whatever is wrong with it costs a compilation and a warning, never the program."""

import importlib.util
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

from lightm.cpu import cache

resource = pytest.importorskip("resource", reason="limits on the size of files are a matter of Unix")

SOURCE = """
def doubled(x):
    for i in range(x.size):
        x[i] *= 2
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A function that runs a kernel as a new process would and returns (cache hits, warnings)."""
    monkeypatch.setattr("numba.core.config.CACHE_DIR", "")
    path = tmp_path / "numbers.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("numbers_of_a_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run():
        monkeypatch.setattr(cache, "_warned", set())
        kernel, x = cache.kernel(module.doubled), np.arange(3.0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kernel(x)
        assert x.tolist() == [0, 2, 4]
        return sum(kernel.stats.cache_hits.values()), [str(w.message) for w in caught]

    return run


def test_a_second_process_finds_the_kernel(start):
    assert start() == (0, []) and start() == (1, [])


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:40],
        lambda content: content[:-1],
        lambda content: bytes(len(content)),
        lambda content: b"not numba's",
        lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    ],
    ids=["empty", "cut off", "a byte short", "zeros", "foreign", "a bit flipped"],
)
def test_a_damaged_cache_is_compiled_again_with_one_warning_and_is_whole_afterwards(start, tmp_path, suffix, damage):
    start()
    (file,) = (tmp_path / "__pycache__").glob(f"*.{suffix}")
    file.write_bytes(damage(file.read_bytes()))
    hits, messages = start()
    assert hits == 0 and len(messages) == 1 and "can't be read (it is damaged)" in messages[0]
    assert start() == (1, [])


def test_a_full_disk_costs_the_cache_and_one_warning(start):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # no file may grow beyond this
        hits, messages = start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert hits == 0 and len(messages) == 1 and "can't be written" in messages[0] and "NUMBA_CACHE_DIR" in messages[0]
    assert start() == (0, [])


def test_a_cache_folder_that_vanished_under_the_program_is_no_error(start, tmp_path, monkeypatch):
    real = cache.kernel

    def then_a_file_takes_the_folder(function):
        compiled = real(function)
        shutil.rmtree(tmp_path / "__pycache__")
        (tmp_path / "__pycache__").write_text("")
        return compiled

    monkeypatch.setattr(cache, "kernel", then_a_file_takes_the_folder)
    hits, messages = start()
    assert hits == 0 and messages


def test_no_folder_for_the_cache_at_all_is_no_error(start, monkeypatch):
    monkeypatch.setattr(cache.FunctionCache, "__init__", lambda *_: (_ for _ in ()).throw(RuntimeError("no locator")))
    assert start() == (0, [])


WITHOUT = {
    "switched off": ({"NUMBA_DISABLE_JIT": "1"}, "", "NUMBA_DISABLE_JIT is set"),
    "missing": ({}, "import sys; sys.modules['numba'] = None\n", "can't be imported"),
}
CHECK = """
import logging, torch
logging.basicConfig(level=logging.INFO)
from lightm.models import build_model
from lightm.scan import backends, choose_backend
print(choose_backend(torch.zeros(1))[0], "|", backends()["cpu"].reason)
for name, width in (("lightm-unet", 16), ("lightm-unet-released-2024-03-29", 8)):
    net = build_model(name, 2, 1, 2, width=width)
    net(torch.randn(1, 1, 16, 16)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
"""


@pytest.mark.parametrize("way", WITHOUT)
def test_without_numba_the_backend_says_why_and_networks_train_in_plain_pytorch(way, monkeypatch):
    variables, before, reason = WITHOUT[way]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run([sys.executable, "-c", before + CHECK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    chosen, _, why = done.stdout.partition(" | ")
    assert chosen == "chunked" and reason in why
    assert "INFO:lightm.kernels:the kernels run as plain PyTorch: numba" in done.stderr
