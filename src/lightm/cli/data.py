"""lightm data: which data sets there are, and whether one is whole."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lightm.cli.parser import AddCommand
from lightm.errors import LightMError

if TYPE_CHECKING:
    from lightm.data import DatasetInfo


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    data = command(
        "data",
        lambda args: data.error("say what to do: list or verify"),
        "which data sets are here, and whether they are whole",
        "List the data sets that a recipe can name, or check one: hash its files and read every case.",
        """\
  lightm data list
  lightm data verify montgomery-shenzhen
  lightm data verify folder --root mine""",
    )
    kinds = data.add_subparsers(metavar="WHAT", title="what to do")
    kinds.add_parser("list", help="the data sets, and which are here").set_defaults(run=_list)
    verify = kinds.add_parser("verify", help="check the files of one and read every case")
    verify.add_argument("name", metavar="NAME", help="a data set of `lightm data list`")
    verify.add_argument(
        "--root", type=Path, metavar="DIR", help="its folder (default: the usual place under LIGHTM_DATA)"
    )
    verify.set_defaults(run=_verify, parser=verify)


def found(info: "DatasetInfo") -> tuple[str, str]:
    """Whether a data set is there, and what it is or how to get it, in a few words."""
    from lightm.data import load_dataset

    if info.name == "folder":
        return "yours", info.summary
    try:
        return "ready", f"{info.summary}; {len(load_dataset(info.name))} cases"
    except LightMError as error:
        damaged = "damaged" in str(error) or "missing in" in str(error)
        script = f"python data_scripts/{info.name.replace('-', '_')}.py --help"
        return "damaged" if damaged else "missing", f"{info.summary}; get it: {script}"


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
