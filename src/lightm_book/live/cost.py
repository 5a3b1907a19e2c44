"""The cost explorers: what a network's settings cost in parameters and operations, and what a step needs in memory."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lightm_book import ROOT
from lightm_book.counting.memory_table import read_memory
from lightm_book.live.explorable import Choose, Explorable, Slide
from lightm_book.show.explorer import MAX_SIZE, SLIDERS, Knobs, stages, totals
from lightm_book.show.figures import COLORS

GIB = 2**30
FIXED = ("parameters", "gradients", "optimizer")  # there once, whatever the batch


def draw_counts(**settings: int) -> tuple[Figure, str]:
    """Parameters and multiply-accumulates of each stage of LightM-UNet. settings: of `explorer.Knobs`."""
    settings["size"] = min(settings["size"], MAX_SIZE[settings["dims"]])
    knobs = Knobs(**settings)
    rows = stages(knobs)
    figure = Figure(figsize=(6.4, 4.2), dpi=110, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for ax, title, values, unit, color in zip(
        panels,
        ("parameters, thousands", "MACs, billions"),
        zip(*rows.values(), strict=True),
        (1e3, 1e9),
        COLORS[:2],
        strict=True,
    ):
        ax.barh(list(rows), [value / unit for value in values], color=color)
        ax.set_title(title)
    panels[0].invert_yaxis()
    params, macs = totals(knobs)
    shape = " × ".join([str(knobs.size)] * knobs.dims)
    return figure, f"{params / 1e6:.2f} M parameters, {macs / 1e9:.2f} GMACs for one image of {shape}."


def explore_counts() -> Explorable:
    """Sliders over LightM-UNet's settings; parameters and operations of each stage follow."""
    start = Knobs()
    controls: dict[str, Slide | Choose] = {"dims": Choose("dimensions", {"2D": 2, "3D": 3}, start.dims)}
    short = {"width": "width", "expansion": "expansion λ", "states": "states N", "size": "image size"}
    short |= {"encoder": "encoder depth", "bottleneck": "bottleneck depth"}
    for name, _, low, high, step in SLIDERS:
        controls[name] = Slide(short[name], low, high, getattr(start, name), step)
    frames = [(f"width {width}", {"width": width}) for width in (8, 16, 32, 64)]
    frames += [(f"bottleneck of {depth}", {"bottleneck": depth}) for depth in (1, 8)]
    return Explorable(draw_counts, controls, frames, "Bars: parameters and operations of every stage of LightM-UNet")


def explore_memory(path: Path | None = None) -> Explorable:
    """What a training step of each recorded network needs, and how many images a card of a chosen size takes.

    path: the record that `lightm-book count --memory` makes; None is the book's own.
    """
    rows = read_memory(path or ROOT / "results" / "memory.json")
    plain = {place: row for place, row in rows.items() if place[1] == 2 and place[2] == 512}
    systems = list(dict.fromkeys(place[0] for place in plain))

    def draw(system: str, precision: str, recompute: bool, card: int) -> tuple[Figure, str]:
        row = next(
            (row for place, row in plain.items() if place[0] == system and place[3:5] == (precision, recompute)), None
        )
        figure = Figure(figsize=(6.4, 2.6), dpi=110, layout="constrained")
        ax = figure.subplots()
        how = f"{system}, {precision}{', recomputing' if recompute else ''}"
        ax.set(xlabel="GiB in a training step", yticks=[], xlim=(0, 1.05 * card))
        if row is None:
            return figure, f"{how}: not counted."
        fixed = sum(getattr(row.one, part) for part in FIXED) / GIB
        most = row.fits(card * GIB) if row.many else 1
        ends = [row.peak(n) / GIB for n in range(1, most + 1)] if row.many else [row.one.peak / GIB]
        ax.barh(0, fixed, color=COLORS[1], label="parameters, gradients, optimiser")
        images = np.diff([fixed, *ends])
        ax.barh(
            [0] * len(ends), images, left=[fixed, *ends[:-1]], color=COLORS[0], edgecolor="white", label="each image"
        )
        ax.axvline(card, color=COLORS[2], linewidth=2, label="the card")
        figure.legend(fontsize=10, ncols=3, loc="outside upper center")
        takes = f"{most} fit a card of {card} GiB" if row.many else "more were not counted"
        return figure, f"{how}: {row.one.peak / GIB:.2f} GiB for one image of 512 × 512; {takes}."

    controls = {
        "system": Choose("network", {name: name for name in systems}, "lightm-unet"),
        "precision": Choose("precision", {"float32": "fp32", "bf16": "bf16"}, "fp32"),
        "recompute": Choose("recompute blocks", {"no": False, "yes": True}, False),
        "card": Slide("card, GiB", 4, 80, 24, 2),
    }
    frames = [(f"{name}", {"system": name}) for name in systems[:6]]
    alt = "A bar of the memory of a training step: the fixed part, then a block for each image that fits the card"
    return Explorable(draw, controls, frames, alt)
