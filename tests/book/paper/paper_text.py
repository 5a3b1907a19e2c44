"""The paper's words as hashes: what we quote is compared with them everywhere, the paper itself is in no repository.

`windows.tsv` has a line for each quotation: where it stands in the normalised text of the paper, and the SHA-256 of
that window. Whoever has the text can check the windows, and make the file anew when a quotation is added:

    LIGHTM_PAPER=FOLDER python tests/book/paper/paper_text.py

FOLDER holds `lightm-unet-paper.txt` (the arXiv page, version 2, as text) and, for each upload of the authors' code,
`released_DATE_2d_state_dict.tsv` and `..._3d_...`: a line for each tensor, its name and its shape (32x1x3x3x3).
"""

import hashlib
import os
import re
from pathlib import Path

import pytest

from lightm.errors import LightMError
from lightm_book.paper import CLAIMS, SETTINGS, TABLES

WINDOWS = Path(__file__).with_name("windows.tsv")


def paper(name: str) -> str:
    """A file of the folder that LIGHTM_PAPER names; the test is skipped where it is not set."""
    folder = os.environ.get("LIGHTM_PAPER")
    if not folder:
        pytest.skip("LIGHTM_PAPER names no folder with the paper's text; its hashes are compared all the same")
    return (Path(folder) / name).read_text(encoding="utf-8")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def normalised(text: str) -> str:
    """One line, without citations, links and the doubled signs that the conversion of the page left."""
    text = re.sub(r"\]\((?:https?:|#)[^)]*\)", "]", text).replace("[[", "[").replace("]]", "]")
    for sign, name in (("×", "times"), ("↓", "downarrow"), ("→", "rightarrow")):
        text = re.sub(rf"{sign}+\\{name}{sign}", sign, text)
    return " ".join(re.sub(r"\[\d+(, \d+)*\]", "", text).split())


def quotations() -> dict[str, str]:
    """What is quoted, by a name: each claim of the text, each row of the tables as it stands there, each setting."""
    found = {claim.id: claim.quote for claim in CLAIMS.values() if not claim.cells}
    for number, table in TABLES.items():
        found |= {f"Table {number}, {r}": f"| {r} | {' | '.join(c.text for c in table.row(r))} |" for r in table.rows}
    for setting in SETTINGS:
        found[f"setting {setting.name}, {'D, '.join(map(str, setting.dims))}D"] = setting.quote
    return {name: normalised(quote) for name, quote in found.items()}


def find(name: str, quote: str, text: str) -> int:
    """Where a quotation starts in the normalised text; a row is looked for below the caption of its table."""
    caption = re.match(r"Table \d", name)
    start = text.find(quote, text.index(f"{caption[0]}: ") if caption else 0)
    if start < 0:
        raise LightMError(f"{name}: the paper does not say {quote!r}.")
    return start


def read_windows() -> dict[str, tuple[int, int, str]]:
    """name -> (start, length, SHA-256)."""
    lines = (line.split("\t") for line in WINDOWS.read_text(encoding="utf-8").splitlines()[1:])
    return {name: (int(start), int(length), digest) for name, start, length, digest in lines}


if __name__ == "__main__":
    text = normalised(paper("lightm-unet-paper.txt"))
    rows = [(n, str(find(n, q, text)), str(len(q)), sha256(q)) for n, q in quotations().items()]
    lines = "".join("\t".join(row) + "\n" for row in (("name", "start", "length", "sha256"), *rows))
    WINDOWS.write_text(lines, encoding="utf-8")
