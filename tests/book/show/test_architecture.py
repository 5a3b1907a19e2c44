"""The drawing of the network says what the network does."""

import matplotlib.pyplot as plt
import pytest

from lightm.models.unet import LightMUNet
from lightm_book.show.architecture import draw_architecture


@pytest.mark.parametrize(("size", "depths"), [((32, 16), (1, 2, 2)), ((8, 16, 8), (2, 1))])
def test_every_stage_is_drawn_with_its_shape_and_the_parameters_add_up(size, depths):
    model = LightMUNet(len(size), 1, 3, width=8, depths=depths)
    fig = draw_architecture(model, size)
    texts = [text.get_text() for text in fig.axes[0].texts]
    plt.close(fig)
    blocks = [f"{side} {level + 1}" for side in ("encoder", "decoder") for level in range(len(depths))]
    assert {"image", "stem", *blocks, "bottleneck", "head", "logits"} <= set(texts)
    assert texts.count(" × ".join(map(str, (3, *size)))) == 2  # head and logits
    per_stage = [int(t.split()[0].replace(",", "")) for t in texts if t.endswith(" parameters")]
    total = sum(p.numel() for p in model.parameters())
    assert sum(per_stage) == total
    assert any(t.startswith(f"{total:,} parameters") for t in texts)
    assert next(model.parameters()).device.type == "cpu"  # the model itself stayed where it was


def test_the_arrow_of_figure_2_is_drawn_where_the_network_has_it():
    arrows = []
    for option in (False, True):
        fig = draw_architecture(LightMUNet(2, 1, 2, width=4, depths=(1,), stem_to_head=option), (8, 8))
        arrows.append(sum(text.arrow_patch is not None for text in fig.axes[0].texts if hasattr(text, "arrow_patch")))
        plt.close(fig)
    assert arrows[1] == arrows[0] + 1
