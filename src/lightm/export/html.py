"""One HTML file that holds a network, its weights and the runtime: it works from a disk, on a phone, without a network.

>>> from lightm.export import export_html
>>> export_html("runs/smoke", "lungs.html")
"""

import base64
import html
import io
import json
import math
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from lightm.data.transforms import window_of
from lightm.errors import LightMError, suggest
from lightm.export.card import Card
from lightm.export.describe import Described, describe
from lightm.export.source import free_path, open_source
from lightm.files import whole_file

PAGE, RUNTIME = (Path(__file__).parent / name for name in ("page", "runtime"))
MODULE = RUNTIME / "kernels.wasm"
RUNTIME_SCRIPTS = ("memory.js", "engine.js", "operations.js")  # the network, also without a page around it
SERVICE_SCRIPTS = ("png.js", "preprocess.js", "picture.js", "service.js")  # pictures in, labels out
NORMALISATIONS = ("zscore", "percentile", "ct", "window:LOW:HIGH")


def export_html(
    source: nn.Module | str | Path,
    path: str | Path,
    card: Card | None = None,
    precision: str = "float16",
    force: bool = False,
) -> Path:
    """Write the page of a trained network as one self-contained HTML file; returns its path.

    source: a run folder of `lightm train` (its best checkpoint), a weights file, the name of weights that come with the
    package, or a LightM-UNet in 2D, which needs a `card`.
    precision: of the weights in the file, "float16" or "float32". force: replace a file that is there.
    The file appears whole or not at all. LightMError: a network that the page's runtime can't run, by name; a card that
    does not fit it; a path that can't be written.
    """
    path = free_path(path, (".html", ".htm"), force)
    model, card = open_source(source, card)
    text = page(describe(model, precision), card)
    with whole_file(path) as temporary:
        temporary.write_text(text, "utf-8", newline="\n")
    return path


def page(described: Described, card: Card) -> str:
    """The HTML text. The same network and card give the same bytes."""
    _check(described, card)
    classes = list(card.classes)
    names = ", ".join(classes[1:])
    parts = {
        "title": html.escape(card.title or f"Find {names}"),
        "lead": html.escape(card.lead or f"Give a picture; the network outlines {names}."),
        "labels": html.escape(", ".join(f"{value} {name}" for value, name in enumerate(classes))),
        "about": _about(described, card),
        "network": script_json(network(described, card)),
        "module": base64_of(MODULE.read_bytes()),
        "weights": base64_of(described.weights),
        "example": "" if card.example is None else base64_of(png_of(card.example)),
        "css": (PAGE / "page.css").read_text("utf-8").strip(),
        "runtime": "\n".join(runtime_sources().values()).strip(),
        "page": _bare(PAGE / "page.js"),
    }
    before, *rest = (PAGE / "page.html").read_text("utf-8").split("@")  # text, name, text, name, …, text
    out = [before]
    for name, text in zip(rest[::2], rest[1::2], strict=True):
        out += [parts[name], text]
    return "".join(out)


def network(described: Described, card: Card) -> dict:
    """What the runtime's service opens: the description, and how pictures are prepared for the network."""
    window = window_of(card.normalise)
    how = {"normalise": "window", "window": window} if window else {"normalise": card.normalise}
    return {**described.description, "network": {"classes": list(card.classes), "size": list(card.size), **how}}


def runtime_sources() -> dict[str, str]:
    """The scripts that a worker runs, by name, in the order in which they are loaded."""
    places = {name: RUNTIME / name for name in RUNTIME_SCRIPTS} | {name: PAGE / name for name in SERVICE_SCRIPTS}
    return {name: _bare(place) for name, place in places.items()}


def _bare(script: Path) -> str:
    """A script without its comment lines and indentation: a third of its bytes. No string in them spans lines."""
    lines = (line.strip() for line in script.read_text("utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _check(described: Described, card: Card) -> None:
    classes, step = described.description["out_channels"], described.description["step"]
    if len(card.classes) != classes:
        raise LightMError(f"The card names {len(card.classes)} classes and the network has {classes}: name each.")
    if not 2 <= classes <= 256:
        raise LightMError(f"A page shows 2 to 256 classes; this network has {classes}.")
    if len(card.size) != 2 or any(n < step or n % step for n in card.size):
        sizes = "x".join(map(str, card.size))
        raise LightMError(f"size={sizes} does not fit the network: give height and width divisible by {step}.")
    if card.normalise not in NORMALISATIONS and not window_of(card.normalise):
        raise LightMError(
            f"There is no normalisation {card.normalise!r}. {suggest(str(card.normalise), NORMALISATIONS)}"
        )
    if not card.trained_on.strip():
        raise LightMError("The card does not say what the network was trained on: fill in trained_on.")


def _about(described: Described, card: Card) -> str:
    description = described.description
    megabytes = len(described.weights) / 1e6
    dtype = next(iter(description["tensors"].values()))["dtype"]
    gray = "gray" if description["in_channels"] == 1 else f"{description['in_channels']} channels"
    rows = [
        ("Trained on", card.trained_on),
        *card.facts,
        (
            "Sees",
            f"pictures as {card.size[0]} x {card.size[1]} pixels, {gray}; its answer is brought back to their size",
        ),
        (
            "Network",
            f"LightM-UNet (arXiv:2403.05246), {description['parameters']:,} parameters, {megabytes:.1f} MB as {dtype}",
        ),
        (
            "Limits",
            "It answers for every picture, also for one of another kind than it has learnt from; there, and on another "
            "hospital's devices, its answer may be wrong without a sign of it.",
        ),
    ]
    items = "\n".join(f"<dt>{html.escape(term)}</dt><dd>{html.escape(text)}</dd>" for term, text in rows)
    return f"<dl>\n{items}\n</dl>"


def script_json(value: dict) -> str:
    """JSON that can stand in a script element: no "<" can end it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")


def base64_of(data: bytes) -> str:
    """As text, for a script."""
    return base64.b64encode(data).decode("ascii")


def png_of(values: np.ndarray) -> bytes:
    """Gray values 0 to 255 (H, W) as a PNG."""
    if values.ndim != 2 or not math.prod(values.shape):
        raise LightMError(f"The example has shape {values.shape}: give gray values (H, W).")
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
