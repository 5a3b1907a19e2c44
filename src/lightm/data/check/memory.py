"""The answer of a check is remembered by what the files hold: the same bytes are not looked at twice.

An entry has its own hash, is written whole, and is made anew if anything about it is wrong. It is JSON: nothing in it
can run.
"""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lightm.data.base import digest
from lightm.files import whole_file

RULES = 4  # raise when a check changes: what was remembered under the old rules is then forgotten
_READERS = ("pillow", "tifffile", "nibabel", "SimpleITK", "numpy")


def key_of(hashes: dict[str, str], options: dict[str, Any]) -> str:
    """The name of an entry: content of all files, the options, the rules, and the versions of what reads the files."""
    readers = {name: _version(name) for name in _READERS}
    return digest(
        [json.dumps([RULES, readers, options], sort_keys=True), *(f"{n} {h}" for n, h in sorted(hashes.items()))]
    )


def recall(key: str) -> dict[str, Any] | None:
    """What was remembered under `key`, or None if nothing was or it is damaged."""
    try:
        content = json.loads(_place(key).read_text(encoding="utf-8"))
        answer = content["answer"]
        return answer if content["sha256"] == digest([key, json.dumps(answer, sort_keys=True)]) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def remember(key: str, answer: dict[str, Any]) -> None:
    """Keep `answer`; where the cache can't be written, nothing is kept."""
    place = _place(key)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(place) as temporary:
            text = json.dumps({"sha256": digest([key, json.dumps(answer, sort_keys=True)]), "answer": answer})
            temporary.write_text(text, encoding="utf-8")
    except OSError:
        pass


def _place(key: str) -> Path:
    import pooch

    return Path(pooch.os_cache("lightm")) / "checks" / f"{key[:32]}.json"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
