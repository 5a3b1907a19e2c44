"""Figures that compute while a reader moves their sliders.

In a notebook with a kernel they are ipywidgets; where a page is made of the notebook, the same drawing function gives
frames for a plain slider (`lightm_book.show.figures.frames_slider`), so that the page needs no kernel.

explorable.py   one figure, its settings, and the choice between the two
scan.py         what the state of a scan remembers at a pixel    (chapters 1 and 3)
learning.py     a small network that learns while one watches    (chapter 6)
cost.py         parameters, operations and memory of a network   (chapters 9 and 13)
"""

from lightm_book.live.cost import explore_counts, explore_memory
from lightm_book.live.explorable import Choose, Explorable, Slide
from lightm_book.live.learning import watch_learning
from lightm_book.live.scan import explore_scan

__all__ = [
    "Choose",
    "Explorable",
    "Slide",
    "explore_counts",
    "explore_memory",
    "explore_scan",
    "watch_learning",
]
