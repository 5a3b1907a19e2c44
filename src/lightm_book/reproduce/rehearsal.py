"""The pieces of a plan at a tiny size, through the very same code: does it work, before a GPU is rented?"""

from dataclasses import replace

from lightm.data import load_dataset
from lightm.errors import LightMError
from lightm.training.config import Config
from lightm.training.shrink import shrink
from lightm_book.reproduce.plan import TRAINED, Piece

SIZE = {2: 32, 3: 16}
CHECK = {"shapes": [(1, 4, 64, 4)], "runs": 2, "dtypes": ["float32"]}
BENCH_SCAN = {
    "shapes": [(1, 16, 1024, 4)],
    "peer_names": ["associative_scan"],
    "repeats": 1,
    "memory": False,
    "patience": 1.0,
}
BENCH_STEP = {
    "size": [32, 32],
    "batch": 1,
    "peer_names": (),
    "repeats": 1,
    "memory": False,
    "parts": False,
    "patience": 1.0,
}


def rehearsed(pieces: list[Piece], with_data: bool) -> list[Piece]:
    """Tiny pieces of the same names and kinds, one of those that differ in the seed alone.

    with_data: X-rays where the plan has them, else phantoms.
    """
    first = {piece.pace: piece for piece in reversed(pieces)}
    return [_tiny(piece, with_data) for piece in pieces if first[piece.pace] is piece]


def xrays_are_here(root: str | None = None) -> bool:
    """Whether the data set of the paper's 2D table can be read here."""
    try:
        load_dataset("montgomery-shenzhen", root=root)
    except LightMError:
        return False
    return True


def _tiny(piece: Piece, with_data: bool) -> Piece:
    if piece.kind in TRAINED:
        return replace(piece, config=_tiny_run(piece.config, with_data), minutes=0.05)
    if piece.kind == "check":
        return replace(piece, options=CHECK, minutes=0.05)
    if piece.kind == "bench-scan":
        return replace(piece, options=BENCH_SCAN, minutes=0.05)
    return replace(piece, options=BENCH_STEP | {"width": 8, "depths": [1], "bottleneck_depth": 1}, minutes=0.05)


def _tiny_run(config: Config, with_data: bool) -> Config:
    real = with_data and config.data.name == "montgomery-shenzhen"
    size = SIZE[len(config.data.size)]
    return shrink(config, size, cases=10, iterations=2, narrow=True, phantoms=not real)
