"""The kinds of answers. Each knows the truth, the slips that lead to wrong answers, and a hint for all other ones.

The truth is a function, so that nothing is computed before somebody answers. A slip is a wrong answer and what to say
about it; for an exercise that asks for a function, the slip is a function that has the misconception built in. The same
slips serve as the tests' wrong answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

RIGHT = "Right."
MISSING = "No answer yet: replace None by yours."

Slip = tuple[Any, str]


class Exercise(Protocol):
    """truth() gives a right answer; judge(answer) gives RIGHT, MISSING or what is wrong."""

    slips: Sequence[Slip]

    def truth(self) -> Any: ...
    def judge(self, answer: Any) -> str: ...


def array(value: Any) -> np.ndarray:
    """Numbers in any form as float64: a number, a NumPy array, a tensor, or lists and tuples of them.

    Raises TypeError or ValueError for what is no number, or None in a list.
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu().resolve_conj().numpy()
    elif isinstance(value, list | tuple):
        value = [array(item) for item in value]
    if np.iscomplexobj(value):
        raise TypeError("complex numbers are not asked for")
    return np.asarray(value, dtype=np.float64)


def blank(value: Any) -> bool:
    """Whether there is no answer: None, ..., or a list or tuple in which one is missing."""
    return value is None or value is ... or (isinstance(value, list | tuple) and any(map(blank, value)))


def close(a: np.ndarray, b: np.ndarray, rel: float, abs: float) -> np.ndarray:
    return np.isclose(a, b, rtol=rel, atol=abs, equal_nan=True)


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """One number, or several in a fixed order. rel, abs: what counts as equal. Slips may be functions, as the truth."""

    truth: Callable[[], Any]
    slips: Sequence[Slip]
    hint: str
    rel: float = 1e-3
    abs: float = 1e-9

    def judge(self, answer: Any) -> str:
        if blank(answer):
            return MISSING
        truth = array(self.truth()).ravel()
        wanted = "a number is" if truth.size == 1 else f"{truth.size} numbers are"
        try:
            given = array(answer).ravel()
        except (TypeError, ValueError):
            return f"Here {wanted} asked for, not {type(answer).__name__} {str(answer)[:40]!r}."
        if given.size != truth.size:
            return f"Here {wanted} asked for, not {given.size}."
        same = close(given, truth, self.rel, self.abs)
        if same.all():
            return RIGHT
        for wrong, why in self.slips:
            if close(given, array(wrong() if callable(wrong) else wrong).ravel(), self.rel, self.abs).all():
                return why
        return f"{same.sum()} of {same.size} are right. {self.hint}" if same.any() else self.hint


@dataclass(frozen=True, kw_only=True)
class Word:
    """One of a few words; case, blanks and quotation marks around it don't matter."""

    right: str
    slips: Sequence[Slip]
    hint: str

    def truth(self) -> str:
        return self.right

    def judge(self, answer: Any) -> str:
        if blank(answer):
            return MISSING
        given = _plain(answer)
        if given == _plain(self.right):
            return RIGHT
        return next((why for wrong, why in self.slips if given == _plain(wrong)), self.hint)


def _plain(word: Any) -> str:
    return str(word).strip().strip("\"'`").casefold()


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function that returns numbers, run on `cases` beside `reference`.

    cases: lists of arguments; made anew for each run, so that a function that changes its arguments harms nothing.
    also: what else is asked of a function whose numbers are right; it returns RIGHT or what is wrong.
    """

    reference: Callable
    cases: Callable[[], Sequence[tuple]]
    slips: Sequence[Slip]
    hint: str
    rel: float = 1e-4
    abs: float = 1e-6
    also: Callable[[Callable], str] = lambda function: RIGHT

    def truth(self) -> Callable:
        return self.reference

    def judge(self, answer: Any) -> str:
        if answer is None or answer is ...:
            return MISSING
        if not callable(answer):
            return "A function is asked for: pass its name, without calling it."
        try:
            outputs = [answer(*case) for case in self.cases()]
            if any(map(blank, outputs)):
                return MISSING
            given = [array(output) for output in outputs]
            if self._agree(given, self._run(self.reference)):
                return self.also(answer)
        except Exception as error:  # it is somebody else's code: whatever it raises, its author wants to know
            return f"The function raised {type(error).__name__}: {error}"
        return next((why for wrong, why in self.slips if self._agree(given, self._run(wrong))), self.hint)

    def _run(self, function: Callable) -> list[np.ndarray]:
        return [array(function(*case)) for case in self.cases()]

    def _agree(self, given: list[np.ndarray], wanted: list[np.ndarray]) -> bool:
        pairs = [(a.squeeze(), b.squeeze()) for a, b in zip(given, wanted, strict=True)]
        return all(a.shape == b.shape and close(a, b, self.rel, self.abs).all() for a, b in pairs)


@dataclass(frozen=True, kw_only=True)
class Probed:
    """Whatever has the asked property: `probe` returns RIGHT or what is wrong. example: a right answer."""

    probe: Callable[[Any], str]
    example: Callable[[], Any]
    slips: Sequence[Slip]

    def truth(self) -> Any:
        return self.example()

    def judge(self, answer: Any) -> str:
        return MISSING if blank(answer) else self.probe(answer)
