"""Progress of a benchmark on stderr: which contender runs, where, and about how long it will take."""

import sys
import time
from collections.abc import Callable

from tqdm import tqdm

Report = Callable[[str], None]  # gets a line of progress
EVERY = 5.0  # seconds between two lines


def on_stderr(line: str) -> None:
    """A line for the terminal or a log."""
    print(line, file=sys.stderr, flush=True)


class Plan:
    """How much each contender has still to do, and its pace, so about how long it will be."""

    def __init__(self, report: Report):
        self.report = report
        self.work: dict[str, float] = {}  # to do, in any unit
        self.pace: dict[str, float] = {}  # seconds a unit, by the latest call
        self.reported = time.monotonic() - EVERY

    def expect(self, name: str, work: float) -> None:
        """Work to come; a negative amount is work that will not be done."""
        self.work[name] = max(self.work.get(name, 0.0) + work, 0.0)

    def done(self, name: str, work: float, seconds: float, where: str) -> None:
        """A call was made and took so long; reported unless the last line is a moment old."""
        self.expect(name, -work)
        self.pace[name] = seconds / work
        if time.monotonic() - self.reported >= EVERY:
            self.reported = time.monotonic()
            left = sum(work * self.pace.get(other, 0.0) for other, work in self.work.items())
            self.report(f"{where}: {name} {seconds:.3g} s a call; about {tqdm.format_interval(left)} left")
