"""What PyTorch does with a whole network works on ours: compile, export, autocast, functional_call, checkpointing."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from lightm.models import build_model
from lightm.models.released import ReleasedRVMLayer
from lightm.models.rvm import RVMLayer

TINY = {
    "lightm-unet": {"width": 16, "depths": (1,), "bottleneck_depth": 1},
    "lightm-unet-released-2024-03-29": {"width": 16, "blocks_down": (1,), "blocks_up": ()},
}


@pytest.fixture(autouse=True)
def one_thread():
    """The tensors are tiny: with more threads, most of the time goes into waiting for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=TINY)
def model(request):
    torch.manual_seed(0)
    return build_model(request.param, 2, 1, 2, **TINY[request.param])


@pytest.fixture
def image():
    return torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def gradients(model, logits) -> torch.Tensor:
    """All of them in one vector."""
    found = torch.autograd.grad(logits.float().square().mean(), list(model.parameters()))
    return torch.cat([g.flatten() for g in found])


def test_compile_takes_the_network_whole(model, image):
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    ours, theirs = compiled(image), model(image)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients(model, ours), gradients(model, theirs), rtol=1e-4, atol=1e-5)


def test_export_keeps_the_kernels_as_operators(model, image):
    program = torch.export.export(model.eval(), (image,))
    torch.testing.assert_close(program.module()(image), model(image), rtol=1e-4, atol=1e-5)
    operators = {str(node.target) for node in program.graph.nodes if "lightm" in str(node.target)}
    assert "lightm.selective_scan.default" in operators and len(operators) == 2  # and the kernel beside it


def test_functional_call_uses_the_parameters_that_it_is_given(model, image):
    own = dict(model.named_parameters())
    other = {name: (2 * p).detach().requires_grad_() for name, p in own.items()}
    logits = torch.func.functional_call(model, other, (image,))
    assert all(g is not None for g in torch.autograd.grad(logits.sum(), list(other.values())))
    assert torch.equal(torch.func.functional_call(model, own, (image,)), model(image))
    assert not torch.equal(logits, model(image))


def test_autocast_to_bfloat16_stays_near_float32_and_gives_gradients(model, image):
    full = model(image)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(image)
    assert (half.float() - full).norm() < 0.1 * full.norm()
    assert gradients(model, half).isfinite().all()


def test_layers_that_are_run_again_in_the_backward_pass_give_the_same_bits(model, image):
    expected = gradients(model, model(image))
    layers = [m for m in model.modules() if isinstance(m, RVMLayer | ReleasedRVMLayer)]
    for layer in layers:
        forward = layer.forward
        layer.forward = lambda *args, forward=forward: checkpoint(forward, *args, use_reentrant=False)
    assert layers and torch.equal(gradients(model, model(image)), expected)
