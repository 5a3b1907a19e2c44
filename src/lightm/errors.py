"""Errors that a person reads: one sentence that names what is wrong and what to do about it."""

from collections.abc import Iterable
from difflib import get_close_matches


class LightMError(ValueError):
    """Something the user gave can't be used; the message names it and the remedy (CLI: printed, exit code 2)."""


def suggest(name: str, options: Iterable[str]) -> str:
    """The end of an error sentence for an unknown `name`: the nearest of `options`, or all of them."""
    options = sorted(options)
    near = get_close_matches(name, options, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}? Known: {', '.join(options)}."
    return f"Known: {', '.join(options)}."
