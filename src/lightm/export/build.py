"""The WebAssembly kernels: built from the C sources in runtime/, and whether the built module is that of the sources.

The module is committed, so that nobody needs a compiler to export a page. After a change of the sources:

    python -m lightm.export.build       (needs clang and wasm-ld; Debian, Ubuntu: apt install clang lld)
"""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from lightm.errors import LightMError
from lightm.files import whole_file

RUNTIME = Path(__file__).parent / "runtime"
MODULE, RECORD = RUNTIME / "kernels.wasm", RUNTIME / "kernels.json"
FLAGS = (
    *("--target=wasm32", "-O3", "-msimd128"),
    *("-nostdlib", "-ffreestanding", "-fno-math-errno", "-Wall", "-Wextra", "-Werror"),
    *("-Wl,--no-entry", "-Wl,--export-dynamic", "-Wl,--strip-all", "-Wl,-z,stack-size=16384"),
)


def sources_hash() -> str:
    """SHA-256 of what the module is made from: the C sources with their names, and the flags."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in (*sorted(RUNTIME.glob("*.h")), *sorted(RUNTIME.glob("*.c"))):
        digest.update(path.name.encode())
        digest.update(path.read_text("utf-8").encode())  # as text: its hash survives a checkout with other line ends
    return digest.hexdigest()


def stale() -> str:
    """Why the committed module is not that of the sources beside it; empty if it is."""
    remedy = "run `python -m lightm.export.build` and commit kernels.wasm and kernels.json"
    try:
        record = json.loads(RECORD.read_text("utf-8"))
    except (OSError, ValueError) as error:
        return f"{RECORD.name} can't be read ({error}): {remedy}."
    if record.get("sources") != sources_hash():
        return f"The C sources have changed since {MODULE.name} was built: {remedy}."
    if record.get("module") != hashlib.sha256(MODULE.read_bytes()).hexdigest():
        return f"{MODULE.name} is not the file that {RECORD.name} tells of: {remedy}."
    return ""


def build() -> None:
    """Compile the sources into kernels.wasm and record in kernels.json what it was made from."""
    clang = shutil.which("clang")
    if clang is None or shutil.which("wasm-ld") is None:
        raise LightMError("clang and wasm-ld are needed to build the kernels: apt install clang lld, or the like.")
    with whole_file(MODULE) as temporary:
        sources = [str(path) for path in sorted(RUNTIME.glob("*.c"))]
        done = subprocess.run([clang, *FLAGS, "-o", str(temporary), *sources], text=True, capture_output=True)
        if done.returncode:
            raise LightMError(f"The C sources do not compile:\n{done.stderr}")
    version = subprocess.run([clang, "--version"], text=True, capture_output=True, check=True).stdout.splitlines()[0]
    record = {
        "sources": sources_hash(),
        "module": hashlib.sha256(MODULE.read_bytes()).hexdigest(),
        "compiler": version,
        "flags": list(FLAGS),
    }
    with whole_file(RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    try:
        build()
    except LightMError as error:
        sys.exit(f"lightm: {error}")
    print(f"{MODULE.name}: {MODULE.stat().st_size} bytes")
