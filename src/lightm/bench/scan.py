"""`bench_scan`: the selective scan by every contender, on the same inputs, checked for equality first."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lightm.bench.inputs import NAMES, Shape, by_tokens, laid_out, scan_inputs
from lightm.bench.machine import machine
from lightm.bench.measure import alternate
from lightm.bench.memory import added_by, free_memory, in_own_process
from lightm.bench.peers import Absent, Contender, find, ours, peers
from lightm.bench.progress import Plan, on_stderr
from lightm.bench.record import finish, header
from lightm.bench.roofline import bound, scan_counts

# LightM-UNet's first stage (64 inner channels) for an image of 256 x 256, its last (512) for 256 x 256 ... see README
DEFAULT_SHAPES = (Shape(1, 64, 65536, 16), Shape(4, 64, 16384, 16), Shape(1, 512, 1024, 16))
CHECKED_TOKENS = 257  # on which results are compared with the definition in float64; not a multiple of anything
TOLERANCE = 1e-4  # of the relative error, in the 2-norm


def bench_scan(
    shapes: Sequence[Shape] | None = None,
    device: str | torch.device = "cpu",
    backends: list[str] | None = None,
    peer_names: list[str] | None = (),
    repeats: int = 7,
    forward_only: bool = False,
    patience: float = 20.0,
    memory: bool = True,
    say: Callable[[str], None] = on_stderr,
) -> dict[str, Any]:
    """Time and peak memory of the scan, ours beside peers'; plain values, as record.py describes them.

    Args:
        shapes: what to scan; default LightM-UNet's.
        device: "cpu", "cuda".
        backends: of this package, by name; None: all that can run on the device.
        peer_names: of `peers.PEERS`; None: all; (): none.
        repeats: samples of each contender.
        forward_only: leave out the backward pass.
        patience: seconds that one contender may take at one shape; see `measure.alternate`. One that should take
            longer than that for a single call, judging by a shorter sequence, is skipped there.
        memory: also the peak memory, which calls each contender once more.
        say: takes lines of progress.

    Raises:
        LightMError: an unknown backend or peer, a device that is not there.
    """
    raise NotImplementedError
