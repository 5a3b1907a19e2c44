"""The command line of the book: `lightm-book --help` lists its commands."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from lightm.cli.parser import AddCommand, Program
from lightm.errors import LightMError
from lightm_book import need_clone
from lightm_book.bench import cli as bench
from lightm_book.counting import cli as count
from lightm_book.reproduce import cli as reproduce


def _add_build(command: AddCommand) -> None:
    sub = command(
        "build",
        _build,
        "train a small network, run every notebook, build the book",
        "Build the book into _build/html. Steps whose inputs are unchanged are skipped.",
        "  lightm-book build\n  lightm-book build --committed",
    )
    sub.add_argument("--committed", action="store_true", help="use the committed outputs: no training, no execution")


def _add_notebooks(command: AddCommand) -> None:
    sub = command(
        "notebooks",
        _notebooks,
        "run notebooks/src/*.py into notebooks/*.ipynb",
        """\
Make the notebooks from their sources, executed. A file is replaced only when every cell ran.
The student's edition has no solutions and is not executed; the instructor's has them in the
place of the answers, and asserts each. These two go to _build/student and _build/instructor.""",
        "  lightm-book notebooks\n  lightm-book notebooks --only 01_state_space_models\n"
        "  lightm-book notebooks --edition student",
    )
    sub.add_argument("--edition", choices=("reader", "student", "instructor"), default="reader", help="for whom")
    sub.add_argument("--only", metavar="NAME", action="append", default=[], help="this chapter; repeatable")


def _add_mark(command: AddCommand) -> None:
    sub = command(
        "mark",
        _mark,
        "run notebooks with answers and list the points of every exercise",
        """\
Run notebooks with a learner's answers and print what each exercise earns: as many points as it
has stars if the answer is right, none if it is wrong or missing. Open questions are for a person.
A notebook runs as a program, with your rights: mark what others wrote where it can do no harm.""",
        "  lightm-book mark 01_state_space_models.ipynb\n  lightm-book mark handed_in/*/02_selective_scan.ipynb",
    )
    sub.add_argument("notebook", nargs="+", type=Path, help="a chapter's notebook with answers")


def _add_claims(command: AddCommand) -> None:
    sub = command(
        "claims",
        _claims,
        "hold the paper's claims against the records and write the scorecard",
        "Write book/scorecard.md from the paper's statements and results/.",
        "  lightm-book claims\n  lightm-book claims --check",
    )
    sub.add_argument("--check", action="store_true", help="write nothing; fail if the committed page is out of date")


def _add_crate(command: AddCommand) -> None:
    sub = command(
        "crate",
        _crate,
        "describe results/ and the repository for archives",
        """\
Write results/ro-crate-metadata.json, a Process Run RO-Crate of all records, and codemeta.json and .zenodo.json.
To be run whenever a record is added.""",
        "  lightm-book crate\n  lightm-book crate --check",
    )
    sub.add_argument("--check", action="store_true", help="write nothing; fail if a committed file is out of date")


def _add_claim(command: AddCommand) -> None:
    sub = command(
        "claim",
        _claim,
        "one claim: place, quote, question, evidence, cost, and its verdict derived now",
        """\
Print one of the paper's claims with all that decides it, and derive its verdict from the records here.
With --run what it rests on is made anew first: the counts of the tables, or every training run.""",
        """\
  lightm-book claim abstract-parameters-once
  lightm-book claim table-2-lightm-unet-accuracy --run       trains for as long as the report says""",
    )
    sub.add_argument("id", help="the claim's anchor on the scorecard, such as abstract-linear")
    sub.add_argument("--run", dest="anew", action="store_true", help="count or train again what the verdict rests on")
    sub.add_argument("--out", type=Path, metavar="DIR", default="runs/claims", help="where (default: runs/claims)")


def _build(args: argparse.Namespace) -> None:
    sys.exit(_builder("lightm-book build", "build_book").build_book(args.committed))


def _notebooks(args: argparse.Namespace) -> None:
    _builder("lightm-book notebooks", "build_notebooks").build_notebooks(args.only, args.edition)


def _mark(args: argparse.Namespace) -> None:
    mark = _builder("lightm-book mark", "mark").mark
    for path in args.notebook:
        print(mark(path))


def _claims(args: argparse.Namespace) -> None:
    sys.exit(_builder("lightm-book claims", "scorecard").write_scorecard(args.check))


def _crate(args: argparse.Namespace) -> None:
    sys.exit(_builder("lightm-book crate", "crate").write_crate(args.check))


def _builder(command: str, module: str) -> ModuleType:
    """A module of lightm_book.builders; LightMError without a clone or without the packages that it imports."""
    need_clone(command)
    try:
        return import_module(f"lightm_book.builders.{module}")
    except ModuleNotFoundError as error:
        remedy = 'type `pip install -e ".[book]"` in the clone, or let make do it'
        raise LightMError(f"`{command}` needs the package {error.name}: {remedy}.") from error


def _claim(args: argparse.Namespace) -> None:
    from lightm_book import ROOT
    from lightm_book.paper import load_evidence
    from lightm_book.reproduce.claim import find, report, run_again

    claim, evidence = find(args.id), load_evidence(ROOT)
    if args.anew:
        evidence = run_again(claim, evidence, args.out)
    print(report(claim, evidence))


LIGHTM_BOOK = Program(
    "lightm-book",
    "What the book of LightM-UNet needs; `make` calls it. bench, reproduce and count also work without its repository.",
    "Each command has its own help, with examples: lightm-book bench --help",
    (_add_build, _add_notebooks, _add_mark, bench.add, reproduce.add, _add_claims, _add_claim, _add_crate, count.add),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what the user can put right is one line on stderr."""
    return LIGHTM_BOOK.run(argv)
