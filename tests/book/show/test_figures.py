import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lightm.errors import LightMError
from lightm_book.show.figures import COLORS, INK, PAPERS, frames_slider, picture, place_labels, use_style

FRAMES = [np.full((8, 8), value, np.uint8) for value in (0, 128, 255)]
LABELS = ["one", "two <b>", "three"]


def test_without_javascript_the_frames_are_a_strip_to_scroll_and_no_dead_slider_is_shown():
    html = frames_slider(FRAMES, LABELS, "squares")._repr_html_()
    images = re.findall(r"<img .*>", html)
    assert len(images) == 3 and "hidden" not in "".join(images[1:])
    assert '<div style="overflow-x:auto;white-space:nowrap">' in html
    assert html.count('<a tabindex="0">') == 3 and "press Tab: one · two &lt;b&gt; · three" in html
    assert re.search(r'<div style="display:none[^>]*>\s*<input', html)
    assert 'alt="squares (one)"' in images[0] and 'alt="squares (two &lt;b&gt;)"' in images[1]


def test_slider_asks_nothing_from_a_network_and_escapes_its_texts():
    html = frames_slider(FRAMES, LABELS, 'a "quoted" <alt>', caption="<i>caption</i>")._repr_html_()
    assert not re.search(r"https?://|<script|<link|<alt>|<i>", html)
    assert 'max="2"' in html and "&lt;i&gt;caption&lt;/i&gt;" in html


def test_slider_is_a_function_of_its_input():
    def ids(frames, alt):
        return re.search(r'id="(\S+)"', frames_slider(frames, LABELS, alt).html)[1]

    assert frames_slider(FRAMES, LABELS, "x").html == frames_slider(FRAMES, LABELS, "x").html
    assert len({ids(FRAMES, "x"), ids(FRAMES, "y"), ids(FRAMES[::-1], "x")}) == 3


def test_slider_closes_figures_and_keeps_their_size_whatever_they_show():
    use_style()
    before = plt.get_fignums()
    figures = [plt.figure() for _ in range(2)]
    figures[1].gca().set_title("a title, and an axis that the other one lacks")
    html = frames_slider(figures, ["a", "b"], "figures").html
    assert plt.get_fignums() == before
    assert len(set(re.findall(r'width="(\d+)" height="(\d+)"', html))) == 1


def test_slider_has_a_text_for_a_reader_without_a_browser():
    assert repr(frames_slider(FRAMES, LABELS, "squares")) == "[slider over 3 pictures: squares]"


@pytest.mark.parametrize(
    ("frames", "labels", "alt", "message"),
    [
        ([], [], "x", "one label for each frame"),
        (FRAMES, LABELS[:2], "x", "not 2 for 3 frames"),
        (FRAMES, LABELS, "  ", "alt text"),
        ([FRAMES[0], np.zeros((4, 4), np.uint8)], ["a", "b"], "x", "one size"),
        ([np.zeros((4, 4))], ["a"], "x", "not a float64 array"),
        (["picture.png"], ["a"], "x", "not a str"),
    ],
)
def test_slider_names_what_is_wrong(frames, labels, alt, message):
    with pytest.raises(LightMError, match=message):
        frames_slider(frames, labels, alt)


def test_style_colors_differ_in_lightness_too():
    def lightness(color):
        red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    use_style()
    assert [cycle["color"] for cycle in plt.rcParams["axes.prop_cycle"]] == list(COLORS)
    assert abs(lightness(COLORS[0]) - lightness(COLORS[1])) > 10


def luminance(color):
    """Relative luminance of "#rrggbb", https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    parts = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("paper", PAPERS)
def test_figures_are_read_on_a_light_page_and_on_a_dark_one(paper):
    def contrast(color):
        darker, lighter = sorted((luminance(color), luminance(paper)))
        return (lighter + 0.05) / (darker + 0.05)

    assert all(contrast(color) >= 3 for color in COLORS), {c: contrast(c) for c in COLORS}
    assert contrast(INK) >= 4
    use_style()
    assert all(plt.rcParams[f"{what}.facecolor"] == "none" for what in ("figure", "axes", "savefig"))
    assert all(plt.rcParams[key] == INK for key in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color"))


def test_a_picture_says_in_its_alt_text_what_was_found():
    figure = plt.figure()
    html = picture(figure, "one < two").html
    assert 'alt="one &lt; two"' in html and figure.number not in plt.get_fignums()
    with pytest.raises(LightMError, match="alt text"):
        picture(plt.figure(), " ")


def test_labels_of_near_points_cover_neither_each_other_nor_a_marker():
    use_style()
    fig, ax = plt.subplots()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    names = ["a long name", "another long name", "the third of them", "and one more"]
    points = [(name, 0.45 + 0.02 * i, 0.5, 5.0) for i, name in enumerate(names)]
    place_labels(ax, points)
    fig.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert [text.get_text() for text in ax.texts] == names
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    for _, x, y, _ in points:
        assert not any(box.contains(*ax.transData.transform((x, y))) for box in boxes)
    plt.close(fig)
