"""lightm data: which data sets there are, whether one is whole, and how one gets here."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lightm.cli.parser import AddCommand
from lightm.errors import LightMError, suggest

if TYPE_CHECKING:
    from lightm.data import DatasetInfo


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    data = command(
        "data",
        lambda args: data.error("say what to do: list, verify or fetch"),
        "which data sets are here, and whether they are whole",
        "List the data sets that a recipe can name, check one (hash its files, read every case), or get one.",
        """\
  lightm data list
  lightm data verify montgomery-shenzhen
  lightm data verify folder --root mine
  lightm data fetch montgomery-shenzhen --out data/cxr""",
    )
    kinds = data.add_subparsers(metavar="WHAT", title="what to do")
    kinds.add_parser("list", help="the data sets, and which are here").set_defaults(run=_list)
    verify = kinds.add_parser("verify", help="check the files of one and read every case")
    verify.add_argument("name", metavar="NAME", help="a data set of `lightm data list`")
    verify.add_argument(
        "--root", type=Path, metavar="DIR", help="its folder (default: the usual place under LIGHTM_DATA)"
    )
    verify.set_defaults(run=_verify, parser=verify)
    fetch = kinds.add_parser("fetch", help="get the files of one and check them")
    fetch.add_argument("name", metavar="NAME", help="a data set of `lightm data list`")
    fetch.add_argument("--out", type=Path, metavar="DIR", help="the folder to make (default: under LIGHTM_DATA)")
    fetch.add_argument("--archive", type=Path, metavar="PATH", help="what you downloaded by hand")
    fetch.set_defaults(run=_fetch, parser=fetch)


def found(info: "DatasetInfo") -> tuple[str, str]:
    """Whether a data set is there, and what it is or how to get it, in a few words."""
    from lightm.data import load_dataset

    if info.name == "folder":
        return "yours", info.summary
    try:
        return "ready", f"{info.summary}; {len(load_dataset(info.name))} cases"
    except LightMError as error:
        damaged = "damaged" in str(error) or "missing in" in str(error)
        return "damaged" if damaged else "missing", f"{info.summary}; get it: lightm data fetch {info.name}"


def _list(args: argparse.Namespace) -> None:
    from lightm.data import list_datasets

    for info in list_datasets():
        print(f"{info.name:<20} {' '.join(f'{cell:<8}' for cell in found(info))}")


def _verify(args: argparse.Namespace) -> None:
    from lightm.data import load_dataset
    from lightm.training.logs import Counting

    dataset, reading = load_dataset(args.name, root=args.root), Counting("reading")
    for done, case_id in enumerate(dataset.case_ids, start=1):
        dataset.read(case_id)  # LightMError names what is missing or damaged
        reading(done, len(dataset))
    print(f"{args.name}: {len(dataset)} cases are whole; fingerprint {dataset.fingerprint()}")


_PLACES = {"montgomery-shenzhen": "cxr", "hippocampus": "Task04_Hippocampus", "lits": "Task03_Liver"}


def _fetch(args: argparse.Namespace) -> None:
    from lightm.data import download, load_dataset

    if args.name not in _PLACES:
        raise LightMError(f"There is no data set {args.name!r} to fetch. {suggest(args.name, _PLACES)}")
    home = os.environ.get("LIGHTM_DATA")
    if args.out is None and not home:
        raise LightMError("LIGHTM_DATA is not set: type `export LIGHTM_DATA=FOLDER`, or name the folder with --out.")
    out = args.out or Path(home).expanduser() / _PLACES[args.name]
    if args.name == "montgomery-shenzhen":
        download.build_xrays(args.archive or download.fetch_xrays(), out)
    else:
        download.fetch_decathlon(_PLACES[args.name], out, args.archive)
    data = load_dataset(args.name, root=out)
    print(f"{out}: {data!r}\n{data.source}")
