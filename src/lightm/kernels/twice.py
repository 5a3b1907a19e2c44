"""Gradients that can be differentiated again, as a gradient penalty does, where a kernel has only the first ones."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def differentiable_gradients(
    formula: Callable[..., Tensor], inputs: Sequence[Tensor], grad: Tensor
) -> tuple[Tensor, ...]:
    """The gradients of formula(*inputs), which is plain PyTorch, for the gradient `grad` of its result."""
    leaves = [x if x.requires_grad else x.detach().requires_grad_() for x in inputs]
    return torch.autograd.grad(formula(*leaves), leaves, grad, create_graph=True)
