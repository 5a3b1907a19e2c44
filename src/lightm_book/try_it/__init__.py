"""The page "Try it": a trained network, the runtime of `lightm export --html`, and what shows the inside of it.

panel.html   what the page holds; it refers to a folder of scripts, which `assets` makes
client.js    asks the runtime's service
inside.js    the scan once more, to look into
draw.js      planes of numbers as pictures; views.js: what is drawn of an answer
page.js      what the reader does, page.css how it looks
"""

import html
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lightm.data.phantoms import PhantomCXR
from lightm.export import describe
from lightm.export.html import MODULE, base64_of, network, png_of, runtime_sources, script_json
from lightm.export.runs import model_and_card
from lightm.inference import Predictor

HERE = Path(__file__).parent
SCRIPTS = ("inside.js", "draw.js", "client.js", "views.js")  # beside the runtime; page.js is a file of its own
PHANTOMS, OUTLINE = 3, (230, 159, 0)


def panel(megabytes: float, folder: str) -> str:
    """The HTML of the page. folder: where it finds the files of `assets`."""
    text = (HERE / "panel.html").read_text("utf-8")
    return text.replace("@folder@", html.escape(folder)).replace("@megabytes@", f"{megabytes:.1f}")


def assets(source: str | Path) -> dict[str, bytes]:
    """The files that the panel refers to, by name. source: a run folder, a weights file or the name of weights."""
    model, card = model_and_card(source)
    described = describe(model)
    images = phantoms(card.size)
    engine = f"""\
// The engine of `lightm export --html`, and what the page "Try it" adds to it. Made by lightm_book.try_it.
function lightmRuntime() {{
{chr(10).join(runtime_sources().values())}
}}
lightmRuntime();
{chr(10).join((HERE / name).read_text("utf-8") for name in SCRIPTS)}
lightm.module = "{base64_of(MODULE.read_bytes())}";
lightm.description = {script_json(network(described, card))};
lightm.phantoms = {script_json([base64_of(png_of(image)) for image in images])};
"""
    return {
        "engine.js": engine.encode(),
        "weights.js": f'lightm.weights = "{base64_of(described.weights)}";\n'.encode(),
        "page.js": (HERE / "page.js").read_bytes(),
        "page.css": (HERE / "page.css").read_bytes(),
        "phantom.png": _outlined(source, images[0]),
    }


def phantoms(size: tuple[int, int]) -> list[np.ndarray]:
    """Synthetic radiographs, (H, W), 0 to 255, that no training of ours has seen."""
    phantoms = PhantomCXR(cases=PHANTOMS, size=tuple(size), seed=2024)
    return [phantoms.read(case).image[0] for case in phantoms.case_ids]


def _outlined(source: str | Path, image: np.ndarray) -> bytes:
    """A PNG of the image with the network's outline, for readers whose browser runs no scripts."""
    label = Predictor(source, "cpu").label(torch.from_numpy(image[None]))  # (H, W)
    edge = np.zeros(label.shape, bool)
    edge[1:] |= label[1:] != label[:-1]
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    picture = np.repeat(np.rint(image)[..., None], 3, axis=2).astype(np.uint8)  # (H, W, 3)
    picture[edge] = OUTLINE
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
