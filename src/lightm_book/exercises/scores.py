"""Exercises of chapter 15: what a score of a segmentation shows and what it hides."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightm_book.exercises.answers import MISSING, RIGHT, Exercise, Numbers, Probed, array, blank

SIZE, RADIUS = 96, 24  # of the chapter's picture and of the disc in it, pixels


def disc() -> NDArray[np.bool_]:
    """In the middle of the picture (SIZE, SIZE)."""
    return distance_from_the_middle() <= RADIUS


def distance_from_the_middle() -> NDArray[np.float64]:
    rows, columns = np.indices((SIZE, SIZE)) + 0.5
    return np.hypot(rows - SIZE / 2, columns - SIZE / 2)  # (SIZE, SIZE)


def one_changed(row: int, column: int) -> NDArray[np.bool_]:
    mask = disc()
    mask[row, column] ^= True
    return mask


UNCHANGED = "This is the disc itself: no pixel of the prediction is wrong."
MORE_THAN_ONE = "More than one pixel has changed."
A_HOLE = "A hole in the disc is never farther from its outline than the radius: look outside."
FARTHER = "The picture has places that are still farther from the disc."


def farthest_stray_pixel(function: Any) -> str:
    if not callable(function):
        return "A function of the mask is asked for: pass its name, without calling it."
    try:
        mask = function(disc())
        if blank(mask):
            return MISSING
        mask = array(mask) != 0
    except Exception as error:  # somebody else's code
        return f"The function raised {type(error).__name__}: {error}"
    if mask.shape != (SIZE, SIZE):
        return f"The prediction has to have the shape of the mask, {(SIZE, SIZE)}, not {mask.shape}."
    changed = mask != disc()
    if changed.sum() != 1:
        return MORE_THAN_ONE if changed.any() else UNCHANGED
    if disc()[changed].all():
        return A_HOLE
    distance = distance_from_the_middle()
    return RIGHT if np.isclose(distance[changed], distance.max()).all() else FARTHER


def iou_of(dsc: NDArray[np.float64]) -> NDArray[np.float64]:
    return dsc / (2 - dsc)


THREE_EACH = "Two networks with three scores each are asked for: ([., ., .], [., ., .])."
A_SHARE = "A DSC lies between 0 and 1."
FIRST_IS_BEHIND = "The first network has to have the higher mean DSC, and has not."
SAME_ORDER = "The first network has the higher mean IoU, too: which of the two has to be the uneven one?"


def orders_differ(networks: Any) -> str:
    try:
        scores = array(networks)  # (2, 3)
    except (TypeError, ValueError):
        return THREE_EACH
    if scores.shape != (2, 3):
        return THREE_EACH
    if not ((scores >= 0) & (scores <= 1)).all():
        return A_SHARE
    first, second = scores.mean(1)
    if first <= second:
        return FIRST_IS_BEHIND
    first, second = iou_of(scores).mean(1)
    return RIGHT if first < second else SAME_ORDER


EXERCISES: dict[str, Exercise] = {
    "ex-scores-bounds": Numbers(
        truth=lambda: (0.9 / (2 - 0.9), 0.9),
        slips=[
            ((0.9 / 1.1, 2 * 0.9 / 1.9), "A mean IoU is never above the mean DSC."),
            ((0.9 / 1.1, 1), "Perfect images alone would have a mean DSC of 1, too."),
            ((0.9, 0.9 / 1.1), "The right pair in the wrong order: the lowest first."),
            ((0.9**2, 0.9), "The lower bound is the IoU of an image with this DSC, which is not its square."),
            ((0, 0.9), "For a mean IoU of 0 all images would be lost, and the mean DSC would be 0."),
        ],
        hint="One bound is reached if all images score alike, the other if each is perfect or lost.",
        rel=0,
        abs=6e-4,
    ),
    "ex-scores-empty": Numbers(
        truth=lambda: (0.7, (15 * 0.7 + 5) / 20, 15 * 0.7 / 20),
        slips=[
            (
                (0.7, 0.85, 0.35),
                "The five cases are a quarter of all, not a half.",
            ),
            ((0.7, 1, 0), "That is what each of the five cases counts; the mean is over all twenty."),
            ((0.7, 0.7, 0.7), "The five cases take part in the second and the third mean."),
            (
                (15 * 0.7 / 20, (15 * 0.7 + 5) / 20, 15 * 0.7 / 20),
                "What is left out is not divided by, either.",
            ),
        ],
        hint="Add up the scores of fifteen cases and those of five, and divide by the cases that are counted.",
    ),
    "ex-scores-place": Probed(
        probe=farthest_stray_pixel,
        example=lambda: lambda true: one_changed(0, 0),
        slips=[
            (lambda true: true, UNCHANGED),
            (lambda true: np.ones_like(true), MORE_THAN_ONE),
            (lambda true: one_changed(SIZE // 2, SIZE // 2), A_HOLE),
            (lambda true: one_changed(0, SIZE // 2), FARTHER),
        ],
    ),
    "ex-scores-order": Probed(
        probe=orders_differ,
        example=lambda: ([0.81, 0.81, 0.81], [1.0, 1.0, 0.42]),
        slips=[
            (([0.81, 0.81, 0.81], [0.8, 0.8, 0.8]), SAME_ORDER),
            (([1.0, 1.0, 0.46], [0.81, 0.81, 0.81]), SAME_ORDER),
            (([1.0, 1.0, 0.42], [0.81, 0.81, 0.81]), FIRST_IS_BEHIND),
            (([81, 81, 81], [100, 100, 42]), A_SHARE),
            (([0.81, 0.81], [1.0, 0.61]), THREE_EACH),
        ],
    ),
}
