"""The parser that all commands share: one sentence for a mistake, help with examples."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from lightm.errors import LightMError

Run = Callable[[argparse.Namespace], None]


class AddCommand(Protocol):
    """Declares `lightm NAME`: `run` is called with its parsed arguments; returns the parser to add those to."""

    def __call__(self, name: str, run: Run, summary: str, text: str, example: str) -> argparse.ArgumentParser: ...


class Parser(argparse.ArgumentParser):
    """A parser that says in one sentence what is wrong, without the usage."""

    def __init__(self, **options: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        sentence = message[:1].upper() + message[1:].rstrip(".") + ("" if message.endswith("?") else ".")
        raise LightMError(f"{sentence} See `{self.prog} --help`.")
