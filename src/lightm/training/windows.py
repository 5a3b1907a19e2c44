"""A network over an image larger than what it was trained on: window by window, blended with Gaussian weights."""

from collections.abc import Callable, Sequence
from math import ceil, prod

import torch
from torch import Tensor

OVERLAP = 0.5  # of neighbouring windows, along each axis
VOXELS = 2**20  # in the windows that a GPU takes at once, if more than one fits


def slide(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    size: Sequence[int],
    device: torch.device,
    overlap: float = OVERLAP,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """image (1, C, *S) on the CPU -> logits float32 (1, K, *S) on the CPU, by `monai.inferers`.

    network: (B, C, *size) on `device` -> (B, K, *size). An image that is smaller than a window is surrounded by zeros.
    progress: called as progress(done, total) in windows.
    """
    from monai.inferers import sliding_window_inference  # slow to import

    steps = [
        1 if n <= s else ceil((n - s) / max(1, int(s * (1 - overlap)))) + 1
        for n, s in zip(image.shape[2:], size, strict=True)
    ]
    done, total = 0, prod(steps)

    def forward(windows: Tensor) -> Tensor:
        nonlocal done
        answer = network(windows)
        done += len(windows)
        progress(min(done, total), total)
        return answer

    return sliding_window_inference(
        image,
        tuple(size),
        1 if device.type == "cpu" else max(1, min(total, VOXELS // prod(size))),  # one alone stays in a CPU's caches
        forward,
        overlap=overlap,
        mode="gaussian",
        sw_device=device,
        device="cpu",  # the logits of a whole volume would not fit on many GPUs
    )
