"""Files appear whole or not at all: written beside their place, flushed to the disk, then moved there in one step."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

PARTIAL = ".partial-"  # in the name of what is being written


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder, same suffix; it replaces `path` if the block succeeds, else is gone."""
    path = Path(path)
    suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".nii.gz") else path.suffix
    handle, name = tempfile.mkstemp(prefix=f".{path.name}{PARTIAL}", suffix=suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync(temporary)
        temporary.chmod(0o666 & ~_umask())  # mkstemp's files are for their owner only
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`, which must be missing or empty; it becomes `path` if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beginning = f".{path.name}{PARTIAL}"
    for left in path.parent.glob(f"{escape(beginning)}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=beginning, dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())  # mkdtemp's folders are for their owner only
        if path.is_dir():
            path.rmdir()  # it is empty; Windows does not rename over a folder
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync(path.parent)


def write_json(value: Any, path: str | Path) -> None:
    """Readable JSON without NaN, whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    with whole_file(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def clear_partial(folder: Path, age: float = 0.0) -> None:
    """Remove what `whole_file` was writing into a folder when its process was killed, if it is `age` seconds old."""
    for path in folder.glob(f".*{PARTIAL}*"):
        if path.is_file() and time.time() - path.stat().st_mtime >= age:
            path.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> None:
    """Remove what was being written into a run folder, checkpoints too, when its process was killed."""
    clear_partial(folder)
    for path in folder.glob("*.new"):
        shutil.rmtree(path, ignore_errors=True)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no such thing for folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
