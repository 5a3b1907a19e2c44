"""Up-sampling by 2 has F.interpolate's values and, in an order of its own, its gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightm.kernels.upsample import MODE, _Upsample, upsample, use_in

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


@pytest.mark.parametrize("size", [(5, 4), (1, 3), (2, 1), (3, 4, 2), (1, 1, 1)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_gradient_on_a_gpu_is_that_of_interpolation(size, channels_last):
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = (x.contiguous(memory_format=CHANNELS_LAST[x.ndim]) if channels_last else x).requires_grad_()
    expected = F.interpolate(x, scale_factor=2, mode=MODE[x.ndim], align_corners=False)
    found = _Upsample.apply(x)  # what a tensor that is not on the CPU takes
    assert torch.equal(found, expected) and torch.equal(upsample(x), expected)
    grad = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(*(torch.autograd.grad(y, x, grad)[0] for y in (found, expected)))
    torch.autograd.gradcheck(_Upsample.apply, x)


def test_torch_func_takes_the_gradient_of_each_sample():
    x = torch.randn(3, 1, 2, 4, 5)
    found = torch.func.vmap(torch.func.grad(lambda x: _Upsample.apply(x).pow(2).sum()))(x)
    x.requires_grad_()
    torch.testing.assert_close(found, torch.autograd.grad(sum(upsample(one).pow(2).sum() for one in x), x)[0])


def test_channels_stay_last_in_the_gradient():
    x = torch.randn(2, 8, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    _Upsample.apply(x).pow(2).sum().backward()
    assert x.grad.is_contiguous(memory_format=torch.channels_last)


def test_half_precision_is_summed_in_single_precision():
    x = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    grads = []
    for precision in (torch.bfloat16, torch.float32):
        own = x.to(precision).requires_grad_()
        (_Upsample.apply(own) * 0.3).sum().backward()
        grads.append(own.grad.float())
    torch.testing.assert_close(grads[0], grads[1], rtol=2**-8, atol=0)


def test_blocks_that_double_the_size_linearly_take_it_over_and_others_do_not():
    linear = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    others = (
        nn.Upsample(scale_factor=4, mode="bilinear"),
        nn.Upsample(scale_factor=2),
        nn.Upsample((4, 4), mode="bilinear"),
    )
    net = nn.Sequential(linear, *others)
    use_in(net)
    assert linear.forward is upsample and not any("forward" in vars(other) for other in others)
