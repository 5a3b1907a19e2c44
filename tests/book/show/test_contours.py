"""Outlines of real cases: they give back the mask, hold no gray value, and none of a case that may not be shown."""

import json

import matplotlib.pyplot as plt
import numpy as np

from lightm_book.show.contours import FILE, PREFIX, draw_case, filled, load_contours, outlines


def blobs(size=256):
    y, x = np.mgrid[:size, :size] / size
    return (((x - 0.3) ** 2 + (y - 0.5) ** 2 < 0.02) | ((x - 0.75) ** 2 + (y - 0.5) ** 2 < 0.03)).astype(np.uint8)


def test_outlines_give_back_the_mask_to_a_pixel_of_the_border():
    mask = blobs()
    found = outlines(mask)
    assert len(found) == 2
    border = 2 * sum(len(polygon) for polygon in found)
    assert np.sum(filled(found) != mask) < border


def test_a_mask_that_touches_the_edge_is_closed():
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :20] = 1
    (polygon,) = outlines(mask)
    assert polygon[0] == polygon[-1] and abs(filled([polygon], 64).mean() - mask.mean()) < 0.05


def test_a_case_is_drawn_without_any_picture():
    truth, answer = blobs(), np.roll(blobs(), 6, 1)
    fig, ax = plt.subplots()
    draw_case(ax, {"truth": outlines(truth), "answer": outlines(answer)})
    (image,) = ax.images
    colours = {tuple(c) for c in np.round(np.asarray(image.get_array()).reshape(-1, 4), 2)}
    assert len(colours) == 4  # nothing, found, missed, invented
    plt.close(fig)


def test_what_is_recorded_is_outlines_of_cases_that_may_be_shown():
    found = load_contours()
    if found is None:
        assert not FILE.exists()
        return
    assert all(case["case"].startswith(PREFIX) for case in found["cases"])
    assert all(set(case) == {"case", "dsc", "truth", "answer"} for case in found["cases"])
    assert len(json.dumps(found)) < 200_000 and found["environment"]["git"]["commit"]
