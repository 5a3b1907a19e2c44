"""How far a recorded run is from the paper's settings. Only a run without any distance may decide on a printed number.

Most settings are in Section 3. What the text leaves open, and a run can't leave open, is that of the authors' trainers
(`CODE`): 250 iterations in each of the text's 100 epochs, the power 0.9 of the schedule, augmentation.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from lightm.training.config import config_hash
from lightm_book.paper.digits import numbers
from lightm_book.paper.settings import setting
from lightm_book.paper.sources import CODE, PUBLIC_CASES
from lightm_book.paper.tables import TABLES

Record = Mapping[str, Any]

PAPER_LOSS = "dice-ce"  # what recipes call cross entropy and Dice in equal parts


def iterations(record: Record) -> int:
    """Optimiser steps of a run, to its end."""
    return record["curve"][-1]["iteration"]


def paper_iterations(dims: int) -> int:
    """Steps of the paper's training: the text's epochs, each as long as in the authors' trainer."""
    return int(setting("epochs", dims).value[0] * numbers(CODE["iterations"].quote)[0])


def not_as_paper(record: Record, dims: int) -> list[str]:
    """What a run does not share with the paper's, such as "160 of 25,000 iterations"; empty: it is at its settings."""
    return list(_differences(record, record["config"], dims))


def scale(runs: Sequence[Record], dims: int) -> str:
    """The size of runs beside the paper's, in a few words: size, share of the iterations, seeds."""
    first, whole = runs[0], paper_iterations(dims)
    size = " × ".join(map(str, first["config"]["data"]["size"]))
    share = f"{100 * iterations(first) / whole:.2g}"
    seeds = len({run["seed"] for run in runs})
    return f"{size}, {share} % of the paper's iterations, {seeds} seed{'s' * (seeds > 1)}"


def _differences(record: Record, config: Mapping[str, Any], dims: int) -> Iterator[str]:
    data, optim, train = config["data"], config["optim"], config["train"]
    if config_hash(dict(config)) != record["config_sha256"]:
        yield "the recipe was changed after the run: config_sha256 is the hash of another"
    name, synthetic = record["data"]["name"], record["data"]["synthetic"]
    if synthetic or name not in {table.dataset for table in TABLES.values() if table.dims == dims}:
        yield f"data {name}{' (synthetic)' * synthetic}"
    yield from _split(record, data)

    size, used = [int(n) for n in setting("size", dims).value], list(data["size"])
    if used != size:
        yield f"size {' × '.join(map(str, used))}, not {' × '.join(map(str, size))}"
    done, whole, epochs = iterations(record), paper_iterations(dims), int(setting("epochs", dims).value[0])
    if done < whole or train["epochs"] != epochs:
        source = f"their trainer has {whole // epochs} in each of the text's {epochs} epochs"
        yield f"{done:,} of {whole:,} iterations ({source})"
    if train["iterations_per_epoch"] and done != train["epochs"] * train["iterations_per_epoch"]:
        yield f"the curve ends at iteration {done:,}, the recipe at {train['epochs'] * train['iterations_per_epoch']:,}"
    yield from _network(record, config, dims)

    batch = int(setting("batch size", dims).value[0])
    if train["batch_size"] != batch:
        yield f"batch size {train['batch_size']}, not {batch}"
    if optim["name"].lower() != setting("optimiser", dims).value.lower():
        yield f"optimiser {optim['name']}, not {setting('optimiser', dims).value}"
    rate = setting("learning rate", dims).value[0]
    if optim["lr"] != float(rate):
        yield f"learning rate {optim['lr']:g}, not {float(rate):g}"
    power = float(numbers(CODE["schedule"].quote)[-1])
    if optim["power"] != power:
        name = setting("schedule", dims).value
        yield f"schedule with power {optim['power']:g}, not {name} with {power:g} (the power: their trainer)"
    if optim["warmup"]:
        yield f"{optim['warmup']} iterations of warm-up, which neither the text nor their trainer has"
    # Older records don't name their loss: the package knew no other than cross entropy and Dice.
    for table in (record, train, optim):
        if table.get("loss", PAPER_LOSS) != PAPER_LOSS:
            yield f"loss {table['loss']}, not {setting('loss', dims).value}"
    if not data["augment"]:
        yield "no augmentation (their trainer has nnU-Net's)"


def _split(record: Record, data: Mapping[str, Any]) -> Iterator[str]:
    cases, public = record["data"]["cases"], PUBLIC_CASES.get(record["data"]["name"])
    ratio = [int(n) for n in setting("split", 2).value]
    total = sum(cases.values())
    if public and total != public:
        yield f"{total} of {public} cases"
    shares = [total * part / sum(ratio) for part in ratio]
    parts = [cases[part] for part in ("train", "val", "test")]
    off = any(abs(n - share) >= 1 for n, share in zip(parts, shares, strict=True))
    if off or list(data["ratios"]) != ratio:
        recipe, wanted = (":".join(map(str, numbers)) for numbers in (data["ratios"], ratio))
        yield f"split {':'.join(map(str, parts))} (recipe: {recipe}), not {wanted}"
    scored = len((record.get("test_native") or record["test"])["cases"])
    if scored != cases["test"]:
        yield f"scored on {scored} of {cases['test']} test cases"


def _network(record: Record, config: Mapping[str, Any], dims: int) -> Iterator[str]:
    name, found, classes = record["model"]["name"], record["model"]["params"], len(record["data"]["classes"])
    if config["model"]["name"] != name:
        yield f"network {name}, but the recipe says {config['model']['name']}"
    whole = network_parameters(name, dims, classes)
    if found not in whole:
        options = ", ".join(f"{key} {value}" for key, value in sorted(config["model"]["options"].items()))
        why = f" ({options})" if options else ""
        yield f"a network of {found / 1e6:.2f}M parameters{why}, not {whole[0] / 1e6:.2f}M"


@lru_cache(maxsize=64)
def network_parameters(name: str, dims: int, classes: int) -> tuple[int, ...]:
    """Parameters of a network as large as in the tables, for images of three channels and of one."""
    import torch

    from lightm.models import build_model

    with torch.device("meta"):
        networks = [build_model(name, dims, channels, classes) for channels in (3, 1)]
    return tuple(sum(p.numel() for p in network.parameters()) for network in networks)
