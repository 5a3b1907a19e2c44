"""Which learning rate suits every network? experiments/strong.toml at a small size, scored on the validation cases.

    python -m lightm_book.reproduce.learning_rates --json results/learning-rates.json

LIGHTM_DATA must be set; a run takes minutes on a CPU. Each run is `strong` with 64 x 64 pixels and a few epochs: enough
to see which rates diverge and which are too slow, and no more than that. The test cases are not looked at. A run that
is there already is not run again, so that the script can be stopped and started at will.
"""

import argparse
import json
from pathlib import Path

from lightm.files import write_json
from lightm.models import options_for_size
from lightm.training.config import load_config
from lightm.training.losses import NonFiniteLoss
from lightm.training.trainer import Trainer
from lightm_book import ROOT

RECIPE = ROOT / "experiments" / "strong.toml"
NETWORKS = ("lightm-unet", "segresnet", "nnunet")
RATES = (3e-4, 1e-3, 3e-3)
SMALL = (
    "data.size=[64, 64]",
    "train.epochs=3",
    "train.iterations_per_epoch=60",
    "train.batch_size=4",
    "optim.warmup=20",
    "eval.native=false",
)


def run(model: str, rate: float, seed: int, folder: Path) -> dict:
    """One run as a row of the table: settings, and loss and DSC on the validation cases by epoch."""
    config = load_config(RECIPE, (*SMALL, f"model.name={model}", f"optim.lr={rate}", f"train.seed={seed}"))
    config.model.options.update(options_for_size(model, config.data.size))
    out = folder / f"{model}-{rate:g}-{seed}"
    row = {"model": model, "lr": rate, "seed": seed, "config": config.public()}
    try:
        record = Trainer(config, out, resume=(out / "last").exists()).fit()
    except NonFiniteLoss as error:
        return {**row, "diverged": str(error)}
    curve = [{key: line[key] for key in ("epoch", "train_loss", "val_loss", "val_dsc")} for line in record["curve"]]
    data = {key: record["data"][key] for key in ("fingerprint", "split_sha256")}
    return {**row, "data": data, "curve": curve, "best": record["best"], "environment": record["environment"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="the table to extend")
    parser.add_argument("--out", type=Path, default=Path("runs/learning-rates"), help="where the runs are left")
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    rows = json.loads(args.json.read_text(encoding="utf-8")) if args.json.exists() else []
    there = {(row["model"], row["lr"], row["seed"]) for row in rows}
    for seed in range(args.seeds):
        for model in NETWORKS:
            for rate in RATES:
                if (model, rate, seed) not in there:
                    rows.append(run(model, rate, seed, args.out))
                    write_json(rows, args.json)
    for row in rows:
        score = f"{row['best']['val_dsc']:.4f}" if "best" in row else "diverged"
        print(f"{row['model']:<14} lr {row['lr']:<8g} seed {row['seed']}  best validation DSC {score}")


if __name__ == "__main__":
    main()
