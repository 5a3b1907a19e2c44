"""Is the scan right on this GPU? Errors against float64 and bits from run to run, as a record: `check_gpu_scan`."""

import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from lightm.scan import choose_backend, selective_scan
from lightm_book.bench.inputs import Shape, random_inputs

# LightM-UNet's longest sequences: 512 x 512 in a batch of 12, and 128^3 in a batch of 2. (B, D, L, N)
SHAPES = ((12, 64, 262_144, 16), (2, 64, 2_097_152, 16))
PER_ITEM = ("y", "last state", "u", "delta", "B", "C", "z")  # what an item of the batch has for itself


def check_gpu_scan(
    shapes: Sequence[tuple[int, int, int, int]] = SHAPES,
    runs: int = 10,
    device: str = "cuda",
    backend: str = "auto",
    dtypes: Sequence[str] = ("float32", "bfloat16"),
    exact_items: int = 1,
    report=None,
) -> dict:
    """Run the scan and its gradients on `device` and compare, as far as JSON can say it.

    shapes: (B, D, L, N) each   runs: how often each is repeated, to compare bits   report: called with a line a case
    exact_items: how many items of the batch are compared with the plain PyTorch scan in float64 on the same device;
    dA, dD and d delta_bias are sums over the batch, so they are compared only if that is all of them.
    Returns {"device", "backend", "why", "torch", "triton", "cases": [{"B", "D", "L", "N", "dtype",
    "errors": {name: ||found - exact|| / ||exact||}, "worst_error", "bits_equal", "runs", "peak_bytes",
    "input_bytes"}]}. What rounding the inputs to bfloat16 costs is no error of the scan, so float64 gets the rounded
    inputs; outputs in bfloat16 are compared as they come.
    """
    where = torch.device(device)
    name, why = choose_backend(torch.empty(0, device=where), backend)
    cases = []
    for shape in shapes:
        for dtype in dtypes:
            case = _case(shape, runs, where, name, getattr(torch, dtype), min(exact_items, shape[0]))
            cases.append(case)
            if report is not None:
                report(
                    "B {B}, D {D}, L {L}, N {N}, {dtype}: worst error {worst_error:.1e}, bits equal over {runs} runs: "
                    "{bits_equal}".format(**case)
                )
    triton = sys.modules.get("triton")
    return {
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
        "backend": name,
        "why": why,
        "torch": torch.__version__,
        "triton": None if triton is None else triton.__version__,
        "cases": cases,
    }


def _case(shape, runs: int, device: torch.device, backend: str, dtype: torch.dtype, exact_items: int) -> dict:
    batch, D, L, N = shape
    # Token-major, as a network makes them: (B, D, L) views of (B, L, D) buffers.
    tensors = random_inputs(Shape(batch, D, L, N), 0, device, dtype, gate=True).turned().named()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    first = _results(tensors, backend)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    same = True
    for _ in range(runs - 1):
        again = _results(tensors, backend)
        same = same and all(torch.equal(first[name], again[name]) for name in first)
        del again
    errors = _errors(first, tensors, exact_items)
    return {
        **{"B": batch, "D": D, "L": L, "N": N, "dtype": str(dtype).removeprefix("torch.")},
        "errors": errors,
        "worst_error": max(errors.values()),
        "bits_equal": same,
        "runs": runs,
        "peak_bytes": peak,
        "input_bytes": sum(x.numel() * x.element_size() for x in tensors.values()),
    }


def _results(tensors: dict[str, Tensor], backend: str) -> dict[str, Tensor]:
    """y, the last state, and the gradients of sum(y * cos(position)) + sum(last state)."""
    leaves = {name: x.detach().requires_grad_() for name, x in tensors.items()}
    y, state = selective_scan(**leaves, delta_softplus=True, return_last_state=True, backend=backend)
    weight = torch.arange(y.shape[-1], device=y.device, dtype=y.dtype if y.dtype == torch.float64 else torch.float32)
    weight = weight.cos().to(y.dtype).expand_as(y)
    grads = torch.autograd.grad([y, state], list(leaves.values()), [weight, torch.ones_like(state)])
    return {"y": y.detach(), "last state": state.detach(), **dict(zip(leaves, grads, strict=True))}


def _errors(found: dict[str, Tensor], tensors: dict[str, Tensor], exact_items: int) -> dict[str, float]:
    """Relative errors in the norm, item by item so that float64 needs the memory of one; the worst item counts."""
    whole_batch = exact_items == tensors["u"].shape[0]
    errors, totals = {name: 0.0 for name in PER_ITEM}, {}
    for i in range(exact_items):
        item = {name: (x[i : i + 1] if x.dim() == 3 else x).double() for name, x in tensors.items()}
        exact = _results(item, "chunked")
        for name in PER_ITEM:
            errors[name] = max(errors[name], _relative(found[name][i], exact[name][0]))
        for name in ("A", "D", "delta_bias") if whole_batch else ():
            totals[name] = totals.get(name, 0) + exact[name]
    return errors | {name: _relative(found[name], total) for name, total in totals.items()}


def _relative(found: Tensor, exact: Tensor) -> float:
    return float(torch.linalg.vector_norm(found.double() - exact) / torch.linalg.vector_norm(exact).clamp(min=1e-300))
