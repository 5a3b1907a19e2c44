"""Exercises of chapters 11 and 13: speed and memory."""

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightm_book import ROOT
from lightm_book.bench.inputs import Shape
from lightm_book.bench.machine import Machine
from lightm_book.bench.record import list_bench
from lightm_book.bench.roofline import scan_counts
from lightm_book.counting.memory import count_memory
from lightm_book.counting.memory_table import read_memory
from lightm_book.exercises.answers import RIGHT, Exercise, Function, Numbers

GIB = 2**30


def limited_by_memory(states: int) -> bool:
    """Whether moving bytes takes longer than computing, on the machine of the records, for D = 64."""
    recorded = Machine(**list_bench(ROOT / "results/bench")["scan-cpu-shapes"]["machine"])
    c = scan_counts(Shape(1, 64, 65536, states), False)
    return c.bytes / recorded.bytes > c.exponentials / recorded.exponentials + c.operations / recorded.operations


def images_on_a_card() -> tuple[int, ...]:
    rows = read_memory(ROOT / "results/memory.json")
    return tuple(rows["lightm-unet", 2, 512, precision, False, False].fits(22 * GIB) for precision in ("fp32", "bf16"))


def kept_with_relu() -> tuple[int, int]:
    found = count_memory(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), (1000, 8)).by_operation
    return found.get("addmm", 0), found.get("relu", 0)


def linear_sum(x: Tensor) -> Tensor:
    total, sums = torch.zeros((), dtype=x.dtype), []
    for value in x.unbind(0):
        total = total + value
        sums.append(total)
    return torch.stack(sums)


def indexed_sum(x: Tensor) -> Tensor:
    total, sums = torch.zeros((), dtype=x.dtype), []
    for t in range(len(x)):
        total = total + x[t]
        sums.append(total)
    return torch.stack(sums)


class _Written(TorchDispatchMode):
    """Counts the elements of all tensors that operations return, and notes the operations' names."""

    def __init__(self):
        super().__init__()
        self.elements, self.names = 0, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.names.add(function.overloadpacket.__name__)
        views = function._schema.returns and any(r.alias_info is not None for r in function._schema.returns)
        if isinstance(out, Tensor) and not views:
            self.elements += out.numel()
        return out


QUADRATIC = "The sums are right, but the backward pass writes the whole row for every token: what does x[t] give back?"
NO_CUMSUM = "The sums are right, but torch's own running sum does the work: write the loop without it."


def linear_backward(function) -> str:
    written = {}
    for length in (100, 200):
        x = torch.rand(length).requires_grad_()
        with _Written() as written[length]:
            function(x).sum().backward()
    if "cumsum" in written[200].names:
        return NO_CUMSUM
    return RIGHT if written[200].elements < 2.5 * written[100].elements else QUADRATIC


EXERCISES: dict[str, Exercise] = {
    "ex-fast-bytes": Numbers(
        truth=lambda: 3 * 64 * 65536 * 4,
        rel=1e-6,
        slips=[
            (3 * 64 * 65536, "These are elements; one in float32 has four bytes."),
            (2 * 64 * 65536 * 4, "u and Δ are read, and y is written."),
            (64 * 65536 * 4, "That is one of three arrays."),
            (3 * 64 * 65536 * 16 * 4, "The 16 states stay in registers: they don't go through memory."),
        ],
        hint="Three arrays of D · L elements, four bytes each.",
    ),
    "ex-fast-amdahl": Numbers(
        truth=lambda: 1 / (0.1 + 0.9 / 150),
        rel=0.01,
        slips=[
            (150, "A tenth of the step isn't the scan, and it stays as it was."),
            (10, "That would be for a scan that takes no time at all."),
            (135, "Times add up, speeds don't: what is left of the step?"),
            (0.1 + 0.9 / 150, "That is the time that is left; the factor is its inverse."),
        ],
        hint="How much of the step's time is left: the tenth, and a part of the nine tenths?",
    ),
    "ex-fast-states": Numbers(
        truth=lambda: max((n for n in range(1, 65) if limited_by_memory(n)), default=0),
        slips=[
            (16, "With 16 states the exponentials take longer than the bytes."),
            (64, "More states mean more exponentials for the same bytes."),
        ],
        abs=0.4,
        hint="Compute both times of `bound` for N = 1, 2, and so on, and see which is the larger.",
    ),
    "ex-fast-unbind": Function(
        reference=linear_sum,
        cases=lambda: [(torch.linspace(-1, 1, 50),), (torch.linspace(0, 3, 7),)],
        also=linear_backward,
        slips=[
            (indexed_sum, QUADRATIC),
            (lambda x: x.cumsum(0), NO_CUMSUM),
            (lambda x: torch.stack([x[: t + 1].sum() for t in range(len(x))]), QUADRATIC),
            (lambda x: x, "That is the input: a running sum adds up what came before."),
        ],
        hint="Compare with `cumulative(x)`.",
        abs=1e-5,
    ),
    "ex-cost-adam": Function(
        reference=lambda P: 16 * P,
        cases=lambda: [(1000,), (5_000_000,)],
        slips=[
            (lambda P: 4 * P, "Those are the parameters alone."),
            (lambda P: 8 * P, "AdamW keeps two averages for each parameter."),
            (lambda P: 12 * P, "AdamW keeps two averages for each parameter: of the gradient, and of its square."),
            (lambda P: 4 * 4 * P * 2, "float32 has four bytes."),
        ],
        hint="How many numbers belong to each parameter, and how many bytes has each?",
    ),
    "ex-cost-batch": Numbers(
        truth=lambda: int((22 - 0.5) / 1.5),
        slips=[
            (11, "A part of the 2 GiB doesn't grow with the batch: parameters and what belongs to them."),
            (12, "The second image adds 1.5 GiB, not 1.75: a part is there once."),
            (15, "That is a little too much: compute what fifteen images take."),
            (22, "One image takes 2 GiB."),
        ],
        abs=0.4,
        hint="Memory is fixed + batch · each: find both from the two measurements.",
    ),
    "ex-cost-card": Numbers(
        truth=images_on_a_card,
        slips=[
            (lambda: images_on_a_card()[::-1], "The right pair in the wrong order: float32 first."),
            (
                lambda: (images_on_a_card()[0], 2 * images_on_a_card()[0]),
                "bf16 halves only a part of what a step keeps.",
            ),
        ],
        rel=0,
        hint="`.fits(22 * GIB)` of the row with its precision, once for each.",
    ),
    "ex-cost-relu": Numbers(
        truth=kept_with_relu,
        slips=[
            ((64000, 64000), "That is what the two keep with SiLU, whose derivative needs the first layer's output."),
            ((64000, 0), "Which of the two tensors is the derivative of ReLU told from?"),
            ((0, 16000), "Those are elements; one in float32 has four bytes."),
        ],
        hint="Which tensors does the backward pass still need, and whose output are they?",
        rel=0,
    ),
}
