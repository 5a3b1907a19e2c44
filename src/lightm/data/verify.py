"""Where data sets lie, and SHA-256 of their files: computed once, remembered until size or date of a file changes."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from tqdm import tqdm

from lightm.data.base import digest
from lightm.errors import LightMError
from lightm.files import whole_file


def find_root(dataset: str, folder: str, root: str | Path | None, packed: bool = False) -> Path:
    """The data set's folder: `root`, or `folder` under LIGHTM_DATA; if it is missing an error says what to type.

    packed: it may also be a file, FOLDER.zip beside where the folder would be (`lightm.data.packed`).
    """
    if root is None:
        home = os.environ.get("LIGHTM_DATA")
        if not home:
            raise LightMError(
                f"Data set {dataset} needs files and LIGHTM_DATA is not set: type `export LIGHTM_DATA=FOLDER`, FOLDER "
                f"being the one that holds {folder}/, and `lightm data fetch {dataset}` if it is not there yet."
            )
        root = Path(home).expanduser() / folder
        if packed and not root.is_dir() and root.with_suffix(".zip").is_file():
            root = root.with_suffix(".zip")
    root = Path(root)
    if not root.is_dir() and not (packed and root.is_file()):
        raise LightMError(
            f"Data set {dataset}: there is no folder {root}; correct LIGHTM_DATA, or get the data with "
            f"`lightm data fetch {dataset}`."
        )
    return root


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_hashes(root: Path, files: Mapping[str, Callable[[Path], str]], pinned: str = "") -> dict[str, str]:
    """The hash of each file (path under `root` -> how to hash it), from memory where size and dates are as they were.

    The memory is a JSON file in the user's cache folder, one for each root and `pinned` (say, a manifest's hash).
    """
    import pooch  # not where data is read from a packed file

    memory_file = Path(pooch.os_cache("lightm")) / f"sha256-{digest([str(root.resolve()), pinned])[:16]}.json"
    try:
        memory = json.loads(memory_file.read_text())
        memory = memory if isinstance(memory, dict) else {}
    except (OSError, ValueError, RecursionError):
        memory = {}
    known, to_do = {}, []
    for name in files:
        status = (root / name).stat()
        # The date of change, too: `touch` and `cp -p` set the other one as they like.
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        old = memory.get(name)
        kept = isinstance(old, list) and len(old) == 4 and old[:3] == stamp and isinstance(old[3], str)
        known[name] = [*stamp, old[3] if kept else None]
        if known[name][3] is None:
            to_do.append(name)
    if to_do:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            hashes = pool.map(lambda name: files[name](root / name), to_do)
            bar = tqdm(hashes, f"Checking files of {root.name} (once)", len(to_do), leave=False, delay=1, unit="file")
            for name, value in zip(to_do, bar, strict=True):
                known[name][3] = value
        _remember(memory_file, known)
    return {name: entry[3] for name, entry in known.items()}


def _remember(memory_file: Path, known: dict[str, list]) -> None:
    try:
        memory_file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(memory_file) as temporary:
            temporary.write_text(json.dumps(known))
    except OSError:
        pass  # a read-only home: the files are checked again next time
