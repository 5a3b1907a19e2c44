"""The exported file in Chromium, from a disk and without a network: what a reader does with it."""

import io

import numpy as np
import pytest
from browser import Browser, Page
from networks import random_network
from PIL import Image, ImageOps

from lightm.data.phantoms import PhantomCXR
from lightm.export import Card, export_html
from lightm.inference import Predictor, predict_file

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    return export_html(tiny_run[0], tmp_path_factory.mktemp("page") / "lungs.html", precision="float32")


@pytest.fixture(scope="module")
def radiograph(tmp_path_factory):
    """A phantom of 90 x 70 pixels as 16-bit PNG."""
    values = PhantomCXR(cases=1, size=(90, 70), seed=3).read("phantom-cxr-3-0000").image[0]
    path = tmp_path_factory.mktemp("pictures") / "thorax.png"
    Image.fromarray((values * 200).astype(np.uint16)).save(path)
    return path


@pytest.fixture
def page(chromium, exported):
    page = chromium.open(exported)
    page.wait("document.getElementById('status').innerText.startsWith('Ready')")
    yield page
    page.close()


STATUS = "document.getElementById('status').innerText"


def give(page: Page, path, answer: str = "Done") -> str:
    page.give("#file", path)
    page.wait(f"{STATUS}.startsWith({answer!r})")
    return page.text("#status")


def saved(browser: Browser, name: str, page: Page) -> np.ndarray:
    path = browser.downloads / name
    for _ in range(300):
        if path.exists() and not list(browser.downloads.glob("*.crdownload")):
            break
        page.run("new Promise((resolve) => setTimeout(resolve, 20))")
    values = np.asarray(Image.open(io.BytesIO(path.read_bytes())))
    path.unlink()
    return values


def test_the_mask_is_the_one_that_lightm_predict_writes_and_nothing_is_sent(
    page, chromium, radiograph, tiny_run, exported, tmp_path
):
    status = give(page, radiograph)
    page.run("document.getElementById('save-mask').click()")
    mask = saved(chromium, "thorax-mask.png", page)
    shares = predict_file(Predictor(tiny_run[0], device="cpu"), radiograph, tmp_path / "mask.png")
    expected = np.asarray(Image.open(tmp_path / "mask.png"))
    assert mask.shape == expected.shape == (90, 70)
    assert (mask != expected).mean() <= 1e-4
    assert 0.01 < shares["lung"] < 0.99
    assert f"lung {100 * shares['lung']:.1f} %" in status
    own = [exported.resolve().as_uri()]
    assert [url for url in page.requests if not url.startswith(("blob:", "data:"))] == own
    assert page.errors == []
    assert page.run("fetch('http://127.0.0.1:1/').then(() => 'sent', () => 'refused')") == "refused"


def test_it_can_be_used_by_keyboard_alone(page):
    for _ in range(10):
        page.press("Tab")
        if page.run("document.activeElement.id") == "example":
            break
    page.press("Enter")
    page.wait(f"{STATUS}.startsWith('Done')")
    views = {"outline": _drawn(page)}
    page.run("document.querySelector('input[name=view]:checked').focus()")
    for name in ("area", "probability", "none"):
        page.press("ArrowRight")
        assert page.run("document.querySelector('input[name=view]:checked').value") == name
        views[name] = _drawn(page)
    assert len(set(views.values())) == 4, "each view looks different"
    page.press("ArrowLeft")
    page.press("Tab")
    before = _drawn(page)
    assert page.run("document.activeElement.id") == "opacity"
    page.press("ArrowLeft")
    assert _drawn(page) != before and "75 %" in page.text("#opacity-value")
    assert "lung" in page.run("document.getElementById('canvas').getAttribute('aria-label')")


def _drawn(page: Page) -> str:
    return page.run("document.getElementById('canvas').toDataURL()")


def test_every_control_has_a_name_and_the_card_says_what_matters(page, radiograph):
    give(page, radiograph)
    nameless = """[...document.querySelectorAll('input, button, select, progress, canvas, a')].filter((e) => !(
        e.labels?.length || e.innerText?.trim() || e.getAttribute('aria-label'))).map((e) => e.outerHTML)"""
    assert page.run(nameless) == []
    text = page.text("body")
    assert "Not a medical device" in text and "SYNTHETIC" in text and "sent nowhere" in text and "mean Dice" in text
    assert page.run("document.documentElement.lang") == "en"


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(chromium, exported, radiograph, dark):
    page = chromium.open(exported, width=390, height=844, dark=dark)
    page.wait(f"{STATUS}.startsWith('Ready')")
    give(page, radiograph)
    assert page.run("document.documentElement.scrollWidth") <= 390
    small = """[...document.querySelectorAll('button, .button')].filter((e) => {
        const box = e.getBoundingClientRect(); return box.width && box.height < 40; }).length"""
    assert page.run(small) == 0
    page.close()


def test_a_jpeg_is_turned_as_its_exif_says(page, chromium, tmp_path):
    gray = np.kron(np.array([[40, 220, 90], [150, 10, 200]]), np.ones((16, 16))).astype(np.uint8)  # (32, 48)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"turned{orientation}.jpg"
        Image.fromarray(gray).save(path, quality=95, exif=exif)
        give(page, path)
        assert ("turned as its EXIF data asks" in page.text("#caption")) == (orientation > 1)
        page.run("document.querySelector('input[value=none]').click()")
        page.run("document.getElementById('save-view').click()")
        shown = saved(chromium, f"turned{orientation}-none.png", page)[..., 0]
        with Image.open(path) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture))
        assert shown.shape == expected.shape
        np.testing.assert_allclose(shown.astype(int), expected.astype(int), atol=1)


BAD = {
    "empty.png": (b"", "is empty"),
    "text.png": (b"no picture at all", "no picture that this browser can read"),
    "cut.png": (None, "damaged or incomplete"),
    "scan.dcm": (bytes(128) + b"DICM" + bytes(100), "is a DICOM file"),
    "volume.nii.gz": (b"\x1f\x8b" + bytes(50), "is a NIfTI file"),
}


def test_bad_files_get_a_sentence_and_the_page_goes_on(page, radiograph, tmp_path):
    for name, (data, complaint) in BAD.items():
        path = tmp_path / name
        path.write_bytes(radiograph.read_bytes()[:2000] if data is None else data)
        page.give("#file", path)
        page.wait(f"document.getElementById('problem').innerText.includes({complaint!r})")
        assert page.visible("#problem")
    give(page, radiograph)
    assert not page.visible("#problem")


def test_a_colour_picture_is_used_as_gray_and_that_is_said(page, tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "photo.png")
    give(page, tmp_path / "photo.png")
    assert "colours" in page.text("#caption") and "50 x 40 pixels" in page.text("#caption")


def test_too_large_a_picture_is_reduced_if_the_reader_agrees(page, tmp_path):
    Image.fromarray(np.zeros((4000, 8000), np.uint8)).save(tmp_path / "large.png")
    page.give("#file", tmp_path / "large.png")
    page.wait("!document.getElementById('question').hidden")
    assert "8000 x 4000 pixels, 32 million; the limit is 24 million" in page.text("#question-text")
    page.run("document.getElementById('cancel').click()")
    assert not page.visible("#question")
    page.give("#file", tmp_path / "large.png")
    page.wait("!document.getElementById('question').hidden")
    page.press("Enter")  # the focus is on the button
    page.wait(f"{STATUS}.startsWith('Done')")
    assert "reduced to 3000 x 1500 pixels" in page.text("#caption")


def test_damaged_weights_and_old_browsers_get_a_sentence(chromium, exported, tmp_path):
    text = exported.read_text("utf-8")
    start = text.index('id="weights">') + len('id="weights">')
    damage = {
        "checksum": text[: start + 100] + ("B" if text[start + 100] == "A" else "A") + text[start + 101 :],
        "no base64": text[:start] + "§" + text[start:],
        "bytes where": text[:start] + text[start + 400 :],
        "too old": text.replace('"use strict";', '"use strict"; WebAssembly.validate = () => false;', 1),
    }
    for complaint, broken in damage.items():
        path = tmp_path / "broken.html"
        path.write_text(broken, "utf-8")
        page = chromium.open(path)
        page.wait("!document.getElementById('problem').hidden")
        assert complaint in page.text("#problem")
        assert page.run("document.getElementById('file').disabled")
        page.close()


def test_without_workers_the_page_computes_by_itself(chromium, exported, radiograph, tmp_path):
    path = tmp_path / "alone.html"
    path.write_text(exported.read_text("utf-8").replace("worker-src blob:", "worker-src 'none'"), "utf-8")
    page = chromium.open(path)
    page.wait(f"{STATUS}.startsWith('Ready')")
    give(page, radiograph)
    page.close()


def test_three_classes_and_colour_input(chromium, radiograph, tmp_path):
    model = random_network(in_channels=3, out_channels=3, width=4, depths=[1], bottleneck_depth=1)
    card = Card(("background", "liver", "tumour"), (32, 32), "ct", "nothing: the weights are random")
    page = chromium.open(export_html(model, tmp_path / "three.html", card))
    page.wait(f"{STATUS}.startsWith('Ready')")
    give(page, radiograph)
    assert "liver" in page.text("#shares") and "tumour" in page.text("#shares")
    page.run("document.querySelector('input[value=probability]').click()")
    assert page.visible("#class")
    assert page.run("document.getElementById('example').hidden"), "a network of another kind has no example"
    page.close()


def test_a_dropped_file_is_taken(page, radiograph):
    data = list(radiograph.read_bytes())
    page.run(f"""(() => {{
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array({data})], "dropped.png"));
        document.dispatchEvent(new DragEvent("drop", {{ dataTransfer: transfer, bubbles: true, cancelable: true }}));
    }})()""")
    page.wait(f"{STATUS}.startsWith('Done')")
    assert "dropped.png" in page.text("#caption")
