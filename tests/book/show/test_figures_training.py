import numpy as np
import pytest
from IPython import display as ipython_display
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lightm.errors import LightMError
from lightm.training.logs import draw_training
from lightm_book.show.training import EXTRA, HIT, MISSED, LiveCurves, error_legend, error_map


def row(epoch, dsc=0.5):
    scored = dsc is not None
    return {
        "epoch": epoch,
        "train_loss": 1 / epoch,
        "val_loss": 2 / epoch if scored else None,
        "val_dsc": dsc,
        "val_iou": dsc / (2 - dsc) if scored else None,
    }


def test_curves_show_every_epoch_of_training_and_the_validated_ones():
    figure = Figure()
    draw_training(figure, [row(1, None), row(2, 0.6), row(3, None), row(4, 0.8)])
    left, right = figure.axes
    training, validation = (line.get_xydata().tolist() for line in left.lines)
    assert training == [[1, 1], [2, 1 / 2], [3, 1 / 3], [4, 1 / 4]]
    assert validation == [[2, 1], [4, 1 / 2]]
    assert right.lines[0].get_xydata().tolist() == [[2, 0.6], [4, 0.8]]
    assert right.get_ylim()[1] == 1


def test_live_curves_are_displayed_once_then_redrawn_in_place(monkeypatch):
    calls = []

    class Handle:
        def update(self, figure):
            calls.append(("update", len(figure.axes[0].lines[0].get_xdata())))

    def display(figure, display_id):
        calls.append(("display", len(figure.axes[0].lines[0].get_xdata())))
        return Handle()

    monkeypatch.setattr(ipython_display, "display", display)
    curves = LiveCurves(epochs=9)
    for epoch in (1, 2, 3):
        curves(epoch, row(epoch))
    assert calls == [("display", 1), ("update", 2), ("update", 3)]
    assert len(curves.figure.axes) == 2
    assert curves.figure.axes[0].get_xlim()[1] >= 9  # room for what is to come
    assert [r["epoch"] for r in curves.rows] == [1, 2, 3]


def test_an_error_map_tells_found_missed_and_invented_pixels_apart():
    truth = np.array([[1, 1, 0, 0]])
    prediction = np.array([[1, 0, 1, 0]])
    found, missed, extra, nothing = error_map(np.zeros((1, 4)), prediction, truth)[0] / 255
    for pixel, colour, strength in ((found, HIT, 0.35), (missed, MISSED, 0.9), (extra, EXTRA, 0.9)):
        assert pixel == pytest.approx(strength * np.array(to_rgb(colour)), abs=0.003)  # over black
    assert not nothing.any()


def test_the_wrong_class_is_a_miss():
    right, wrong = error_map(np.zeros((1, 2)), np.array([[2, 2]]), np.array([[2, 1]]))[0] / 255
    assert right == pytest.approx(0.35 * np.array(to_rgb(HIT)), abs=0.003)
    assert wrong == pytest.approx(0.9 * np.array(to_rgb(MISSED)), abs=0.003)


def test_an_error_map_refuses_pictures_of_different_sizes():
    with pytest.raises(LightMError, match=r"one size \(H, W\)"):
        error_map(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((4, 4)))


def test_the_legend_names_the_three_colours():
    figure = Figure(layout="constrained")
    error_legend(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["found", "missed", "not there"]
