"""What all commands share, those of `lightm-book` too: one sentence for a mistake, help with examples, exit codes."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, Protocol

import lightm
from lightm.cpu.memory import keep_freed_memory
from lightm.errors import LightMError, suggest

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes; 130 is a shell's own for Ctrl-C
Run = Callable[[argparse.Namespace], int | None]  # its exit code; None is 0


def _prepare_process() -> None:
    """Output that the console's encoding lacks is replaced, and no backend is asked of matplotlib, which only writes
    files here: Colab and Jupyter name one to each program that they start, and a plain environment does not have it.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not what a notebook puts in its place
            stream.reconfigure(errors="replace")
    os.environ.pop("MPLBACKEND", None)


class AddCommand(Protocol):
    """Declares `lightm NAME`: `run` is called with its parsed arguments; returns the parser to add those to."""

    def __call__(self, name: str, run: Run, summary: str, text: str, example: str) -> argparse.ArgumentParser: ...


def whole(low: int, high: int = 2**20) -> Callable[[str], int]:
    """An argument's type: a whole number from `low` to `high`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text} must be a whole number from {low} to {high}")
        return int(text)

    return read


def add_run(parser: argparse.ArgumentParser, **options: Any) -> None:
    """Declare the argument RUN, `run_folder`: a trained network."""
    words = "a folder that `lightm train` made, a weights file, or weights of the package by name (`lightm info`)"
    parser.add_argument("run_folder", type=Path, metavar="RUN", help=words, **options)


class Parser(argparse.ArgumentParser):
    """A parser that says in one sentence what is wrong, without the usage."""

    def __init__(self, **options: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        sentence = message[:1].upper() + message[1:].rstrip(".") + ("" if message.endswith("?") else ".")
        raise LightMError(f"{sentence} See `{self.prog} --help`.")


@dataclass(frozen=True)
class Program:
    """A command with subcommands. `adds`: what declares each of them, in the order of the help.

    A subcommand may have `settings`, a list that takes key=value words from anywhere; `parser`, the one whose options
    are suggested; `keep_memory=False`, to decide by itself what becomes of freed memory.
    """

    name: str
    description: str
    epilog: str
    adds: Sequence[Callable[[AddCommand], Any]]

    def run(self, argv: Sequence[str] | None = None) -> int:
        """Run one command and return its exit code; what the user can put right is one line on stderr."""
        code = None
        _prepare_process()
        try:
            args = self.parse(list(sys.argv[1:] if argv is None else argv))
            if getattr(args, "keep_memory", True):
                keep_freed_memory()
            code = args.run(args)  # a number if the command has something to say by it, as `data verify` has
            sys.stdout.flush()
        except BrokenPipeError:  # `lightm info | head`: the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            return self._complain(f"{place}{error.strerror or error}.")
        except (RuntimeError, MemoryError) as error:
            if not isinstance(error, MemoryError) and "memory" not in str(error):
                raise  # a bug, and its traceback is what we need to know
            first = (str(error).splitlines() or ["No more memory."])[0]
            remedy = "Use smaller batches (train.batch_size, eval.batch_size) or a smaller data.size."
            return self._complain(f"{first} {remedy}")
        except ValueError as error:  # LightMError is one
            return self._complain(str(error))
        except KeyboardInterrupt as stop:
            print(f"{self.name}: {str(stop) or 'Stopped.'}", file=sys.stderr)
            return INTERRUPTED
        return code or 0

    def _complain(self, sentence: str) -> int:
        print(f"{self.name}: {sentence}", file=sys.stderr)
        return BAD_INPUT

    def parse(self, argv: list[str]) -> argparse.Namespace:
        """The arguments of one command, `~` in paths written out; LightMError for a mistake."""
        parser, commands = self._parsers()
        if not argv:
            parser.print_help(sys.stderr)
            raise SystemExit(BAD_INPUT)
        named = next((text for text in argv if not text.startswith("-")), None)
        if named and named not in commands:
            raise LightMError(f"There is no command {named!r}. {suggest(named, commands)}")
        args, rest = parser.parse_known_args(argv)
        args.typed = argv
        if args.command is None:
            parser.error(f"name a command, such as {next(iter(commands))}")
        if hasattr(args, "settings"):  # argparse takes no more key=value after an option: they are left over
            late = [text for text in rest if not text.startswith("-") and "=" in text]
            args.settings, rest = [*args.settings, *late], [text for text in rest if text not in late]
        if rest:
            command = getattr(args, "parser", commands[args.command])  # of `bench scan` rather than of `bench`
            near = get_close_matches(rest[0], re.findall(r"--[\w-]+", command.format_usage()))
            command.error(f"no use for {rest[0]!r}" + (f"; did you mean {near[0]}?" if near else ""))
        for name, value in vars(args).items():
            if isinstance(value, Path):  # --out=~/runs: a shell leaves that to us
                setattr(args, name, value.expanduser())
        return args

    def _parsers(self) -> tuple[Parser, dict[str, argparse.ArgumentParser]]:
        parser = Parser(prog=self.name, description=self.description, epilog=self.epilog)
        parser.add_argument("--version", action="version", version=f"lightm {lightm.__version__}")
        commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

        def command(name: str, run: Run, summary: str, text: str, example: str) -> argparse.ArgumentParser:
            sub = commands.add_parser(name, help=summary, description=text, epilog=f"examples:\n{example}")
            sub.set_defaults(run=run)
            return sub

        for add in self.adds:
            add(command)
        return parser, commands.choices
