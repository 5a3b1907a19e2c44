"""lightm_book: what the book needs beside `lightm`, which never imports it. On the command line: `lightm-book`.

show        figures, sliders, and the source that a page displays
paper       the paper's tables and statements as data, and what we find of them
counting    counted and not run: the paper's tables, the memory of a training step
compare     records of runs to verdicts
bench       the scan and a training step timed beside other software
reproduce   the paper's experiments, piece by piece
builders    notebooks, scorecard and book
"""

from pathlib import Path

# The checkout: the one that this package lies in, or, if it was installed from a wheel, the working folder's.
_PLACES = (Path(__file__).resolve().parents[2], Path.cwd(), Path.cwd().parent)
ROOT = next((place for place in _PLACES if (place / "_toc.yml").is_file()), Path.cwd())
