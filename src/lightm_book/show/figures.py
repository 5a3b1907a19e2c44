"""Figures of the book: one matplotlib style, and a slider over pre-rendered frames that needs no kernel or network."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from lightm.errors import LightMError

# A figure has no background of its own: it lies on the paper of a light page and of a dark one. So everything in it is
# of middle lightness: text and axes have a contrast of 4 with either paper, colours of 3 (the tests compute both).
PAPERS = ("#ffffff", "#14181e")  # of the book's theme
INK = "#7a7a7a"
# Okabe & Ito's palette (https://jfly.uni-koeln.de/color/), distinct with any colour vision: yellow left out, sky blue
# and orange darker than theirs for a white page, and the gray of the text in the place of black.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#4A98C9", "#B98200", INK)


def use_style() -> None:
    """Set matplotlib's defaults for the book: readable on a phone, in light and dark, with any colour vision."""
    # At 110 dots an inch, 6.4 inches are the width of a page's column; on a phone the picture shrinks to half of that
    # and 13 points are still read.
    plt.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.dpi": 110,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "figure.constrained_layout.use": True,
            "font.size": 13,
            "axes.titlesize": 13,
            "axes.prop_cycle": plt.cycler(color=COLORS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": False,
            "grid.alpha": 0.3,
            "lines.linewidth": 2.0,
            "legend.frameon": False,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )


# Runs when the first frame is loaded, where scripts may run at all: the strip of frames becomes a slider.
START = (
    "const figure=this.closest('figure'),[strip,control]=figure.querySelectorAll('div');"
    "strip.style.overflowX='hidden';control.style.display='flex';figure.querySelector('p').hidden=true;"
    "figure.querySelectorAll('a').forEach(frame=>frame.removeAttribute('tabindex'));"
    "figure.querySelector('input').dispatchEvent(new Event('input'));"
)


def frames_slider(
    frames: Sequence[Figure | np.ndarray | bytes], labels: Sequence[str], alt: str, caption: str = ""
) -> "Slider":
    """A slider that steps through pictures, alive in Jupyter and in the static page, also from file:// and offline.

    Every frame is an ordinary <img> in the output; a slider shows one at a time. Without JavaScript, and in a notebook
    that JupyterLab doesn't trust yet, the frames are a strip to scroll, by mouse or with Tab. Arrow keys move the
    slider; a screen reader hears the label, and the alt text of the visible frame.

    Args:
        frames: one picture a step, all of one size: matplotlib figures (closed after rendering), uint8 arrays
            (H, W) or (H, W, 3), or PNG files as bytes.
        labels: one short text a frame, e.g. "step 3 of 8"; shown beside the slider.
        alt: what the pictures show, for a reader who can't see them; each frame's label is added to it.
        caption: a sentence under the slider, plain text.

    Returns:
        an object for the last line of a cell. The same input gives the same HTML.

    Raises:
        LightMError: no frames, not one label a frame, an empty alt text, or frames of different sizes.
    """
    if not frames or len(frames) != len(labels):
        raise LightMError(f"frames_slider needs one label for each frame, not {len(labels)} for {len(frames)} frames.")
    if not alt.strip():
        raise LightMError("frames_slider needs an alt text that says what the pictures show.")
    pngs = [png_bytes(frame) for frame in frames]
    sizes = [Image.open(BytesIO(png)).size for png in pngs]
    if len(set(sizes)) > 1:
        raise LightMError(f"frames_slider needs frames of one size, not {sorted(set(sizes))}: use the same figsize.")
    width, height = sizes[0]
    key = hashlib.sha256(b"".join(pngs) + "\0".join([*labels, alt, caption]).encode()).hexdigest()[:12]

    onload = f' onload="{START}"'
    images = "\n".join(
        f'<a tabindex="0"><img src="data:image/png;base64,{base64.b64encode(png).decode()}" width="{width}" '
        f'height="{height}" '
        f'alt="{escape(alt)} ({escape(label)})" data-label="{escape(label)}" '
        f'style="max-width:100%;height:auto"{"" if step else onload}></a>'
        for step, (png, label) in enumerate(zip(pngs, labels, strict=True))
    )
    # The handler is an attribute, not a script: it works when a front end inserts the output as HTML, and twice on a
    # page. `hidden` alone would lose against a theme's `display: block` for images.
    move = (
        "const figure=this.closest('figure');"
        "figure.querySelectorAll('img').forEach((image,step)=>{const on=step==this.value;image.hidden=!on;"
        "image.style.display=on?'block':'none';if(on){figure.querySelector('output').value=image.dataset.label;"
        "this.setAttribute('aria-valuetext',image.dataset.label);}});"
    )
    first, longest = escape(labels[0]), max(map(len, labels))  # room for every label: the slider keeps its length
    html = (
        f'<figure class="frames-slider" style="margin:0;max-width:{width}px">\n'
        f"<style>.frames-slider img[hidden]{{display:none}}</style>\n"
        f'<div style="overflow-x:auto;white-space:nowrap">\n{images}\n</div>\n'
        f"<p>Scroll sideways, or press Tab: {escape(' · '.join(labels))}</p>\n"
        f'<div style="display:none;flex-wrap:wrap;align-items:center;gap:0 0.75em">\n'
        f'<input type="range" id="frames-{key}" min="0" max="{len(pngs) - 1}" value="0" step="1" autocomplete="off" '
        f'aria-label="{escape(alt)}" aria-valuetext="{first}" oninput="{move}" '
        f'style="flex:1 1 12em;min-width:8em;height:2.5em;accent-color:{COLORS[0]}">\n'
        f'<output for="frames-{key}" style="min-width:min(100%,{longest}ch)">{first}</output>\n'
        "</div>\n" + (f"<figcaption>{escape(caption)}</figcaption>\n" if caption else "") + "</figure>"
    )
    return Slider(html, f"[slider over {len(pngs)} pictures: {alt}]")


def picture(figure: Figure, alt: str) -> "Slider":
    """A figure whose alt text says what was found: computed, where the cell's metadata could only be typed.

    The figure is rendered and closed. For the last line of a cell; the same figure gives the same HTML.
    """
    if not alt.strip():
        raise LightMError("picture needs an alt text that says what the figure shows.")
    png = png_bytes(figure)
    width, height = Image.open(BytesIO(png)).size
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    size = f'width="{width}" height="{height}" style="max-width:100%;height:auto"'
    return Slider(f'<img src="{source}" {size} alt="{escape(alt)}">', f"[picture: {alt}]")


# Where a label may stand beside its point: to the right and up, in units of its distance; how it is aligned.
_PLACES = (
    ((0, 1), "center", "bottom"),
    ((0, -1), "center", "top"),
    ((1, 0), "left", "center"),
    ((-1, 0), "right", "center"),
    ((0.8, 0.8), "left", "bottom"),
    ((-0.8, 0.8), "right", "bottom"),
    ((0.8, -0.8), "left", "top"),
    ((-0.8, -0.8), "right", "top"),
)


def place_labels(ax: Axes, labels: Sequence[tuple[str, float, float, float]], fontsize: float = 9) -> None:
    """Write a label beside each point, so that none covers another or a marker, as far as there is room.

    labels: (text, x, y, radius of its marker in points). Call it when the axes' limits and the layout are final.
    """
    figure = ax.figure
    figure.draw_without_rendering()
    points = figure.dpi / 72
    taken = []
    for _, x, y, radius in labels:
        (px, py), reach = ax.transData.transform((x, y)), radius * points
        taken.append(Bbox.from_extents(px - reach, py - reach, px + reach, py + reach))
    for text, x, y, radius in labels:
        tried = []
        for further in (3, 12, 24):
            for (right, up), ha, va in _PLACES:
                offset = (right * (radius + further), up * (radius + further))
                note = ax.annotate(
                    text, (x, y), offset, textcoords="offset points", ha=ha, va=va, fontsize=fontsize, in_layout=False
                )
                box = note.get_window_extent()
                inside = ax.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and ax.bbox.y0 <= box.y0 <= box.y1
                tried.append((sum(box.overlaps(other) for other in taken) + 10 * (not inside), note, box))
                note.set_visible(False)
        _, note, box = min(tried, key=lambda entry: entry[0])  # the first of the best
        note.set_visible(True)
        for _, other, _ in tried:
            if other is not note:
                other.remove()
        taken.append(box)


class Slider:
    """What frames_slider and picture return: HTML for a browser, one sentence where there is none."""

    def __init__(self, html: str, text: str):
        self.html, self.text = html, text

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def png_bytes(frame: Figure | np.ndarray | bytes) -> bytes:
    """The frame as a PNG file; a figure is rendered at its own size (never cropped) and closed."""
    if isinstance(frame, bytes):
        return frame
    out = BytesIO()
    if isinstance(frame, Figure):
        # No bbox_inches="tight": frames must keep one size. No Software entry: the same picture, the same bytes.
        frame.savefig(out, format="png", bbox_inches=None, metadata={"Software": None})
        plt.close(frame)
    elif isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim in (2, 3):
        Image.fromarray(frame).save(out, format="PNG")
    else:
        kind = f"{frame.dtype} array of shape {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise LightMError(f"frames_slider takes figures, uint8 arrays (H, W) or (H, W, 3), or PNG bytes, not a {kind}.")
    return out.getvalue()
