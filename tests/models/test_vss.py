"""The VSS Module against equation (3), written out in loops, and what each of its options lets a token see."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lightm.errors import LightMError
from lightm.kernels.depthwise_conv import depthwise_conv
from lightm.models.vss import (
    CausalDWConv,
    SelectiveSSM,
    SpatialDWConv,
    VSSModule,
    from_direction,
    to_direction,
    tokens_to_volume,
    volume_to_tokens,
)


def silu(x):
    return x / (1 + np.exp(-x))


def layer_norm(x, norm):
    """x (L, C)"""
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + norm.eps)
    return scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def scan_in_loops(u, ssm):
    """u (L, D) -> y (L, D): Algorithm 2 of Mamba, one number at a time."""
    W_x, W_dt, bias, A, D = (
        p.detach().numpy() for p in (ssm.x_proj.weight, ssm.dt_proj.weight, ssm.dt_bias, -ssm.A_log.exp(), ssm.D)
    )
    R, N = W_dt.shape[1], A.shape[1]
    h, y = np.zeros_like(A), np.zeros_like(u)
    for t in range(len(u)):
        x = W_x @ u[t]
        dt, B, C = x[:R], x[R : R + N], x[R + N :]
        delta = np.log1p(np.exp(W_dt @ dt + bias))
        for d in range(u.shape[1]):
            for n in range(N):
                h[d, n] = math.exp(delta[d] * A[d, n]) * h[d, n] + delta[d] * B[n] * u[t, d]
                y[t, d] += C[n] * h[d, n]
            y[t, d] += D[d] * u[t, d]
    return y


def dwconv_in_loops(x, conv, grid):
    """x (L, D): the 3 x 3 depthwise convolution of tokens on a grid (H, W), zeros outside."""
    weight, y = conv.weight.detach().numpy(), np.tile(conv.bias.detach().numpy(), (len(x), 1))
    H, W = grid
    for i in range(H):
        for j in range(W):
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    if 0 <= i + di < H and 0 <= j + dj < W:
                        y[i * W + j] += weight[:, 0, 1 + di, 1 + dj] * x[(i + di) * W + j + dj]
    return y


def vss_in_loops(w, vss, grid):
    """Equation (3) for tokens w (L, C) and one direction."""
    linear = {name: getattr(vss, name).weight.detach().numpy() for name in ("in_proj", "gate_proj", "out_proj")}
    u = silu(dwconv_in_loops(w @ linear["in_proj"].T, vss.dwconv.conv, grid))
    w1 = layer_norm(scan_in_loops(u, vss.ssms[0]), vss.norm)
    w2 = silu(w @ linear["gate_proj"].T)
    return (w1 * w2) @ linear["out_proj"].T


def randomise(module: nn.Module) -> nn.Module:
    """Every parameter away from the special values (0, 1) that it starts with, so that none can be forgotten."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module


def test_vss_module_is_equation_3_written_out_in_loops():
    torch.manual_seed(0)
    grid, vss = (3, 4), randomise(VSSModule(4, 2, d_state=3, dt_rank=2).double())
    x = torch.randn(2, 12, 4, dtype=torch.float64)
    expected = np.stack([vss_in_loops(w, vss, grid) for w in x.numpy()])
    np.testing.assert_allclose(vss(x, grid).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("grid", [(3, 5), (2, 3, 4)])
def test_tokens_are_row_major_and_a_view_of_the_volume(grid):
    volume = torch.arange(2 * 3 * math.prod(grid)).view(2, *grid, 3).movedim(-1, 1)  # channels_last
    tokens = volume_to_tokens(volume)
    assert tokens.data_ptr() == volume.data_ptr() and tokens.is_contiguous()
    last_axis = volume[0, 0][(0,) * (len(grid) - 1)]  # the first tokens run along the last spatial axis
    assert torch.equal(tokens[0, : grid[-1], 0], last_axis)
    back = tokens_to_volume(tokens, grid)
    assert back.data_ptr() == volume.data_ptr() and torch.equal(back, volume)


def test_a_batch_of_one_stays_channels_last():
    volume = tokens_to_volume(torch.randn(1, 16, 8), (4, 4))
    assert nn.functional.max_pool2d(volume, 2).is_contiguous(memory_format=torch.channels_last)


def test_the_four_directions_of_a_2d_grid_are_the_cross_scan():
    tokens = torch.arange(6).view(1, 6, 1)  # the grid 0 1 2 / 3 4 5
    orders = [to_direction(tokens, (2, 3), direction).flatten().tolist() for direction in range(4)]
    assert orders == [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 3, 1, 4, 2, 5], [5, 2, 4, 1, 3, 0]]


@pytest.mark.parametrize("grid", [(2, 3), (1, 4), (2, 3, 5)])
@pytest.mark.parametrize("direction", range(4))
def test_every_direction_is_a_permutation_that_from_direction_undoes(grid, direction):
    tokens = torch.randn(2, math.prod(grid), 3)
    there = to_direction(tokens, grid, direction)
    assert torch.equal(there.sort(1).values, tokens.sort(1).values)
    assert torch.equal(from_direction(there, grid, direction), tokens)


def test_directions_have_ssms_of_their_own_and_are_summed():
    torch.manual_seed(0)
    grid, vss = (3, 4), randomise(VSSModule(4, 2, d_state=3, directions=4))
    u = torch.randn(1, 12, 8)
    orders = [to_direction(torch.arange(12).view(1, 12, 1), grid, k).flatten() for k in range(4)]
    expected = sum(ssm(u[:, order])[:, order.argsort()] for ssm, order in zip(vss.ssms, orders, strict=True))
    torch.testing.assert_close(vss.ssm(u, grid), expected)
    assert len({id(p) for p in vss.ssms.parameters()}) == 4 * 5  # x_proj, dt_proj, dt_bias, A_log, D


def seen_by(function, length, token, channels=4):
    """The tokens whose value changes the output of `token`."""
    torch.manual_seed(1)
    x = torch.randn(1, length, channels, dtype=torch.float64, requires_grad=True)
    function(x)[0, token].sum().backward()
    return set(x.grad[0].abs().sum(-1).nonzero().flatten().tolist())


@pytest.mark.parametrize(
    ("direction", "expected"),
    # token 7 of the grid 0 1 2 3 / 4 5 6 7 / 8 9 10 11, and what lies before it on each path
    [(0, range(8)), (1, range(7, 12)), (2, {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7}), (3, {7, 11})],
)
def test_each_direction_sees_exactly_the_tokens_before_on_its_path(direction, expected):
    torch.manual_seed(0)
    ssm, grid = SelectiveSSM(4, d_state=3).double(), (3, 4)
    path = seen_by(lambda u: from_direction(ssm(to_direction(u, grid, direction)), grid, direction), 12, token=7)
    assert path == set(expected)


@pytest.mark.parametrize(("directions", "count"), [(1, 8), (2, 12), (4, 12)])
def test_one_direction_is_causal_and_two_see_everything(directions, count):
    vss = VSSModule(4, 2, d_state=3, directions=directions).double()
    assert len(seen_by(lambda u: vss.ssm(u, (3, 4)), 12, token=7, channels=8)) == count


def test_spatial_dwconv_sees_neighbours_on_the_grid_and_causal_dwconv_the_last_four_tokens():
    spatial, causal = SpatialDWConv(4, 2).double(), CausalDWConv(4, 2).double()
    assert seen_by(lambda x: spatial(x, (3, 4)), 12, token=7) == {2, 3, 6, 7, 10, 11}  # at the right edge
    assert seen_by(lambda x: causal(x, (3, 4)), 12, token=7) == {4, 5, 6, 7}
    assert seen_by(lambda x: causal(x, (3, 4)), 12, token=4) == {1, 2, 3, 4}  # it runs over the end of a row
    assert causal(torch.randn(2, 12, 4, dtype=torch.float64), (3, 4)).shape == (2, 12, 4)


def test_spatial_dwconv_in_3d_sees_27_voxels():
    conv = SpatialDWConv(4, 3).double()
    assert len(seen_by(lambda x: conv(x, (3, 4, 5)), 60, token=1 * 20 + 2 * 5 + 2)) == 27


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 6), (1, 2, 1, 4, 3), (1, 3, 2, 2, 2)])
def test_depthwise_conv_in_3d_and_its_gradients_are_pytorchs(shape):
    torch.manual_seed(0)
    conv = depthwise_conv(shape[1], 3).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    plain = nn.functional.conv3d(x, conv.weight, conv.bias, padding=1, groups=shape[1])
    grad = torch.randn_like(plain)
    inputs = (x, conv.weight, conv.bias)
    torch.testing.assert_close(conv(x), plain)
    expected = torch.autograd.grad(plain, inputs, grad)
    for mine, theirs in zip(torch.autograd.grad(conv(x), inputs, grad), expected, strict=True):
        torch.testing.assert_close(mine, theirs)
    conv.weight.requires_grad_(False)  # a frozen filter
    torch.testing.assert_close(torch.autograd.grad(conv(x), x, grad)[0], expected[0])


def test_gradients_of_a_batch_of_one_stay_channels_last():
    tokens = torch.randn(1, 16, 8, requires_grad=True)
    volume, seen = tokens_to_volume(tokens, (4, 4)), []
    # is_contiguous overlooks strides of axes of size 1; what counts is what a kernel makes of them
    kernel = nn.functional.max_pool2d
    volume.register_hook(lambda g: seen.append(kernel(g, 2).is_contiguous(memory_format=torch.channels_last)))
    (volume_to_tokens(volume) * torch.randn(1, 16, 8)).sum().backward()
    assert seen == [True]


def test_causal_dwconv_is_a_conv1d_with_left_padding():
    conv, x = CausalDWConv(4, 2), torch.randn(2, 7, 4)
    expected = nn.functional.conv1d(
        x.transpose(1, 2), conv.conv.weight.squeeze(3), conv.conv.bias, padding=3, groups=4
    )[..., :7]
    torch.testing.assert_close(conv(x, (7, 1)), expected.transpose(1, 2))


def test_ssm_starts_as_mamba_does():
    torch.manual_seed(0)
    ssm = SelectiveSSM(512, d_state=16, dt_rank=16)
    A, dt = -ssm.A_log.exp(), nn.functional.softplus(ssm.dt_bias)
    torch.testing.assert_close(A, -torch.arange(1.0, 17.0).expand(512, 16))
    assert torch.equal(ssm.D, torch.ones(512))
    assert 1e-3 * 0.99 <= dt.min() and dt.max() <= 0.1 * 1.01
    log_dt = dt.log()
    assert abs(log_dt.mean() - (math.log(1e-3) + math.log(0.1)) / 2) < 0.2  # log-uniform
    assert ssm.dt_proj.weight.abs().max() <= 16**-0.5
    assert all(p._no_weight_decay for p in (ssm.A_log, ssm.D, ssm.dt_bias))


def test_the_gate_of_the_ssm_multiplies_by_silu():
    ssm, u, z = SelectiveSSM(4, d_state=3), torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    torch.testing.assert_close(ssm(u, z), ssm(u) * nn.functional.silu(z))


@pytest.mark.parametrize(("dwconv", "taps"), [("spatial", 9), ("causal", 4)])
@pytest.mark.parametrize("directions", [1, 2, 4])
def test_parameter_count_is_the_closed_formula(dwconv, taps, directions):
    C, N, λ = 40, 16, 2
    D, R = λ * C, math.ceil(C / 16)
    ssm = D * (R + 2 * N) + R * D + D + D * N + D
    expected = 3 * C * D + D * (taps + 1) + directions * ssm + 2 * D
    vss = VSSModule(C, 2, expansion=λ, d_state=N, dwconv=dwconv, directions=directions)
    assert sum(p.numel() for p in vss.parameters()) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dwconv": "spatail"}, "dwconv='spatail' is unknown. Did you mean 'spatial'"),
        ({"directions": 3}, "directions=3 is unknown. Known: 1, 2, 4"),
        ({"expansion": 0}, "expansion must be a whole number of at least 1"),
        ({"spatial_dims": 4}, "spatial_dims must be 2"),
        ({"scan_backend": "gpuu"}, "gpuu"),
    ],
)
def test_unknown_options_are_named(options, message):
    with pytest.raises(LightMError, match=message):
        VSSModule(**{"channels": 4, "spatial_dims": 2} | options)(torch.zeros(1, 4, 4), (2, 2))


def test_tokens_that_do_not_fill_the_grid_are_an_error():
    with pytest.raises(LightMError, match="12 tokens can't fill a grid of 3x5"):
        VSSModule(4, 2)(torch.zeros(1, 12, 4), (3, 5))
