"""Ctrl-C and SIGTERM as a polite request: the loop ends where it can save its work."""

import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop and has saved where it was."""


class StopRequests:
    """Within this context the first SIGINT or SIGTERM makes `asked` true and calls `announce`; the second one acts as
    it always did. Signals reach Python's main thread only; elsewhere nothing is caught.

    deadline: on the clock of `time.monotonic`; from then on `asked` is true without any signal. None: never.
    """

    def __init__(self, announce: Callable[[], None], deadline: float | None = None):
        self._asked, self.deadline = False, deadline
        self._announce = announce
        self._before: dict[int, object] = {}

    @property
    def asked(self) -> bool:
        """Whether to stop now."""
        return self._asked or (self.deadline is not None and time.monotonic() >= self.deadline)

    def __enter__(self) -> "StopRequests":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _ask(self, number: int, frame: object) -> None:
        self._asked = True
        self._restore()
        self._announce()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
