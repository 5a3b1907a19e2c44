"""Every implementation of the scan in this repository, each with the way to run it on the conformance cases."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lightm.scan import backends
from lightm_book.conformance import interpreted, numpy_scan, onnxruntime_scan, wasm
from lightm_book.conformance.cases import Case, error
from lightm_book.conformance.torch_scan import results_of

Results = list[dict[str, NDArray]]


@dataclass(frozen=True)
class Place:
    """An implementation. gives: what it computes beside y, "last_state" and "gradients".

    unavailable: why it can't run here, empty if it can. results: of each case what it gives, by the file's names.
    """

    name: str
    gives: tuple[str, ...]
    unavailable: Callable[[], str]
    results: Callable[[Sequence[Case]], Results]

    def errors(self, cases: Sequence[Case]) -> dict[str, dict[str, float]]:
        """Case -> result -> its error as a share of what is allowed (`cases.error`), for everything that it gives."""
        return {
            case.name: {name: error(case.expected[name], found.get(name)) for name in self.owes(case)}
            for case, found in zip(cases, self.results(cases), strict=True)
        }

    def owes(self, case: Case) -> list[str]:
        """The names of the expected results that this implementation must have."""
        return [
            name
            for name in case.expected
            if name == "y" or name in self.gives or (name.startswith("grad_") and "gradients" in self.gives)
        ]


EVERYTHING = ("last_state", "gradients")


def _backend(name: str) -> tuple[Callable[[], str], Callable[[Sequence[Case]], Results]]:
    def unavailable() -> str:
        status = backends("cpu")[name]
        return "" if status.available else status.reason

    return unavailable, lambda cases: [results_of(case, name, "cpu") for case in cases]


def _numpy(cases: Sequence[Case]) -> Results:
    found = []
    for case in cases:
        inputs, grad_y = case.arguments(), case.inputs["grad_y"].astype(np.float32)
        y, state = numpy_scan.scan(**inputs, softplus=case.softplus)
        grads = numpy_scan.gradients(grad_y, **inputs, softplus=case.softplus)
        found.append({"y": y, "last_state": state} | {f"grad_{name}": x for name, x in grads.items()})
    return found


def _no_triton() -> str:
    return "" if importlib.util.find_spec("triton") else "Triton is not installed; it comes with PyTorch's GPU builds"


def triton_device() -> str:
    """Where the Triton kernels run here: "cuda", or "interpreter" on the CPU."""
    return "cuda" if torch.cuda.is_available() and backends("cuda")["gpu"].available else "interpreter"


def _triton(cases: Sequence[Case]) -> Results:
    if triton_device() == "cuda":
        return [results_of(case, "gpu", "cuda") for case in cases]
    found = interpreted.results([case.name for case in cases])
    return [
        {name: x.reshape(case.expected[name].shape) for name, x in one.items()}
        for case, one in zip(cases, found, strict=True)
    ]


def _webassembly(cases: Sequence[Case]) -> Results:
    found = []
    with wasm.WebAssemblyScan() as scan:
        for case in cases:
            scan.load(case.arguments(), case.softplus)
            scan.run()
            found.append(scan.read())
    return found


def _onnx(cases: Sequence[Case]) -> Results:
    found = []
    for case in cases:
        inputs = case.arguments()
        run = onnxruntime_scan.OnnxScan(list(inputs), case.sizes["D"], case.sizes["N"], case.softplus)
        found.append({"y": run(inputs)})
    return found


PLACES = (
    Place("loop", EVERYTHING, *_backend("reference")),
    Place("NumPy", EVERYTHING, lambda: "", _numpy),
    Place("PyTorch chunks", EVERYTHING, *_backend("chunked")),
    Place("numba", EVERYTHING, *_backend("cpu")),
    Place("Triton", EVERYTHING, _no_triton, _triton),
    Place("WebAssembly", ("last_state",), wasm.unavailable, _webassembly),
    Place("ONNX", (), onnxruntime_scan.unavailable, _onnx),
)
