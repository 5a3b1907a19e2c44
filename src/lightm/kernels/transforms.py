"""Whether torch.func is at work, to whose transforms (grad, vmap) compiled kernels are closed."""

import torch


def under_torch_func() -> bool:
    """Whether a transform of torch.func is at work: then plain PyTorch, which has rules for it, computes instead.

    torch has no public question for this, so the one that torch.autograd itself asks is asked here and nowhere else.
    (A compiler traces the operators themselves.)
    """
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()
