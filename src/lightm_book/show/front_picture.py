"""The picture of the front page, as SVG: Figure 1 of the paper as printed, moving to the same networks counted once.

Beside it the U, drawn from the network. Nothing but CSS moves (book/_static/front.css), so it works from file://, in
print, and without scripts: there the networks stand where they are counted once, a dashed ring where they were printed.
"""

from dataclasses import dataclass
from functools import cache
from html import escape
from math import ceil, log10, sqrt

import torch

from lightm.counting import count
from lightm.models import build_model
from lightm_book.paper import TABLES, Evidence
from lightm_book.paper.checks.counts import text_value, true_value
from lightm_book.paper.evidence import CHANNELS, TEXT
from lightm_book.paper.settings import setting
from lightm_book.paper.tables import GFLOPS, OURS, PARAMS
from lightm_book.show.figures import COLORS
from lightm_book.show.stages import stage_outputs, stage_paths

WIDTH, HEIGHT = 360, 264  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 40, 352, 24, 222  # of its axes
LOWEST, HIGHEST = 5, 30_000  # of the horizontal axis, the same before and after
TICKS = (10, 100, 1_000, 10_000)
PANELS = {1: ("(a) LiTS, 3D", "Average mIoU", (61, 80)), 2: ("(b) Radiographs, 2D", "mIoU", (91.0, 93.0))}
FIRST, WRITTEN = "the first upload", "the text's network"  # the two networks of one name
INKS = {
    **dict(zip(("nnU-Net", "UNETR", "SwinUNETR", "U-Mamba"), (COLORS[0], *COLORS[2:5]), strict=True)),
    "SegResNet": "currentColor",
    FIRST: COLORS[5],
    WRITTEN: COLORS[1],
}
# Where a label stands beside its dot, as printed and counted once: to the left or right of it, above or below.
SIDES = {
    (1, "UNETR"): ("right", "right"),
    (1, "SwinUNETR"): ("below", "below"),
    (1, "SegResNet"): ("above", "left"),
    (1, "nnU-Net"): ("below", "left"),
    (1, "U-Mamba"): ("above", "right"),
    (1, FIRST): ("above", "right"),
    (1, WRITTEN): ("", "above"),
    (2, "UNETR"): ("right", "right"),
    (2, "SwinUNETR"): ("left", "left"),
    (2, "SegResNet"): ("left", "left"),
    (2, "nnU-Net"): ("left", "left"),
    (2, "U-Mamba"): ("left", "right"),
    (2, FIRST): ("above", "right"),
    (2, WRITTEN): ("", "above"),
}


@dataclass(frozen=True)
class Dot:
    """A network in a panel: operations and millions of parameters as printed and counted once, accuracy as printed."""

    name: str
    row: str
    printed: tuple[float, float]
    once: tuple[float, float]
    score: float


def dots(evidence: Evidence, number: int) -> list[Dot]:
    """The networks of Table 1 or 2; LightM-UNet twice, as it was counted and as the text describes it."""
    table, found = TABLES[number], []
    for row in table.rows:
        printed = float(table[row, GFLOPS]), float(table[row, PARAMS])
        once = tuple(float(true_value(evidence.counting[number, row], column)) for column in (GFLOPS, PARAMS))
        score = float(table[row, PANELS[number][1]])
        found.append(Dot(FIRST if row == OURS else row, row, printed, once, score))
    text = tuple(float(text_value(evidence, column, table.dims)) for column in (GFLOPS, PARAMS))
    return [*found, Dot(WRITTEN, OURS, found[-1].printed, text, found[-1].score)]


def panel(evidence: Evidence, number: int) -> str:
    """One panel of Figure 1: the dots of a table, each in both of its places."""
    title, metric, (low, high) = PANELS[number]
    parts = [f'<text x="{LEFT}" y="12" class="title">{title}</text>']
    for value in TICKS:
        x = across(value)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{BOTTOM}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 15}" class="tick" text-anchor="middle">{value:,}</text>')
    step = 1 if high - low < 5 else 5
    for value in range(ceil(low / step) * step, int(high) + 1, step):
        y = upward(value, low, high)
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="tick" text-anchor="end">{value}</text>')
    parts.append(f'<path d="M{LEFT},{TOP}V{BOTTOM}H{RIGHT}" class="axes"/>')
    middle = (LEFT + RIGHT) / 2
    for state, text in (("printed", "GFLOPs as printed"), ("once", "GMACs of one image, each counted once")):
        parts.append(f'<text x="{middle}" y="{BOTTOM + 34}" class="{state}" text-anchor="middle">{text}</text>')
    parts.append(
        f'<text transform="translate(11,{(TOP + BOTTOM) / 2})rotate(-90)" text-anchor="middle">{metric}, %</text>'
    )
    every = sorted(dots(evidence, number), key=lambda dot: -dot.once[1])
    for dot in every:
        y, x0, x1 = upward(dot.score, low, high), across(dot.printed[0]), across(dot.once[0])
        parts.append(f'<path d="M{x0:.1f},{y:.1f}H{x1:.1f}" class="trace once"/>')
        if dot.name != WRITTEN:
            parts.append(f'<circle cx="{x0:.1f}" cy="{y:.1f}" r="{radius(dot.printed[1]):.1f}" class="ring once"/>')
    for dot in every:
        parts.append(_moving(dot, number, upward(dot.score, low, high)))
    return _svg(WIDTH, HEIGHT, describe(evidence, number), parts)


def _moving(dot: Dot, number: int, y: float) -> str:
    """A dot in its place of "counted once"; CSS takes it to where it was printed and back."""
    before, after = across(dot.printed[0]), across(dot.once[0])
    r0, r1 = radius(dot.printed[1]), radius(dot.once[1])
    color = INKS[dot.name]
    places = f"--x0:{before:.1f}px;--x1:{after:.1f}px;--y:{y:.1f}px;--grow:{r0 / r1:.3f}"
    labels = ""
    sides = SIDES[number, dot.name]
    for state, side, r in (("printed", sides[0], r0), ("once", sides[1], r1)):
        if side:
            text = OURS if dot.row == OURS and state == "printed" else dot.name
            labels += f'<text class="{state} label" {_beside(side, r)}>{escape(text)}</text>'
    return (
        f'<g class="dot" style="{places}" transform="translate({after:.1f},{y:.1f})">'
        f'<circle r="{r1:.1f}" fill="{color}"/>{labels}</g>'
    )


def _beside(side: str, r: float) -> str:
    away = r + 4
    return {
        "left": f'x="{-away:.1f}" y="4" text-anchor="end"',
        "right": f'x="{away:.1f}" y="4" text-anchor="start"',
        "above": f'y="{-away:.1f}" text-anchor="middle"',
        "below": f'y="{away + 9:.1f}" text-anchor="middle"',
    }[side]


def across(operations: float) -> float:
    """x of a number of operations, logarithmic: equal quotients are equal distances."""
    share = log10(operations / LOWEST) / log10(HIGHEST / LOWEST)
    return LEFT + share * (RIGHT - LEFT)


def upward(score: float, low: float, high: float) -> float:
    return BOTTOM - (score - low) / (high - low) * (BOTTOM - TOP)


def radius(millions: float) -> float:
    """The area of a marker is in proportion to the number of parameters."""
    return max(1.4 * sqrt(millions), 2.2)


def describe(evidence: Evidence, number: int) -> str:
    """What the panel shows, in words, with its numbers."""
    moved = "; ".join(
        f"{OURS + ', ' if dot.row == OURS else ''}{dot.name} from {dot.printed[0]:,.0f} to {dot.once[0]:,.0f}"
        for dot in dots(evidence, number)
    )
    return (
        f"Figure 1 {PANELS[number][0]}: {PANELS[number][1]} as printed against operations on a logarithmic axis, "
        f"markers as large as the networks. From GFLOPs as printed to GMACs of one image, each counted once: {moved}. "
        "As printed LightM-UNet stands alone on the left; counted once the others come near."
    )


@cache
def _stages(dims: int) -> list[tuple[str, tuple[int, ...], int]]:
    """(stage, shape of what comes out, parameters) of the text's network at the paper's size; runs on no memory."""
    size = tuple(int(n) for n in setting("size", dims).value)
    channels, classes = CHANNELS[dims]
    with torch.device("meta"):
        model = build_model(TEXT, dims, channels, classes)
        outputs = stage_outputs(model, torch.empty(1, channels, *size))
    counts = count(model, (channels, *size))
    return [(name, tuple(outputs[name].shape[1:]), counts.at(path).params) for name, path in stage_paths(model).items()]


def the_u(dims: int = 2) -> str:
    """The U of the text's network from top to bottom: each stage with its shape and its share of the parameters."""
    stages = _stages(dims)
    names = [name for name, _, _ in stages]
    half, row, width, height = len(stages) // 2, 92, 138, 58
    most, parts = max(params for _, _, params in stages), []
    tall = half * row + height + 56
    parts.append('<text x="8" y="14" class="title">LightM-UNet, as the text describes it</text>')
    places = {}
    for place, (name, shape, params) in enumerate(stages):
        level = min(place, len(stages) - 1 - place)
        middle = WIDTH / 2 if place == half else 74 + 4 * level if place < half else WIDTH - 74 - 4 * level
        places[name] = middle, 30 + level * row
        parts.append(_stage(name, shape, params, most, *places[name], width, height))
    for (_, (x0, y0)), (_, (x1, y1)) in zip(places.items(), list(places.items())[1:], strict=False):
        ends = (x0, y0 + height, x1, y1) if y1 > y0 else (x0, y0, x1, y1 + height)
        parts.append('<path d="M{:.0f},{:.0f}L{:.0f},{:.0f}" class="axes" marker-end="url(#tip)"/>'.format(*ends))
    for level in range(1, half):
        (x0, y0), (x1, _) = places[names[level]], places[names[-1 - level]]
        y = y0 + height / 2
        parts.append(f'<path d="M{x0 + width / 2:.0f},{y}H{x1 - width / 2:.0f}" class="skip"/>')
    tip = '<marker id="tip" markerWidth="7" markerHeight="7" refX="6" refY="3" orient="auto">'
    total = sum(params for _, _, params in stages)
    words = "; ".join(f"{name} {_by(shape)}, {params:,} parameters" for name, shape, params in stages)
    alt = f"The U of LightM-UNet for an image of the paper's size, from the stem down and up to the head: {words}."
    parts.append(
        f'<text x="{WIDTH / 2}" y="{tall - 4}" text-anchor="middle">{total:,} parameters; the bars: their share</text>'
    )
    return _svg(WIDTH, tall, alt, [f'<defs>{tip}<path d="M0,0L6,3L0,6z"/></marker></defs>', *parts])


def _stage(name: str, shape: tuple[int, ...], params: int, most: int, x: float, y: float, w: int, h: int) -> str:
    color = COLORS[0] if name.startswith(("encoder", "bottleneck")) else COLORS[2]
    bar = max(params / most * (w - 16), 1)
    return (
        f'<g transform="translate({x - w / 2:.0f},{y:.0f})"><rect width="{w}" height="{h}" rx="6" class="stage" '
        f'stroke="{color}"/><text x="{w / 2}" y="19" text-anchor="middle" class="title">{name}</text>'
        f'<text x="{w / 2}" y="37" text-anchor="middle">{_by(shape)}</text>'
        f'<rect x="8" y="{h - 13}" width="{bar:.1f}" height="6" fill="{color}"/></g>'
    )


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _svg(width: int, height: int, alt: str, parts: list[str]) -> str:
    label = escape(alt)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">\n' + "\n".join(parts) + "\n</svg>"


def front_figure(evidence: Evidence) -> str:
    """HTML for the front page: both panels with two buttons that move them, and the U. Empty without counts."""
    if not evidence.counting:
        return ""
    return f"""<figure class="front">
<input type="radio" name="front" id="front-printed"><label for="front-printed">As printed</label>
<input type="radio" name="front" id="front-once" checked><label for="front-once">Counted once</label>
<div class="front-panels"><div>{panel(evidence, 2)}{panel(evidence, 1)}</div><div>{the_u()}</div></div>
<figcaption>Left: Figure 1 of the paper with its accuracies, from its tables, and the same networks with each parameter
and each multiply-accumulate counted once. One dot becomes two: the printed costs of {OURS} are those of the authors'
first upload; the text describes another network. Right: that network, drawn from the code.</figcaption>
</figure>
"""


def front_svg(evidence: Evidence, css: str) -> str:
    """The two panels as one file for README.md, on white; its dots move once where the viewer allows it."""
    panels = []
    for place, number in enumerate((2, 1)):
        where = f'x="{place * WIDTH}" width="{WIDTH}" height="{HEIGHT}"'
        panels.append(panel(evidence, number).replace("<svg ", f"<svg {where} ", 1))
    alt = escape(" ".join(describe(evidence, number) for number in (2, 1)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="front" viewBox="0 0 {2 * WIDTH} {HEIGHT + 8}" color="#222" '
        f'role="img" aria-label="{alt}">\n<style>{css}</style>\n<rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(panels)
        + "\n</svg>\n"
    )
