"""A fault has parts, so that a report can sort and count it: which kind, where, what is wrong, what to do about it."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from lightm.errors import LightMError

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a data set.

    kind: a word of `lightm.data.check.KINDS`. case, file: where ("" if it concerns the whole set), the file relative
    to the data set's folder. what, remedy: two halves of a sentence. severity: "error" (training on it would go wrong)
    or "warning" (it may be meant).
    """

    kind: str
    case: str
    file: str
    what: str
    remedy: str
    severity: str = ERROR


class BadFile(LightMError):
    """A file that can't be used, with the parts of its `Fault`: "FILE WHAT; REMEDY."."""

    def __init__(self, path: str | Path, kind: str, what: str, remedy: str):
        super().__init__(f"{shown(path)} {what}; {remedy}.")
        self.kind, self.what, self.remedy = kind, what, remedy


def shown(text: object) -> str:
    """Text from a file, or a file's name, on one line: control characters and broken encodings are written out.

    A file's name may hold a line break or an escape sequence that a terminal would obey.
    """
    return "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else c.encode("unicode_escape").decode()
        for c in str(text)
    )
