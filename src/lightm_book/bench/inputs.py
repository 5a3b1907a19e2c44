"""Inputs of a scan as a network makes them, laid out as each contender likes them best."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightm.errors import LightMError

INPUTS = ("u", "delta", "A", "B", "C", "D", "delta_bias")


@dataclass(frozen=True)
class Shape:
    """B sequences of L tokens with D channels, N states a channel."""

    batch: int
    channels: int
    length: int
    d_state: int

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """`B,D,L,N`, four whole numbers above 0; else LightMError."""
        parts = text.replace(" ", "").split(",")
        if len(parts) != 4 or not all(part.isdigit() and int(part) > 0 for part in parts):
            raise LightMError(
                f"{text!r} is not a shape; write B,D,L,N, four whole numbers above 0, as in 1,64,65536,16."
            )
        return cls(*map(int, parts))

    @property
    def states(self) -> int:
        """B L D N, the recurrences' steps: one state of one channel at one token."""
        return self.batch * self.length * self.channels * self.d_state

    def at_length(self, length: int) -> "Shape":
        """The same with another number of tokens."""
        return Shape(self.batch, self.channels, length, self.d_state)

    def __str__(self) -> str:
        return f"{self.batch},{self.channels},{self.length},{self.d_state}"


def scan_inputs(shape: Shape, seed: int = 0) -> dict[str, Tensor]:
    """u, delta (B, L, D), A (D, N), B, C (B, L, N), D, delta_bias (D,) and dy (B, L, D) in float32 on the CPU.

    A and the bias are spread as in a Mamba at the start of its training, A by 20% around -1, ..., -N, and
    softplus(delta_bias) log-uniform between 0.001 and 0.1.
    """
    generator = torch.Generator().manual_seed(seed)
    batch, D, L, N = shape.batch, shape.channels, shape.length, shape.d_state

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    dt = torch.exp(math.log(1e-3) + math.log(100) * torch.rand(D, generator=generator))
    return {
        "u": normal(batch, L, D),
        "delta": 0.5 * normal(batch, L, D),
        "A": -torch.arange(1.0, N + 1) * torch.exp(0.2 * normal(D, N)),
        "B": normal(batch, L, N),
        "C": normal(batch, L, N),
        "D": 1 + 0.1 * normal(D),
        "delta_bias": dt + torch.log(-torch.expm1(-dt)),  # the inverse of softplus
        "dy": normal(batch, L, D),
    }


def laid_out(inputs: dict[str, Tensor], layout: str, device: torch.device) -> dict[str, Tensor]:
    """The inputs on `device`, those with a token axis contiguous as (B, L, X), or as (B, X, L) for "channels"."""
    return {
        name: (x.transpose(1, 2) if layout == "channels" and x.dim() == 3 else x).contiguous().to(device)
        for name, x in inputs.items()
    }


def by_tokens(x: Tensor, layout: str) -> Tensor:
    """A result with a token axis as (B, L, X), whatever its contender's layout."""
    return x.transpose(1, 2) if layout == "channels" and x.dim() == 3 else x


def usable(device: str | torch.device) -> torch.device:
    """The device, or LightMError if it is none or is not here."""
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise LightMError(f"There is no device {str(device)!r} here; `lightm info` names what there is.") from error
    return device
