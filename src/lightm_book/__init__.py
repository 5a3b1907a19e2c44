"""lightm_book: what the book needs beside `lightm`, which never imports it. On the command line: `lightm-book`.

show        figures, sliders, and the source that a page displays
paper       the paper's tables and statements as data, and what we find of them
counting    counted and not run: the paper's tables, the memory of a training step
compare     records of runs to verdicts
bench       the scan and a training step timed beside other software
reproduce   the paper's experiments, piece by piece
exercises   what checks the answers in the chapters
live        widgets that compute while a reader moves them
builders    notebooks, scorecard and book
"""

import sysconfig
from pathlib import Path

from lightm.errors import LightMError

# The clone of the repository: the one that this package lies in, or, if it was installed from a wheel (as in Colab),
# the working folder or, for a chapter, the folder above notebooks/. Without one, the records that were installed with
# the package stand in (pyproject.toml, data-files), or else the working folder.
_PLACES = (Path(__file__).resolve().parents[2], Path.cwd(), Path.cwd().parent)
_CLONES = [place for place in _PLACES if (place / "_toc.yml").is_file()]
_INSTALLED = Path(sysconfig.get_path("data"), "share", "lightm")
ROOT = _CLONES[0] if _CLONES else _INSTALLED if _INSTALLED.is_dir() else Path.cwd()


def need_clone(command: str) -> None:
    """LightMError unless there is a clone of the repository, which `command` works on."""
    if not _CLONES:
        raise LightMError(f"`{command}` works on a clone of the repository of lightm, and this is none: run it in one.")
