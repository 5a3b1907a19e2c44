"""The argument list of a scan, once: what every backend takes, and what the gradients' order follows."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class ScanInputs(NamedTuple):
    """u, delta, z: (B, L, D)   A: (D, N)   B, C: (B, L, N)   D, delta_bias: (D,), as `lightm.scan` explains them.

    A backend gets them like this, time before channels; `turned` has the token axis last, as `selective_scan` has it.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None = None
    z: Tensor | None = None
    delta_bias: Tensor | None = None
    delta_softplus: bool = False

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """All but `delta_softplus`, in order."""
        return self[:8]

    def named(self) -> dict[str, Tensor]:
        """name -> tensor, of those that are there: keyword arguments of `selective_scan`."""
        return {name: x for name, x in zip(self._fields, self.tensors, strict=False) if x is not None}

    def map(self, function: Callable[[Tensor], Tensor]) -> "ScanInputs":
        """The function of each tensor that is there."""
        return ScanInputs(*(None if x is None else function(x) for x in self.tensors), self.delta_softplus)

    def channels(self, part: slice) -> "ScanInputs":
        """Views of some channels; B and C belong to all of them."""
        u, delta, A, B, C, D, z, delta_bias, softplus = self
        D, z, delta_bias = (None if x is None else x[..., part] for x in (D, z, delta_bias))
        return ScanInputs(u[..., part], delta[..., part], A[part], B, C, D, z, delta_bias, softplus)

    def turned(self) -> "ScanInputs":
        """Views with the last two axes exchanged of what has a token axis: (B, L, X) as (B, X, L), and back."""
        return self.map(turn)


def turn(x: Tensor) -> Tensor:
    """(B, L, X) as (B, X, L), and back; a tensor without a token axis as it is."""
    return x.transpose(1, 2) if x.dim() == 3 else x
