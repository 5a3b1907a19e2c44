"""The scan inside torch's transforms: torch.func, export with any length, the default compiler; and data loaders."""

import multiprocessing
import shutil

import pytest
import torch
from torch.export import Dim

from lightm.scan import selective_scan


class Layer(torch.nn.Module):
    """A linear map that makes delta, B and C of the input, and the scan: (B, L, D) -> (B, L, D)."""

    def __init__(self, channels=8, d_state=4):
        super().__init__()
        self.A = torch.nn.Parameter(-torch.rand(channels, d_state) - 0.5)
        self.D = torch.nn.Parameter(torch.rand(channels))
        self.project = torch.nn.Linear(channels, channels + 2 * d_state)

    def forward(self, x):
        channels, d_state = self.A.shape
        delta, B, C = (v.transpose(1, 2) for v in self.project(x).split([channels, d_state, d_state], dim=-1))
        return selective_scan(x.transpose(1, 2), delta, self.A, B, C, self.D, delta_softplus=True).transpose(1, 2)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return Layer()


def gradients(layer, x):
    return torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))


def test_functional_call_and_grad_of_torch_func_equal_autograd(layer):
    x = torch.randn(2, 40, 8)
    parameters = dict(layer.named_parameters())
    assert torch.equal(torch.func.functional_call(layer, parameters, (x,)), layer(x))

    def loss(parameters):
        return torch.func.functional_call(layer, parameters, (x,)).square().sum()

    found = torch.func.grad(loss)(parameters)
    assert all(torch.equal(a, b) for a, b in zip(found.values(), gradients(layer, x), strict=True))


def test_vmap_of_grad_gives_the_gradients_of_each_sample(layer):
    samples = torch.randn(3, 1, 40, 8)

    def loss(parameters, x):
        return torch.func.functional_call(layer, parameters, (x,)).square().sum()

    parameters = dict(layer.named_parameters())
    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, samples)
    for i, x in enumerate(samples):
        for a, b in zip(found.values(), gradients(layer, x), strict=True):
            assert torch.allclose(a[i], b, rtol=1e-5, atol=1e-5)


def test_forward_mode_and_second_derivatives_are_refused_not_wrong(layer):
    x = torch.randn(1, 5, 8)
    with pytest.raises(NotImplementedError, match=r"no forward-mode derivative.*backend='reference'"):
        torch.func.jvp(layer, (x,), (x,))
    with pytest.raises(NotImplementedError, match="backend='reference'"):
        torch.func.grad(lambda u: torch.func.grad(lambda v: layer(v).sum())(u).sum())(x)


@pytest.mark.parametrize("gradients", [True, False])
def test_an_exported_graph_takes_any_batch_and_length(layer, gradients):
    with torch.set_grad_enabled(gradients):
        exported = torch.export.export(
            layer, (torch.randn(2, 40, 8),), dynamic_shapes=({0: Dim("B"), 1: Dim("L")},)
        ).module()
        for batch, L in ((1, 1), (2, 31), (3, 33), (1, 200)):
            x = torch.randn(batch, L, 8)
            assert torch.equal(exported(x), layer(x)), (batch, L)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU: no g++ here")
def test_the_default_compiler_keeps_forward_and_backward_in_one_graph(layer):
    x = torch.randn(2, 40, 8)
    compiled = torch.compile(layer, fullgraph=True)
    expected, expected_gradients = layer(x), gradients(layer, x)
    assert torch.allclose(compiled(x), expected, rtol=1e-5, atol=1e-6)
    for a, b in zip(gradients(compiled, x), expected_gradients, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


class Scanned(torch.utils.data.Dataset):
    """Data whose preparation scans."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        x = torch.full((1, 4, 20), float(index + 1))
        return selective_scan(x, x, -torch.ones(4, 2), x[:, :2], x[:, :2])[0]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this platform cannot fork")
def test_forked_workers_of_a_data_loader_scan_after_the_parent_did():
    data = Scanned()
    expected = torch.stack([data[i] for i in range(4)])
    loader = torch.utils.data.DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context="fork")
    assert torch.equal(torch.cat(list(loader)), expected)
