"""lightm evaluate: score a trained network on its held-out cases again."""

import argparse
from pathlib import Path

from lightm.cli.parser import AddCommand
from lightm.errors import LightMError


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    sub = command(
        "evaluate",
        _run,
        "score a trained network on its held-out cases again",
        """\
Score the best weights of a run on a part of the run's own split (its split.json), at the
training size and at the size of the cases themselves. The data must be the same as in training;
its fingerprint is checked.

  DSC = 2 |P and T| / (|P| + |T|)     IoU = |P and T| / |P or T|     P predicted, T true voxels""",
        """\
  lightm evaluate runs/smoke
  lightm evaluate runs/smoke --split val --json scores.json""",
    )
    sub.add_argument("run_folder", type=Path, metavar="RUN", help="a folder that `lightm train` made")
    sub.add_argument("--split", choices=("train", "val", "test"), default="test", help="cases (default: test)")
    sub.add_argument("--root", type=Path, metavar="DIR", help="the data set's folder, if it has moved")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the scores of each case to this file")


def _run(args: argparse.Namespace) -> None:
    from lightm.files import write_json
    from lightm.inference import evaluate_run
    from lightm.training.logs import Counting
    from lightm.training.record import format_scores

    if args.json and not args.json.parent.is_dir():
        raise LightMError(f"There is no folder {args.json.parent}; make it, or correct the path {args.json}.")
    reading, scoring = Counting("reading"), Counting("scoring")
    result = evaluate_run(args.run_folder, args.split, args.root, reading, scoring)
    if args.json:
        write_json(result, args.json)
    print(f"{args.run_folder}: weights of epoch {result['epoch']} on {result['dataset']}")
    size = " x ".join(map(str, result["scores"]["size"]))
    print(format_scores(f"{args.split} at {size}", result["scores"]))
    print(format_scores(f"{args.split} at native size", result["native"]))
