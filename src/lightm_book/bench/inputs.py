"""Shapes and inputs of scans as a network makes them, for benchmarks, checks and chapters."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightm.errors import LightMError
from lightm.scan.inputs import ScanInputs


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


def random_inputs(
    shape: Shape,
    seed: int = 0,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    gate: bool = False,
) -> ScanInputs:
    """Inputs as a Mamba has them at the start of its training, time before channels.

    A by 20 % around -1, ..., -N, and softplus(delta_bias) log-uniform between 0.001 and 0.1. dtype: of what has a
    token axis; the rest is in float32. gate: with z.
    """
    generator = torch.Generator(device).manual_seed(seed)
    batch, D, L, N = shape.batch, shape.channels, shape.length, shape.d_state

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, device=device)

    dt = torch.exp(math.log(1e-3) + math.log(100) * torch.rand(D, generator=generator, device=device))
    return ScanInputs(
        u=normal(batch, L, D).to(dtype),
        delta=0.5 * normal(batch, L, D).to(dtype),
        A=-torch.arange(1.0, N + 1, device=device) * torch.exp(0.2 * normal(D, N)),
        B=normal(batch, L, N).to(dtype),
        C=normal(batch, L, N).to(dtype),
        D=1 + 0.1 * normal(D),
        delta_bias=dt + torch.log(-torch.expm1(-dt)),  # the inverse of softplus
        z=normal(batch, L, D).to(dtype) if gate else None,
        delta_softplus=True,
    )


def usable(device: str | torch.device) -> torch.device:
    """The device, or LightMError if it is none or is not here."""
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise LightMError(f"There is no device {str(device)!r} here; `lightm info` names what there is.") from error
    return device
