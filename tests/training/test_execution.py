"""How a network is run changes neither its parameters nor its result: recomputation, memory format, compilation."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightm.errors import LightMError
from lightm.models import build_model, list_models
from lightm.training.config import config_from_dict
from lightm.training.execution import keep_gradient_layout, prepare_network, recompute_blocks, set_determinism
from lightm.training.losses import DiceCrossEntropy

SMALL = {
    "lightm-unet": {"width": 8},
    "unetr": {"img_size": [64, 64], "hidden_size": 24, "mlp_dim": 48, "num_heads": 2, "feature_size": 8},
    "swin-unetr": {"feature_size": 12},
    "segresnet": {"init_filters": 8},
    **{name: {"n_stages": 4, "width": 8} for name in ("nnunet", "u-mamba-bot", "u-mamba-enc")},
}
NAMES = [info.name for info in list_models()]


def small(name: str) -> nn.Module:
    """The network with few channels, made from the same random numbers each time; skipped if a library is missing."""
    known = next(info for info in list_models() if info.name == name).options
    options = SMALL.get(name) or {key: value for key, value in {"width": 8}.items() if key in known}
    torch.manual_seed(0)
    try:
        return build_model(name, 2, 1, 2, **options)
    except LightMError as error:
        if "can't be imported" in str(error):
            pytest.skip(str(error))
        raise


def image_and_label(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, 1, size, size, generator=generator), torch.randint(2, (1, size, size), generator=generator)


def image_for(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return image_and_label(64 if name in ("unetr", "swin-unetr") else 32)


def step(net: nn.Module, image: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, dict, int]:
    """Loss, gradients, and bytes that the forward pass keeps for the backward pass, parameters not counted."""
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(2)  # for dropout
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = DiceCrossEntropy()(net.train()(image), label)
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in net.named_parameters() if p.grad is not None}, sum(kept.values())


@pytest.mark.parametrize("name", NAMES)
def test_recomputing_blocks_keeps_far_less_and_gives_the_same_bits(name):
    plain, saving = small(name), small(name)
    names = list(saving.state_dict())
    assert len(recompute_blocks(saving)) >= 2
    loss, grads, kept = step(plain, *image_for(name))
    loss_too, grads_too, kept_too = step(saving, *image_for(name))
    assert torch.equal(loss, loss_too) and grads.keys() == grads_too.keys()
    assert all(torch.equal(grads[key], grads_too[key]) for key in grads)
    assert kept_too < 0.6 * kept
    assert list(saving.state_dict()) == names


def test_recomputing_draws_the_same_dropout_again():
    class Block(nn.Sequential):
        pass

    def net():
        torch.manual_seed(0)
        return nn.Sequential(*(Block(nn.Linear(8, 8), nn.Dropout(0.5), nn.GELU()) for _ in range(3)))

    results = []
    for recompute in (False, True):
        model = net()
        if recompute:
            assert len(recompute_blocks(model, {__name__: ("Block",)})) == 3
        torch.manual_seed(3)
        model(torch.ones(4, 8)).sum().backward()
        results.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_network_without_known_blocks_is_named():
    with pytest.raises(LightMError, match="no blocks of Sequential are known"):
        recompute_blocks(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize("name", ["lightm-unet", "segresnet", "swin-unetr", "u-mamba-bot"])
def test_channels_last_gives_the_same_to_rounding(name):
    config = config_from_dict({"train": {"channels_last": True}})
    plain, last = small(name), small(name)
    assert prepare_network(last, config) is last
    image, label = image_for(name)
    loss, grads, _ = step(plain, image, label)
    loss_too, grads_too, _ = step(last, image.contiguous(memory_format=torch.channels_last), label)
    torch.testing.assert_close(loss_too, loss, rtol=1e-4, atol=1e-5)
    for key in grads:
        scale = grads[key].abs().max()
        assert (grads_too[key] - grads[key]).abs().max() <= 2e-3 * scale + 1e-5


def test_a_compiled_network_shares_its_parameters_and_computes_the_same(monkeypatch):
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda net: compile_(net, backend="aot_eager"))  # no C++ compiler needed
    net = build_model("lightm-unet", 2, 1, 2, width=8, depths=[1], bottleneck_depth=1)
    compiled = prepare_network(net, config_from_dict({"train": {"compile": True}}))
    image, label = image_and_label(16)
    loss, grads, _ = step(net, image, label)
    grads = {key: grad.clone() for key, grad in grads.items()}
    net.zero_grad()
    loss_too = DiceCrossEntropy()(compiled.train()(image), label)
    loss_too.backward()
    torch.testing.assert_close(loss_too.detach(), loss)
    for key, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, grads[key], rtol=1e-3, atol=1e-5)
    assert not any("_orig_mod" in key for key in net.state_dict())


# Operations whose CUDA kernels add in no fixed order, by PyTorch's documentation of use_deterministic_algorithms and
# its kernels' own alerts. max_pool is one only where windows overlap; ours don't: each gradient has one place.
UNORDERED = (
    "upsample_linear1d_backward upsample_bilinear2d_backward upsample_trilinear3d_backward upsample_bicubic2d_backward "
    "nll_loss2d_forward nll_loss_forward avg_pool3d_backward adaptive_avg_pool2d_backward adaptive_avg_pool3d_backward "
    "adaptive_max_pool2d_backward fractional_max_pool2d_backward fractional_max_pool3d_backward "
    "reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward replication_pad2d_backward "
    "replication_pad3d_backward grid_sampler_2d_backward grid_sampler_3d_backward cumsum scatter_add scatter_add_ "
    "scatter_reduce index_add index_add_ put_ histc bincount kthvalue median embedding_bag index_copy_"
).split()


class Watch(TorchDispatchMode):
    """Names and arguments of all operations."""

    def __init__(self):
        super().__init__()
        self.seen: list[tuple[str, tuple]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append((func.overloadpacket.__name__, args))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", NAMES)
def test_no_operation_of_a_training_step_adds_in_a_random_order_on_a_gpu(name, monkeypatch):
    """The operations are those of the CPU; where the GPU takes another path of ours, it is taken here too."""
    monkeypatch.setattr("lightm.kernels.upsample._on_cpu", lambda x: False)
    net = prepare_network(small(name), config_from_dict({}))
    image, label = image_for(name)
    with Watch() as watch:
        DiceCrossEntropy()(net.train()(image), label).backward()
    seen = {op for op, _ in watch.seen}
    reduced = [op for op, args in watch.seen if op.startswith("nll_loss") and op.endswith("forward") and args[3] != 0]
    assert not reduced  # 0 is "none": the mean is taken elsewhere
    assert not seen & ({*UNORDERED} - {"nll_loss_forward", "nll_loss2d_forward"})
    for op, args in watch.seen:
        if op.startswith("max_pool") and "backward" not in op:
            window, stride = args[1], args[2] if len(args) > 2 else args[1]
            assert list(window) == list(stride or window)


def test_determinism_is_set_and_taken_back(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    cudnn, cuda = torch.backends.cudnn, torch.backends.cuda
    try:
        set_determinism(False)
        assert cudnn.benchmark and not cudnn.deterministic and cuda.flash_sdp_enabled()
    finally:
        set_determinism(True)
    assert cudnn.deterministic and not cudnn.benchmark
    assert not cuda.flash_sdp_enabled() and not cuda.mem_efficient_sdp_enabled()


def test_gradients_get_the_strides_of_their_parameters():
    net = nn.Conv2d(4, 4, 3, groups=4)
    image = torch.randn(1, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    keep_gradient_layout(net)
    net(image).sum().backward()
    assert net.weight.grad.stride() == net.weight.stride() == (9, 9, 3, 1)
    plain = nn.Conv2d(4, 4, 3, groups=4)
    plain.load_state_dict(net.state_dict())
    plain(image).sum().backward()
    assert torch.equal(net.weight.grad, plain.weight.grad)
