"""Records with made-up scores: the parts of a record that tables and verdicts read."""

from lightm.training.config import config_from_dict


def record(model="lightm-unet", seed=0, dsc=(0.9, 0.8, 0.7), options=None, lr=1e-3, curve=None, **train):
    """A run of 10 epochs of 100 iterations on 80 cases. curve: epoch -> validation DSC at native size."""
    config = {
        "name": f"{model}-{seed}",
        "data": {"name": "montgomery-shenzhen", "size": [64, 64]},
        "model": {"name": model, "options": options or {}},
        "optim": {"lr": lr},
        "train": {"seed": seed, "epochs": 10, "iterations_per_epoch": 100} | train,
    }
    cases = [{"case": f"c{i}", "dsc": {"lung": d}, "iou": {"lung": d / (2 - d)}} for i, d in enumerate(dsc)]
    curve = curve or {1: 0.5, 8: 0.9, 10: 0.9}
    rows = [
        {"epoch": e, "val_dsc": v - 0.1, "val_dsc_native": v, "val_loss": 1 - v, "seconds": 30.0 + e}
        for e, v in curve.items()
    ]
    return {
        "config": config_from_dict(config).public(),
        "seed": seed,
        "data": {
            "name": "montgomery-shenzhen",
            "synthetic": False,
            "fingerprint": "f",
            "split_sha256": "s",
            "cases": {"train": 80, "val": 10, "test": len(cases)},
        },
        "model": {"name": model, "params": 1000, "scan": "cpu"},
        "cost": {"wall_seconds": 90.0, "peak_memory_bytes": 2**30},
        "curve": rows,
        "test": {"cases": [case | {"dsc": {"lung": 0.0}} for case in cases]},  # the training size: never to be read
        "test_native": {"cases": cases},
    }


def runs(model, *means, spread=0.1, **others):
    """A record for each mean DSC, with seeds 0, 1, ...: name -> record."""
    made = {}
    for seed, mean in enumerate(means):
        name = f"{model}{others.get('options') or ''}-{seed}"
        made[name] = record(model, seed, (mean - spread, mean, mean + spread), **others)
    return made
