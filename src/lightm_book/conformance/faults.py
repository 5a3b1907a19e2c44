"""Scans that are wrong, as ports are wrong: the cases must notice every one of them.

Each takes the arguments of `numpy_scan.scan` by name and returns y (B, L, D).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lightm_book.conformance.numpy_scan import scan, sigmoid


def _y(x: dict[str, NDArray], **changes: object) -> NDArray:
    with np.errstate(all="ignore"):  # a wrong scan may overflow
        return scan(**{**x, **changes})[0]


def _tokens(x: dict[str, NDArray], first: int, end: int) -> dict[str, NDArray]:
    return {name: value[:, first:end] if np.ndim(value) == 3 else value for name, value in x.items()}


def _exchanged(x: dict) -> NDArray:
    return _y(x, B=x["C"], C=x["B"])


def _natural_base(x: dict) -> NDArray:
    return _y(x, A=x["A"] * np.log2(np.e).astype(x["A"].dtype))


def no_carry(x: dict, chunk: int = 64) -> NDArray:
    """Every chunk of tokens starts from zero."""
    L = x["u"].shape[1]
    pieces = [_tokens(x, t, t + chunk) for t in range(0, L, chunk)]
    return np.concatenate([_y(piece) for piece in pieces], 1)


def _last_tokens(x: dict) -> NDArray:
    """Tokens behind the last whole vector of four are left at zero."""
    y, L = _y(x), x["u"].shape[1]
    y[:, L - L % 4 :] = 0
    return y


def _last_channels(x: dict) -> NDArray:
    y, D = _y(x), x["u"].shape[2]
    y[..., D - D % 4 :] = 0
    return y


def _items_share_a_state(x: dict) -> NDArray:
    batch, L, _ = x["u"].shape
    joined = {k: v.reshape(1, batch * L, -1) if np.ndim(v) == 3 else v for k, v in x.items()}
    return _y(joined).reshape(x["u"].shape)


def _bias_after_softplus(x: dict) -> NDArray:
    delta = np.logaddexp(0, x["delta"]) if x["softplus"] else x["delta"]
    return _y(x, delta=delta, softplus=False)


def _bias_with_softplus_only(x: dict) -> NDArray:
    return _y(x, delta_bias=x.get("delta_bias") if x["softplus"] else None)


def _plain_softplus(x: dict) -> NDArray:
    delta = x["delta"] + x.get("delta_bias", 0)
    with np.errstate(all="ignore"):
        return _y(x, delta=np.log(1 + np.exp(delta)) if x["softplus"] else delta, delta_bias=None, softplus=False)


def _gate_before_skip(x: dict) -> NDArray:
    return _y(x, D=None) + x.get("D", 0) * x["u"]


def _sigmoid_gate(x: dict) -> NDArray:
    y = _y(x, z=None)
    return y * sigmoid(x["z"]) if "z" in x else y


def _read_before_write(x: dict) -> NDArray:
    """y_t = C_t h_(t-1): the state is read before it has seen the token."""
    B, C = x["B"], x["C"]
    first = _y(x, D=None, z=None)  # C_t h_t, from which this token's share is taken off
    delta = x["delta"] + x.get("delta_bias", 0)
    step = np.logaddexp(0, delta) if x["softplus"] else delta
    y = first - step * x["u"] * (B * C).sum(-1, keepdims=True) + x.get("D", 0) * x["u"]
    return y * x["z"] * sigmoid(x["z"]) if "z" in x else y


def _shortcut(x: dict) -> NDArray:
    """States divided by the product of the decays, summed, and multiplied by it again: chapter 2's shortcut."""
    delta = x["delta"] + x.get("delta_bias", 0)
    step = np.logaddexp(0, delta) if x["softplus"] else delta
    with np.errstate(all="ignore"):
        P = np.exp(np.cumsum(step, 1)[..., None] * x["A"])  # (B, L, D, N)
        h = P * np.cumsum((step * x["u"])[..., None] * x["B"][:, :, None] / P, 1)
    y = (h * x["C"][:, :, None]).sum(-1) + x.get("D", 0) * x["u"]
    return y * x["z"] * sigmoid(x["z"]) if "z" in x else y


def _half_precision_steps(x: dict) -> NDArray:
    delta = x["delta"] + x.get("delta_bias", 0)
    step = np.logaddexp(0, delta) if x["softplus"] else delta
    return _y(x, delta=step.astype(np.float16).astype(step.dtype), delta_bias=None, softplus=False)


FAULTS: dict[str, Callable[[dict], NDArray]] = {
    "B and C exchanged": _exchanged,
    "A times log2(e), and then exp": _natural_base,
    "state read before it is updated": _read_before_write,
    "state not carried into the next 64 tokens": no_carry,
    "state carried into the next item": _items_share_a_state,
    "tokens after the last four left out": _last_tokens,
    "channels after the last four left out": _last_channels,
    "bias added after the softplus": _bias_after_softplus,
    "bias only where there is a softplus": _bias_with_softplus_only,
    "softplus as log(1 + exp(x))": _plain_softplus,
    "gate before the skip": _gate_before_skip,
    "gate without its z": _sigmoid_gate,
    "divided by the decays": _shortcut,
    "step sizes in half precision": _half_precision_steps,
}
