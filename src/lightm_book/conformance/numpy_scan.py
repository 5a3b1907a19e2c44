"""The selective scan in NumPy, with its gradients: the whole of it without a framework, to read or to port.

A loop over the tokens, and in it vectors over batch items, channels and states. The gradients are those that chapter 2
derives. All arrays are of one floating dtype, which is also that of the arithmetic:

    u, delta, z: (B, L, D)   A: (D, N)   B, C: (B, L, N)   D, delta_bias: (D,)
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def scan(
    u: Array,
    delta: Array,
    A: Array,
    B: Array,
    C: Array,
    D: Array | None = None,
    z: Array | None = None,
    delta_bias: Array | None = None,
    softplus: bool = False,
    states: Array | None = None,
) -> tuple[Array, Array]:
    """y (B, L, D) and the last state (B, D, N). states (L, B, D, N), if given, gets the state after each token."""
    dt = step_sizes(delta, delta_bias, softplus)  # (B, L, D)
    h = np.zeros((len(u), *A.shape), u.dtype)  # (B, D, N)
    y = np.empty_like(u)  # (B, L, D)
    for t in range(u.shape[1]):
        decay = np.exp(dt[:, t, :, None] * A)  # (B, D, N)
        h = decay * h + (dt[:, t] * u[:, t])[..., None] * B[:, t, None]  # (B, D, N)
        y[:, t] = (h @ C[:, t, :, None])[..., 0]  # (B, D)
        if states is not None:
            states[t] = h
    if D is not None:
        y += D * u
    if z is not None:
        y *= z * sigmoid(z)
    return y, h


def gradients(
    grad_y: Array,
    u: Array,
    delta: Array,
    A: Array,
    B: Array,
    C: Array,
    D: Array | None = None,
    z: Array | None = None,
    delta_bias: Array | None = None,
    softplus: bool = False,
) -> dict[str, Array]:
    """Of sum(grad_y * y), by the name of each input that is given; grad_y is (B, L, D)."""
    batch, L, _ = u.shape
    states = np.empty((L, batch, *A.shape), u.dtype)  # (L, B, D, N)
    y, _ = scan(u, delta, A, B, C, D, None, delta_bias, softplus, states)
    dt = step_sizes(delta, delta_bias, softplus)
    dy = grad_y if z is None else grad_y * z * sigmoid(z)  # of the output before the gate

    found = {name: np.zeros_like(x) for name, x in {"u": u, "delta": delta, "A": A, "B": B, "C": C}.items()}
    g = np.zeros_like(states[0]) if L else 0  # (B, D, N), of the state
    for t in reversed(range(L)):
        before = states[t - 1] if t else np.zeros_like(g)
        decay = np.exp(dt[:, t, :, None] * A)  # (B, D, N)
        g = g + dy[:, t, :, None] * C[:, t, None]
        q = decay * before * g  # of the exponent, delta A
        fed = (g @ B[:, t, :, None])[..., 0]  # (B, D), of delta u
        found["C"][:, t] = np.einsum("bd,bdn->bn", dy[:, t], states[t])
        found["B"][:, t] = np.einsum("bd,bdn->bn", dt[:, t] * u[:, t], g)
        found["A"] += np.einsum("bd,bdn->dn", dt[:, t], q)
        found["delta"][:, t] = u[:, t] * fed + (q * A).sum(-1)
        found["u"][:, t] = dt[:, t] * fed
        g = decay * g
    if softplus:
        found["delta"] *= sigmoid(delta if delta_bias is None else delta + delta_bias)
    if delta_bias is not None:
        found["delta_bias"] = found["delta"].sum((0, 1))
    if D is not None:
        found["u"] += D * dy
        found["D"] = (dy * u).sum((0, 1))
    if z is not None:
        found["z"] = grad_y * y * sigmoid(z) * (1 + z * (1 - sigmoid(z)))
    return found


def step_sizes(delta: Array, delta_bias: Array | None, softplus: bool) -> Array:
    """delta after bias and softplus, (B, L, D)."""
    delta = delta if delta_bias is None else delta + delta_bias
    return np.logaddexp(0, delta) if softplus else delta  # log(1 + e^x) that neither overflows nor rounds e^x away


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), without an overflow."""
    return np.exp(-np.logaddexp(0, -x))
