"""The registry of scan backends, and which of them a tensor gets.

A backend is a module of this folder with four functions, documented in chunked.py:
    unavailable(device)          why it can't run on a device, empty if it can
    forward(...), backward(...)  the arithmetic, on (B, L, D) tensors of one dtype
    states_shape(...)            the shape of what forward keeps for backward
and, if need be, READS_ANY_DTYPE (ops.py) and ARITHMETIC, the dtypes in which it can compute, if not in both.
To add one: write the module, add a line to `BACKENDS`, and, if it is fast, to `PREFERENCE`. (The reference is the
exception: autograd differentiates it, and it has only `unavailable` and `scan`.)
"""

import logging
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

import torch

from lightm.errors import LightMError, suggest

log = logging.getLogger("lightm.scan")

BACKENDS = {
    "gpu": "Triton kernels, parallel over the sequence, deterministic",
    "upstream": "mamba_ssm's CUDA kernel",
    "cpu": "compiled by numba, vectorised, all cores",
    "chunked": "plain PyTorch, all chunks of the sequence side by side",
    "reference": "the definition, a loop over time",
}

# What "auto" tries, best first, by device type; every other device gets the last line.
PREFERENCE = {
    "cpu": ("cpu", "chunked"),
    "cuda": ("gpu", "upstream", "chunked"),  # also what PyTorch calls AMD's GPUs
    "other": ("chunked",),
}


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend can run here, and why (not)."""

    available: bool
    reason: str


@cache
def module(name: str) -> ModuleType:
    """The backend's module, imported on first use (a compiler takes a while to import)."""
    return import_module(f"lightm.scan.{name}")


def status(name: str, device: torch.device, dtype: torch.dtype = torch.float32) -> BackendStatus:
    """Whether the backend `name` can run on tensors of `device`, computing in `dtype` (float32 or float64)."""
    try:
        backend = module(name)
        reason = backend.unavailable(device)
        dtypes = getattr(backend, "ARITHMETIC", (dtype,))
        if not reason and dtype not in dtypes:
            names = " or ".join(str(x).removeprefix("torch.") for x in dtypes)
            reason = f"it computes in {names}, not in {str(dtype).removeprefix('torch.')}"
    except (ImportError, OSError) as error:  # OSError: a library that its compiler needs
        reason = f"it can't be imported ({error})"
    return BackendStatus(not reason, reason or BACKENDS[name])


def choose(name: str, device: torch.device, dtype: torch.dtype = torch.float32) -> tuple[str, str]:
    """The backend that a scan of arithmetic `dtype` on `device` gets, and why.

    Raises LightMError if `name` is unknown or can't run there.
    """
    if name == "auto":
        candidates = PREFERENCE.get(device.type, PREFERENCE["other"])
    elif name in BACKENDS:
        candidates = (name,)
    else:
        raise LightMError(f"Unknown scan backend {name!r}. {suggest(name, ['auto', *BACKENDS])}")

    passed_over = []
    for candidate in candidates:
        found = status(candidate, device, dtype)
        if found.available:
            asked = "asked for by name" if name != "auto" else f"the fastest here for {device.type} tensors"
            why = "; ".join([f"{asked}: {found.reason}", *passed_over])
            _log_once(candidate, device.type, why)
            return candidate, why
        passed_over.append(f"not {candidate}: {found.reason}")
    raise LightMError(
        f"The scan backend {name!r} can't run on {device.type} tensors: {'; '.join(passed_over)}. Use backend='auto'."
    )


@cache
def _log_once(name: str, device_type: str, why: str) -> None:
    if device_type != "meta":  # nothing is computed there
        log.info("selective scan on %s: backend %s (%s)", device_type, name, why)
