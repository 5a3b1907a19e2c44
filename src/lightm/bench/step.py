"""`bench_step`: whole training steps of a network, ours beside the same network on another scan."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from lightm.bench.progress import on_stderr


def bench_step(
    model: str = "lightm-unet",
    size: Sequence[int] = (256, 256),
    batch: int = 4,
    device: str | torch.device = "cpu",
    scans: Sequence[str] = ("auto", "chunked"),
    peer_names: Sequence[str] | None = (),
    repeats: int = 5,
    patience: float = 60.0,
    in_channels: int = 3,
    out_channels: int = 2,
    options: dict[str, Any] | None = None,
    memory: bool = True,
    parts: bool = True,
    say: Callable[[str], None] = on_stderr,
) -> dict[str, Any]:
    """Time and peak memory of a training step (forward, loss, backward, update), plain values as in record.py.

    Args:
        model, in_channels, out_channels, options: of `lightm.models.build_model`; `size` has its spatial dimensions.
        batch: images a step.
        scans: backends of lightm.scan on which the network runs, "auto" first.
        peer_names: peers whose scan takes the place of ours in the same network; None: all that can; (): none.
        parts: also the time by part of the network, of the first of `scans`.

    Raises:
        LightMError: an unknown model, backend or peer, a size that the model refuses.
    """
    raise NotImplementedError
