"""The exercises of the chapters: `check("ex-ssm-row", answer)` says whether an answer is right.

A wrong answer gets the misconception that leads to it, if it is a known one. The right answer is never printed. With
LIGHTM_MARK=1 in the environment a missing or wrong answer raises, so that `pytest --nbval` and `make mark` see it.

answers.py      the kinds of answers: numbers, words, functions, and whatever a test of its own judges
sequences.py    chapters 1 and 2        layers.py    chapters 3 to 5       training.py  chapters 6 to 8
paper.py        chapters 9, 10 and 12   cost.py      chapters 11, 13 and 14
scores.py       chapter 15
"""

import os
from collections.abc import Mapping
from typing import Any

from lightm.errors import LightMError, suggest
from lightm_book.exercises import cost, layers, paper, scores, sequences, training
from lightm_book.exercises.answers import MISSING, RIGHT, Exercise

EXERCISES: Mapping[str, Exercise] = {
    label: exercise
    for part in (sequences, layers, training, paper, cost, scores)
    for label, exercise in part.EXERCISES.items()
}


class NotRight(LightMError):
    """In marking mode: an exercise has no answer or a wrong one."""


def judge(label: str, answer: Any) -> str:
    """RIGHT, MISSING, or one or two sentences about what is wrong with the answer; LightMError for an unknown label."""
    if label not in EXERCISES:
        raise LightMError(f"There is no exercise {label!r}. {suggest(label, EXERCISES)}")
    return EXERCISES[label].judge(answer)


def check(label: str, answer: Any) -> None:
    """Print whether `answer` solves the exercise, and what to think about if it does not.

    Args:
        label: of the exercise, such as "ex-ssm-row". answer: a number, several numbers in a list, tuple, array or
            tensor, a word, or a function: what the exercise asks for. None stands for no answer.

    Raises:
        LightMError: the label is unknown. NotRight: LIGHTM_MARK is set, and the answer is missing or wrong.
    """
    verdict = judge(label, answer)
    if verdict != RIGHT and os.environ.get("LIGHTM_MARK", "0") not in ("", "0"):
        raise NotRight(f"{label}: {verdict}")
    print(verdict if verdict in (RIGHT, MISSING) else f"Not yet. {verdict}")
