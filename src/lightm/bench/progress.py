"""What a benchmark says while it runs: which contender, where, and about how long it will be, on stderr."""

import sys
import time
from collections.abc import Callable

from tqdm import tqdm

Say = Callable[[str], None]


def on_stderr(line: str) -> None:
    """A line for the terminal or a log."""
    print(line, file=sys.stderr, flush=True)


class Plan:
    """The calls that are still to come, each with the seconds it should take, and so the time that is left.

    `work` is any measure of a call's size; a contender's seconds a unit are those of its latest call.
    """

    def __init__(self, say: Say):
        self.say = say
        self.waiting: list[tuple[str, float]] = []  # (contender, work)
        self.pace: dict[str, float] = {}
        self.told = 0.0

    def add(self, contender: str, work: float, calls: int) -> None:
        """`calls` more calls of this size."""
        self.waiting += [(contender, work)] * calls

    def drop(self, contender: str, work: float) -> None:
        """They will not be made."""
        self.waiting = [item for item in self.waiting if item != (contender, work)]

    def done(self, contender: str, work: float, seconds: float, where: str) -> None:
        """One was made; says so if the last line is a while ago."""
        self.pace[contender] = seconds / work
        if (contender, work) in self.waiting:
            self.waiting.remove((contender, work))
        if time.monotonic() - self.told > 5:
            self.told = time.monotonic()
            self.say(f"{where}, {contender}: {seconds:.3g} s a call; {self.left()} left")

    def left(self) -> str:
        """About how long what is known of will take."""
        seconds = sum(self.pace.get(contender, 0.0) * work for contender, work in self.waiting)
        return f"about {tqdm.format_interval(seconds)}"
