"""What an exported file says of its network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Card:
    """What a file says of its network, and what must be known to prepare images for it.

    classes: names of the label values 0, 1, …, background first. size: (H, W) or (H, W, Z) that it was trained at;
    images are resized to it. normalise: as in `lightm.data.transforms`. trained_on: the data, in a sentence, with its
    terms. facts: more rows of "About this network", or more metadata.
    Of a page: title, lead, what stands at the top, default from the classes; example, gray values 0 to 255 (H, W) of a
    picture that may be shipped, for a reader who has none.
    """

    classes: Sequence[str]
    size: tuple[int, int]
    normalise: str
    trained_on: str
    title: str = ""
    lead: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    example: np.ndarray | None = None
