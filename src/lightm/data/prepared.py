"""Preprocessed cases kept on the disk: what takes minutes to read and resample is there at once the next time.

An entry is a safetensors file named by a hash of what it was made from: the data set's content and options, the case,
the transform and its version. It is written whole, holds a hash of its own content, and is made anew if that is wrong.
Read back, its tensors lie in the file and not in memory until they are touched.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from lightm.data.base import digest
from lightm.files import clear_partial, whole_file

VERSION = "1"  # raise when a transform changes: what was kept is then made anew
Tensors = dict[str, Tensor]


def content_hash(tensors: Tensors) -> str:
    """SHA-256 over the names, shapes, types and bytes of tensors."""
    content = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        content.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        content.update(memoryview(value.numpy()).cast("B"))
    return content.hexdigest()


@dataclass(frozen=True)
class Cache:
    """A folder of prepared cases. identity: says which data set it is, with its content and its options."""

    folder: Path
    identity: str

    def open(self) -> None:
        """Make the folder, and remove what a process left there that was killed as it wrote, a day ago: another one may
        be writing now.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        clear_partial(self.folder, age=86_400)

    def get(self, case_id: str, transform: str, make: Callable[[], Tensors]) -> tuple[Tensors, str]:
        """The tensors of a case and their hash: from the file if it is whole, else from `make`, which is then kept."""
        key = digest([VERSION, torch.__version__, self.identity, transform, case_id])
        place = self.folder / f"{key[:32]}.safetensors"
        if found := _read(place, key):
            return found
        made = make()
        with whole_file(place) as temporary:
            save_file(
                {k: v.contiguous() for k, v in made.items()}, temporary, {"key": key, "sha256": content_hash(made)}
            )
        return _read(place, key) or (made, content_hash(made))


def _read(place: Path, key: str) -> tuple[Tensors, str] | None:
    """What an entry holds; None if there is none, or it is damaged."""
    try:
        with safe_open(place, "pt") as file:
            said = file.metadata() or {}
        tensors = load_file(place)
        if said.get("key") == key and said.get("sha256") == (found := content_hash(tensors)):
            return tensors, found
    except (OSError, SafetensorError, ValueError):
        pass
    return None
