"""The GPU backend: in Triton's interpreter on the CPU and, with a GPU, at full size.

On a machine with a GPU: python -m pytest tests/scan/test_gpu.py -m gpu
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightm.scan import backends, choose_backend, selective_scan

triton = pytest.importorskip("triton", reason="Triton is not installed; it comes with PyTorch's GPU builds on Linux")

needs_gpu = pytest.mark.skipif(
    not backends("cuda")["gpu"].available, reason=f"the GPU scan can't run: {backends('cuda')['gpu'].reason}"
)
LIGHTM_UNET = [(12, 64, 262_144, 16), (2, 64, 2_097_152, 16)]  # B, D, L, N of 512 x 512 and of 128^3


def test_kernels_equal_the_definition_in_tritons_interpreter():
    # In a process of its own: Triton decides when it is imported whether it interprets.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "interpreted_gpu.py"]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"\d+ passed|^\.+", done.stdout, re.MULTILINE)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("shape", LIGHTM_UNET, ids=str)
def test_long_sequences_equal_float64_and_ten_runs_give_the_same_bits(shape):
    from lightm_book.reproduce.scan_check import check_gpu_scan

    record = check_gpu_scan([shape], runs=10, backend="gpu", exact_items=1)
    for case in record["cases"]:
        assert case["bits_equal"]
        # exp2 of the GPU errs by up to two units in the last place, over thousands of tokens
        assert case["worst_error"] < (1e-5 if case["dtype"] == "float32" else 0.01), case["errors"]


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(2, 5, 1, 3), (1, 33, 257, 17), (3, 100, 1031, 64), (2, 64, 4099, 1)], ids=str)
def test_odd_shapes_equal_float64(shape, dtype):
    from test_selective_scan import error, inputs

    tensors = {k: v.detach().to("cuda", dtype) for k, v in inputs(*shape, dtype=torch.float64).items()}
    expected = scan_and_gradients_on_gpu("chunked", {k: v.double() for k, v in tensors.items()})
    found = scan_and_gradients_on_gpu("gpu", tensors)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}.get(dtype, 0.02)
    worst = {name: error(found[name].cpu(), expected[name].cpu()) for name in expected}
    assert max(worst.values()) < tolerance, worst


def scan_and_gradients_on_gpu(backend, tensors):
    leaves = {name: x.detach().clone().requires_grad_() for name, x in tensors.items()}
    y, state = selective_scan(**leaves, delta_softplus=True, return_last_state=True, backend=backend)
    weights = [torch.linspace(-1, 1, x.numel(), device=x.device).view(x.shape).to(x.dtype) for x in (y, state)]
    grads = torch.autograd.grad([y, state], list(leaves.values()), weights)
    return {"y": y, "last state": state, **dict(zip(leaves, grads, strict=True))}


@pytest.mark.gpu
@needs_gpu
def test_more_than_two_to_the_31_elements():
    if torch.cuda.mem_get_info()[0] < 40 * 2**30:
        pytest.skip("needs 40 GB of free GPU memory")
    B, D, L, N = 1, 1088, 2**21, 1  # 2.28e9 elements in u
    u = torch.ones(B, L, D, device="cuda", dtype=torch.bfloat16).transpose(1, 2)
    A, ones = -torch.ones(D, N, device="cuda"), torch.ones(B, N, L, device="cuda", dtype=torch.bfloat16)
    with torch.no_grad():
        y = selective_scan(u, u.new_ones(1, 1, 1).expand_as(u), A, ones, ones, backend="gpu")
    limit = 1 / (1 - torch.tensor(-1.0).exp().item())  # of h = h / e + 1
    assert torch.allclose(y[0, [0, -1], -1].float(), torch.tensor(limit, device="cuda"), rtol=0.01)
    assert torch.equal(y[0, 0, -1000:], y[0, -1, -1000:])


@pytest.mark.gpu
@needs_gpu
def test_auto_takes_it_on_a_gpu():
    assert choose_backend(torch.zeros(1, device="cuda"))[0] == "gpu"


@pytest.mark.gpu
@needs_gpu
@pytest.mark.skipif(not backends("cuda")["upstream"].available, reason=backends("cuda")["upstream"].reason)
def test_equals_mamba_ssm():
    from test_selective_scan import error, inputs

    tensors = {k: v.detach().cuda() for k, v in inputs(2, 64, 5000, 16).items()}
    ours, theirs = (scan_and_gradients_on_gpu(backend, tensors) for backend in ("gpu", "upstream"))
    worst = {name: error(ours[name].cpu(), theirs[name].cpu()) for name in ours}
    assert max(worst.values()) < 1e-4, worst
