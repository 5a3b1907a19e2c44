"""Second derivatives of what has a kernel for its first: by autograd, through the same formula in plain PyTorch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def differentiate_gradients(
    formula: Callable[..., Tensor], inputs: Sequence[Tensor], grad: Tensor, grads: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """What a loss of the gradients gives `grad` and each of `inputs`.

    formula(*inputs): one tensor, in plain PyTorch   grad: the loss's gradient of that tensor
    grads: a loss's gradients of the gradients of `inputs`, None where there is none.
    """
    with torch.enable_grad():
        grad, *leaves = (x.detach().requires_grad_() for x in (grad, *inputs))
        first = torch.autograd.grad(formula(*leaves), leaves, grad, create_graph=True)
    wanted = [(x, g) for x, g in zip(first, grads, strict=True) if g is not None]
    if not wanted:
        return (None,) * (1 + len(leaves))
    outputs, weights = zip(*wanted, strict=True)
    return torch.autograd.grad(outputs, (grad, *leaves), weights, allow_unused=True)
