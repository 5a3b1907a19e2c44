"""A network of this package on somebody else's scan, for comparison: `scan_of(contender)`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from lightm import scan
from lightm.models import build_model
from lightm.scan.inputs import ScanInputs, turn
from lightm_book.bench.inputs import Shape
from lightm_book.bench.peers import Contender


@contextmanager
def replaced_scan(function: Callable[..., Tensor]) -> Iterator[None]:
    """Inside, every module of the package that imported `selective_scan` calls `function` with the same arguments."""
    ours = scan.selective_scan
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("lightm.") and getattr(module, "selective_scan", None) is ours:
                stack.enter_context(patch.object(module, "selective_scan", function))
        yield


def as_ours(contender: Contender) -> Callable[..., Tensor]:
    """A contender's scan with the arguments and shapes of `lightm.scan.selective_scan`, as our networks call it."""

    def function(u, delta, A, B, C, D, z=None, delta_bias=None, delta_softplus=True, backend="auto"):
        x = ScanInputs(u, delta, A, B, C, D, None, delta_bias, True)
        y = contender.scan(x) if contender.layout == "channels" else turn(contender.scan(x.turned()))
        return y if z is None else y * F.silu(z)

    return function


def scans_of(model: str, size: tuple[int, ...], batch: int, channels: tuple[int, int], **options) -> list[Shape]:
    """The scans of one forward pass of a network with (in, out) `channels`, in order. Nothing is computed."""
    found = []

    def note(u, delta, A, *args, **kwargs):
        found.append(Shape(*u.shape, A.shape[1]))
        return torch.empty_like(u)

    with torch.device("meta"):
        network = build_model(model, len(size), *channels, **options)
        image = torch.empty(batch, channels[0], *size)
    with replaced_scan(note), torch.no_grad():
        network(image)
    return found
