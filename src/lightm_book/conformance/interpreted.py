"""The Triton kernels on the CPU, in Triton's interpreter: a process of its own, which must choose it before the import.

    TRITON_INTERPRET=1 python -m lightm_book.conformance.interpreted NAME ...

writes to stdout, as JSON, what the kernels make of the cases with these names: a list of {result: flat list}.
"""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from lightm.errors import LightMError


def results(names: list[str]) -> list[dict[str, NDArray]]:
    """y, last_state and the gradients of the cases with these names, computed in a process of its own."""
    command = [sys.executable, "-m", "lightm_book.conformance.interpreted", *names]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, text=True, capture_output=True)
    if done.returncode:
        raise LightMError(f"Triton's interpreter failed: {done.stderr.strip().splitlines()[-1]}")
    return [{name: np.array(x) for name, x in found.items()} for found in json.loads(done.stdout)]


def make_interpreter_usable() -> None:
    """Spare Triton's interpreter what takes most of its time, and let it run with numpy 2.4 and newer.

    It replaces triton.language's functions at every call of every function: replace them once and leave it at that.
    And it takes numpy's arrays of one element for Python numbers, which they are no more.
    """
    import triton.language as tl
    from triton.runtime import interpreter

    from lightm.scan import gpu_forward

    interpreter._patch_lang(gpu_forward.outputs.fn)
    interpreter._patch_lang(tl.sum.fn)
    interpreter._patch_lang = lambda function: SimpleNamespace(restore=lambda: None)
    tl.tensor.__index__ = lambda self: int(self.handle.data.squeeze())


if __name__ == "__main__":
    from lightm_book.conformance.cases import load_cases
    from lightm_book.conformance.torch_scan import results_of

    make_interpreter_usable()
    cases = [case for case in load_cases() if case.name in sys.argv[1:]]
    found = [results_of(case, "gpu", "cpu") for case in cases]
    json.dump([{name: x.tolist() for name, x in one.items()} for one in found], sys.stdout)
