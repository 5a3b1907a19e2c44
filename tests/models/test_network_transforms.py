"""What PyTorch does with a whole network works on ours: compile, export, autocast, torch.func, pickle, recomputing."""

import multiprocessing
import pickle

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from lightm.models import build_model, list_models, options_for_size
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


# Options that make each network small; its size option follows from the image's.
SHRUNK = {
    "width": 8,
    "depths": (1,),
    "bottleneck_depth": 1,
    "init_filters": 8,
    "heads": 2,
    "feature_size": 12,
    "hidden_size": 24,
    "mlp_dim": 24,
}
EVERY = [info.name for info in list_models()]
OURS = [info.name for info in list_models() if "scan_backend" in info.options]  # those that use our kernels


def shrunk(name, dims):
    """A small network of that name in float64, where equal is equal, and two images for it."""
    info = next(info for info in list_models() if info.name == name)
    if info.needs.startswith("dynamic-network-architectures"):
        pytest.importorskip("dynamic_network_architectures")
    size = ({"swin-unetr": 64, "unetr": 32}.get(name, 16),) * dims
    options = {key: value for key, value in SHRUNK.items() if key in info.options and name != "swin-unetr"}
    options |= {"num_heads": 2} if name == "unetr" else {}
    torch.manual_seed(0)
    model = build_model(name, dims, 1, 2, **options, **options_for_size(name, size))
    return model.double(), torch.randn(2, 1, 1, *size, dtype=torch.float64)  # (images, B, C, *S)


def gradients_of(model, image) -> dict[str, torch.Tensor]:
    named = dict(model.named_parameters())
    found = torch.autograd.grad(model(image).square().mean(), list(named.values()), allow_unused=True)
    return {name: g for name, g in zip(named, found, strict=True) if g is not None}


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch's vmap runs attention as a loop
@pytest.mark.parametrize(
    ("name", "dims"), [*((name, 2) for name in OURS), ("lightm-unet", 3), ("u-mamba-bot", 3)], ids=str
)
def test_torch_func_takes_gradients_of_each_image(name, dims):
    model, images = shrunk(name, dims)
    parameters = dict(model.named_parameters())

    def loss(parameters, image):
        return torch.func.functional_call(model, parameters, (image,)).square().mean()

    torch.testing.assert_close(torch.func.vmap(model)(images), torch.stack([model(image) for image in images]))
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, images)
    for i, image in enumerate(images):
        expected = gradients_of(model, image)
        largest = max(g.abs().max() for g in expected.values())
        for key, g in expected.items():
            torch.testing.assert_close(each[key][i], g, rtol=1e-6, atol=1e-9 * largest)


def test_second_derivatives_of_a_network_go_through_the_reference_scan():
    net = build_model("lightm-unet", 2, 1, 2, **TINY["lightm-unet"], d_state=2, scan_backend="reference").double()
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    hessian = torch.func.hessian(lambda x: net(x).square().sum())(x).reshape(16, 16)
    torch.testing.assert_close(hessian, hessian.T)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    rows = [torch.autograd.grad(g, x, retain_graph=True)[0].flatten() for g in gradient.flatten()]
    torch.testing.assert_close(hessian, torch.stack(rows))


@pytest.mark.parametrize("name", EVERY)
def test_a_pickled_network_is_the_same_network(name):
    model, images = shrunk(name, 2)
    other = pickle.loads(pickle.dumps(model))
    assert torch.equal(other(images[0]), model(images[0]))
    spared = [[getattr(p, "_no_weight_decay", False) for p in m.parameters()] for m in (model, other)]
    assert spared[0] == spared[1]


def _answer(model, image, queue):
    with torch.no_grad():
        queue.put(model(image).sum().item())


def test_a_network_can_be_handed_to_a_spawned_process(model, image):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_answer, args=(model, image, queue))
    child.start()
    assert queue.get(timeout=120) == pytest.approx(model(image).sum().item(), rel=1e-4, abs=1e-4)
    child.join()


@pytest.mark.parametrize("backend", ["cpu", "chunked"])
def test_a_network_trains_on_monais_tensors_as_on_plain_ones(image, backend):
    from monai.data import MetaTensor

    torch.manual_seed(0)
    model = build_model("lightm-unet", 2, 1, 2, **TINY["lightm-unet"], scan_backend=backend)
    found, expected = (gradients(model, model(x)) for x in (MetaTensor(image), image))
    assert torch.equal(torch.as_tensor(found), expected)
