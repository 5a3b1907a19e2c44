"""Tables for pages: Markdown, which Jupyter and the book each set in their own theme."""

from collections.abc import Iterable, Sequence

from IPython.display import Markdown


def markdown_table(head: Sequence[object], rows: Iterable[Iterable[object]], align: str = "--:") -> str:
    """Head and rows as a Markdown table. align: of the columns after the first, "--:" right or ":--" left."""
    lines = [head, [":--", *[align] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def table(head: Sequence[object], rows: Iterable[Iterable[object]], align: str = "--:") -> Markdown:
    """The same for the last line of a cell."""
    return Markdown(markdown_table(head, rows, align))


def percent(value: float, digits: int = 2) -> str:
    """A score in [0, 1] in percent: 0.91234 as "91.23"."""
    return f"{100 * value:.{digits}f}"


def span(low: float, high: float) -> str:
    """An interval of scores in percent; "not known" if it has no ends."""
    return "not known" if low == -high == float("-inf") else f"{percent(low)} to {percent(high)}"
