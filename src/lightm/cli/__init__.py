"""The command line: info, train, predict, evaluate, export, count, bench, reproduce, a module of this folder each.

A command's module has `add(command)`, which declares its arguments and names the function that runs it. Such a
function imports what is slow to import itself, so that `lightm --help` answers at once.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches

import lightm
from lightm.allocation import keep_freed_memory
from lightm.cli import bench, count, evaluate, export, info, predict, reproduce, train
from lightm.cli.parser import Parser, Run
from lightm.errors import LightMError, suggest

COMMANDS = (info, train, predict, evaluate, export, count, bench, reproduce)  # as `lightm --help` lists them
BAD_INPUT, INTERRUPTED = 2, 130  # exit codes; 130 is a shell's own for Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what the user can put right is one line on stderr."""
    try:
        args = _arguments(list(sys.argv[1:] if argv is None else argv))
        if args.command != "bench":  # which measures either way
            keep_freed_memory()
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # `lightm info | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(f"{place}{error.strerror or error}.")
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise  # a bug, and its traceback is what we need to know
        first = (str(error).splitlines() or ["No more memory."])[0]
        return _complain(f"{first} Use smaller batches (train.batch_size, eval.batch_size) or a smaller data.size.")
    except ValueError as error:  # LightMError is one
        return _complain(str(error))
    except KeyboardInterrupt as stop:
        print(f"lightm: {stop or 'Stopped.'}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _complain(sentence: str) -> int:
    print(f"lightm: {sentence}", file=sys.stderr)
    return BAD_INPUT


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser, commands = _parsers()
    if not argv:
        parser.print_help(sys.stderr)
        raise SystemExit(BAD_INPUT)
    named = next((text for text in argv if not text.startswith("-")), None)
    if named and named not in commands:
        raise LightMError(f"There is no command {named!r}. {suggest(named, commands)}")
    args, rest = parser.parse_known_args(argv)
    args.typed = argv
    if args.command is None:
        parser.error("name a command, such as info")
    if args.command == "train":  # argparse takes no more key=value after an option: they are left over
        late = [text for text in rest if not text.startswith("-") and "=" in text]
        args.settings, rest = [*args.settings, *late], [text for text in rest if text not in late]
    if rest:
        command = getattr(args, "parser", commands[args.command])  # of `bench scan` rather than of `bench`
        near = get_close_matches(rest[0], re.findall(r"--[\w-]+", command.format_usage()))
        command.error(f"no use for {rest[0]!r}" + (f"; did you mean {near[0]}?" if near else ""))
    return args


def _parsers() -> tuple[Parser, dict[str, argparse.ArgumentParser]]:
    parser = Parser(
        prog="lightm",
        description="LightM-UNet (arXiv 2403.05246): train it, use it, measure it.",
        epilog="""\
begin with:
  lightm info                             what is installed and which data is there
  lightm train experiments/smoke.toml     train a small network on synthetic radiographs, a minute
  lightm predict runs/smoke IMAGE OUT     let it segment an image

Each command has its own help, with examples: lightm train --help""",
    )
    parser.add_argument("--version", action="version", version=f"lightm {lightm.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def command(name: str, run: Run, summary: str, text: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=text, epilog=f"examples:\n{example}")
        sub.set_defaults(run=run)
        return sub

    for module in COMMANDS:
        module.add(command)
    return parser, commands.choices
