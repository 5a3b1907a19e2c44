"""LightM-UNet: shapes of the paper's Section 2, equation (4), the head count of parameters, and bad input."""

import math

import pytest
import torch
from torch import nn

from lightm.errors import LightMError
from lightm.models.unet import DecoderBlock, DWConv, LightMUNet
from lightm_book.show.stages import stage_outputs


def tiny(spatial_dims=2, **options) -> LightMUNet:
    torch.manual_seed(0)
    options = {"width": 4, "depths": (1, 2), "bottleneck_depth": 1, "d_state": 3} | options
    return LightMUNet(spatial_dims, 1, 2, **options)


@pytest.mark.parametrize("size", [(64, 32), (32, 16, 24)])
def test_every_stage_has_the_shape_of_the_paper(size):
    with torch.device("meta"):
        stages = stage_outputs(LightMUNet(len(size), 3, 5), torch.zeros(1, 3, *size))
    shapes = {name: tuple(y.shape[1:]) for name, y in stages.items()}

    def at(channels, level):
        return (channels, *(s // 2**level for s in size))

    expected = {"stem": at(32, 0)}  # F_S
    expected |= {f"encoder {l}": at(32 * 2**l, l) for l in (1, 2, 3)}  # F_D^l, Section 2.1
    expected |= {"bottleneck": at(256, 3)}
    expected |= {f"decoder {l}": at(32 * 2 ** (l - 1), l - 1) for l in (3, 2, 1)}
    assert shapes == expected | {"head": (5, *size)}


def test_the_last_layer_of_an_encoder_block_doubles_the_channels():
    layers = [[layer.proj.out_features for layer in block.stack.layers] for block in LightMUNet(2, 1, 2).encoder]
    assert layers == [[64], [64, 128], [128, 256]]


def parameter_count(d, in_channels, classes, width=32, depths=(1, 2, 2), bottleneck=4, λ=2, N=16):
    def linear(a, b, bias=True):
        return a * b + b * bias

    def dwconv(a, b):
        return a * 3**d + a + linear(a, b)

    def rvm(c, out):
        inner, rank = λ * c, math.ceil(c / 16)
        ssm = linear(inner, rank + 2 * N, False) + linear(rank, inner) + inner * N + inner
        vss = 2 * linear(c, inner, False) + inner * (3**d + 1) + ssm + 2 * inner + linear(inner, c, False)
        return 2 * c + vss + c + 2 * c + linear(c, out)

    total, c = dwconv(in_channels, width), width
    for depth in depths:
        total += (depth - 1) * rvm(c, c) + rvm(c, 2 * c)
        c *= 2
    total += bottleneck * rvm(c, c)
    for _ in depths:
        total += dwconv(c, c) + c + linear(c, c // 2)
        c //= 2
    return total + dwconv(c, classes)


@pytest.mark.parametrize(
    ("d", "options"), [(2, {}), (3, {}), (2, {"width": 8, "depths": (2, 1), "bottleneck_depth": 3, "expansion": 3})]
)
def test_parameter_count_is_the_closed_formula(d, options):
    with torch.device("meta"):
        model = LightMUNet(d, 3, 5, **options)
    names = {"bottleneck_depth": "bottleneck", "expansion": "λ"}
    expected = parameter_count(d, 3, 5, **{names.get(name, name): value for name, value in options.items()})
    assert sum(p.numel() for p in model.parameters()) == expected


@pytest.mark.parametrize("d", [2, 3])
def test_dwconv_is_a_depthwise_and_a_pointwise_convolution(d):
    torch.manual_seed(0)
    conv, x = DWConv(3, 5, d), torch.randn(2, 3, *[4] * d)
    convolve = getattr(nn.functional, f"conv{d}d")
    y = convolve(x, conv.depthwise.weight, conv.depthwise.bias, padding=1, groups=3)
    assert conv.depthwise.weight.shape == (3, 1, *[3] * d) and conv.pointwise.weight.shape == (5, 3, *[1] * d)
    torch.testing.assert_close(conv(x), convolve(y, conv.pointwise.weight, conv.pointwise.bias))


@pytest.mark.parametrize("size", [(16, 16), (16, 16, 16)])
def test_every_stage_stays_channels_last(size):
    last = torch.channels_last if len(size) == 2 else torch.channels_last_3d
    stages = stage_outputs(tiny(len(size)), torch.randn(1, 1, *size))
    assert [name for name, y in stages.items() if not y.is_contiguous(memory_format=last)] == []


def test_the_arrow_of_figure_2_adds_the_stem_to_the_input_of_the_head():
    plain, arrow, x = tiny(), tiny(stem_to_head=True), torch.randn(1, 1, 8, 8)
    assert plain.state_dict().keys() == arrow.state_dict().keys()  # no parameter more
    stages = stage_outputs(plain, x)
    expected = plain.head(stages["decoder 1"] + stages["stem"])
    assert torch.equal(arrow(x), expected) and not torch.allclose(plain(x), expected)


def test_decoder_block_is_equation_4_then_half_the_channels_and_twice_the_size():
    torch.manual_seed(0)
    block = DecoderBlock(4, 2).double()
    with torch.no_grad():
        block.s.uniform_(-2, 2)
    p, skip = torch.randn(2, 2, 4, 3, 5, dtype=torch.float64)
    fused = p + skip
    out = torch.relu(block.dwconv(fused) + torch.einsum("c,bchw->bchw", block.s, fused))
    out = nn.functional.interpolate(out, scale_factor=2, mode="bilinear")  # the other order: they commute
    torch.testing.assert_close(block(p, skip), block.halve(out))


@pytest.mark.parametrize("options", [{}, {"dwconv": "causal", "directions": 2}, {"directions": 4}])
@pytest.mark.parametrize("size", [(8, 12), (4, 8, 4)])
def test_gradients_reach_every_parameter(size, options):
    model = tiny(len(size), **options)
    model(torch.randn(2, 1, *size)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_gradients_are_those_of_finite_differences():
    model = tiny(width=2, directions=2).double()
    x = torch.randn(1, 1, 8, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


def test_cases_of_a_batch_do_not_meet():
    model, x = tiny().eval(), torch.randn(3, 1, 8, 12)
    torch.testing.assert_close(model(x), torch.cat([model(case[None]) for case in x]), rtol=1e-4, atol=1e-5)


def test_memory_format_of_the_input_makes_no_difference():
    model, x = tiny(), torch.randn(2, 1, 8, 12)
    torch.testing.assert_close(model(x), model(x.to(memory_format=torch.channels_last)))
    odd = torch.randn(2, 1, 12, 8).transpose(2, 3)
    torch.testing.assert_close(model(odd), model(odd.contiguous()))


def test_functional_call_and_state_dict_reproduce_the_output():
    model, other, x = tiny(), tiny(), torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    expected = other(x)
    assert not torch.allclose(model(x), expected)
    torch.testing.assert_close(torch.func.functional_call(model, dict(other.named_parameters()), (x,)), expected)
    model.load_state_dict(other.state_dict())
    torch.testing.assert_close(model(x), expected)
    assert all(value.is_contiguous() for value in model.state_dict().values())  # what safetensors asks for


def test_weight_decay_spares_norms_biases_scales_and_the_ssm():
    exempt = {n for n, p in tiny().named_parameters() if getattr(p, "_no_weight_decay", False)}
    kept = {n for n, p in tiny().named_parameters()} - exempt
    assert all(name.endswith(".weight") and "norm" not in name for name in kept)
    assert {"decoder.0.s", "bottleneck.layers.0.s", "bottleneck.layers.0.mixer.ssms.0.A_log"} <= exempt


def test_adjustment_and_residual_options_leave_the_decoder_alone():
    model = tiny(adjustment=False)
    assert [name for name, _ in model.named_parameters() if name.endswith(".s")] == ["decoder.0.s", "decoder.1.s"]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(1, 1, 30, 17), r"must be divisible by 8.*resize to \(32, 24\) or crop to \(24, 16\)"),
        (torch.zeros(1, 1, 4, 8), r"resize to \(8, 8\)\."),
        (torch.zeros(1, 3, 16, 16), "3 channels and the network 1"),
        (torch.zeros(1, 16, 16), r"this network is 2D and takes \(batch, channels, H, W\)"),
        (torch.zeros(1, 1, 16, 16, 16), "this network is 2D"),
        (torch.zeros(1, 1, 16, 16, dtype=torch.uint8), r"torch.uint8.*x\.float\(\)"),
    ],
)
def test_bad_input_is_named_with_its_remedy(x, message):
    with pytest.raises(LightMError, match=message):
        LightMUNet(2, 1, 2)(x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depths": 3}, "depths must list"),
        ({"depths": (1, 0)}, r"depths\[1\] must be a whole number"),
        ({"width": "32"}, "width must be a whole number"),
        ({"spatial_dims": 1}, "spatial_dims must be 2"),
        ({"dwconv": "causel"}, "Did you mean 'causal'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(LightMError, match=message):
        LightMUNet(**{"spatial_dims": 2, "in_channels": 1, "out_channels": 2} | options)
