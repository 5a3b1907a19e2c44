"""lightm train: train the network of a recipe."""

import argparse
import json
import os
import sys
from pathlib import Path

from lightm.cli.parser import AddCommand
from lightm.cpu.cores import share_cores
from lightm.errors import LightMError


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    sub = command(
        "train",
        _run,
        "train the network of a recipe and score it on held-out cases",
        """\
Train the network that a recipe describes: one that comes with the package, by its name (--list
says which), or a file of your own. The run folder then holds

  config.toml  split.json      the recipe with every key, and which case was used for what
  last/  best/                 checkpoints: the newest, and the best on the validation cases
  log.csv  curves.png          one row per epoch, and their picture
  record.json                  everything measured, with the scores of each held-out test case

Ctrl-C stops after the current iteration and saves; --resume goes on from there (also after a
crash) and ends with the very weights that an uninterrupted run has. --from begins a new run with
the best weights of another one, on other data or for longer.""",
        """\
  lightm train smoke
  lightm train smoke --out runs/wide train.epochs=3 model.options.width=32
  lightm train smoke --resume
  lightm train smoke --from runs/smoke --out runs/longer
  lightm train released --rehearse      does that recipe work here? a minute on phantoms
  lightm train mine/recipe.toml         a recipe of yours; the record.json of a run is one, too""",
    )
    sub.add_argument("recipe", nargs="?", metavar="RECIPE", help="a name of --list, or the path of a recipe or record")
    sub.add_argument(
        "settings",
        nargs="*",
        default=[],
        metavar="key=value",
        help="change the recipe, e.g. optim.lr=1e-4",
    )
    sub.add_argument("--list", action="store_true", help="the recipes by name: what each is for, its data, its time")
    sub.add_argument("--out", type=Path, metavar="DIR", help="the run folder to make (default: runs/NAME)")
    sub.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    words = "begin with the best weights of that run, weights file or name"
    sub.add_argument("--from", type=Path, dest="start", metavar="RUN", help=words)
    sub.add_argument("--rehearse", action="store_true", help="the recipe on a few small phantoms, within a minute")
    sub.set_defaults(parser=sub)


def _list() -> None:
    from lightm.training.recipes import list_recipes

    recipes = list_recipes()
    widths = [max(map(len, column)) for column in zip(*((r.name, r.data) for r in recipes), strict=True)]
    for recipe in recipes:
        print(f"{recipe.name:<{widths[0]}}  {recipe.summary}")
        print(f"{'':<{widths[0]}}  data: {recipe.data:<{widths[1]}}  time: {recipe.time}")


def _run(args: argparse.Namespace) -> None:
    if args.list:
        return _list()
    if args.recipe is None:
        args.parser.error("name a recipe, such as smoke; `lightm train --list` has all")
    _train(args)


def _train(args: argparse.Namespace) -> None:
    import logging
    from dataclasses import replace

    from lightm.training.config import load_config

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    first = os.environ.get("RANK", "0") == "0"  # of several processes one reports
    logging.getLogger("lightm").setLevel(logging.INFO if first else logging.ERROR)
    if args.resume and args.start:
        raise LightMError("--resume goes on with the weights of its own run; leave out --from.")
    config = load_config(args.recipe, args.settings)
    name = f"{config.name}-rehearsal" if args.rehearse else config.name
    out = args.out or Path("runs") / name
    share_cores(earlier=_threads_of(out) if args.resume else None)  # before torch is imported

    from lightm.data.check.named import check_before_training, said_before_training
    from lightm.training.record import format_scores
    from lightm.training.shrink import SIZE, shrink
    from lightm.training.trainer import Trainer

    if args.rehearse:
        config = replace(shrink(config, SIZE[len(config.data.size)]), name=name)
    report = check_before_training(config.data.name, config.data.root, config.data.options)
    size = config.data.size if config.data.sampling == "whole" else ()
    for line in said_before_training(report, size) if report else ():
        print(f"lightm: {line}", file=sys.stderr)
    trainer = Trainer(config, out, resume=args.resume, start_from=args.start)
    log = logging.getLogger("lightm")
    if trainer.data.dataset.synthetic:
        log.info("The images are SYNTHETIC (%s): [data] in a recipe names others.", config.data.name)
    if start := trainer.start:
        new = f"; new are {', '.join(start['new'])}" if start["new"] else ""
        log.info("The weights are those of %s after epoch %d%s.", start["name"], start["epoch"], new)
    record = trainer.fit()
    if not trainer.first_process:
        return
    print(f"{out}: best validation DSC {record['best']['val_dsc']:.4f} in epoch {record['best']['epoch']}")
    for part, title in (("test", "test"), ("test_native", "test at native size")):
        if part in record:
            print(format_scores(title, record[part]))


def _threads_of(run: Path) -> int | None:
    """With how many threads a run was trained last; None where that can't be read, which is said later."""
    try:
        state = json.loads((run / "last" / "state.json").read_text(encoding="utf-8"))
        return int(state["position"]["sessions"][-1]["threads"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
