"""The RVM Layer against equations (1) and (2)."""

import pytest
import torch
from torch import nn

from lightm.errors import LightMError
from lightm.models.mixers import Conv3
from lightm.models.rvm import RVMLayer

GRID = (3, 4)


def layer_norm(x, norm):
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias


def make(**options) -> RVMLayer:
    torch.manual_seed(0)
    layer = RVMLayer(4, 2, d_state=3, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():  # away from 0 and 1, so that no parameter can be forgotten
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer


@pytest.fixture
def x():
    return torch.randn(2, 12, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_rvm_layer_is_equations_1_and_2(x):
    layer = make(out_channels=6)
    m = layer.mixer(layer_norm(x, layer.norm_in), GRID) + layer.s * x
    expected = layer_norm(m, layer.norm_out) @ layer.proj.weight.T + layer.proj.bias
    assert layer(x, GRID).shape == (2, 12, 6)
    torch.testing.assert_close(layer(x, GRID), expected)


def test_s_has_one_value_a_channel_and_starts_at_one():
    assert torch.equal(RVMLayer(4, 2).s, torch.ones(4))


def test_without_adjustment_s_is_one(x):
    layer, plain = make(), make(adjustment=False)
    state = {name: value for name, value in layer.state_dict().items() if name != "s"}
    plain.load_state_dict(state)
    assert not torch.allclose(layer(x, GRID), plain(x, GRID))
    with torch.no_grad():
        layer.s.fill_(1)
    torch.testing.assert_close(layer(x, GRID), plain(x, GRID))


def test_without_residual_is_the_limit_of_s_equal_to_zero(x):
    layer, cut = make(), make(residual=False)
    cut.load_state_dict({name: value for name, value in layer.state_dict().items() if name != "s"})
    with torch.no_grad():
        layer.s.zero_()
    torch.testing.assert_close(layer(x, GRID), cut(x, GRID))


def test_gradients_are_those_of_finite_differences(x):
    layer = make()
    x = x[:1, :6].requires_grad_()
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, (2, 3)))

    assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)


def test_a_mixer_of_ones_own_takes_the_place_of_the_vss_module(x):
    layer = RVMLayer(4, 2, mixer=Conv3).double()
    assert isinstance(layer.mixer, Conv3) and layer(x, GRID).shape == x.shape
    assert isinstance(RVMLayer(4, 2, mixer=lambda channels, dims: nn.Identity()).mixer, nn.Identity)


def test_vss_options_beside_a_mixer_are_an_error():
    with pytest.raises(LightMError, match="d_state"):
        RVMLayer(4, 2, mixer=Conv3, d_state=8)
