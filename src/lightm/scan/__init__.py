"""The selective scan of Mamba: one function with several backends, which logs the one that runs.

    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t          y_t = C_t h_t + D u_t

for every channel d and state n, with delta, B and C made from the input (that is the selection).
"""

import torch
from torch import Tensor

from lightm.errors import LightMError
from lightm.scan import ops, reference, registry
from lightm.scan.inputs import ScanInputs
from lightm.scan.registry import BackendStatus

__all__ = ["BackendStatus", "backends", "choose_backend", "selective_scan"]


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """The selective scan, with the shapes and meaning of mamba_ssm's `selective_scan_fn`, for real A and B, C by token.

    u, delta, z: (B, D, L)   A: (D, N)   B, C: (B, N, L)   D, delta_bias: (D,)
    Returns y (B, D, L) in u's dtype, or (y, last state (B, D, N) in float32 or float64) if `return_last_state`.

    delta <- delta + delta_bias, then softplus(delta) if `delta_softplus`; y is multiplied by SiLU(z) if z is given.
    The arithmetic is in float32, or in float64 if any input is; autocast does not change that. Gradients flow to every
    input, also through the last state; they can't be differentiated again, except with backend="reference".

    Any strides are accepted. Inside, time comes before channels: (B, L, D) buffers passed as `.transpose(1, 2)` are not
    copied, and the result is such a transposed view, so a network that keeps (B, L, D) tokens transposes nothing.

    backend: "auto" (the fastest that can run, named once in the log "lightm.scan"), or one of `backends()`.
    Errors: LightMError (a ValueError) for shapes, devices and backends, TypeError for dtypes, each with the remedy.
    Values are not looked at, which would cost a pass over memory: NaN and infinity propagate into what depends on them.
    """
    inputs = ScanInputs(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    _check(inputs)
    if backend == "reference":
        dtype = ops.arithmetic_dtype(*inputs.tensors)
        with torch.autocast(u.device.type, enabled=False):
            y, last_state = reference.scan(*inputs.map(lambda x: x.to(dtype)))
        y = y.to(u.dtype)
    else:
        differentiate = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs.tensors)
        y, last_state, _ = ops.scan(*inputs.turned(), differentiate, backend)
        y = y.transpose(1, 2)  # (B, L, D) -> (B, D, L), a view
    return (y, last_state) if return_last_state else y


def backends(device: str | torch.device = "cpu") -> dict[str, BackendStatus]:
    """Every backend, and whether it can run on tensors of `device`: `backends()["cpu"].available`, `.reason`."""
    return {name: registry.status(name, torch.device(device)) for name in registry.BACKENDS}


def choose_backend(u: Tensor, backend: str = "auto") -> tuple[str, str]:
    """The (name, why) of the backend that `selective_scan(u, ..., backend=backend)` runs."""
    return registry.choose(backend, u.device, ops.arithmetic_dtype(u))


def _check(inputs: ScanInputs) -> None:
    """Raises for tensors that don't fit together; looks at shapes, dtypes and devices, never at values."""
    u, A = inputs.u, inputs.A
    tensors = dict(zip(inputs._fields, inputs.tensors, strict=False))
    for name, tensor in tensors.items():
        if tensor is None and name in ("D", "z", "delta_bias"):
            continue
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, not {type(tensor).__name__}.")
        if not tensor.dtype.is_floating_point:
            hint = " (the scan is real: split a complex A beforehand)" if tensor.dtype.is_complex else ""
            raise TypeError(f"{name} has dtype {tensor.dtype}; make it floating point, say {name}.float(){hint}.")
        if tensor.device != u.device:
            raise LightMError(f"{name} is on {tensor.device} but u is on {u.device}; move {name} to {u.device}.")
    if u.dim() != 3:
        raise LightMError(f"u has shape {tuple(u.shape)}; it must have three axes, (B, D, L).")
    if A.dim() != 2 or A.shape[0] != u.shape[1]:
        raise LightMError(
            f"A has shape {tuple(A.shape)}; for u of {tuple(u.shape)} it must be (D, N) = ({u.shape[1]}, N)."
        )
    batch, channels, length = u.shape
    per_token, per_state, per_channel = (batch, channels, length), (batch, A.shape[1], length), (channels,)
    expected = {
        "delta": ("(B, D, L)", per_token),
        "B": ("(B, N, L)", per_state),
        "C": ("(B, N, L)", per_state),
        "D": ("(D,)", per_channel),
        "z": ("(B, D, L)", per_token),
        "delta_bias": ("(D,)", per_channel),
    }
    for name, (letters, shape) in expected.items():
        if tensors[name] is not None and tensors[name].shape != shape:
            found, transposed = tuple(tensors[name].shape), (shape[0], *shape[:0:-1])
            hint = f"; pass {name}.transpose(1, 2)" if len(shape) == 3 and found == transposed else ""
            raise LightMError(
                f"{name} has shape {found}; with u of {tuple(u.shape)} and A of {tuple(A.shape)} it must be "
                f"{letters} = {shape}{hint}."
            )
