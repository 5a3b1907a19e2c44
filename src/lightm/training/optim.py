"""Optimiser, its parameter groups, and the learning rate as a function of the iteration."""

import torch
from torch import nn

from lightm.training.config import OptimConfig


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW over two groups: weights that decay, and parameters that do not.

    Vectors (biases, norms, per-channel factors) are never decayed, nor tables of biases or positions (transformers),
    nor a parameter marked `_no_weight_decay`, as Mamba marks A_log and D: pulling those to zero would change the time
    constants of the state, not a weight's size. With decay = "all" every parameter decays, as in the authors' trainer.
    On CPUs and NVIDIA GPUs an update is one pass over each parameter (torch's `fused`), a fifth of the time of a loop.
    """
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            table = "position" in name.rpartition(".")[2]
            spared = parameter.ndim < 2 or table or getattr(parameter, "_no_weight_decay", False)
            groups[config.decay == "all" or not spared].append(parameter)
    params = [
        {"params": members, "weight_decay": config.weight_decay if decays else 0.0}
        for decays, members in groups.items()
        if members
    ]
    fused = all(p.device.type in ("cpu", "cuda") for group in params for p in group["params"])
    if config.name == "sgd":
        return torch.optim.SGD(
            params, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=fused or None
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name]
    return kind(params, lr=config.lr, betas=config.betas, eps=config.eps, fused=fused or None)


def learning_rate(iteration: int, iterations: int, config: OptimConfig) -> float:
    """The poly schedule: linear warm-up, then lr * (1 - iteration / iterations) ** power; iteration counts from 0."""
    warm = min(1.0, (iteration + 1) / (config.warmup + 1))
    return config.lr * warm * (1 - iteration / iterations) ** config.power
