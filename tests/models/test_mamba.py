"""lightm.models.mamba: the block of mamba_ssm, against its definition written out with loops."""

import pytest
import torch
import torch.nn.functional as F

from lightm.counting import count, scan_macs
from lightm.errors import LightMError
from lightm.models.mamba import Mamba


@pytest.fixture(autouse=True)
def one_thread():
    """The tensors are tiny: with more threads, most of the time goes into waiting for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def by_definition(block, x):
    """Mamba's block, token by token and layer by layer, x (B, L, C)."""
    out = []
    D, N = block.A_log.shape
    R = block.dt_proj.in_features
    h = x.new_zeros(x.shape[0], D, N)
    window = x.new_zeros(x.shape[0], D, block.conv1d.kernel_size[0])  # the latest tokens, newest last
    for t in range(x.shape[1]):
        u, z = block.in_proj(x[:, t]).chunk(2, -1)
        window = torch.cat([window[..., 1:], u[..., None]], -1)
        u = F.silu((window * block.conv1d.weight[:, 0]).sum(-1) + block.conv1d.bias)
        dt, B, C = block.x_proj(u).split([R, N, N], -1)
        delta = torch.log1p(torch.exp(block.dt_proj(dt)))[..., None]
        h = torch.exp(delta * -block.A_log.exp()) * h + delta * B[:, None] * u[..., None]
        y = (h * C[:, None]).sum(-1) + block.D * u
        out.append(block.out_proj(y * z * torch.sigmoid(z)))
    return torch.stack(out, 1)


@pytest.mark.parametrize("scan_backend", ["chunked", "reference"])
@pytest.mark.parametrize(
    ("options", "length"),
    [({}, 13), ({}, 1), ({"d_state": 5, "expand": 3, "d_conv": 2}, 7), ({"dt_rank": 4}, 6)],
)
def test_outputs_and_gradients_are_those_of_the_definition(options, length, scan_backend):
    torch.manual_seed(0)
    block = Mamba(20, **options, scan_backend=scan_backend).double()
    inputs = [torch.randn(2, length, 20, dtype=torch.float64), *block.parameters()]
    inputs[0].requires_grad_()
    weight = torch.randn(2, length, 20, dtype=torch.float64)
    ours, theirs = block(inputs[0]), by_definition(block, inputs[0])
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad((y * weight).sum(), inputs) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_names_and_shapes_are_those_of_mamba_ssm():
    assert {name: tuple(t.shape) for name, t in Mamba(32).state_dict().items()} == {
        "A_log": (64, 16),
        "D": (64,),
        "in_proj.weight": (128, 32),
        "conv1d.weight": (64, 1, 4),
        "conv1d.bias": (64,),
        "x_proj.weight": (34, 64),
        "dt_proj.weight": (64, 2),
        "dt_proj.bias": (64,),
        "out_proj.weight": (32, 64),
    }


def test_it_starts_as_mamba_does():
    block = Mamba(64)
    assert torch.equal(block.A_log.exp().round(), torch.arange(1.0, 17).expand(128, 16))
    assert torch.equal(block.D, torch.ones(128))
    step = F.softplus(block.dt_proj.bias)
    assert 0.001 <= step.min() < 0.01 and 0.03 < step.max() <= 0.1001
    assert block.dt_proj.weight.abs().max() <= 4**-0.5


def test_no_layer_inside_is_called_and_yet_every_mac_is_counted():
    block, called = Mamba(32, scan_backend="chunked"), []
    for name, layer in block.named_children():
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
    block(torch.randn(1, 10, 32))
    assert called == []  # what tools that hook layers see of it: nothing
    by_hand = 10 * (32 * 128 + 64 * 4 + 64 * 34 + 2 * 64 + 64 * 32) + scan_macs((1, 64, 10), 16)
    assert count(block, (10, 32)).macs == by_hand


@pytest.mark.parametrize("argument", ["d_model", "d_state", "d_conv", "expand", "dt_rank"])
def test_an_impossible_size_names_its_argument(argument):
    with pytest.raises(LightMError, match=argument):
        Mamba(**({"d_model": 32} | {argument: 0}))
