"""lightm data: list, check, show and fetch data sets, or check a folder of one's own."""

import argparse
import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from lightm.cli.parser import AddCommand, Parser
from lightm.errors import LightMError

if TYPE_CHECKING:
    from lightm.data import DatasetInfo


def add(command: AddCommand) -> None:
    """Declare the command, its parts and their arguments."""
    sub = command(
        "data",
        _run,
        "list, check, show and fetch data sets, or check your own folder",
        """\
Data sets by name, or a folder of your own: images/ with masks/, or imagesTr/ with labelsTr/ as
nnU-Net and the Medical Segmentation Decathlon have it. `verify` reads every file and reports all
faults at once, each with case, file and remedy; its exit code is 1 if there are errors. It remembers
what it saw by the content of the files.""",
        """\
  lightm data list
  lightm data verify my-folder
  lightm data verify my-folder --json report.json --accept affine-differs
  lightm data show hippocampus
  lightm data fetch montgomery-shenzhen --out data/cxr""",
    )
    parts = sub.add_subparsers(dest="part", metavar="WHAT", title="what", required=True, parser_class=Parser)

    def part(name: str, text: str) -> argparse.ArgumentParser:
        made = parts.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        made.set_defaults(parser=made)
        return made

    part("list", "the data sets by name, and which of them are here")
    verify = part("verify", "read every file and report all faults")
    show = part("show", "what a data set holds, its licence and citation")
    for made in (verify, show):
        made.add_argument("name", metavar="NAME-or-FOLDER", help="a name of `lightm data list`, or a folder")
        made.add_argument("--root", type=Path, metavar="DIR", help="where a named data set lies")
        made.add_argument("--classes", nargs="+", metavar="CLASS", help="names of the labels 0, 1, ... of a folder")
        made.add_argument("--threshold", type=float, metavar="GRAY", help="masks with soft edges: 1 above it")
        made.add_argument("--channels", type=int, choices=(1, 3), help="read pictures as gray (1) or colour (3)")
    verify.add_argument("--accept", nargs="+", default=[], metavar="KIND", help="kinds of fault to take as warnings")
    verify.add_argument("--json", type=Path, metavar="FILE", help="write the whole report to this file")
    verify.add_argument("--again", action="store_true", help="look again, even if these files were looked at before")
    fetch = part("fetch", "get the files of a data set and check them")
    fetch.add_argument("name", metavar="NAME", help="a name of `lightm data list`")
    fetch.add_argument("--out", type=Path, metavar="DIR", help="the folder to make (default: under LIGHTM_DATA)")
    fetch.add_argument("--archive", type=Path, metavar="PATH", help="what you downloaded by hand")


def found(info: "DatasetInfo") -> tuple[str, str]:
    """Whether a data set is there, and what it is or how to get it, in a few words."""
    from lightm.data import load_dataset

    if info.name == "folder":
        return "yours", info.summary
    try:
        return "ready", f"{info.summary}; {len(load_dataset(info.name))} cases"
    except LightMError as error:
        damaged = "damaged" in str(error) or "missing in" in str(error)
        script = f"lightm data fetch {info.name}"
        return "damaged" if damaged else "missing", f"{info.summary}; get it: {script}"


def _run(args: argparse.Namespace) -> int:
    from lightm.data import catalogue, list_datasets

    if args.part == "list":
        for info in list_datasets():
            print(f"{info.name:<20} {' '.join(f'{cell:<8}' for cell in found(info))}")
            if not info.synthetic and info.name != "folder":
                print(textwrap.fill(info.load().source, 100, initial_indent=" " * 30, subsequent_indent=" " * 30))
        return 0
    if args.part == "fetch":
        print(catalogue.fetch(args.name, args.out, args.archive))
        return 0
    options = {"classes": args.classes, "threshold": args.threshold, "channels": args.channels}
    if args.part == "show":
        print(catalogue.show_text(args.name, args.root, options))
        return 0
    return _verify(args, options | {"accept": args.accept})


def _verify(args: argparse.Namespace, options: dict) -> int:
    from tqdm import tqdm

    from lightm.data.check.named import check_dataset
    from lightm.files import whole_file

    if args.json and not args.json.parent.is_dir():
        raise LightMError(f"There is no folder {args.json.parent}; make it, or correct the path {args.json}.")
    with tqdm(desc="looking", unit="case", leave=False, delay=1, disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh() if done % 20 == 0 else None

        report = check_dataset(args.name, args.root, options, args.again, progress)
    if args.json:
        with whole_file(args.json) as temporary:
            temporary.write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")
    print(report.text())
    return 1 if report.errors else 0
