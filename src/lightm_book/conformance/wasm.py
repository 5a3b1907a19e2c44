"""The scan of the page's WebAssembly module, run by node."""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightm.errors import LightMError
from lightm.export.build import MODULE, RUNTIME

DRIVER = Path(__file__).with_name("wasm.js")
SCRIPTS = ("memory.js", "engine.js")


def unavailable() -> str:
    """Why it can't run here; empty if it can."""
    return "" if shutil.which("node") else "it needs node: install Node.js 18 or newer"


def version() -> str:
    """That of node, such as "node v20.11.0"."""
    return f"node {subprocess.run([shutil.which('node'), '--version'], text=True, capture_output=True).stdout.strip()}"


class WebAssemblyScan:
    """A node process with one scan at a time: `load`, then `run` as often as one likes, then `read`.

    Used as a context manager, or closed by `close`. LightMError: there is no node, or it has ended.
    """

    def __init__(self) -> None:
        if reason := unavailable():
            raise LightMError(f"The WebAssembly scan can't run: {reason}.")
        command = [shutil.which("node"), str(DRIVER), str(MODULE), *(str(RUNTIME / name) for name in SCRIPTS)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def load(self, arrays: dict[str, NDArray], softplus: bool) -> None:
        """Copy the inputs of a scan into the module's memory: u (B, L, D) and so on, as in cases.SHAPES."""
        (batch, length, channels), states = arrays["u"].shape, arrays["A"].shape[1]
        self._sizes = {"B": batch, "L": length, "D": channels, "N": states}
        encoded = {name: base64.b64encode(np.ascontiguousarray(x, "<f4")).decode() for name, x in arrays.items()}
        self._ask("load", sizes=self._sizes, softplus=softplus, arrays=encoded)

    def run(self) -> None:
        """Scan what was loaded."""
        self._ask("run")

    def read(self) -> dict[str, NDArray[np.float32]]:
        """y (B, L, D) and last_state (B, D, N) of the last run."""
        found = {name: np.frombuffer(base64.b64decode(x), "<f4") for name, x in self._ask("read").items()}
        return {
            name: found[name].reshape([self._sizes[axis] for axis in axes])
            for name, axes in (("y", "BLD"), ("last_state", "BDN"))
        }

    def _ask(self, task: str, **request: Any) -> dict[str, Any]:
        try:
            self._process.stdin.write(json.dumps({"task": task, **request}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise LightMError(f"node ended while it did {task!r}; its message is above.")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def __enter__(self) -> "WebAssemblyScan":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
