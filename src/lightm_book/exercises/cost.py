"""Exercises of chapters 11, 13 and 14: speed and memory, and ports of the scan."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightm_book import ROOT
from lightm_book.bench.inputs import Shape
from lightm_book.bench.machine import Machine
from lightm_book.bench.record import list_bench
from lightm_book.bench.roofline import scan_counts
from lightm_book.conformance import Case, error, load_cases, numpy_scan
from lightm_book.conformance.cases import RELATIVE
from lightm_book.conformance.faults import FAULTS, no_carry
from lightm_book.counting.memory import count_memory
from lightm_book.counting.memory_table import read_memory
from lightm_book.exercises.answers import MISSING, RIGHT, Exercise, Function, Numbers, Probed, Slip, array, blank

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


def scan_of(x: dict) -> NDArray:
    """y (B, L, D) of the arguments of `numpy_scan.scan`: the form of `faults`."""
    return numpy_scan.scan(**x)[0]


def as_port(scan: Callable[[dict], NDArray]) -> Callable:
    """`scan` as a function of lists: u, delta (L, D), A (D, N), B, C (L, N) of one item, nothing optional."""

    def port(u, delta, A, B, C):
        u, delta, A, B, C = (np.array(values, np.float64) for values in (u, delta, A, B, C))
        return scan({"u": u[None], "delta": delta[None], "A": A, "B": B[None], "C": C[None], "softplus": False})[0]

    return port


def one_row_of_states(u, delta, A, B, C):
    h, y = np.zeros(len(A[0])), np.zeros(np.shape(u))
    for t, d in np.ndindex(y.shape):
        h = np.exp(delta[t][d] * np.array(A[d])) * h + delta[t][d] * u[t][d] * np.array(B[t])
        y[t, d] = h @ np.array(C[t])
    return y


SEVERAL = "The function returns several results: only the output y is asked for."


def results(function: Any, answer: Callable[[Case], Any], cases: list[Case]) -> list[NDArray] | str:
    """What `answer`, which calls `function`, gives for each of the cases, or why there is nothing to judge."""
    if not callable(function):
        return "A function is asked for: pass its name, without calling it."
    try:
        found = [answer(case) for case in cases]
        if any(map(blank, found)):
            return MISSING
        return SEVERAL if any(isinstance(y, tuple) for y in found) else [array(y) for y in found]
    except Exception as problem:  # somebody else's code
        return f"The function raised {type(problem).__name__}: {problem}"


def on_bare_cases(port: Any) -> list[NDArray] | str:
    def answer(case: Case) -> list:
        x = {name: values.tolist() for name, values in case.arguments().items()}
        return [port(x["u"][0], x["delta"][0], x["A"], x["B"][0], x["C"][0])]

    return results(port, answer, bare_cases())


def bare_cases() -> list[Case]:
    """Those of the recurrence alone: one item, no skip, gate, bias or softplus."""
    bare = {"u", "delta", "A", "B", "C", "grad_y"}
    return [case for case in load_cases() if case.inputs.keys() == bare and not case.softplus]


def passes_bare_cases(port: Any) -> str:
    given = on_bare_cases(port)
    if isinstance(given, str):
        return given
    failed = [case.name for case, y in zip(bare_cases(), given, strict=True) if error(case.expected["y"], y) > 1]
    if not failed:
        return RIGHT
    for wrong, why in PORT_SLIPS:
        if all(error(w, y) <= 1 for w, y in zip(on_bare_cases(wrong), given, strict=True)):
            return why
    return f"Not passed: {', '.join(failed)}. Begin with the first of them."


PORT_SLIPS: list[Slip] = [
    (
        as_port(lambda x: no_carry(x, 1)),
        "The state begins anew at every token: it has to live outside of the loop over tokens.",
    ),
    (
        one_row_of_states,
        "All channels share one row of states, but each has its own (`[[0.0] * N] * D` is D times the same list).",
    ),
    (as_port(FAULTS["B and C exchanged"]), "B writes into the state and C reads from it, not the other way round."),
    (as_port(FAULTS["state read before it is updated"]), "y_t is read from the state that has already seen token t."),
    (
        as_port(lambda x: scan_of(x | {"u": x["delta"] * x["u"], "delta": np.ones_like(x["delta"])})),
        "The decay of a token is exp(Δ A): the step belongs into the exponent, too.",
    ),
]

SHORT = 16  # tokens
ALL_PASS = "It is right: every case passes. What can go wrong only behind token 16?"


def noticed(name: str) -> str:
    return f"The case {name!r} has at most {SHORT} tokens and notices it."


def unnoticed(name: str) -> str:
    return f"The case {name!r} has more than {SHORT} tokens and does not notice it."


def wrong_for_long_cases_only(scan: Any) -> str:
    cases = load_cases()
    given = results(scan, lambda case: scan(case.arguments() | {"softplus": case.softplus}), cases)
    if isinstance(given, str):
        return given
    long = {case.name: case.sizes["L"] > SHORT for case in cases}
    wrong = {case.name: error(case.expected["y"], y) > 1 for case, y in zip(cases, given, strict=True)}
    if not any(wrong.values()):
        return ALL_PASS
    judged = [noticed(name) for name in wrong if wrong[name] and not long[name]]
    judged += [unnoticed(name) for name in wrong if long[name] and not wrong[name]]
    return judged[0] if judged else RIGHT


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
    "ex-travel-bits": Numbers(
        truth=lambda: next(p for p in range(1, 65) if 2.0**-p <= RELATIVE),
        slips=[
            (16, "Nearly: the error can be up to 2⁻¹⁶ of the number, which is more than the tolerance."),
            (18, "One too many: to the nearest, the error is half of the distance between neighbours at most."),
            (11, "That is half precision, whose rounding error is up to 2⁻¹¹, about 5 · 10⁻⁴."),
            (24, "That is float32. It is enough, but the least number of bits is asked for."),
            (5, "These are decimal digits: how many bits are they?"),
        ],
        hint="For which p is 2⁻ᵖ not above the relative tolerance?",
        abs=0.01,
    ),
    "ex-travel-decays": Numbers(
        truth=lambda: tuple(4 * tokens * 64 * 16 / 2**20 for tokens in (65536, 64)),
        slips=[
            ((64, 0.0625), "These are elements in units of 2²⁰; one in float32 has four bytes."),
            ((16, 1 / 64), "Each of the 16 states has a decay of its own."),
            ((4, 1 / 256), "Each of the 64 channels has decays of its own."),
            (lambda: tuple(4 * n * 64 * 16 / 1e6 for n in (65536, 64)), "These are megabytes; a MiB has 2²⁰ bytes."),
            ((0.25, 256), "The right pair in the wrong order: all at once first."),
        ],
        hint="One decay for each token, channel and state, four bytes each; a MiB has 2²⁰ bytes.",
    ),
    "ex-travel-port": Probed(probe=passes_bare_cases, example=lambda: as_port(scan_of), slips=PORT_SLIPS),
    "ex-travel-wrong": Probed(
        probe=wrong_for_long_cases_only,
        example=lambda: lambda x: no_carry(x, SHORT),
        slips=[
            (scan_of, ALL_PASS),
            (lambda x: numpy_scan.scan(**x), SEVERAL),
            (no_carry, unnoticed("odd sizes")),
            (FAULTS["tokens after the last four left out"], noticed("one token")),
            (FAULTS["gate before the skip"], noticed("gate")),
        ],
    ),
}
