"""`bench_scan`: the selective scan by every contender, on the same inputs, checked for equality first."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import torch

from lightm.scan.inputs import ScanInputs, turn
from lightm_book.bench.inputs import Shape, random_inputs, usable
from lightm_book.bench.machine import machine
from lightm_book.bench.measure import alternate
from lightm_book.bench.memory import added_by, free_memory, in_own_process
from lightm_book.bench.peers import Absent, Contender, find, ours, peers
from lightm_book.bench.progress import Plan, Report, on_stderr
from lightm_book.bench.record import finish, header
from lightm_book.bench.roofline import Counts, bound, scan_counts

# LightM-UNet's stages for images of 256 x 256: the first (64 inner channels), a batch of the second, the last.
DEFAULT_SHAPES = (Shape(1, 64, 65536, 16), Shape(4, 128, 16384, 16), Shape(4, 512, 1024, 16))
CHECKED_TOKENS = 257  # on which results are held against the definition in float64; prime
TOLERANCE = 1e-4  # of relative errors, |x - exact| / |exact| in the 2-norm
PASSES = ("forward", "forward_backward")


def bench_scan(
    shapes: Sequence[Shape] = DEFAULT_SHAPES,
    device: str | torch.device = "cpu",
    backends: Sequence[str] | None = None,
    peer_names: Sequence[str] | None = (),
    repeats: int = 7,
    forward_only: bool = False,
    patience: float = 20.0,
    memory: bool = True,
    time: bool = True,
    keep_freed_memory: bool = False,
    report: Report = on_stderr,
) -> dict[str, Any]:
    """Time and peak memory of the scan, ours beside peers'; plain values, as record.py describes them.

    Args:
        shapes: what to scan; default LightM-UNet's.
        device: "cpu" or "cuda".
        backends: of this package, by name; None: all that can run on the device.
        peer_names: of `peers.PEERS`; None: all; (): none.
        repeats: samples of each contender.
        forward_only: leave out the backward pass.
        patience: seconds that one contender may take at one shape; see `measure.alternate`. One that should take
            longer than that for a single call, judging by an earlier shape, is skipped there.
        memory: the peak memory, which calls each contender once more. time: the time; False: the memory alone.
        keep_freed_memory: keep the CPU memory that is freed, as the commands of `lightm` do (lightm.cpu.memory), for
            every contender; by default memory is what a program gets that imports torch and does nothing about it.
        report: gets lines of progress.

    Raises:
        LightMError: an unknown backend or peer, or a device that is not there.
    """
    device = usable(device)
    contenders = [*ours(device, backends), *peers(device, peer_names)]
    record = header("scan", device, keep_freed_memory) | {
        "repeats": repeats,
        "patience_s": patience,
        "machine": {},
        "shapes": [],
    }
    roof = machine(device)
    passes = PASSES[:1] if forward_only else PASSES
    bench = _Bench(device, repeats if time else 0, patience, memory, report)
    for contender in contenders:
        if isinstance(contender, Absent):
            report(f"{contender.name} is left out: {contender.reason}")
        else:
            bench.plan.expect(contender.name, sum(shape.states for shape in shapes) * len(passes) * (repeats + 1))
    for shape in shapes:
        rows = [bench.row(contender, shape) for contender in contenders]
        present = [c for c, row in zip(contenders, rows, strict=True) if not row["reason"]]
        for name in passes:
            measured = bench.measure(present, shape, name == "forward_backward")
            for row in rows:
                row[name] = measured.get(row["name"])
        counts = {name: asdict(scan_counts(shape, name == "forward_backward")) for name in passes}
        record["shapes"].append({"shape": list(asdict(shape).values()), "counts": counts, "contenders": rows})
    roof = roof.or_better(machine(device))
    record["machine"] = asdict(roof)
    for row in record["shapes"]:
        row["bound_s"] = {name: bound(Counts(**count), roof) for name, count in row["counts"].items()}
    return finish(record)


class _Bench:
    """What stays the same from shape to shape: the question, and what was learnt of each contender's pace."""

    def __init__(self, device: torch.device, repeats: int, patience: float, memory: bool, report: Report):
        self.device, self.repeats, self.patience, self.memory = device, repeats, patience, memory
        self.plan = Plan(report)
        self.pace: dict[tuple[str, bool], tuple[float, Shape]] = {}  # seconds a state and token, and where measured

    def row(self, contender: Contender | Absent, shape: Shape) -> dict[str, Any]:
        """What is recorded of a contender at a shape before anything is timed: who it is, and whether it is right."""
        row = {"name": contender.name, "what": contender.what, "version": "", "ours": False, "errors": None}
        if isinstance(contender, Absent):
            return row | {"reason": contender.reason}
        try:
            errors = relative_errors(contender.name, shape.at_length(min(shape.length, CHECKED_TOKENS)), self.device)
        except Exception as error:  # whatever goes wrong in others' software must not end the comparison
            first = (str(error).splitlines() or [type(error).__name__])[0]
            return row | {"reason": f"it failed: {first}"}
        row |= {"version": contender.version, "ours": contender.ours, "errors": errors}
        worst = max(errors, key=errors.__getitem__)
        wrong = not errors[worst] < TOLERANCE  # NaN is wrong, too
        return row | {"reason": f"its {worst} is off by {errors[worst]:.1e}" if wrong else ""}

    def measure(self, contenders: list[Contender], shape: Shape, backward: bool) -> dict[str, dict[str, Any]]:
        """One pass at one shape, of each contender that can and may: name -> times and memory, or why not."""
        results, calls, laid = {}, {}, {}
        inputs = random_inputs(shape)
        for contender in contenders:
            if reason := self._prevented(contender, shape, backward):
                results[contender.name] = {"skipped": reason}
                self.plan.expect(contender.name, -shape.states * (self.repeats + 1))
                continue
            if contender.layout not in laid:
                laid[contender.layout] = laid_out(inputs, contender.layout, self.device)
            prepare = contender.prepare or (lambda inputs, c=contender: contender_call(c, inputs, backward))
            calls[contender.name] = prepare(laid[contender.layout])
        where = f"{shape}, {'forward + backward' if backward else 'forward'}"

        def on_call(name: str, seconds: float) -> None:
            self.plan.done(name, shape.states, seconds, where)

        synchronize = torch.cuda.synchronize if self.device.type == "cuda" else lambda: None
        if not self.repeats:
            results |= {name: {} for name in calls}
        for name, timed in alternate(
            calls if self.repeats else {}, self.repeats, self.patience, on_call, synchronize
        ).items():
            self.pace[name, backward] = (timed["median_s"] / shape.states, shape)
            results[name] = timed
        if self.memory:
            for name in (c.name for c in contenders if c.name in calls and not c.prepare):
                results[name]["memory_bytes"] = self._memory(name, shape, backward, calls[name])
        return results

    def _prevented(self, contender: Contender, shape: Shape, backward: bool) -> str:
        """Why this contender is not called here; empty if it is."""
        if backward and contender.forward_only:
            return "it has no gradient"
        needed, free = 4 * shape.states * contender.holds[backward], free_memory(self.device)
        if needed > free:
            return f"it needs about {needed / 2**30:.0f} GiB, and {free / 2**30:.0f} GiB are free"
        if (contender.name, backward) in self.pace:
            pace, seen = self.pace[contender.name, backward]
            if pace * shape.states > self.patience:  # some grow faster than their input
                return f"a call should take at least {pace * shape.states:.0f} s, judging by {seen}"
        return ""

    def _memory(self, name: str, shape: Shape, backward: bool, call: Callable) -> int | None:
        if self.device.type == "cuda":
            return added_by(call, self.device)
        request = {"kind": "scan", "threads": torch.get_num_threads()}
        self.plan.report(f"peak memory of {name} at {shape}")
        return in_own_process(request | {"name": name, "shape": str(shape), "backward": backward}, self.patience)


def laid_out(inputs: ScanInputs, layout: str, device: torch.device) -> ScanInputs:
    """The inputs on `device`, contiguous in a contender's layout, so that nobody pays for a transposition."""
    inputs = inputs.turned() if layout == "channels" else inputs
    return inputs.map(lambda x: x.contiguous().to(device))


def contender_call(contender: Contender, inputs: ScanInputs, backward: bool) -> Callable[[], Any]:
    """A call without arguments: the scan, or the scan and the gradients of its inputs, for a gradient of u's values."""
    leaves = inputs.map(lambda x: x.detach().requires_grad_(backward))

    def forward():
        with torch.no_grad():
            return contender.scan(leaves)

    def forward_and_backward():
        y = contender.scan(leaves)
        return y.detach(), *torch.autograd.grad(y, leaves.named().values(), inputs.u)

    return forward_and_backward if backward else forward


@cache
def relative_errors(name: str, shape: Shape, device: torch.device) -> dict[str, float]:
    """Of the output and (unless it has none) of each gradient, against the definition in float64."""
    contender = find(name, device)
    backward = not contender.forward_only
    inputs = laid_out(random_inputs(shape), contender.layout, device)
    found = contender_call(contender, inputs, backward)()
    found = found if backward else [found]
    names = ["output", *(f"gradient of {name}" for name in inputs.named())][: len(found)]
    exact = _exact(shape)
    return {
        label: (((turn(x) if contender.layout == "channels" else x).double().cpu() - y).norm() / y.norm()).item()
        for label, x, y in zip(names, found, exact, strict=False)
    }


@cache
def _exact(shape: Shape) -> tuple[torch.Tensor, ...]:
    inputs = random_inputs(shape).map(torch.Tensor.double)
    return contender_call(find("lightm reference", torch.device("cpu")), inputs, True)()


def memory_call(name: str, shape: str, backward: bool) -> Callable[[], Any]:
    """The call whose memory `memory.py` measures in a process of its own; a short one has loaded what it needs."""
    contender, device = find(name, torch.device("cpu")), torch.device("cpu")
    full = Shape.parse(shape)
    short = laid_out(random_inputs(full.at_length(64)), contender.layout, device)
    contender_call(contender, short, backward)()
    return contender_call(contender, laid_out(random_inputs(full), contender.layout, device), backward)
