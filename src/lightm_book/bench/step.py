"""`bench_step`: whole training steps of a network, ours beside the same network on other scans."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from lightm_book.bench.inputs import Shape, usable
from lightm_book.bench.measure import alternate
from lightm_book.bench.memory import added_by, free_memory, in_own_process
from lightm_book.bench.parts import TrainingStep, step_parts
from lightm_book.bench.peers import Absent, Contender, find, ours, peers
from lightm_book.bench.progress import Plan, Report, on_stderr
from lightm_book.bench.record import finish, header
from lightm_book.bench.swap import as_ours, replaced_scan, scans_of

TOLERANCE = 1e-3  # of the losses of two steps, relative; the second has felt the gradients of the first
WARM_SIZE = 32  # pixels along each axis of the step that goes before a measurement of memory


def bench_step(
    model: str = "lightm-unet",
    size: Sequence[int] = (256, 256),
    batch: int = 1,
    device: str | torch.device = "cpu",
    backends: Sequence[str] | None = ("chunked",),
    peer_names: Sequence[str] | None = (),
    repeats: int = 5,
    patience: float = 60.0,
    memory: bool = True,
    parts: bool = True,
    keep_freed_memory: bool = False,
    report: Report = on_stderr,
    **options,
) -> dict[str, Any]:
    """Time and peak memory of a training step (forward, loss, backward, update); plain values as in record.py.

    The first contender, "lightm", is the network as it comes. The others are the same network with the same weights,
    image and label, on another scan.

    Args:
        model, options: of `lightm.models.build_model`; size: its spatial axes; 3 channels and 2 classes in 2D, 1 and 3
            in 3D, as in the paper.
        batch: images a step.
        device: "cpu" or "cuda".
        backends: of lightm.scan, on which the network runs besides; None: all that can; (): none.
        peer_names: of `peers.PEERS`, whose scan takes the place of ours; None: all; (): none.
        repeats, patience, memory, keep_freed_memory, report: as for `bench_scan`; patience: for all its steps.
        parts: also the time by part of the network as it comes.

    Raises:
        LightMError: an unknown model, backend, peer or device, or a size that the model refuses.
    """
    device, size = usable(device), tuple(size)
    channels = (3, 2) if len(size) == 2 else (1, 3)
    shapes = scans_of(model, size, batch, channels, **options)  # refuses what can't be built
    question = {"model": model, "size": list(size), "batch": batch, "options": options}
    losses: dict[str, list[float]] = {}
    rows, steps = [], {}
    record = header("step", device, keep_freed_memory) | question | {"repeats": repeats, "patience_s": patience}
    record["scans"] = [str(shape) for shape in shapes]
    for contender in [AS_IT_COMES, *ours(device, backends), *peers(device, peer_names)]:
        row = _row(contender, shapes, free_memory(device))
        rows.append(row)
        if row["reason"]:
            report(f"{row['name']} is left out: {row['reason']}")
            continue
        step = _step(contender.name, device, **question)
        record["params"] = sum(p.numel() for p in step.model.parameters())
        steps[row["name"]] = _noting(step, losses.setdefault(row["name"], []))

    plan = Plan(report)
    for name in steps:
        plan.expect(name, repeats + 1)
    timed = alternate(
        steps,
        repeats,
        patience,
        lambda name, seconds: plan.done(name, 1, seconds, "training steps"),
        torch.cuda.synchronize if device.type == "cuda" else lambda: None,
    )
    for row in rows:
        row["losses"] = losses.get(row["name"], [])[:2]
        row["reason"] = row["reason"] or _disagreement(row["losses"], losses[AS_IT_COMES.name])
        row["step"] = None if row["reason"] else timed[row["name"]]
        if row["step"] and memory:
            report(f"peak memory of {row['name']}")
            row["step"]["memory_bytes"] = _memory(row["name"], device, question, steps[row["name"]], patience)
    record["contenders"] = rows
    if parts:
        report("the time by part")
    record["parts"] = step_parts(model, size, batch, device, repeats=min(repeats, 3), **options) if parts else None
    return finish(record)


AS_IT_COMES = Contender("lightm", "the network as it comes", lambda x: x.u, ours=True)


def _row(contender: Contender | Absent, shapes: list[Shape], free: int) -> dict[str, Any]:
    row = {"name": contender.name, "what": contender.what, "version": "", "ours": False, "reason": ""}
    if isinstance(contender, Absent):
        return row | {"reason": contender.reason}
    row |= {"version": contender.version, "ours": contender.ours}
    if contender.forward_only:
        return row | {"reason": "it has no gradient"}
    _, peak, kept = contender.holds
    largest = max((shape.states for shape in shapes), default=0)
    needed = 4 * (kept * sum(shape.states for shape in shapes) + (peak - kept) * largest)
    if needed > free:
        return row | {
            "reason": f"its scans alone need about {needed / 2**30:.0f} GiB, and {free / 2**30:.0f} GiB are free"
        }
    return row


def _step(name: str, device: torch.device, model: str, size: Sequence[int], batch: int, options: dict[str, Any]):
    """A training step of the network on the scan of a contender."""
    backend = {} if name == AS_IT_COMES.name else {"scan_backend": "chunked"}
    if name.startswith("lightm "):
        backend = {"scan_backend": name.removeprefix("lightm ")}
    step = TrainingStep(model, size, batch, device, **options, **backend)
    if name.startswith("lightm"):
        return step
    return _OnTheirScan(step, as_ours(find(name, device)))


class _OnTheirScan:
    """A training step that runs while a peer's scan stands in for ours."""

    def __init__(self, step: TrainingStep, scan: Callable):
        self.step, self.scan, self.model = step, scan, step.model

    def __call__(self) -> float:
        with replaced_scan(self.scan):
            return self.step()


def _noting(step: Callable[[], float], losses: list[float]) -> Callable[[], None]:
    def call() -> None:
        losses.append(step())

    return call


def _disagreement(losses: list[float], ours: list[float]) -> str:
    """Why a contender can't be right: its losses in the first steps are not those of the network as it comes."""
    for number, (theirs, right) in enumerate(zip(losses, ours, strict=False), 1):
        if not abs(theirs - right) <= TOLERANCE * abs(right):
            return f"its loss in step {number} is {theirs:.5f}, not {right:.5f}"
    return ""


def _memory(name: str, device: torch.device, question: dict, step: Callable, patience: float) -> int | None:
    if device.type == "cuda":
        return added_by(step, device)
    return in_own_process({"kind": "step", "threads": torch.get_num_threads(), "name": name, **question}, patience)


def memory_call(name: str, **question) -> Callable[[], Any]:
    """The call whose memory memory.py measures in a process of its own; a step on a corner of the image goes before."""
    step = _step(name, torch.device("cpu"), **question)
    inner = getattr(step, "step", step)
    image, label = inner.image, inner.label
    corner = tuple(slice(0, min(WARM_SIZE, axis)) for axis in label.shape[1:])
    inner.image, inner.label = image[(..., *corner)].contiguous(), label[(..., *corner)].contiguous()
    step()
    inner.image, inner.label = image, label
    return step
