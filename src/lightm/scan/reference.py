"""The definition: a loop over time. Slow, exact, and short enough to check by eye.

Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (arXiv 2312.00752), Algorithm 2
and equation 2a with the discretisation of Section 3.2 (zero-order hold for A, Euler for B).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def unavailable(device: torch.device) -> str:
    """Why this backend can't run on `device`; empty if it can. The definition runs everywhere."""
    return ""


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor]:
    """y (B, D, L) and the last state (B, D, N), both in the dtype of the inputs; gradients come from autograd.

    Shapes are those of `lightm.scan.selective_scan`. Autograd keeps every state, so memory is O(B D L N).
    """
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]  # (B, D, L)
    if delta_softplus:
        delta = F.softplus(delta, threshold=40)  # torch's default cuts off at 20, too early for float64

    h = u.new_zeros(u.shape[0], u.shape[1], A.shape[1])  # (B, D, N): the state
    y = []
    # unbind, not u[:, :, t]: the gradient of an index is a tensor of the full size, L of them cost O(L^2)
    for u_t, delta_t, B_t, C_t in zip(u.unbind(-1), delta.unbind(-1), B.unbind(-1), C.unbind(-1), strict=True):
        decay = torch.exp(delta_t[..., None] * A)  # (B, D, N)
        h = decay * h + (delta_t * u_t)[..., None] * B_t[:, None, :]  # (B, D, N)
        y.append((h * C_t[:, None, :]).sum(-1))  # (B, D)
    # Time is the second axis of the buffer, as in every backend; the caller sees (B, D, L).
    y = torch.stack(y, dim=1).transpose(1, 2) if y else torch.zeros_like(u)

    if D is not None:
        y = y + D[:, None] * u
    if z is not None:
        y = y * F.silu(z)
    return y, h
