"""Evidence for the checks of lightm_book.paper other than what is there: altered tables, made-up networks."""

import dataclasses
from types import SimpleNamespace

from lightm.training.config import config_from_dict, config_hash
from lightm_book.paper import CLAIMS, NETWORKS_OF_ROW, TABLES, Cell, Evidence, Verdict, setting
from lightm_book.paper.distance import network_parameters
from lightm_book.paper.evidence import Networks
from lightm_book.paper.tables import GFLOPS, OURS, PARAMS

PRINTED = Evidence()  # the tables as printed, our own networks, no records


class FakeNetworks(Networks):
    """Networks made of given tensor shapes and counts."""

    def __init__(self, shapes=(), counts=()):
        self.given, self.counts = dict(shapes), dict(counts)

    @property
    def names(self):
        return frozenset({*self.given, *(name for name, _ in self.counts)})

    def shapes(self, name, dims):
        return self.given[name]

    def count(self, name, dims, size=None):
        return self.counts[name, size or dims]


def altered(*changes: tuple[int, str, str, str]) -> Evidence:
    """The printed evidence with other numbers in some cells."""
    tables = dict(TABLES)
    for number, row, column, text in changes:
        cells = dict(tables[number].cells)
        assert (row, column) in cells
        cells[row, column] = Cell(number, row, column, text)
        tables[number] = dataclasses.replace(tables[number], cells=cells)
    return Evidence(tables=tables, networks=PRINTED.networks)


def verdict(id: str, evidence: Evidence = PRINTED, quote: str | None = None) -> Verdict:
    claim = CLAIMS[id] if quote is None else dataclasses.replace(CLAIMS[id], quote=quote)
    return claim.judge(evidence).verdict


def counted(change=lambda row: {}, text=lambda name, dims: (2_549_024, 25 * 10**9)) -> Evidence:
    """A count record that fits the tables, with true counts half of thop's, after `change` of each row.

    text: parameters and MACs of the text's network and of its variants.
    """
    rows = {}
    for number, table in TABLES.items():
        for name in table.rows:
            params, batch = int(table[name, PARAMS] * 10**6), int(setting("batch size", table.dims).value[0])
            macs = int(table[name, GFLOPS] * 10**9) // batch
            row = {"table": number, "row": name, "model": "a-model", "dims": table.dims, "batch": batch}
            row |= {"thop_params": params, "thop_macs": macs, "params": params // 2, "macs": macs // 2}
            rows[number, name] = row | change(row)
    names = ("lightm-unet", "paper-conv3", "paper-attention")
    counts = {}
    for name in names:
        for dims in (2, 3):
            params, macs = text(name, dims)
            counts[name, dims] = SimpleNamespace(params=params, macs=macs)
    return Evidence(counting=rows, networks=FakeNetworks(counts=counts))


def run(row: str = OURS, shift: float = 0.0, seed: int = 0, spread: float = 0.02, **changes) -> dict:
    """The record of a run on Table 2's data at the paper's settings, its mean the printed one plus `shift` points.

    changes: settings of the recipe, such as data_size=[64, 64]; they are in the record's hash.
    """
    name, cases = NETWORKS_OF_ROW[row][0], {"train": 493, "val": 70, "test": 141}
    recipe = {
        "data": {"name": "montgomery-shenzhen", "size": [512, 512]},
        "model": {"name": name},
        "optim": {"name": "sgd", "lr": 1e-4},
        "train": {"batch_size": 12, "epochs": 100, "iterations_per_epoch": 250, "seed": seed},
    }
    for key, value in changes.items():
        section, setting = key.split("_", 1)
        recipe[section][setting] = value
    config = config_from_dict({"name": f"{name}-{seed}", **recipe}).public()
    train = config["train"]
    steps = train["epochs"] * (train["iterations_per_epoch"] or cases["train"] // train["batch_size"])
    printed = {"dsc": TABLES[2][row, "DSC"], "iou": TABLES[2][row, "mIoU"]}
    level = {key: float(value) / 100 + shift / 100 + 0.0003 * (seed - 1) for key, value in printed.items()}
    scored = [
        {"case": str(i), **{key: {"lung": mean + spread * (-1) ** i * (i > 0)} for key, mean in level.items()}}
        for i in range(cases["test"])
    ]
    rows = [{"epoch": round(train["epochs"] * part), "iteration": round(steps * part)} for part in (0.5, 1)]
    return {
        "config": config,
        "config_sha256": config_hash(config),
        "seed": seed,
        "data": {
            "name": config["data"]["name"],
            "synthetic": False,
            "classes": ["background", "lung"],
            "cases": cases,
            "fingerprint": "f",
            "split_sha256": "s",
        },
        "model": {"name": name, "params": network_parameters(name, 2, 2)[1]},
        "environment": {"hardware": {"cpu": "a processor", "gpu": None}},
        "cost": {"wall_seconds": 3600.0},
        "curve": [r | {"val_dsc": 0.9, "val_dsc_native": 0.9, "val_loss": 0.1, "seconds": 1.0} for r in rows],
        "test": {"cases": []},
        "test_native": {"cases": scored},
    }


def with_runs(*records: dict, networks: Networks | None = None) -> Evidence:
    """Evidence of these runs."""
    names = [f"results/runs/{i}-{r['model']['name']}-seed{r['seed']}.json" for i, r in enumerate(records)]
    return Evidence(runs=dict(zip(names, records, strict=True)), networks=networks or PRINTED.networks)
