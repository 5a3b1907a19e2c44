"""Exercises of chapters 9, 10 and 12: counting, text against code, results."""

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from lightm.counting import count, scan_macs
from lightm.models.rvm import RVMLayer
from lightm.models.unet import LightMUNet
from lightm.models.vss import CausalDWConv
from lightm_book.compare.statistics import detectable_difference, holm, mean_interval
from lightm_book.counting.tables import thop_count
from lightm_book.exercises.answers import RIGHT, Exercise, Function, Numbers, Probed
from lightm_book.exercises.layers import tokens_of_all_scans
from lightm_book.exercises.sequences import random
from lightm_book.paper import TABLES
from lightm_book.paper.tables import GFLOPS
from lightm_book.show.explorer import Knobs, totals

PRINTED = TABLES[2]["SegResNet", GFLOPS]  # for a batch of 12
RELEASED = {"depths": (3, 5, 5), "bottleneck_depth": 8}
BUDGET = 500_000


class Thrice(nn.Module):
    """One linear layer under three names, called once."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 4, bias=False)
        self.a, self.b = nn.ModuleList([self.layer]), nn.ModuleList([self.layer])

    def forward(self, x):
        return self.layer(x)


def thop_and_truth() -> tuple[int, int, int, int]:
    thop, truth = thop_count(Thrice(), (10, 16)), count(Thrice(), (10, 16))
    return thop.params, thop.macs, truth.params, truth.macs


def widest() -> Knobs:
    """The widest of the networks that the exercise allows."""
    allowed = [Knobs(width=width, bottleneck=layers) for width in range(4, 65, 4) for layers in range(1, 5)]
    return max((k for k in allowed if totals(k)[0] <= BUDGET), key=lambda k: (k.width, -k.bottleneck))


FIXED = "The exercise fixes 2D, 512 × 512, expansion 2, 16 states and encoder blocks of two layers: leave these alone."
TOO_LARGE = f"It has more than {BUDGET:,} parameters."
WIDER = "It is within the budget, but a wider one is, too: where are most of the parameters?"


def within_budget(knobs: Any) -> str:
    if not isinstance(knobs, Knobs):
        return "Here a network's Knobs are asked for, such as Knobs(width=16, bottleneck=2)."
    if knobs != Knobs(width=knobs.width, bottleneck=knobs.bottleneck):
        return FIXED
    if knobs.width % 4 or knobs.width < 4 or knobs.bottleneck < 1:
        return "The width goes in steps of 4, and the bottleneck has at least one layer."
    if totals(knobs)[0] > BUDGET:
        return TOO_LARGE
    return RIGHT if knobs.width == widest().width else WIDER


def tokens_behind_two_filters() -> int:
    conv, x = CausalDWConv(8, 2), torch.randn(1, 49, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(conv(conv(x, (7, 7)), (7, 7))[0, 24].sum(), x)
    return int((gradient[0].abs().sum(-1) > 0).sum())


def neighbours_of_a_causal_filter() -> int:
    conv, x = CausalDWConv(8, 2), torch.randn(1, 49, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(conv(x, (7, 7))[0, 24].sum(), x)
    seen = (gradient[0].abs().sum(-1) > 0).view(7, 7)
    return int(seen[2:5, 2:5].sum())


def second_norms_of_the_bottleneck() -> int:
    with torch.device("meta"):
        bottleneck = LightMUNet(2, 3, 2, **RELEASED).bottleneck
    layers = [module for module in bottleneck.modules() if isinstance(module, RVMLayer)]
    return sum(p.numel() for layer in layers for p in layer.norm_out.parameters())


def standard_errors(a: np.ndarray, b: np.ndarray, ddof: int = 1) -> tuple[float, float]:
    n = len(a)
    return np.sqrt((a.var(ddof=ddof) + b.var(ddof=ddof)) / n), (a - b).std(ddof=ddof) / np.sqrt(n)


def scores() -> list[tuple[np.ndarray, np.ndarray]]:
    hard, own = random(12).numpy(), random(12, seed=1).numpy()
    return [(0.9 + 0.05 * hard, 0.91 + 0.05 * hard + 0.01 * own), (hard, own)]


def half_width(values: tuple[float, ...] = (0.90, 0.92, 0.91)) -> float:
    mean, _, high = mean_interval(values)
    return high - mean


EXERCISES: dict[str, Exercise] = {
    "ex-counting-scan": Numbers(
        truth=lambda: scan_macs((1, 64, 4096), 16),
        rel=1e-6,
        slips=[
            (64 * 4096 * 16, "One multiplication for each token, channel and state: the scan has four."),
            (scan_macs((1, 64, 4096), 16, skip=False), "The skip, D times u, is a multiplication, too."),
            (2 * scan_macs((1, 64, 4096), 16), "Those are operations; a multiply-accumulate is two of them."),
            (scan_macs((1, 64, 4096), 1), "Every channel has 16 states."),
        ],
        hint="A token costs each channel 4 N + 2 multiply-accumulates.",
    ),
    "ex-counting-thop": Numbers(
        truth=thop_and_truth,
        rel=0,
        slips=[
            ((64, 640, 64, 640), "thop meets the layer under each of its names, and that shows in its two numbers."),
            ((192, 1920, 64, 640), "Each name adds a counter to the layer, and each name reads all counters: 3 × 3."),
            ((192, 5760, 192, 5760), "The first two are thop's. In truth there is one layer, called once."),
            ((64, 640, 192, 5760), "The right numbers in the wrong order: thop's first."),
        ],
        hint="The truth: 16 · 4 weights, used for ten tokens. thop: how often does it count each?",
    ),
    "ex-counting-batch": Numbers(
        truth=lambda: PRINTED * 8 / 12,
        rel=0,
        abs=0.02,
        slips=[
            (PRINTED * 12 / 8, "A smaller batch gives a smaller number."),
            (PRINTED / 12, "That is one image."),
            (PRINTED * 8, "The printed number is for a batch of 12 already."),
            (PRINTED, "The printed number grows with the batch."),
        ],
        hint="Divide by the batch of the paper, 12, and multiply by the new one.",
    ),
    "ex-counting-budget": Probed(
        probe=within_budget,
        example=widest,
        slips=[
            (Knobs(width=12), WIDER),
            (Knobs(width=64), TOO_LARGE),
            (Knobs(width=24, bottleneck=1, encoder=1), FIXED),
            (Knobs(width=24, bottleneck=1, states=1), FIXED),
            (Knobs(width=24, bottleneck=1, expansion=1), FIXED),
            (Knobs(dims=3, size=128, width=20, bottleneck=1), FIXED),
        ],
    ),
    "ex-code-receptive": Numbers(
        truth=tokens_behind_two_filters,
        slips=[
            (8, "4 + 4 counts the middle token twice: the second filter begins where the first one ends."),
            (16, "Reaches add up; they don't multiply."),
            (4, "That is one of the two filters."),
            (6, "The token itself counts, too."),
        ],
        rel=0,
        hint="How many tokens of the past does each of the two add?",
    ),
    "ex-code-neighbours": Numbers(
        truth=neighbours_of_a_causal_filter,
        slips=[
            (4, "The filter has four tokens, but two of them lie outside of the 3 × 3 neighbourhood."),
            (9, "That is the spatial filter; the causal one reads along the row only."),
            (3, "A causal filter doesn't see the pixel to the right."),
            (1, "It sees the pixel itself and what came before."),
        ],
        rel=0,
        hint="Draw the 3 × 3 pixels and mark the pixel and the three before it in its row.",
    ),
    "ex-code-norm": Numbers(
        truth=second_norms_of_the_bottleneck,
        slips=[
            (512, "That is one layer; there are eight."),
            (2048, "A LayerNorm has a factor and an offset for each channel."),
            (8 * 4 * 256, "One of the two norms stays."),
        ],
        rel=0,
        hint="A LayerNorm over 256 channels has 2 · 256 parameters; one of them is saved in each of eight layers.",
    ),
    "ex-code-tokens": Numbers(
        truth=lambda: tokens_of_all_scans(**RELEASED) / tokens_of_all_scans(),
        rel=0.01,
        slips=[
            (21 / 9, "That is the ratio of the layers; those at the top read many more tokens than those below."),
            (2, "Only the bottleneck's layers are doubled: which of the others are more than doubled?"),
            (
                lambda: tokens_of_all_scans() / tokens_of_all_scans(**RELEASED),
                "Divide the released network by the text's.",
            ),
        ],
        hint="Weight each stage's layers with its pixels: 512², 256², 128² and 64².",
    ),
    "ex-results-interval": Numbers(
        truth=half_width,
        rel=0.01,
        slips=[
            (
                1.96 * 0.01 / math.sqrt(3),
                "1.96 is for a known spread; here three runs must tell it: Student's t.",
            ),
            (4.303 * 0.01, "That is for a single run; the mean of three is more certain."),
            (lambda: 2 * half_width(), "That is the whole width."),
            (0.01, "That is the standard deviation of the runs."),
        ],
        hint="t · s / √n with n = 3 and t = 4.303, the 97.5% quantile for two degrees of freedom.",
    ),
    "ex-results-runs": Numbers(
        truth=lambda: next(n for n in range(2, 99) if detectable_difference(0.3, n) <= 0.5),
        abs=0.4,
        slips=[
            (6, "Not enough: the difference that so many runs detect is still larger."),
            (14, "That is both networks together."),
            (2, "With two runs each, only a difference of several standard deviations is found."),
        ],
        hint="Let `detectable_difference(0.3, n)` fall to 0.5 with growing n.",
    ),
    "ex-results-pairing": Function(
        reference=standard_errors,
        cases=scores,
        slips=[
            (lambda a, b: standard_errors(a, b, ddof=0), "A sample's variance divides by n − 1: ddof=1."),
            (lambda a, b: standard_errors(a, b)[::-1], "The right pair in the wrong order: unpaired first."),
            (
                lambda a, b: tuple(error * math.sqrt(len(a)) for error in standard_errors(a, b)),
                "These are standard deviations; the error of a mean is smaller by √n.",
            ),
            (
                lambda a, b: (standard_errors(a, b)[0], standard_errors(a, b)[0]),
                "Paired, the spread of the differences a − b counts.",
            ),
            (
                lambda a, b: (a.std(ddof=1) / len(a) ** 0.5 + b.std(ddof=1) / len(a) ** 0.5, standard_errors(a, b)[1]),
                "Variances of independent means add up, not standard deviations.",
            ),
        ],
        hint="Unpaired: √((s_a² + s_b²)/n). Paired: the standard deviation of a − b, over √n.",
        abs=1e-9,
    ),
    "ex-results-holm": Numbers(
        truth=lambda: holm({"rival": 0.02} | {f"other {i}": 0.3 + 0.05 * i for i in range(7)})["rival"],
        slips=[
            (0.02, "That is the p-value of a question that was asked alone; here eight were asked."),
            (0.02 * 7, "Its own comparison counts, too."),
            (0.02 / 8, "The correction makes p-values larger."),
            (1 - 0.98**8, "That is Šidák's correction; Holm multiplies."),
        ],
        hint="How many comparisons are there in all? Holm multiplies the smallest p-value by that number.",
    ),
}
