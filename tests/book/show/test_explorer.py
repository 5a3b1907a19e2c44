"""lightm_book.show.explorer: its polynomials are the network's true counts, in Python and in the page."""

import html
import json
import re
import shutil
import subprocess

import pytest
import torch

from lightm.counting import count
from lightm.errors import LightMError
from lightm.models.unet import LightMUNet
from lightm_book.show.explorer import CHANNELS, MAX_SIZE, SLIDERS, Knobs, explorer, stages, totals

SETTINGS = [
    Knobs(),
    Knobs(width=21),
    Knobs(dims=3, size=128),
    Knobs(dims=2, size=96, width=12, expansion=3, states=5, encoder=1, bottleneck=1),
    Knobs(dims=3, size=32, width=28, expansion=1, states=1, encoder=4, bottleneck=7),
]


def counted(knobs):
    image, classes = CHANNELS[knobs.dims]
    with torch.device("meta"):
        model = LightMUNet(
            knobs.dims,
            image,
            classes,
            knobs.width,
            (1, knobs.encoder, knobs.encoder),
            knobs.bottleneck,
            knobs.expansion,
            knobs.states,
        )
    return count(model, (image, *[knobs.size] * knobs.dims))


@pytest.mark.parametrize("knobs", SETTINGS, ids=str)
def test_every_stage_has_the_true_count(knobs):
    truth, computed = counted(knobs), stages(knobs)
    places = {"stem": "stem", "bottleneck": "bottleneck", "head": "head"}
    places |= {f"encoder {level}": f"encoder.{level - 1}" for level in (1, 2, 3)}
    places |= {f"decoder {level}": f"decoder.{3 - level}" for level in (1, 2, 3)}
    for name, path in places.items():
        at = truth.at(path)
        assert computed.pop(name) == (at.params, at.macs), name
    assert not computed and totals(knobs) == (truth.params, truth.macs)


def handler(page):
    """The JavaScript of the form's oninput attribute, as a browser reads it."""
    return html.unescape(re.search(r'oninput="([^"]*)"', page)[1])


@pytest.mark.skipif(not shutil.which("node"), reason="needs node to run the page's JavaScript")
def test_the_page_computes_the_same_numbers():
    # A form with just what the handler touches; it prints the total row's two numbers for each setting.
    harness = """
    const out = [];
    for (const v of SETTINGS) {
      const inputs = {}, row = {dataset: {row: 'total'}, tds: [{}, {}]};
      for (const n of Object.keys(v)) inputs[n] = {value: v[n], nextElementSibling: {}};
      row.querySelectorAll = () => row.tds.map(t => ({firstElementChild: t, querySelector: () => null}));
      const form = {elements: inputs, querySelector: s => s.includes('radio') ? {value: v.dims} : {},
                    querySelectorAll: () => [row]};
      (function (event) { HANDLER }).call(form, {target: {type: 'range'}});
      out.push(row.tds.map(t => +t.textContent.replaceAll(',', '')));
    }
    console.log(JSON.stringify(out));"""
    settings = json.dumps([vars(knobs) for knobs in SETTINGS])
    code = harness.replace("SETTINGS", settings).replace("HANDLER", handler(explorer().html))
    result = subprocess.run(["node", "-e", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert [tuple(pair) for pair in json.loads(result.stdout)] == [totals(knobs) for knobs in SETTINGS]


def test_without_javascript_the_page_shows_the_first_setting_whole():
    params, macs = totals(Knobs())
    page = explorer().html
    assert f"<span>{params:,}</span>" in page and f"<span>{macs:,}</span>" in page
    assert page == explorer().html and page != explorer(Knobs(width=20)).html


def test_the_page_needs_no_network_and_labels_every_slider():
    page = explorer().html
    assert not re.search(r"https?://|<script|<link|src=", page)
    assert len(re.findall(r"<label><span>[^<]+</span><input type=\"range\"", page)) == len(SLIDERS)
    assert 'aria-live="polite"' in page and len(page) < 16_000


def test_every_slider_position_is_a_network_that_can_be_built():
    for name, _, low, high, step in SLIDERS:
        for value in {low, high, low + step}:
            assert totals(Knobs(**{name: value}))[0] > 0
    assert totals(Knobs(dims=3, size=MAX_SIZE[3]))[1] < 2**53  # exact in JavaScript, too


def test_impossible_settings_are_refused():
    with pytest.raises(LightMError, match="size=100 must be a multiple of 8"):
        stages(Knobs(size=100))
    with pytest.raises(LightMError, match="states must be a whole number"):
        stages(Knobs(states=0))
