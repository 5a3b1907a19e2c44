"""The pieces of a plan at a tiny size, through the very same code: does it work, before a GPU is rented?"""

from dataclasses import replace

from lightm.data import load_dataset
from lightm.errors import LightMError
from lightm.models import list_models, options_for_size
from lightm.training.config import Config, config_from_dict
from lightm_book.reproduce.plan import TRAINED, Piece

SIZE = {2: 32, 3: 16}
PHANTOMS = {2: "phantom-cxr", 3: "phantom-ct"}
CASES, EPOCHS, ITERATIONS, BATCH = 10, 2, 2, 2

# Options that shrink a network; each is used where the network has it, as one number (not as one per level).
SMALL = {
    "width": 8,
    "init_filters": 8,
    "feature_size": 12,
    "hidden_size": 48,
    "mlp_dim": 48,
    "num_heads": 3,
    "bottleneck_depth": 1,
}
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
    dims = len(config.data.size)
    size = 64 if config.model.name == "swin-unetr" else SIZE[dims]  # it halves five times, and norms what is left
    table = config.to_dict()
    real = with_data and config.data.name == "montgomery-shenzhen"
    if not real:
        options = {"cases": CASES, "size": size}
        table["data"] |= {"name": PHANTOMS[dims], "split": "", "options": options, "normalise": "auto"}
    table["data"] |= {"size": [size] * dims, "root": ""}
    known = next((info.options for info in list_models() if info.name == config.model.name), {})
    small = {key: value for key, value in SMALL.items() if isinstance(known.get(key), type(value))}
    table["model"]["options"] = config.model.options | small | options_for_size(config.model.name, (size,) * dims)
    table["optim"]["warmup"] = min(config.optim.warmup, 1)
    table["train"] |= {"epochs": EPOCHS, "iterations_per_epoch": ITERATIONS, "batch_size": BATCH, "accumulate": 1}
    table["eval"]["batch_size"] = BATCH
    return config_from_dict(table, folder=config.folder)
