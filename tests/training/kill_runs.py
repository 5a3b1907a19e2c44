"""Kill a training run with SIGKILL at random instants, resume it, and compare what it leaves with an unbroken run.

    python tests/training/kill_runs.py                     # 30 runs, each killed once or more and resumed
    python tests/training/kill_runs.py --processes 2 --times 5

A run is `Trainer(...).fit()` in a process of its own (Linux: it is forked, so that nothing but the training takes
time), on a few phantoms of 16 x 16 pixels. The instants are uniform over the time that an unbroken run takes, from its
first line to its last; so many fall between two checkpoints, some into the writing of one, some into the scoring.
Compared are the bytes of the weights and of the optimiser, the log without its times, and the record's scores.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import accelerate
import torch
import torch._dynamo  # once, not in each process

from lightm.training.config import Config, config_from_dict
from lightm.training.trainer import Trainer

TIMES = ("seconds", "images_per_second")
FILES = ("last/model.safetensors", "last/optimizer.safetensors", "best/model.safetensors")


def recipe(workers: int) -> Config:
    """Seconds of training, most of them checkpoints."""
    return config_from_dict(
        {
            "name": "kill-test",
            "data": {"size": [16, 16], "options": {"cases": 20, "size": 16}},
            "model": {"options": {"width": 8, "depths": [1], "bottleneck_depth": 1, "d_state": 4}},
            "optim": {"lr": 0.03, "warmup": 3, "clip": 1.0},
            "train": {"epochs": 4, "batch_size": 4, "iterations_per_epoch": 5, "workers": workers},
        }
    )


def train(config: Config, out: Path) -> None:
    """Start the run, or go on with it where it has been started."""
    torch.set_num_threads(1)
    Trainer(config, out, resume=out.exists(), quiet=True).fit()


def start(config: Config, out: Path, processes: int) -> int:
    """A process group that trains; returns its number."""
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        if processes == 1:
            train(config, out)
        else:
            accelerate.debug_launcher(train, args=(config, out), num_processes=processes)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def finish(group: int) -> None:
    """Wait for its end; stop with its status if it failed."""
    status = os.waitstatus_to_exitcode(os.waitpid(group, 0)[1])
    if status:
        sys.exit(f"A run ended with status {status}.")


def kill(group: int, seconds: float) -> bool:
    """Kill all its processes that many seconds from now; whether there was still something to kill."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(group, os.WNOHANG)[0]:
            return False
        time.sleep(min(0.002, max(0, end - time.monotonic())))
    os.killpg(group, signal.SIGKILL)
    os.waitpid(group, 0)
    return True


def left_by(out: Path) -> dict[str, object]:
    """What must not depend on how often a run was killed."""
    found: dict[str, object] = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in FILES}
    with open(out / "log.csv", newline="", encoding="utf-8") as file:
        found["log.csv"] = [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]
    record = json.loads((out / "record.json").read_text(encoding="utf-8"))
    found["scores"] = [record[part] for part in ("test", "test_native", "best")]
    found["files"] = sorted(path.name for path in out.iterdir() if not path.name.endswith(".previous"))
    found["beside"] = sorted(path.name for path in out.parent.iterdir() if path.name.startswith("."))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30, help="runs to kill (default: 30)")
    parser.add_argument("--processes", type=int, default=1, help="of each run, which share its batches (gloo)")
    parser.add_argument("--workers", type=int, default=0, help="that prepare data")
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    args = parser.parse_args()
    config, rng, kills, worst = recipe(args.workers), random.Random(args.seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        (whole := Path(folder) / "whole" / "run").parent.mkdir()
        finish(start(config, whole, args.processes))
        lasts, expected = time.monotonic() - began, left_by(whole)
        print(f"an unbroken run takes {lasts:.1f} s")
        for number in range(args.times):
            (out := Path(folder) / str(number) / "run").parent.mkdir()
            instants = []
            while len(instants) < 20 and (not instants or rng.random() < 0.5):  # some are killed again
                instants.append(rng.uniform(0, lasts))
                if not kill(start(config, out, args.processes), instants[-1]):
                    break
                kills += 1
            finish(start(config, out, args.processes))
            found = left_by(out)
            different = [name for name, value in expected.items() if found[name] != value]
            worst += bool(different)
            shown = ", ".join(f"{seconds:.2f} s" for seconds in instants)
            verdict = f"DIFFERENT: {', '.join(different)}" if different else "the same"
            print(f"{number + 1}: killed after {shown}: {verdict}", flush=True)
    print(f"{args.times} runs, {kills} kills, {worst} that differ from an unbroken run")
    sys.exit(worst > 0)


if __name__ == "__main__":
    main()
