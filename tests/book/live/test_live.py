"""Figures that compute while a reader moves them: their widgets without a browser, and their frames."""

import numpy as np
import pytest

from lightm.errors import LightMError
from lightm_book.live import Choose, Explorable, Slide, explore_counts, explore_memory, explore_scan, watch_learning
from lightm_book.live.explorable import answers
from lightm_book.live.learning import Learner
from lightm_book.live.scan import left_of_each

IMAGE = np.linspace(0, 1, 6 * 8).reshape(6, 8)
LIVE = {
    "scan": lambda: explore_scan(IMAGE, directions=True),
    "counts": explore_counts,
    "memory": explore_memory,
}


def control(widget, label):
    return next(child for child in widget.children if getattr(child, "description", None) == label)


@pytest.mark.parametrize("name", LIVE)
def test_every_control_of_a_live_figure_redraws_it(name):
    live = LIVE[name]()
    widget = live.widget()
    *controls, shown = widget.children
    assert len(controls) == len(live.controls)
    for moved in controls:
        before = shown.value
        options = [value for _, value in moved.options] if hasattr(moved, "options") else [moved.min, moved.max]
        moved.value = next(value for value in options if value != moved.value)
        assert shown.value != before, moved.description


def test_moving_the_step_changes_what_is_said_to_be_left():
    widget = explore_scan(IMAGE).widget()
    shown = widget.children[-1]
    assert "With the step 0.01, 92.3% is left of the pixel above" in shown.value
    control(widget, "step Δ, in sizes").value = 6
    assert "With the step 0.1, 44.9% is left of the pixel above" in shown.value


@pytest.mark.parametrize("name", LIVE)
def test_without_a_kernel_the_same_figure_gives_frames(name):
    live = LIVE[name]()
    html = live._repr_mimebundle_()["text/html"]
    assert html.count("<img") == len(live.frames) > 3 and "application/vnd.jupyter" not in html


def test_the_picture_says_in_words_what_it_shows():
    live = Explorable(
        lambda n: explore_counts().draw(dims=2, width=8, expansion=2, states=n, encoder=1, bottleneck=1, size=64),
        {"n": Slide("states", 1, 4, 2)},
        [("one", {"n": 1})],
        "Bars",
    )
    assert 'alt="Bars. 0.0' in live.picture(n=3) and '<p aria-live="polite">' in live.picture()


def test_outside_of_a_notebook_no_kernel_answers():
    assert not answers()


def test_what_is_left_is_the_product_of_the_decays_between():
    left = left_of_each(IMAGE, (2, 3), 0.1, selected=False)
    tokens = np.arange(48).reshape(6, 8)
    expected = np.where(tokens <= 19, np.exp(-0.1 * (19 - tokens)), 0)
    np.testing.assert_allclose(left, expected)


def test_a_second_direction_sees_what_comes_later():
    there, both = (left_of_each(IMAGE, (2, 3), 0.1, False, directions) for directions in ((0,), (0, 1)))
    assert there[4, 4] == 0 < both[4, 4] and (both >= there).all()


def test_a_selected_step_forgets_at_an_edge_and_keeps_where_nothing_changes():
    image = np.zeros((1, 20))
    image[0, 10:] = 1
    left = left_of_each(image, (0, 19), 0.05, selected=True)[0]
    assert left[9] < 0.2 < 0.8 < left[10]


def test_a_pixel_outside_of_the_image_is_refused():
    with pytest.raises(LightMError, match="not in an image of 6 x 8"):
        left_of_each(IMAGE, (6, 0), 0.1, False)


def test_the_learner_learns_the_same_each_time():
    first, second = Learner(), Learner()
    for learner in (first, second):
        learner.step(3e-3, 6)
    assert first.losses == second.losses and first.losses[-1] < first.losses[0]
    assert [step for step, _ in first.scores] == [6]


def test_play_trains_at_the_rate_of_the_slider_and_start_again_forgets(monkeypatch):
    rates = []
    monkeypatch.setattr(Learner, "step", lambda self, rate, steps: rates.append(rate))
    widget = watch_learning().widget()
    (play, again), rate, shown = widget.children[0].children, widget.children[1], widget.children[2]
    play.value = 1
    rate.value = 1e-2
    play.value = 2
    assert rates == [1e-3, 1e-2] and "After 0 steps: nothing learnt yet." in shown.value
    again.click()
    assert play.value == 0 and len(rates) == 2


def test_a_choice_begins_with_its_value():
    assert Choose("directions", {"one": (0,), "two": (0, 1)}, (0, 1)).widget().value == (0, 1)


def test_a_card_that_is_too_small_takes_no_image():
    live = explore_memory()
    row = {name: control.value for name, control in live.controls.items()} | {"card": 1}
    assert "; 0 fit a card of 1 GiB." in live.draw(**row)[1]
