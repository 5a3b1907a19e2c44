"""Small cases of the selective scan with the right answers, for every implementation of it: scan.json.

The file has all that a port in another language needs, and nothing of Python: flat lists of numbers.

    "shapes"     for each array the letters of its axes. Lists are in row-major order, the last axis fastest.
                 B batch items, L tokens, D channels, N states, as in "sizes" of each case.
    "tolerance"  an answer passes if no entry is off by more than
                 relative * (the largest magnitude of the right answer in that array) + absolute.
    "cases"      name, why (what the case is there for), sizes, softplus (whether delta goes through it),
                 inputs   u, delta, A, B, C, and, where the case has them, D (the skip), z (the gate), delta_bias;
                          and grad_y, the gradient of a loss by y
                 expected y and last_state, and grad_X, the gradient of that loss by each input X.

What is computed, for every item, channel d and state n, from h = 0:

    s_t = softplus(delta_t + delta_bias), without the softplus or the bias where the case has none
    h_t = exp(s_t A) h_{t-1} + s_t B_t u_t        y_t = (sum over n of C_t h_t + D u_t) * z_t / (1 + exp(-z_t))

All inputs are multiples of 1/256, so float32 holds them exactly, and two ports that differ do not differ in what they
read. Answers are from the definition (lightm.scan.reference) and its automatic differentiation, in float64, written
with 12 digits. An implementation without gradients takes part with y alone. After a change of the cases:

    python -m lightm_book.conformance
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightm.files import whole_file
from lightm.scan import selective_scan
from lightm.scan.inputs import ScanInputs

FILE = Path(__file__).with_name("scan.json")
RELATIVE, ABSOLUTE = 1e-5, 1e-30
SHAPES = {"u": "BLD", "delta": "BLD", "A": "DN", "B": "BLN", "C": "BLN", "D": "D", "z": "BLD", "delta_bias": "D"}
SHAPES |= {"grad_y": "BLD", "y": "BLD", "last_state": "BDN"}
GRID = 256  # inputs are multiples of 1 / GRID
ALL = ("D", "z", "delta_bias")
HARDLY_FADES = {"A": -1 / 64, "delta": 1 / 64, "grad_y": 1.0}

# name -> why, (B, L, D, N), softplus, the optional inputs, inputs that are one number everywhere
PLANS: dict[str, tuple[str, tuple[int, int, int, int], bool, tuple[str, ...], dict[str, float]]] = {
    "one token": ("y = delta C B u, nothing else", (1, 1, 1, 1), False, (), {}),
    "plain": ("the recurrence alone", (1, 7, 3, 2), False, (), {}),
    "skip": ("D u is added", (2, 5, 3, 1), False, ("D",), {}),
    "gate": ("SiLU(z) is multiplied on, after the skip", (1, 5, 3, 2), False, ("D", "z"), {}),
    "bias": ("the bias is added to delta, also without softplus", (1, 6, 2, 3), False, ("delta_bias",), {}),
    "softplus": ("softplus after the bias, not before", (1, 6, 5, 2), True, ("delta_bias",), {}),
    "odd sizes": ("no size is a multiple of anything; two items", (2, 33, 5, 3), True, ALL, {}),
    "even sizes": ("sizes that fill vectors of 8 and tiles of 4", (1, 32, 8, 4), True, ALL, {}),
    "17 channels, 17 states": ("one more than 16 of each", (1, 4, 17, 17), True, ALL, {}),
    "33 channels": ("one more than a warp of a GPU", (1, 3, 33, 1), True, ("D", "delta_bias"), {}),
    "31 tokens": ("one less than a chunk of 32", (1, 31, 1, 2), True, ALL, {}),
    "65 tokens": ("one more than a chunk of 64", (1, 65, 2, 1), True, ALL, {}),
    "257 tokens": ("one more than 256, 16 squared: four chunks and one token", (1, 257, 1, 1), True, ("D",), {}),
    "long memory": ("the first token is still heard at the end", (1, 129, 1, 2), False, (), HARDLY_FADES),
    "no memory": ("exp(delta A) is zero in any format", (1, 6, 2, 2), False, (), {"A": -4096.0, "delta": 2.0}),
    "A of zero": ("a sum that forgets nothing", (1, 8, 2, 2), False, (), {"A": 0.0}),
    "A above zero": ("a state that grows", (1, 8, 2, 2), False, (), {"A": 0.5}),
    "step of zero": ("a token with delta = 0 is not seen, and the state stays", (1, 6, 2, 2), False, (), {}),
    "tiny steps": ("log(1 + exp(-20)) is not 0", (1, 5, 1, 2), True, (), {"delta": -20.0}),
    "large steps": ("log(1 + exp(90)) is 90; exp(90) has no float32", (1, 5, 1, 2), True, (), {"delta": 90.0}),
}


@dataclass(frozen=True)
class Case:
    """One case: inputs and the right answers by name, all float64, in the shapes of `SHAPES`."""

    name: str
    why: str
    softplus: bool
    inputs: dict[str, NDArray[np.float64]]
    expected: dict[str, NDArray[np.float64]]

    @property
    def sizes(self) -> dict[str, int]:
        batch, length, channels = self.inputs["u"].shape
        return {"B": batch, "L": length, "D": channels, "N": self.inputs["A"].shape[1]}

    def arguments(self, dtype: type = np.float32) -> dict[str, NDArray]:
        """The inputs of the scan itself, without grad_y, for a port that computes in `dtype`."""
        return {name: x.astype(dtype) for name, x in self.inputs.items() if name != "grad_y"}


def load_cases() -> list[Case]:
    """The cases of scan.json."""
    return [_read(case) for case in json.loads(FILE.read_text("utf-8"))["cases"]]


def error(expected: NDArray, found: NDArray | None) -> float:
    """The largest difference as a share of what is allowed: a result passes with 1 or less. NaN gives infinity."""
    if found is None or np.shape(found) != expected.shape:
        return float("inf")
    allowed = RELATIVE * np.abs(expected).max(initial=0) + ABSOLUTE
    worst = np.abs(np.asarray(found, np.float64) - expected).max(initial=0) / allowed
    return float(worst) if np.isfinite(worst) else float("inf")


def make_cases() -> list[Case]:
    """The cases anew: inputs from their seeds, answers from the definition in float64."""
    return [_make(name) for name in PLANS]


def _make(name: str) -> Case:
    why, (batch, L, D, N), softplus, optional, fixed = PLANS[name]
    sizes = {"B": batch, "L": L, "D": D, "N": N}
    random = np.random.default_rng(list(name.encode()))
    inputs = {}
    for key in ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "grad_y"):
        values = random.normal(size=[sizes[letter] for letter in SHAPES[key]])  # drawn also where it is not used
        if key == "A":
            values = -(1 + np.arange(N)) * np.exp(0.2 * values)
        elif key in ("delta", "delta_bias") and not softplus:  # steps are not negative
            values = 0.3 * np.abs(values)
        elif key == "delta_bias":
            values = values - 2
        values = np.full_like(values, fixed[key]) if key in fixed else values
        if key not in ALL or key in optional:
            inputs[key] = np.round(values * GRID) / GRID
    if name == "step of zero":
        inputs["delta"][:, 2:4] = 0
    return Case(name, why, softplus, inputs, _answers(inputs, softplus))


def _answers(inputs: dict[str, NDArray], softplus: bool) -> dict[str, NDArray]:
    """y, last_state and the gradients, by automatic differentiation of the definition."""
    leaves = {name: torch.from_numpy(x.copy()).requires_grad_() for name, x in inputs.items() if name != "grad_y"}
    turned = ScanInputs(**leaves, delta_softplus=softplus).turned()  # (B, L, X) -> (B, X, L)
    y, state = selective_scan(*turned, return_last_state=True, backend="reference")
    y = y.transpose(1, 2)
    grads = torch.autograd.grad(y, list(leaves.values()), torch.from_numpy(inputs["grad_y"]))
    found = {"y": y, "last_state": state} | {f"grad_{name}": x for name, x in zip(leaves, grads, strict=True)}
    return {name: x.detach().numpy() for name, x in found.items()}


def _read(case: dict[str, Any]) -> Case:
    def shaped(values: dict[str, list[float]]) -> dict[str, NDArray]:
        return {
            name: np.array(flat, np.float64).reshape([case["sizes"][axis] for axis in _shape(name)])
            for name, flat in values.items()
        }

    return Case(case["name"], case["why"], case["softplus"], shaped(case["inputs"]), shaped(case["expected"]))


def _shape(name: str) -> str:
    return SHAPES[name] if name in SHAPES else SHAPES[name.removeprefix("grad_")]


def write_cases() -> None:
    """Make scan.json anew."""
    with whole_file(FILE) as temporary:
        temporary.write_text(_text(make_cases()), "utf-8", newline="\n")


def _text(cases: list[Case]) -> str:
    """scan.json: an array a line, so that a change of one case is a change of a few lines."""

    def lines(values: dict[str, NDArray], digits: int) -> str:
        rows = {name: json.dumps([float(f"{x:.{digits}g}") for x in v.ravel()]) for name, v in values.items()}
        return ",\n".join(f'     "{name}": {row}' for name, row in rows.items())

    head = {
        "about": (__doc__ or "").split("\n\n")[0],
        "description": "lightm_book/conformance/cases.py",
        "tolerance": {"relative": RELATIVE, "absolute": ABSOLUTE},
        "shapes": {name: " ".join(axes) for name, axes in SHAPES.items()},
    }
    body = [
        f'  {{"name": {json.dumps(c.name)}, "why": {json.dumps(c.why)}, "softplus": {json.dumps(c.softplus)},\n'
        f'   "sizes": {json.dumps(c.sizes)},\n'
        f'   "inputs": {{\n{lines(c.inputs, 17)}}},\n   "expected": {{\n{lines(c.expected, 12)}}}}}'
        for c in cases
    ]
    return json.dumps(head, indent=1)[:-2] + ',\n "cases": [\n' + ",\n".join(body) + "\n ]\n}\n"


def stale() -> str:
    """Why scan.json is not what this module makes; empty if it is. Answers may differ by what rounding does."""
    remedy = "run `python -m lightm_book.conformance` and commit scan.json"
    try:
        kept, made = load_cases(), make_cases()
    except (OSError, ValueError, KeyError) as problem:
        return f"scan.json can't be read ({problem}): {remedy}."
    if [(case.name, case.why, case.softplus, case.sizes) for case in kept] != [
        (case.name, case.why, case.softplus, case.sizes) for case in made
    ]:
        return f"scan.json has other cases than are described here: {remedy}."
    for old, new in zip(kept, made, strict=True):
        if old.inputs.keys() != new.inputs.keys() or any((old.inputs[k] != x).any() for k, x in new.inputs.items()):
            return f"The inputs of {new.name!r} have changed: {remedy}."
        if old.expected.keys() != new.expected.keys() or not all(
            error(x, old.expected[k]) < 1e-5 for k, x in new.expected.items()
        ):
            return f"The answers of {new.name!r} have changed: {remedy}."
    return ""
