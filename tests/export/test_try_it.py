"""The page "Try it" in Chromium, from a disk and without a network: what it shows of the inside is PyTorch's."""

import json
import re

import numpy as np
import pytest
import torch
from browser import Page
from networks import halved
from PIL import Image

from lightm.data.transforms import normalise_image
from lightm.inference import Predictor, predict_file
from lightm_book.show.stages import stage_outputs
from lightm_book.try_it import assets, panel, phantoms

pytestmark = pytest.mark.browser
SCREEN = "<meta name=viewport content='width=device-width'>"
SHELL = f"<!doctype html><html lang=en><meta charset=utf-8>{SCREEN}<title>t</title>"


@pytest.fixture(scope="module")
def folder(tiny_run, tmp_path_factory):
    """The page as the book has it, without the book around it."""
    folder = tmp_path_factory.mktemp("book")
    (folder / "try_it").mkdir()
    files = assets(tiny_run[0])
    for name, content in files.items():
        (folder / "try_it" / name).write_bytes(content)
    (folder / "page.html").write_text(SHELL + panel(len(files["weights.js"]) / 1e6, "try_it"), "utf-8")
    return folder


def loaded(chromium, path, **screen) -> Page:
    page = chromium.open(path, **screen)
    page.run("document.getElementById('ti-load').click()")
    page.wait("document.getElementById('ti-switched').innerText.includes('as trained')")
    return page


@pytest.fixture
def page(chromium, folder):
    page = loaded(chromium, folder / "page.html")
    yield page
    page.close()


def set_to(page: Page, control: str, value, event: str = "input") -> None:
    script = "(e => { e.value = %s; e.dispatchEvent(new Event(%s)); })(document.getElementById('ti-%s'))"
    page.run(script % (json.dumps(value), json.dumps(event), control))


@pytest.fixture
def network(tiny_run, folder):
    """The network as float16 stores it, and the page's first phantom as the network sees it, (1, 1, H, W)."""
    predictor = Predictor(tiny_run[0], "cpu")
    gray = torch.from_numpy(phantoms((16, 16))[0][None])
    return halved(predictor.model), normalise_image(gray, "zscore")[None]


def scan_of(model, image, layer) -> dict[str, torch.Tensor]:
    """u, delta, B, C, y (L, .) of one layer's SSM, the states (L, D, N) by the recurrence itself."""
    ssm, seen = layer.mixer.ssms[0], {}
    handle = ssm.register_forward_hook(lambda _m, inputs, out: seen.update(u=inputs[0][0], y=out[0]))
    with torch.no_grad():
        model(image)
        dt, B, C = ssm.x_proj(seen["u"]).split(ssm.split, dim=-1)
        delta = torch.nn.functional.softplus(ssm.dt_proj(dt) + ssm.dt_bias)
    handle.remove()
    A, states, h = -ssm.A_log.exp(), [], 0
    for t in range(len(delta)):
        h = torch.exp(delta[t][:, None] * A) * h + (delta[t] * seen["u"][t])[:, None] * B[t]
        states.append(h)
    return {**seen, "delta": delta, "B": B, "C": C, "A": A.detach(), "states": torch.stack(states).detach()}


def test_the_state_delta_and_memory_at_a_place_are_pytorchs(page, network):
    model, image = network
    scan = scan_of(model, image, model.encoder[0].stack.layers[0])
    place, d = 137, 2  # counted from 0
    set_to(page, "channel", d + 1)
    set_to(page, "place", place + 1)
    shown = page.run("({...lightmShown, parts: Array.from(lightmShown.parts)})")
    assert shown["token"] == place
    np.testing.assert_allclose(shown["states"], scan["states"][place, d], rtol=0, atol=1e-5)
    assert shown["delta"] == pytest.approx(scan["delta"][place, d].item(), abs=1e-6)
    assert shown["y"] == pytest.approx(scan["y"][place, d].item(), abs=1e-5)
    decay = scan["delta"][:, d].double().cumsum(0)  # (L,)
    left = torch.exp(scan["A"][d].double() * (decay[place] - decay[: place + 1])[:, None])  # (t, N)
    taken = (scan["delta"][:, d] * scan["u"][:, d])[: place + 1, None] * scan["B"][: place + 1]
    expected = (scan["C"][place] * left * taken).sum(1)
    np.testing.assert_allclose(shown["parts"], expected.detach(), rtol=0, atol=1e-5)
    assert np.abs(shown["states"]).max() > 1e-3, "a state of zeros would say nothing"
    assert f"{place + 1} of 256" in page.text("#ti-place-value")


def test_read_column_by_column_the_path_goes_down(page):
    set_to(page, "direction", "2", "change")
    page.wait("document.getElementById('ti-switched').innerText.startsWith('Overlap')")
    set_to(page, "place", 20)
    assert page.run("lightmShown.token") == 3 * 16 + 1  # the 20th of columns of 16: row 4, column 2


def test_channels_of_every_stage_are_kept_and_a_skip_shows_what_it_joins(page, network):
    model, image = network
    with torch.no_grad():
        stages = stage_outputs(model, image)
    names = page.run("[...document.getElementById('ti-stage').options].map((o) => o.value)")
    assert names == list(stages)
    for name in names:
        set_to(page, "stage", name, "change")
        _, C, H, W = stages[name].shape
        assert f"{C} channels, {H} x {W}" in page.text("#ti-stage-text")
        assert page.visible("#ti-below") == (name.startswith("encoder"))


def test_a_switch_gives_another_network_and_back(page):
    first = drawn(page, "picture")
    for control, value in (("scale", "3"), ("direction", "3")):
        set_to(page, control, value, "change")
        page.wait("document.getElementById('ti-switched').innerText.startsWith('Overlap')")
        assert drawn(page, "picture") != first
        page.run("document.getElementById('ti-reset').click()")
        page.wait("document.getElementById('ti-switched').innerText.includes('as trained.')")
        page.wait("!document.getElementById('ti-switched').innerText.startsWith('Overlap')")
    for box in ("residual", "adjustment"):
        page.run(f"document.getElementById('ti-{box}').click()")
        page.wait("document.getElementById('ti-switched').innerText.startsWith('Overlap')")
        page.run(f"document.getElementById('ti-{box}').click()")
        page.wait("document.getElementById('ti-switched').innerText.startsWith('This is')")
    assert drawn(page, "picture") == first


def drawn(page: Page, name: str) -> str:
    return page.run(f"document.getElementById('ti-{name}').toDataURL()")


def test_covering_cells_tells_what_the_network_would_have_said(page, network):
    model, image = network
    page.run("document.getElementById('ti-occlude').click()")
    page.wait("document.getElementById('ti-occlusion-text').innerText.startsWith('64 of 64 cells')", 60)
    row, column = map(int, re.search(r"row (\d+), column (\d+) the", page.text("#ti-occlusion-text")).groups())
    change = []
    with torch.no_grad():
        plain = margin(model(image))[row - 1, column - 1].item()
        for cell in range(64):
            covered = image.clone()
            y, x = 2 * (cell // 8), 2 * (cell % 8)
            covered[..., y : y + 2, x : x + 2] = image.mean()
            change.append(margin(model(covered))[row - 1, column - 1].item() - plain)
    best = int(np.abs(change).argmax())
    said = page.text("#ti-occlusion-text")
    assert f"background is {plain:.2f}" in said and f"row {best // 8 + 1}, column {best % 8 + 1} of 8" in said
    assert f"moves it to {plain + change[best]:.2f}" in said


def margin(logits: torch.Tensor) -> torch.Tensor:
    return logits[0, 1:].amax(0) - logits[0, 0]


def test_a_picture_of_the_readers_is_outlined_as_lightm_predict_has_it(page, tiny_run, tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (40, 30)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "mine.png")
    page.give("#ti-file", tmp_path / "mine.png")
    page.wait("document.getElementById('ti-caption').innerText.includes('mine.png')")
    page.wait("document.getElementById('ti-status').innerText.startsWith('Done')")
    shares = predict_file(Predictor(tiny_run[0], "cpu"), tmp_path / "mine.png", tmp_path / "mask.png")
    found = float(page.text("#ti-status").partition("lung ")[2].split(" %")[0])
    assert found == pytest.approx(100 * shares["lung"], abs=0.3)
    page.give("#ti-file", __file__)
    page.wait("!document.getElementById('ti-problem').hidden")
    assert "no picture that this browser can read" in page.text("#ti-problem")


def test_keys_move_the_cross_and_controls_have_names_and_nothing_is_fetched_from_elsewhere(page, folder):
    page.run("document.getElementById('ti-picture').focus()")
    before = page.run("lightmShown.token")
    page.press("ArrowRight")
    assert page.run("lightmShown.token") == before + 1
    nameless = """[...document.querySelectorAll('input, button, select, progress, canvas, img')].filter((e) => !(
        e.labels?.length || e.innerText?.trim() || e.getAttribute('aria-label') || e.alt)).map((e) => e.outerHTML)"""
    assert page.run(nameless) == []
    assert page.errors == []
    own = folder.resolve().as_uri()
    assert all(url.startswith((f"{own}/", "blob:", "data:")) for url in page.requests)


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(chromium, folder, dark):
    page = loaded(chromium, folder / "page.html", width=390, height=844, dark=dark)
    assert page.run("document.documentElement.scrollWidth") <= 390
    page.close()


def test_weights_come_when_asked_for_and_the_page_before_is_small(chromium, folder):
    page = chromium.open(folder / "page.html")
    assert page.visible("#ti-still") and not page.visible("#ti-app")
    assert not [url for url in page.requests if url.endswith("weights.js")]
    before = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "weights.js")
    assert before < 2e6
    page.close()


def test_what_is_broken_gets_a_sentence_and_the_picture_stays(chromium, folder, tmp_path):
    whole = {path.name: path.read_text("utf-8") for path in (folder / "try_it").glob("*.js")}
    weights = whole["weights.js"]
    at = weights.index('"') + 100
    cases = {
        "is missing or damaged": ("weights.js", ""),
        "no base64": ("weights.js", weights[:at] + "§" + weights[at:]),
        "their checksum differs": (
            "weights.js",
            weights[:at] + ("B" if weights[at] == "A" else "A") + weights[at + 1 :],
        ),
        "too old": ("engine.js", "WebAssembly.validate = () => false;" + whole["engine.js"]),
    }
    for complaint, (name, text) in cases.items():
        copy = tmp_path / complaint
        (copy / "try_it").mkdir(parents=True)
        (copy / "page.html").write_bytes((folder / "page.html").read_bytes())
        for path in (folder / "try_it").iterdir():
            (copy / "try_it" / path.name).write_bytes(path.read_bytes())
        (copy / "try_it" / name).write_text(text, "utf-8")
        page = chromium.open(copy / "page.html")
        if page.visible("#ti-load"):
            page.run("document.getElementById('ti-load').click()")
        page.wait("!document.getElementById('ti-problem').hidden")
        assert complaint in page.text("#ti-problem") and page.visible("#ti-still")
        page.close()


def test_without_scripts_a_picture_and_a_sentence_stand_there(folder):
    text = (folder / "page.html").read_text("utf-8")
    assert "allow them to try it" in text.partition("<noscript>")[2].partition("</noscript>")[0]
    with Image.open(folder / "try_it" / "phantom.png") as picture:
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (colours == (230, 159, 0)).all(1).sum() > 5, "no outline is drawn"
