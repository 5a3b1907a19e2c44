"""Exercises of chapters 6 to 8: training, real X-rays, ablations."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F

from lightm.models.mixers import Conv3, SelfAttention
from lightm.training.losses import DiceCrossEntropy
from lightm_book.exercises.answers import Exercise, Function, Numbers, Word
from lightm_book.paper import TABLES

ABOUT_IOU = "IoU = DSC / (2 − DSC) holds for each case; take the mean of the ten IoUs."


def dice_part(p: float) -> float:
    """The Dice part of the package's loss where every pixel has foreground probability p and the truth is empty."""
    logits = torch.stack([torch.full((64, 64), 1 - p), torch.full((64, 64), p)]).clamp_min(1e-30).log()[None]
    empty = torch.zeros(1, 64, 64, dtype=torch.long)
    return (DiceCrossEntropy()(logits, empty) - F.cross_entropy(logits, empty)).item()


def mean_iou(dsc: np.ndarray) -> float:
    return float((dsc / (2 - dsc)).mean())


TEN_CASES = np.array([0.99] * 9 + [0.09])


def gap(dsc: np.ndarray, names: np.ndarray) -> float:
    return dsc[names == "Montgomery"].mean() - dsc[names == "Shenzhen"].mean()


def exact_chance(
    dsc: np.ndarray, hospital: np.ndarray, size: Callable = abs, at_least: Callable = np.greater_equal
) -> float:
    """The share of all assignments of the hospitals whose difference is at least as large as the measured one."""
    measured, shares = size(gap(dsc, hospital)), []
    for chosen in combinations(range(len(dsc)), int((hospital == "Montgomery").sum())):
        names = np.full(len(dsc), "Shenzhen".ljust(10))
        names[list(chosen)] = "Montgomery"
        shares.append(at_least(size(gap(dsc, np.char.strip(names))), measured))
    return float(np.mean(shares))


def hospitals() -> list[tuple[np.ndarray, np.ndarray]]:
    """Few cases, so that all assignments can be tried; scores in eighths, so that equal differences are equal."""
    eighths = np.array([7, 7, 6, 4, 5, 3, 2, 2]) / 8
    a, b = ["Montgomery"] * 4 + ["Shenzhen"] * 4, ["Montgomery", "Shenzhen"] * 4
    return [
        (eighths, np.array(a)),
        (eighths[::-1].copy(), np.array(a)),
        (eighths, np.array(b)),
        (np.full(8, 0.5), np.array(b)),
    ]


def mixers(C: int, d: int) -> tuple[int, ...]:
    return tuple(sum(p.numel() for p in mixer.parameters()) for mixer in (Conv3(C, d), SelfAttention(C)))


def rows_like_conv3() -> list[tuple[str, str]]:
    """The other rows of Table 1, and what to say about them."""
    columns = TABLES[3].accuracy
    slips = []
    for row in TABLES[1].rows:
        same = sum(TABLES[1][row, column] == TABLES[3]["VSSM→Conv3", column] for column in columns)
        if same < len(columns):
            slips.append((row, f"{same} of the {len(columns)} numbers agree with those of {row}."))
    return slips


EXERCISES: dict[str, Exercise] = {
    "ex-train-overlap": Numbers(
        truth=lambda: (160 / 220, 80 / 140),
        slips=[
            ((80 / 140, 160 / 220), "That is the right pair in the wrong order: DSC first, it is the larger one."),
            ((0.8, 80 / 140), "80 of 100 is the share that was found; DSC also counts what was drawn too much."),
            ((160 / 220, 80 / 220), "IoU divides by the union, in which the common pixels count once."),
            ((80 / 120, 80 / 140), "80 of 120 is the share of the drawn pixels that is right, not DSC."),
        ],
        hint="The truth has 100 pixels, the prediction 120, both have 80; the union has 140.",
        rel=5e-3,
    ),
    "ex-train-half": Numbers(
        truth=lambda: 1 - 2 ** (-1 / 0.9),
        abs=0.003,
        slips=[
            (0.5, "That is the answer for power 1, a straight line."),
            (2 ** (-1 / 0.9), "That is near 1 − x, the part of the training that is left."),
            (0.9, "0.9 is the power; solve (1 − x)^0.9 = 1/2 for x."),
        ],
        hint="Solve (1 − x)^0.9 = 1/2 for x.",
    ),
    "ex-train-empty": Numbers(
        truth=lambda: (dice_part(0.0), dice_part(0.01)),
        abs=1e-3,
        slips=[
            ((1, 1), "If nothing is there and nothing is found, numerator and denominator are both ε."),
            ((0, 0), "Add up what the network believes: 1% of 64 × 64 pixels is far more than ε."),
            ((0, 0.01), "The Dice part isn't the mean error of a pixel: it sums the probabilities before it divides."),
            ((0, 0.99), "The sum of the probabilities stands against ε, which is tiny: how close to 1 is that?"),
        ],
        hint="Insert p = 0 and p = 0.01 into 1 − (2 Σ p y + ε) / (Σ p + Σ y + ε) with Σ y = 0.",
    ),
    "ex-train-miou": Numbers(
        truth=lambda: mean_iou(TEN_CASES),
        abs=2e-3,
        slips=[
            (0.9 / 1.1, "That is the formula applied to the mean DSC, which gives a lower bound only."),
            (0.9, "That is the mean DSC. " + ABOUT_IOU),
            (0.99 / 1.01, "That is the IoU of the nine good cases; the tenth has a DSC, too: which?"),
        ],
        hint=ABOUT_IOU,
    ),
    "ex-real-halve": Numbers(
        truth=lambda: 4,
        abs=0.3,
        slips=[
            (2, "The width falls with the square root of the number of cases."),
            (2**0.5, "It is the other way round: the width is proportional to 1/√n."),
            (0.25, "Fewer cases make the interval wider."),
        ],
        hint="The width is proportional to 1/√n: by which factor must n grow to make it half?",
    ),
    "ex-real-outlier": Numbers(
        truth=lambda: (np.mean([0.96] * 19 + [0.1]), np.median([0.96] * 19 + [0.1])),
        slips=[
            ((0.96, 0.917), "That is the right pair in the wrong order: mean first, then median."),
            ((0.53, 0.53), "These are the means of the two values; there are 19 of one and one of the other."),
            ((0.917, 0.917), "The median is the middle of the sorted scores: one bad case in twenty doesn't move it."),
            ((0.96, 0.96), "The mean takes part in every case, the failed one, too."),
        ],
        hint="Write the twenty numbers down and sort them.",
    ),
    "ex-real-minimum": Word(
        right="never below the sample",
        slips=[
            ("too wide", "Look at its lower end, and where the smallest score of the sample is."),
            (
                "wrong seed",
                "Another seed draws other resamples; can one hold a worse case than the sample does?",
            ),
        ],
        hint='Choose "too wide", "never below the sample" or "wrong seed".',
    ),
    "ex-real-permute": Function(
        reference=exact_chance,
        cases=hospitals,
        rel=0,
        abs=0.05,
        slips=[
            (
                lambda dsc, names: exact_chance(dsc, names, size=float),
                "That asks whether Montgomery is better. The *absolute* difference counts either direction.",
            ),
            (
                lambda dsc, names: exact_chance(dsc, names, at_least=np.greater),
                "Assignments that give exactly the measured difference count, too: at least as large.",
            ),
            (
                lambda dsc, names: 1 - exact_chance(dsc, names),
                "That is the share of smaller differences; large ones are what chance seldom gives.",
            ),
            (
                lambda dsc, names: abs(gap(dsc, names)),
                "That is the measured difference. How often does chance give one as large?",
            ),
        ],
        hint="Permute the hospitals many times and count how often |difference| reaches the measured one.",
    ),
    "ex-ablation-mixers": Function(
        reference=mixers,
        cases=lambda: [(16, 2), (64, 2), (8, 3)],
        rel=0,
        slips=[
            (
                lambda C, d: (9 * C**2, 4 * C**2),
                "A 3 × 3 × 3 filter has 27 weights: let the formula depend on d.",
            ),
            (lambda C, d: (3**d * C**2, 3 * C**2), "Query, key and value are three maps; what makes the output?"),
            (lambda C, d: (3**d * C**2 + C, 4 * C**2 + 4 * C), "Neither of the two has a bias."),
            (lambda C, d: (3**d * C, 4 * C**2), "The convolution joins every input channel with every output channel."),
        ],
        hint="Print the shapes of `Conv3(16, 2).parameters()` and `SelfAttention(16).parameters()`.",
    ),
    "ex-ablation-double": Numbers(
        truth=lambda: (2**3, 2**6),
        slips=[
            ((2, 4), "The side doubles along three axes: by which factor does the number of tokens grow?"),
            ((4, 16), "These are the factors of a 2D image."),
            ((8, 8), "Attention compares all pairs of tokens."),
            ((64, 8), "That is the right pair in the wrong order: the scan first."),
        ],
        hint="By which factor does the number of tokens grow? The scan is linear in it, attention quadratic.",
    ),
    "ex-ablation-cases": Numbers(
        truth=lambda: 6,
        abs=0.4,
        slips=[
            (5, "2/2⁵ = 0.0625 is not below 0.05: all plus and all minus both count."),
            (4, "There are 2⁴ choices of signs, and two of them are as extreme."),
            (20, "1/20 is 0.05, but the number of choices of signs doubles with every case."),
        ],
        hint="Two of the 2ⁿ choices of signs are as far from zero as the measured one.",
    ),
    "ex-ablation-row": Word(
        right="SegResNet",
        slips=rows_like_conv3(),
        hint=f"Give the name of a row of Table 1: {', '.join(TABLES[1].rows)}.",
    ),
}
