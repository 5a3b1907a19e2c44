"""lightm_book.show.steps: what a network does, step by step, and the difference of two."""

import pytest
import torch
from torch import nn

from lightm.errors import LightMError
from lightm.models.released import ReleasedRVMLayer
from lightm.models.rvm import RVMLayer
from lightm_book.show.steps import diff, steps


def trace(module, *inputs, **options):
    return steps(module.to("meta"), *(torch.empty(i, device="meta") if i[0] == 1 else i for i in inputs), **options)


def test_a_layer_of_the_text_is_told_step_by_step():
    lines = trace(RVMLayer(32, 2), (1, 64, 32), (8, 8))
    assert lines.count("LayerNorm") == 3 and "selective scan" in lines
    assert "convolution 3×3, depthwise, 64 channels" in lines
    assert "multiply by a learnt factor, 32 values" in lines


def test_a_norm_that_serves_twice_a_causal_convolution_and_a_gated_scan_are_seen():
    lines = trace(ReleasedRVMLayer(32, 32), (1, 32, 8, 8))
    assert lines.count("LayerNorm") == 1 and lines.count("the same LayerNorm again") == 1
    assert "causal convolution over 4 tokens, depthwise, 64 channels" in lines
    assert any(line.startswith("selective scan, its output gated") for line in lines)


def test_a_pointwise_convolution_and_a_linear_layer_read_alike_and_folded_layers_are_one_step():
    assert trace(nn.Conv2d(4, 6, 1), (1, 4, 8, 8)) == trace(nn.Linear(4, 6), (1, 8, 4)) == ["linear 4 → 6"]
    net = nn.Sequential(ReleasedRVMLayer(8, 16), nn.ReLU())
    assert trace(net, (1, 8, 4, 4), fold=(ReleasedRVMLayer,)) == ["RVM layer 8 → 16", "ReLU"]


def test_the_diff_keeps_common_steps_and_marks_the_others():
    assert diff(["a", "b", "d"], ["a", "c", "d"], ("x", "y")).splitlines() == ["--- x", "+++ y", " a", "-b", "+c", " d"]


def test_a_diff_may_leave_out_what_is_equal_and_says_where():
    a, b = list("abcdefgh"), list("abcdXfgh")
    shown = diff(a, b, ("one", "two"), around=1).splitlines()
    assert shown == ["--- one", "+++ two", " …", " d", "-e", "+X", " f"]
    assert len(diff(a, b, ("one", "two")).splitlines()) == 2 + 7 + 2  # all of it otherwise


def test_a_module_that_does_nothing_is_an_error():
    with pytest.raises(LightMError, match="Identity"):
        trace(nn.Identity(), (1, 2))
