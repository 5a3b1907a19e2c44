"""How fast a scan could be at most: what it must do, by formula, and what this machine does in a second, measured.

Nothing can be faster than the longer of two times: moving the bytes, and computing the operations and exponentials
(which go through the same units of a CPU, one after the other, so their times add).
"""

from dataclasses import dataclass

from lightm.scan.ops import backward_flops, forward_flops
from lightm_book.bench.inputs import Shape
from lightm_book.bench.machine import Machine


@dataclass(frozen=True)
class Counts:
    """What a scan in float32 must do. Its inputs are read once and its results written once."""

    exponentials: int
    operations: int  # floating-point, a multiply-add counted as two, exponentials not counted
    bytes: int


def scan_counts(shape: Shape, backward: bool) -> Counts:
    """Of a forward pass with softplus, bias and D, and without a gate; or of a forward and a backward pass.

    The states are not kept but computed again in the backward pass, so every exponential is needed twice.
    """
    per_token = shape.batch * shape.length  # times D for u, delta, y; times N for B, C
    sizes = (shape.batch, shape.length, shape.channels, shape.d_state)
    exponentials = shape.states + per_token * shape.channels  # and that of the softplus
    operations = forward_flops(*sizes, True, False) - shape.states
    numbers = per_token * (3 * shape.channels + 2 * shape.d_state)
    if backward:
        exponentials *= 2
        operations += backward_flops(*sizes, True, False) - shape.states
        numbers += per_token * (5 * shape.channels + 4 * shape.d_state)  # u, delta, dy, du, ddelta; B, C, dB, dC
    return Counts(exponentials, operations, 4 * numbers)


def bound(counts: Counts, machine: Machine) -> float:
    """Seconds that no implementation with these counts can undercut on that machine."""
    computing = counts.operations / machine.operations + counts.exponentials / machine.exponentials
    return max(computing, counts.bytes / machine.bytes)
