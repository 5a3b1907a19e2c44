"""Exercises of chapters 3 to 5: the VSS module, the RVM layer, the network."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightm.models.rvm import RVMLayer
from lightm.models.unet import LightMUNet
from lightm.models.vss import VSSModule, from_direction, to_direction
from lightm_book.exercises.answers import RIGHT, Exercise, Function, Numbers, Probed
from lightm_book.exercises.sequences import random

GRID, PIXEL, CHANNELS = (5, 7), 10, 8  # of the exercise on looking forward; the pixel is number 3 of row 1


def steps_to_the_pixel_below(width: int, direction: int) -> int:
    """How many tokens later the pixel below comes in a direction of `to_direction`."""
    path = to_direction(torch.arange(2 * width).view(1, -1, 1), (2, width), direction).flatten().tolist()
    return path.index(width) - path.index(0)


def vss_parameters(C: int, expansion: int = 2, bias: bool = True, rank: Callable = math.ceil) -> int:
    D, N, R = expansion * C, 16, rank(C / 16)
    return 3 * C * D + (10 if bias else 9) * D + D * (R + 2 * N) + R * D + D + D * N + D + 2 * D


def causal() -> Callable[[Tensor], Tensor]:
    module = VSSModule(CHANNELS, 2, dwconv="causal", scan_backend="reference")
    return lambda x: module(x, GRID)


def anticausal() -> Callable[[Tensor], Tensor]:
    look_back = causal()
    return lambda x: from_direction(look_back(to_direction(x, GRID, 1)), GRID, 1)


def _turned_once() -> Callable[[Tensor], Tensor]:
    look_back = causal()
    return lambda x: look_back(x.flip(1))


BACKWARDS = "It still sees tokens that come before. In which order must the module get them?"
ALL_TURNED = "The tokens go in backwards, and the output stays backwards: turn it round as well."
NOTHING_AFTER = "It sees nothing of what comes after the pixel."


def looks_forward_only(function: Any) -> str:
    if not callable(function):
        return "A function of the tokens is asked for: pass its name, without calling it."
    x = torch.randn(1, math.prod(GRID), CHANNELS, requires_grad=True)  # (B, L, C)
    try:
        y = function(x)
        (gradient,) = torch.autograd.grad(y[0, PIXEL].square().sum(), x)
    except Exception as error:  # somebody else's code
        return f"The function raised {type(error).__name__}: {error}"
    seen = gradient[0].abs().sum(-1) > 0  # (L,)
    if seen[:PIXEL].any():
        return BACKWARDS
    if not seen[PIXEL + 1 :].any():
        return NOTHING_AFTER
    return RIGHT if seen[PIXEL] else ALL_TURNED


STILL_MIXED = "With this parameter at zero a pixel still sees others."
ALL_CUT = "With this parameter at zero the output doesn't depend on the input at all, not even on the pixel itself."


def parameter_that_isolates(name: Any) -> str:
    layer = RVMLayer(4, 2)
    parameters = dict(layer.named_parameters())
    if not isinstance(name, str) or name not in parameters:
        return f"The layer has no parameter {name!r}; its names are in `dict(layer.named_parameters())`."
    with torch.no_grad():
        for parameter in parameters.values():  # whatever the rest is
            parameter.add_(0.5 * torch.randn_like(parameter))
        parameters[name].zero_()
    M = torch.randn(1, 6, 4, requires_grad=True)  # (B, L, C)
    (gradient,) = torch.autograd.grad(layer(M, (2, 3))[0, 5].square().sum(), M)
    seen = gradient[0].abs().sum(-1) > 0  # (L,)
    if seen[:5].any():
        return STILL_MIXED
    return RIGHT if seen[5] else ALL_CUT


def _meta(**options) -> LightMUNet:
    with torch.device("meta"):
        return LightMUNet(2, 1, 2, **options)


def shape_after_block_2() -> tuple[int, ...]:
    blocks = nn.Sequential(*_meta().encoder[:2])
    return tuple(blocks(torch.empty(1, 32, 64, 96, device="meta")).shape[1:])


def tokens_of_all_scans(**options) -> int:
    """Of a LightMUNet with these options, for an image of 512 x 512: each stage halves the sides of the one before."""
    model = _meta(**options)
    layers = [*(len(block.stack.layers) for block in model.encoder), len(model.bottleneck.layers)]
    return sum(depth * (512 // 2**level) ** 2 for level, depth in enumerate(layers))


def adjustment_factors() -> int:
    return sum(module.s.numel() for module in _meta().modules() if isinstance(module, RVMLayer))


def growth_with_the_width() -> int:
    wide, normal = (sum(p.numel() for p in _meta(width=width).parameters()) for width in (64, 32))
    return round(wide / normal)


def pad_to_fit(x: Tensor, missing: Callable[[int], int] = lambda size: -size % 8, at_the_end: bool = True) -> Tensor:
    pairs = [(0, missing(n)) if at_the_end else (missing(n), 0) for n in reversed(x.shape[2:])]
    return F.pad(x, [n for pair in pairs for n in pair])


def _axes_in_order(x: Tensor) -> Tensor:
    return F.pad(x, [n for size in x.shape[2:] for n in (0, -size % 8)])


def gradient_of_s(G: Tensor, M: Tensor) -> Tensor:
    return (G * M).sum((0, 1))  # (C,)


EXERCISES: dict[str, Exercise] = {
    "ex-vss-below": Numbers(
        truth=lambda: tuple(steps_to_the_pixel_below(512, direction) for direction in (0, 2)),
        slips=[
            ((1, 512), "That is the other way round: direction 0 reads rows, direction 2 columns."),
            ((511, 0), "Count the steps from the pixel to the one below, not the tokens strictly in between."),
            ((512, 512), "Direction 2 reads columns: which pixel comes next there?"),
            ((1, 1), "Direction 0 reads a row to its end before it comes to the next one."),
        ],
        hint="Number the tokens of two rows of that image in either direction.",
    ),
    "ex-vss-count": Function(
        reference=vss_parameters,
        cases=lambda: [(C,) for C in (24, 32, 64, 128, 256)],
        abs=0.5,
        rel=0.0,
        slips=[
            (lambda C: vss_parameters(C, expansion=1), "Inside the module there are λ C channels, and λ is 2."),
            (
                lambda C: vss_parameters(C, bias=False),
                "One number per inner channel is missing: the convolution has a bias, and the scan a skip D.",
            ),
            (
                lambda C: vss_parameters(C, rank=math.floor),
                "Right for multiples of 16: in between, the rank of Δ is rounded up.",
            ),
        ],
        hint="Add up the shapes in `VSSModule(32, 2).named_parameters()`, each as a function of C.",
    ),
    "ex-vss-view": Numbers(
        truth=lambda: (10 * 64 + 20 + 1, 64 * 64 - 10 * 64 - 20),
        slips=[
            ((660, 3435), "A pixel sees itself, too: each number is one larger."),
            ((661, 3435), "In the reverse direction the pixel sees itself, too."),
            (
                (20 * 64 + 11, 64 * 64 - 20 * 64 - 10),
                "These numbers are for reading columns; direction 0 reads rows.",
            ),
            ((200, 3896), "Row-major order reads all of the rows above, not only the rectangle above and to the left."),
        ],
        rel=0,
        hint="Ten whole rows come before row 10; how many pixels of row 10 come before column 20?",
    ),
    "ex-vss-reverse": Probed(
        probe=looks_forward_only,
        example=anticausal,
        slips=[
            (causal(), BACKWARDS),
            (_turned_once(), ALL_TURNED),
            (lambda x: x * 2, NOTHING_AFTER),
        ],
    ),
    "ex-rvm-gradient": Function(
        reference=gradient_of_s,
        cases=lambda: [(random(3, 6, 4), random(3, 6, 4, seed=1)), (random(1, 2, 5), random(1, 2, 5, seed=1))],
        slips=[
            (
                lambda G, M: (G * M).sum(),
                "One factor per channel, so one gradient per channel: keep that axis.",
            ),
            (lambda G, M: (G * M).mean((0, 1)), "Every token of every case adds its share: a sum, not a mean."),
            (lambda G, M: G.sum((0, 1)), "The factor multiplies the input, which therefore appears in its derivative."),
            (lambda G, M: (G * M).sum(1), "All cases of the batch share the factor: sum over them, too."),
        ],
        hint="Which entries of the sum does s_c appear in, and what does it multiply there?",
    ),
    "ex-rvm-identity": Probed(
        probe=parameter_that_isolates,
        example=lambda: "mixer.out_proj.weight",
        slips=[("s", STILL_MIXED), ("proj.weight", ALL_CUT), ("mixer.ssms.0.x_proj.weight", STILL_MIXED)],
    ),
    "ex-rvm-ratio": Numbers(
        truth=lambda: 1,
        slips=[
            (10, "Before the LayerNorm, yes. What does a LayerNorm make of ten times the same token?"),
            (100, "Both terms become ten times as large, so their sum does; then comes a LayerNorm."),
            (0.1, "A LayerNorm divides by the standard deviation, which has grown by the same factor."),
        ],
        hint="Ask what LayerNorm does to x and to 10 x.",
    ),
    "ex-rvm-factors": Numbers(
        truth=adjustment_factors,
        slips=[
            (9, "That is one factor per layer; the paper's s has one per channel."),
            (32 + 64 + 128 + 256, "Some stages have several layers, and each has its own factors."),
            (64 + 2 * 128 + 2 * 256 + 4 * 256, "s multiplies the layer's input, which has not been widened yet."),
        ],
        hint="Each of the 1 + 2 + 2 + 4 layers has as many factors as its input has channels.",
        rel=0,
    ),
    "ex-unet-tokens": Numbers(
        truth=tokens_of_all_scans,
        slips=[
            (512**2, "That is one image, read by one layer."),
            (512**2 + 256**2 + 128**2 + 64**2, "Some stages have several layers, and each reads all tokens."),
            (
                256**2 + 2 * 128**2 + 2 * 64**2 + 4 * 64**2,
                "A block pools at its end: its layers still read the tokens from before.",
            ),
            (9 * 512**2, "Deeper layers read fewer tokens: each pooling leaves a quarter of them."),
        ],
        hint="Multiply the layers of each stage (1, 2, 2 and 4) by the pixels that it works on.",
        rel=0,
    ),
    "ex-unet-width": Numbers(
        truth=growth_with_the_width,
        slips=[
            (2, "A linear layer from C to 2C channels has 2C² weights: double C in it."),
            (8, "Two axes of a weight matrix double, not three."),
            (1, "Count again: does a linear layer's size depend on the channels?"),
        ],
        abs=0.4,
        hint="Most parameters are in linear layers, whose two axes both double.",
    ),
    "ex-unet-block": Numbers(
        truth=shape_after_block_2,
        slips=[
            ((64, 16, 24), "The last layer of a block doubles its channels."),
            ((128, 32, 48), "A block ends with a max-pooling, after its layers."),
            ((64, 32, 48), "That is what block 2 gets."),
            ((128, 24, 16), "Height comes before width."),
        ],
        hint="Blocks 1 and 2 each double the channels, 32 at first, and halve both axes.",
        rel=0,
    ),
    "ex-unet-pad": Function(
        reference=pad_to_fit,
        cases=lambda: [
            (random(*shape),) for shape in ((1, 1, 30, 41), (2, 3, 32, 48), (1, 2, 8, 41), (1, 1, 9, 16, 7))
        ],
        slips=[
            (
                lambda x: pad_to_fit(x, lambda size: 8 - size % 8),
                "A size that fits already gets eight more zeros: what is 8 − size % 8 for size 32?",
            ),
            (_axes_in_order, "F.pad counts axes from the last one backwards: height and width have changed places."),
            (
                lambda x: pad_to_fit(x, at_the_end=False),
                "The zeros belong at the end of each axis, not before it.",
            ),
            (lambda x: x, "It gives back what it gets."),
        ],
        hint="For each axis the padding is what is missing to the next multiple of 8, possibly nothing.",
    ),
}
