"""The settings of Section 3, each read from the sentence that states it."""

from dataclasses import dataclass
from decimal import Decimal

from lightm_book.paper.digits import numbers


@dataclass(frozen=True)
class Setting:
    """`dims`: the version(s) of the network that it holds for. `word`: the value of a setting that is no number."""

    name: str
    dims: tuple[int, ...]
    quote: str
    word: str = ""

    @property
    def value(self) -> tuple[Decimal, ...] | str:
        """The numbers in the quote, in order, or the word."""
        return self.word or numbers(self.quote)


BOTH = (2, 3)
SETTINGS: tuple[Setting, ...] = (
    Setting("split", BOTH, "training, validation, and testing sets in a ratio of 7:1:2"),
    Setting("framework", BOTH, "implemented using the PyTorch framework", "PyTorch"),
    Setting("depths", BOTH, "RVM Layers in the three Encoder Blocks is set as 1, 2, and 2"),
    Setting("gpu", BOTH, "All experiments were conducted on a single Quadro RTX 8000 GPU", "Quadro RTX 8000"),
    Setting("optimiser", BOTH, "SGD was employed as the optimizer", "SGD"),
    Setting("learning rate", BOTH, "initialized with a learning rate of 1e-4"),
    Setting("schedule", BOTH, "The PolyLRScheduler was used as the scheduler", "PolyLRScheduler"),
    Setting("epochs", BOTH, "a total of 100 epochs were trained"),
    Setting("loss", BOTH, "a simple combination of Cross Entropy loss and Dice loss", "Cross Entropy and Dice"),
    Setting("size", (3,), "the images were normalized and resized to 128 × 128 × 128"),
    Setting("batch size", (3,), "with a batch size of 2"),
    Setting("size", (2,), "the images were normalized and resized to 512 × 512"),
    Setting("batch size", (2,), "with a batch size of 12"),
)


def setting(name: str, dims: int) -> Setting:
    """The setting `name` of the 2D or 3D version.

    >>> setting("size", 2).value
    (Decimal('512'), Decimal('512'))
    """
    return next(s for s in SETTINGS if s.name == name and dims in s.dims)
