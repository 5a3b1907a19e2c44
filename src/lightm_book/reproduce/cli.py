"""lightm-book reproduce: the paper's experiments on a GPU, as far as the time reaches."""

import argparse
from pathlib import Path

from lightm.cli.parser import AddCommand
from lightm.errors import LightMError
from lightm_book import ROOT


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    sub = command(
        "reproduce",
        _run,
        "run the paper's experiments on a GPU, piece by piece",
        """\
Make what is pending of a plan (gpu, unless another is named), the most valuable first: is the scan right and
fast on this GPU, then the paper's Table 2 on its X-rays, then its ablations and what lies beyond.
Each piece takes minutes and leaves a record. A call can end at any time, by its budget, by Ctrl-C
or by a crash: the next one goes on where it stopped, also on another machine to which the folder
--out was copied (records/ and begun/ are enough).""",
        """\
  lightm-book reproduce --list                          what is done and what is pending
  lightm-book reproduce --rehearse                      all of it at a tiny size, on any CPU
  lightm-book reproduce --budget 30                     half an hour of work
  lightm-book reproduce --only table2-short --data xrays.zip""",
    )
    sub.add_argument("--list", action="store_true", help="the pieces, which are done, and how long the rest may take")
    sub.add_argument("--budget", type=float, metavar="MINUTES", help="stop by then, with a checkpoint (default: never)")
    sub.add_argument("--only", action="append", default=[], metavar="PATTERN", help="pieces whose name has this in it")
    sub.add_argument("--rehearse", action="store_true", help="tiny sizes on the CPU; phantoms if no X-rays are here")
    sub.add_argument("--out", type=Path, metavar="DIR", help="where it is made (default: runs/reproduce)")
    sub.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda; with --rehearse the CPU")
    sub.add_argument("--data", type=Path, metavar="PATH", help="the X-rays: their folder, or the packed file")
    sub.add_argument("--plan", default="gpu", metavar="PLAN", help="gpu (default), reduced, converged, or a file")


def _run(args: argparse.Namespace) -> None:
    import os

    from lightm_book.reproduce.plan import load_plan, select
    from lightm_book.reproduce.rehearsal import rehearsed, xrays_are_here
    from lightm_book.reproduce.session import reproduce, table
    from lightm_book.reproduce.workshop import Workshop

    pieces = select(load_plan(args.plan), args.only)
    device = args.device or ("cpu" if args.rehearse else "cuda")
    out = args.out or Path("runs") / ("rehearsal" if args.rehearse else "reproduce")
    if args.data is not None and not args.data.exists():
        raise LightMError(f"--data {args.data} is not there; correct the path.")
    if args.rehearse:
        pieces = rehearsed(pieces, xrays_are_here(str(args.data) if args.data else None))
    workshop = Workshop(out, None if args.rehearse else ROOT / "results")
    if args.list:
        print(table(pieces, workshop))
        return
    if device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    reproduce(pieces, workshop, device, args.budget, args.data)
