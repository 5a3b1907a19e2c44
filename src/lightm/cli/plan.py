"""lightm plan: a first recipe for own data."""

import argparse
from pathlib import Path

from lightm.cli.parser import AddCommand
from lightm.errors import LightMError


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    sub = command(
        "plan",
        _run,
        "look at your data and write a first recipe for it",
        """\
Read every file of a folder (as `lightm data verify` does), and write a recipe that suits what is there:
size or patches, normalisation, spacing, loss, and the network and batch that fit into the memory of this
machine. Comments in it say why; change what you know better.""",
        """\
  lightm plan mine                    writes mine.toml
  lightm train mine.toml
  lightm plan mine --out first.toml --memory 8 --threshold 127""",
    )
    sub.add_argument("name", metavar="FOLDER", help="your folder, or a data set of `lightm data list`")
    sub.add_argument("--out", type=Path, metavar="FILE", help="the recipe to write (default: FOLDER's name .toml)")
    sub.add_argument("--memory", type=float, metavar="GB", help="what a training may use (default: half of it)")
    sub.add_argument("--classes", nargs="+", metavar="CLASS", help="names of the labels 0, 1, ... of a folder")
    sub.add_argument("--threshold", type=float, metavar="GRAY", help="masks with soft edges: 1 above it")
    sub.add_argument("--channels", type=int, choices=(1, 3), help="read pictures as gray (1) or colour (3)")
    sub.add_argument("--force", action="store_true", help="replace FILE if it is there already")


def _run(args: argparse.Namespace) -> None:
    from lightm.data import list_datasets
    from lightm.files import whole_file
    from lightm.training.plan import Machine, plan

    if args.memory is not None and not 0.1 <= args.memory <= 10_000:
        raise LightMError(f"--memory {args.memory:g} must be gigabytes, from 0.1 to 10000.")
    known = args.name in {info.name for info in list_datasets()} - {"folder"}
    folder = Path(args.name).expanduser()
    out = args.out or Path(f"{args.name if known else folder.absolute().name}.toml")
    if out.suffix != ".toml":
        raise LightMError(f"{out}: a recipe's name ends in .toml.")
    if not out.parent.is_dir():
        raise LightMError(f"There is no folder {out.parent}; make it, or correct the path {out}.")
    if out.exists() and not args.force:
        raise LightMError(f"{out} is there already; choose another name (--out), or replace it with --force.")
    options = {key: getattr(args, key) for key in ("classes", "threshold", "channels")}
    options = {key: value for key, value in options.items() if value is not None}
    machine = Machine.here(args.memory and int(args.memory * 1e9))
    text = plan(args.name if known else "folder", "" if known else str(folder), options, machine)
    with whole_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"{text}\n{out} is written. Next: lightm train {out}")
