"""Where a training step spends its time, part by part: `step_parts`.

torch.profiler names every operation of the step and the time it took by itself, without the operations it called. Two
things decide the part to which an operation counts:

    where   the RVM layers, the rest of the network, the loss, or the optimiser. In the forward pass hooks on the layers
            do; in the backward pass autograd's sequence numbers do: a node of the graph bears the number that was
            current when its forward operation ran, and the hooks noted the numbers between which a layer ran.
    what    by the name of the operation: matrix products are projections, `aten::copy_` is a copy, and so on.

What no operation accounts for, such as Python between two of them, is "between operations", so that the parts add up to
the whole step. On a GPU times are those of its kernels, and the remainder is the time in which it had nothing to do.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile

from lightm.models import build_model
from lightm.models.released import ReleasedRVMLayer
from lightm.models.rvm import RVMLayer
from lightm.scan import choose_backend
from lightm.training.config import OptimConfig
from lightm.training.losses import DiceCrossEntropy
from lightm.training.optim import build_optimizer

LAYERS, NETWORK, LOSS, OPTIMISER = "RVM layers", "stem, decoder, head", "loss", "optimiser"
BETWEEN = "between operations"
# Parts of the RVM layers: the first whose words stand in the name of the operation.
KINDS = {
    "scan": ("selective_scan",),
    "depthwise convolution": ("conv",),
    "projections": ("linear", "mm", "matmul"),
    "norms": ("norm",),
    "copies": ("copy", "contiguous", "clone", "cat", "zero_", "fill_", "zeros", "constant_pad"),
}
ELEMENTWISE = "gate, residual, sums"  # every other operation of an RVM layer
PARTS = (*KINDS, ELEMENTWISE, NETWORK, LOSS, OPTIMISER, BETWEEN)

Range = tuple[str, int, int]  # a place, and autograd's sequence numbers from its first node to behind its last


class TrainingStep:
    """A network, a random image and its label, a loss and an optimiser; called, it runs one training step.

    size: spatial sizes, two or three. In 2D the image has 3 channels and the label 2 classes, in 3D 1 and 3, as in the
    paper. options: of `build_model`. precision: "fp32", or "bf16" for autocast.
    """

    def __init__(
        self,
        name: str,
        size: Sequence[int],
        batch: int = 1,
        device: str | torch.device = "cpu",
        precision: str = "fp32",
        optim: OptimConfig | None = None,
        **options,
    ):
        torch.manual_seed(0)
        self.device, self.precision = torch.device(device), precision
        channels, classes = (3, 2) if len(size) == 2 else (1, 3)
        self.model = build_model(name, len(size), channels, classes, **options).to(self.device).train()
        self.image = torch.randn(batch, channels, *size, device=self.device)  # (B, C, *S)
        self.label = torch.randint(classes, (batch, *size), device=self.device)  # (B, *S)
        self.loss = DiceCrossEntropy()
        self.optimizer = build_optimizer(self.model, optim or OptimConfig())

    def forward(self) -> Tensor:
        """The logits (B, K, *S)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.model(self.image)

    def __call__(self) -> float:
        """Forward, loss, backward, update. Returns the loss; reading it waits for the device."""
        loss = self.loss(self.forward(), self.label)
        loss.backward()
        with record_function(OPTIMISER):
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return loss.item()


def step_parts(
    name: str,
    size: Sequence[int],
    batch: int = 1,
    device: str | torch.device = "cpu",
    backend: str = "auto",
    precision: str = "fp32",
    repeats: int = 3,
    **options,
) -> dict:
    """Times of one training step of the network `name`, in ms, by part and direction.

    {"total_ms", "unprofiled_ms", "parts": {part: {"forward_ms", "backward_ms"}}, "operations": [...], and the question}

    The parts are those of `PARTS` and add up to total_ms; the optimiser and what lies between operations are in
    forward_ms. `repeats` steps are measured and the one of median length is shown; unprofiled_ms is
    the median without the profiler. "operations" are the same times by place and operation, longest first.
    """
    options |= {} if backend == "auto" else {"scan_backend": backend}
    step = TrainingStep(name, size, batch, device, precision, **options)
    step()
    plain = statistics.median(_timed(step) for _ in range(repeats))
    runs = sorted((_profiled(step) for _ in range(repeats)), key=lambda run: run["total_ms"])
    question = {
        "model": name,
        "size": list(size),
        "batch": batch,
        "device": str(device),
        "backend": choose_backend(torch.empty(0, 1, 0, device=device), backend)[0],
        "precision": precision,
        "threads": torch.get_num_threads(),
    }
    return question | {"unprofiled_ms": plain} | runs[repeats // 2]


def _timed(step: Callable) -> float:
    started = time.perf_counter()
    step()
    return (time.perf_counter() - started) * 1e3


def _profiled(step: TrainingStep) -> dict:
    """One step under the profiler: its total and its operations, sorted into parts."""
    ranges: list[Range] = []
    places = {m: LAYERS for m in step.model.modules() if isinstance(m, RVMLayer | ReleasedRVMLayer)} | {step.loss: LOSS}
    running: list[tuple[record_function, int]] = []
    number = torch._C._autograd._get_sequence_nr  # of the next node of the graph

    def enter(module: nn.Module, args) -> None:
        running.append((record_function(places[module]).__enter__(), number()))

    def leave(module: nn.Module, args, output) -> None:
        scope, first = running.pop()
        scope.__exit__(None, None, None)
        ranges.append((places[module], first, number()))

    hooks = [hook for m in places for hook in (m.register_forward_pre_hook(enter), m.register_forward_hook(leave))]
    on_gpu = step.device.type == "cuda"
    try:
        with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu) as profiler:
            total = _timed(step)
    finally:
        for hook in hooks:
            hook.remove()

    times: dict[tuple[str, str, bool], float] = defaultdict(float)
    for event in profiler.events():
        place, backward = _place(event, ranges)
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        if event.name not in (LAYERS, LOSS, OPTIMISER):
            times[place, event.name, backward] += own / 1e3
    return {"total_ms": total, "parts": _by_part(times, total), "operations": _by_operation(times)}


def _place(event, ranges: list[Range]) -> tuple[str, bool]:
    """(where the operation belongs, whether it is of the backward pass), by the scopes and nodes that enclose it."""
    while event is not None:
        if event.name in (LAYERS, LOSS, OPTIMISER):
            return event.name, False
        if event.name.startswith("autograd::engine::evaluate_function"):
            inside = (place for place, first, last in ranges if first <= event.sequence_nr < last)
            return next(inside, NETWORK), True
        event = event.cpu_parent
    return NETWORK, False


def _part(place: str, operation: str) -> str:
    if place != LAYERS:
        return place
    name = operation.lower()
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), ELEMENTWISE)


def _by_part(times: dict[tuple[str, str, bool], float], total: float) -> dict[str, dict[str, float]]:
    parts = {part: {"forward_ms": 0.0, "backward_ms": 0.0} for part in PARTS}
    for (place, operation, backward), ms in times.items():
        parts[_part(place, operation)]["backward_ms" if backward else "forward_ms"] += ms
    parts[BETWEEN]["forward_ms"] = total - sum(times.values())
    return parts


def _by_operation(times: dict[tuple[str, str, bool], float]) -> list[dict]:
    rows = [
        {"place": place, "part": _part(place, operation), "operation": operation, "backward": backward, "ms": ms}
        for (place, operation, backward), ms in times.items()
    ]
    return sorted(rows, key=lambda row: -row["ms"])
