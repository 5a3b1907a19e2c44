"""The parts of a training step (lightm_book.bench.parts): they add up, and operations are found where they belong."""

import pytest

from lightm_book.bench.parts import LAYERS, LOSS, NETWORK, PARTS, step_parts

TINY = {"lightm-unet": {"width": 16, "depths": (1, 1), "bottleneck_depth": 1}}
TINY["lightm-unet-released-2024-03-29"] = {"width": 8, "blocks_down": (1, 1), "blocks_up": (1,)}


@pytest.fixture(scope="module", params=TINY)
def measured(request) -> dict:
    return step_parts(request.param, (16, 16), batch=2, repeats=1, **TINY[request.param])


def test_the_parts_add_up_to_the_whole_step(measured):
    assert set(measured["parts"]) == set(PARTS)
    total = sum(sum(part.values()) for part in measured["parts"].values())
    assert total == pytest.approx(measured["total_ms"], rel=1e-6)
    assert all(ms >= 0 for part in measured["parts"].values() for ms in part.values())


def test_every_part_that_computes_has_time_in_both_directions(measured):
    for part in ("scan", "depthwise convolution", "projections", "norms", NETWORK, LOSS):
        assert min(measured["parts"][part].values()) > 0, part


def test_the_scan_counts_to_the_layers_and_the_cross_entropy_to_the_loss_in_both_directions(measured):
    def places(word: str, backward: bool) -> set[str]:
        rows = measured["operations"]
        return {row["place"] for row in rows if word in row["operation"] and row["backward"] is backward}

    for backward in (False, True):
        assert places("selective_scan", backward) == {LAYERS}
        assert places("upsample", backward) == {NETWORK}
        assert places("log_softmax", backward) == {LOSS}
