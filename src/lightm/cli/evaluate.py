"""lightm evaluate: score a trained network on its held-out cases again, or any two folders of masks."""

import argparse
from pathlib import Path

from lightm.cli.parser import AddCommand, add_run
from lightm.cpu.cores import share_cores
from lightm.errors import LightMError


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    sub = command(
        "evaluate",
        _run,
        "score a trained network on its held-out cases, or any two folders of masks",
        """\
Score the best weights of a run on a part of the run's own split (its split.json), at the
training size and at the size of the cases themselves. The data must be the same as in training;
its fingerprint is checked.

With --predictions and --labels, score any masks, whoever made them, against those of the same name:
DSC, IoU, normalised surface distance, 95% Hausdorff distance, average symmetric surface distance and
relative volume difference, per case and class, with bootstrap intervals and counts of what has no score.

  DSC = 2 |P and T| / (|P| + |T|)     IoU = |P and T| / |P or T|     P predicted, T true voxels""",
        """\
  lightm evaluate runs/smoke
  lightm evaluate runs/smoke --split val --json scores.json
  lightm evaluate --predictions mine --labels labelsTs --html report.html
  lightm evaluate --predictions mine --labels labelsTs --against theirs --tolerance 2""",
    )
    add_run(sub, nargs="?")
    sub.add_argument("--split", choices=("train", "val", "test"), default="test", help="cases (default: test)")
    sub.add_argument("--root", type=Path, metavar="DIR", help="the data set's folder, if it has moved")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the scores of each case to this file")
    sub.add_argument("--force", action="store_true", help="replace such a file if it is there already")
    masks = sub.add_argument_group("two folders of masks")
    masks.add_argument("--predictions", type=Path, metavar="DIR", help="masks to score")
    masks.add_argument("--labels", type=Path, metavar="DIR", help="the true masks, under the same names")
    masks.add_argument("--against", type=Path, metavar="DIR", help="other predictions, for a paired test")
    masks.add_argument("--classes", nargs="+", metavar="CLASS", help="names of the labels 0, 1, ...")
    masks.add_argument("--tolerance", type=float, default=1.0, metavar="D", help="of the NSD (default: 1 mm or pixel)")
    masks.add_argument("--spacing", type=float, nargs="+", metavar="MM", help="of pictures, down and across")
    masks.add_argument("--accept-geometry", action="store_true", help="compare masks whose headers disagree")
    masks.add_argument("--html", type=Path, metavar="FILE", help="write a report page")


def _run(args: argparse.Namespace) -> None:
    for file in (args.json, args.html):
        if file and not file.parent.is_dir():
            raise LightMError(f"There is no folder {file.parent}; make it, or correct the path {file}.")
        if file and file.exists() and not args.force:
            raise LightMError(f"{file} is there already; choose another name, or replace it with --force.")
    if args.predictions or args.labels:
        if args.run_folder:
            raise LightMError("Give either a run folder or --predictions DIR and --labels DIR.")
        if not (args.predictions and args.labels):
            raise LightMError("To score masks name both --predictions DIR and --labels DIR.")
        _score_folders(args)
    elif args.html or args.against:
        raise LightMError(f"--{'html' if args.html else 'against'} goes with --predictions DIR and --labels DIR.")
    elif args.run_folder is None:
        raise LightMError("To score something name a run folder, or --predictions DIR and --labels DIR.")
    else:
        _score_run(args)


def _score_run(args: argparse.Namespace) -> None:
    share_cores()  # before torch is imported
    from lightm.files import write_json
    from lightm.inference import evaluate_run
    from lightm.training.logs import CaseProgress
    from lightm.training.record import format_scores

    if args.json and args.json.resolve().parent == args.run_folder.resolve() and args.json.exists():
        raise LightMError(f"{args.json} is a file of the run itself; choose another name.")
    reading, scoring = CaseProgress("reading"), CaseProgress("scoring")
    result = evaluate_run(args.run_folder, args.split, args.root, reading, scoring)
    if args.json:
        write_json(result, args.json)
    print(f"{args.run_folder}: weights of epoch {result['epoch']} on {result['dataset']}")
    size = result["scores"]["size"]
    if size != "native":
        size = size if isinstance(size, str) else " x ".join(map(str, size))
        print(format_scores(f"{args.split} at {size}", result["scores"]))
    print(format_scores(f"{args.split} at native size", result["native"]))


def _score_folders(args: argparse.Namespace) -> None:
    from lightm.evaluation import compare_folders, evaluate_folders
    from lightm.evaluation.page import page
    from lightm.evaluation.summary import text, to_json
    from lightm.files import whole_file

    for file in (args.json, args.html):
        if file and file.exists() and not _ours(file):
            raise LightMError(f"{file} is there already and is no report of this command; choose another name.")
    options = (args.classes, args.tolerance, args.spacing, args.accept_geometry)
    result = evaluate_folders(args.predictions, args.labels, *options)
    if args.against:
        other = evaluate_folders(args.against, args.labels, *options)
        result["comparison"] = compare_folders(result, other)
    for file, write in ((args.json, to_json), (args.html, lambda found: page(found, args.accept_geometry))):
        if file:
            with whole_file(file) as temporary:
                temporary.write_text(write(result), encoding="utf-8")
    print(text(result))


def _ours(file: Path) -> bool:
    """Whether a file is an earlier report, which may be replaced; anything else may be someone's work."""
    with file.open("rb") as stream:
        start = stream.read(200)
    return start.startswith(b'{\n "predictions"') or b"Content-Security-Policy" in start
