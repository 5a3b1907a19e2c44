"""How a network is run, whichever it is: recomputed activations, memory format, compilation, the same bits each time.

None of it changes the network's parameters or their names, so a checkpoint knows nothing of it.
"""

import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lightm.errors import LightMError
from lightm.kernels import upsample
from lightm.training.config import Config, TrainConfig
from lightm.training.provenance import total_memory
from lightm.training.task import Task, build_network

CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}

# Classes whose activations are worth recomputing: the networks' natural blocks. Of nested ones the outer one is taken.
BLOCKS = {
    "lightm.models.unet": ("DWConv", "DecoderBlock"),
    "lightm.models.rvm": ("RVMLayer",),
    "lightm.models.released": ("ReleasedRVMLayer", "DWConvBlock"),
    "lightm.models.mamba": ("Mamba",),
    "lightm.models.baselines": ("MambaLayer",),
    "monai.networks.blocks.segresnet_block": ("ResBlock",),
    "monai.networks.blocks.transformerblock": ("TransformerBlock",),
    "monai.networks.blocks.unetr_block": ("UnetrBasicBlock", "UnetrPrUpBlock", "UnetrUpBlock"),
    "monai.networks.nets.swin_unetr": ("SwinTransformerBlock",),
    "dynamic_network_architectures.building_blocks.simple_conv_blocks": ("StackedConvBlocks",),
    "dynamic_network_architectures.building_blocks.residual": ("StackedResidualBlocks",),
}
# Taken where no other block is inside: convolutions for its layers.
COARSE = {"lightm.models.released": ("MambaBlock",)}


def recompute_blocks(net: nn.Module, blocks: Mapping[str, tuple[str, ...]] = BLOCKS) -> list[str]:
    """Gradient checkpointing: keep only the inputs of the network's blocks, and run a block again in the backward pass.

    The results are the same bits: random numbers, dropout's, are drawn again as they were. blocks: module -> names of
    classes in it. Returns the names of the blocks that were found; LightMError if there are none.
    """
    found: list[str] = []
    for name, module in net.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        coarse = _is_one(module, COARSE) and not any(_is_one(inner, blocks) for inner in module.modules())
        if not inside and (coarse or _is_one(module, blocks)):
            _recompute(module)
            found.append(name)
    if not found:
        raise LightMError(
            f"train.checkpointing = true: no blocks of {type(net).__name__} are known; set it to false, or list its "
            "blocks in lightm.training.execution.BLOCKS."
        )
    return found


def _is_one(module: nn.Module, classes: Mapping[str, tuple[str, ...]]) -> bool:
    return type(module).__name__ in classes.get(type(module).__module__, ())


def _recompute(block: nn.Module) -> None:
    forward = block.forward

    def recomputing(*args, **options):
        if block.training and torch.is_grad_enabled():
            return checkpoint(forward, *args, use_reentrant=False, **options)
        return forward(*args, **options)

    block.forward = recomputing


def try_network(net: nn.Module, config: Config, task: Task, cases: int) -> None:
    """Run one blank image through `net`, on its device: what it can't take is known before any data is read.

    LightMError if it can't take images of this size, or if `cases` of them, or one with its largest feature map, need
    more memory than the machine has.
    """
    device, size = next(net.parameters()).device, config.data.size
    image = torch.empty(1, task.in_channels, *size, device="meta")
    largest = 0

    def see(module: nn.Module, args: object, out: object) -> None:
        nonlocal largest
        if isinstance(out, Tensor):
            largest = max(largest, out.numel())

    try:
        with torch.no_grad():
            with torch.device("meta"):  # shapes only: no memory, no arithmetic
                shapes = build_network(config, task).eval()
            for module in shapes.modules():
                module.register_forward_hook(see)
            shapes(image)
            held = 0 if config.data.sampling == "patches" else cases  # there the cases' own sizes decide
            for needed, what in (((held + 1) * image.numel(), f"{held} cases"), (largest, "one image")):
                if 4 * needed > total_memory(device):
                    raise LightMError(
                        f"data.size = {list(size)}: {what} need {4 * needed / 1e9:.0f} GB and this machine has "
                        f"{total_memory(device) / 1e9:.0f} GB; lower data.size."
                    )
            net.eval()(torch.zeros(image.shape, device=device))
    except (LightMError, NotImplementedError):
        raise
    except (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        if "memory" in str(error):
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise LightMError(f"{config.model.name} can't take images of {list(size)}: {first}") from error


def prepare_network(net: nn.Module, config: Config) -> nn.Module:
    """`net`, already on its device, set up as [train] says; returns what the training calls: itself, or compiled."""
    train = config.train
    if train.channels_last:
        net.to(memory_format=CHANNELS_LAST[len(config.data.size)])
    if train.deterministic:
        upsample.use_in(net)
    if train.checkpointing:
        recompute_blocks(net)
    return torch.compile(net) if train.compile else net


def to_device(image: Tensor, device: torch.device, train: TrainConfig) -> Tensor:
    """Images (B, C, *S) on the device, in the memory format of [train]."""
    image = image.to(device, non_blocking=True)  # (B, C, *S)
    return image.contiguous(memory_format=CHANNELS_LAST[image.ndim - 2]) if train.channels_last else image


def set_determinism(deterministic: bool) -> None:
    """Whether the same run on the same GPU must give the same bits; a CPU always does. Call it before CUDA is used.

    PyTorch's own switch, `torch.use_deterministic_algorithms`, is not used: on CUDA it refuses operations whose result
    is in fact exact here (the sums inside NLLLoss, max-pooling without overlap) and replaces bilinear interpolation by
    a slow one. Instead each cause is met by itself: cuDNN takes only deterministic algorithms and does not choose by
    stopwatch; attention runs as matrix products; cuBLAS has a fixed workspace; up-sampling has a backward pass of its
    own (`lightm.kernels.upsample`); the loss takes its mean in a fixed order (`lightm.training.losses`); our scans are
    deterministic. Not so, whatever is set: mamba_ssm's kernel (scan_backend "upstream"), which adds atomically.
    The price is paid by convolutions (slower algorithms for some shapes) and self-attention (memory).
    """
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cuda.enable_flash_sdp(not deterministic)
    torch.backends.cuda.enable_mem_efficient_sdp(not deterministic)
    torch.backends.cuda.enable_cudnn_sdp(not deterministic)


def keep_gradient_layout(net: nn.Module) -> None:
    """Give each gradient the strides of its parameter, where they differ in axes of length 1 only.

    A convolution on a channels_last image returns gradients (C, 1, 3, 3) with strides (9, 1, 3, 1) for a parameter's
    (9, 9, 3, 1): the same memory. DistributedDataParallel compares the numbers, warns, and copies.
    """

    def match(parameter: nn.Parameter):
        def hook(grad: Tensor) -> Tensor:
            same = all(n == 1 or a == b for n, a, b in zip(grad.shape, grad.stride(), parameter.stride(), strict=True))
            return grad.as_strided(grad.shape, parameter.stride()) if same else grad

        return hook

    for parameter in net.parameters():
        parameter.register_hook(match(parameter))
