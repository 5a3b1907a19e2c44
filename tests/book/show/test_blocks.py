"""The block diagrams say what the modules have."""

import matplotlib.pyplot as plt
import pytest
from torch import nn

from lightm.models.rvm import RVMLayer
from lightm.models.vss import VSSModule
from lightm_book.show.blocks import draw_rvm_layer, draw_vss_module


def texts_of(fig):
    texts = [text.get_text() for text in fig.axes[0].texts if text.get_text()]
    plt.close(fig)
    return texts


def drawn_parameters(texts):
    return sum(int(text.split()[0].replace(",", "")) for text in texts if text.endswith(" parameters"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["DWConv 3×3, SiLU", "SSM, 1 direction", "Linear 4 → 8", "Linear 8 → 4"]),
        ({"dwconv": "causal", "directions": 4, "expansion": 3}, ["DWConv causal, SiLU", "SSM, 4 directions"]),
        ({"spatial_dims": 3}, ["DWConv 3×3×3, SiLU"]),
    ],
)
def test_a_vss_module_is_drawn_with_its_options_and_all_of_its_parameters(options, expected):
    module = VSSModule(4, **({"spatial_dims": 2} | options))
    texts = texts_of(draw_vss_module(module))
    assert set(expected) <= set(texts)
    assert drawn_parameters(texts) == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["VSS module", "adjustment factor s", "Projection 4 → 8"]),
        ({"adjustment": False}, ["s = 1, not learnt"]),
        ({"mixer": lambda channels, dims: nn.Linear(channels, channels)}, ["Linear"]),
    ],
)
def test_an_rvm_layer_is_drawn_with_its_residual_connection_and_all_of_its_parameters(options, expected):
    layer = RVMLayer(4, 2, 8, **options)
    texts = texts_of(draw_rvm_layer(layer))
    assert set(expected) <= set(texts)
    assert drawn_parameters(texts) == sum(p.numel() for p in layer.parameters())


def test_without_the_residual_connection_nothing_is_drawn_beside_the_layer():
    texts = texts_of(draw_rvm_layer(RVMLayer(4, 2, residual=False)))
    assert not [text for text in texts if "s = 1" in text or "adjustment" in text or "oplus" in text]
