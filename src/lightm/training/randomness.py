"""All randomness of a run as functions of its seed and position, so that no generator's state has to be saved.

Data order follows (seed, epoch), augmentation (seed, epoch, case, how often the case came before in that epoch),
everything torch draws inside an iteration, such as dropout, (seed, iteration, process). A run that goes on from a
checkpoint draws what it would have drawn anyway.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch

from lightm.errors import LightMError
from lightm.training.config import TrainConfig

# Case, epoch, and how often that case was drawn in that epoch before: what a variant of the case is a function of.
Draw = tuple[int, int, int]


def epoch_batches(
    cases: int, per_step: int, parts: int, steps: int, *, seed: int, epoch: int, rank: int = 0, world: int = 1
) -> list[list[list[Draw]]]:
    """What process `rank` of `world` draws in one epoch: steps lists of parts lists of per_step / parts / world draws.

    The order is one shuffled pass over the cases after another, cut off at the epoch's end; in each step all processes
    together take the cases that a single one would.
    """
    rng = np.random.default_rng([seed, epoch])
    passes = math.ceil(steps * per_step / cases)
    order = np.concatenate([rng.permutation(cases) for _ in range(passes)])[: steps * per_step]
    draws = [(case, epoch, i // cases) for i, case in enumerate(order.tolist())]  # one pass after the other
    size = per_step // parts // world

    def share(step: int, part: int) -> list[Draw]:
        start = ((step * parts + part) * world + rank) * size
        return draws[start : start + size]

    return [[share(step, part) for part in range(parts)] for step in range(steps)]


def draws_to_come(
    train: TrainConfig, cases: int, steps: int, epoch: int, step: int, rank: int, world: int
) -> Iterator[list[Draw]]:
    """What process `rank` of `world` draws from an iteration (`step` of an `epoch`) to the end, part by part."""
    for e in range(epoch, train.epochs):
        batches = epoch_batches(
            cases, train.batch_size, train.accumulate, steps, seed=train.seed, epoch=e, rank=rank, world=world
        )
        for parts in batches[step if e == epoch else 0 :]:
            yield from parts


def iterations_per_epoch(train: TrainConfig, cases: int, processes: int) -> int:
    """Optimiser steps of an epoch; LightMError if the batches of a recipe can't be made or shared by the processes."""
    shares = train.accumulate * processes
    if train.batch_size % shares:
        raise LightMError(
            f"train.batch_size = {train.batch_size} can't be shared by {shares} = accumulate x processes; "
            f"use {math.ceil(train.batch_size / shares) * shares}."
        )
    steps = train.iterations_per_epoch or cases // train.batch_size
    if not steps:
        raise LightMError(
            f"train.batch_size = {train.batch_size} is more than the {cases} cases to train on; lower it."
        )
    return steps


def seed_iteration(seed: int, iteration: int, rank: int = 0) -> None:
    """Seed torch on every device for one iteration of one process."""
    state = np.random.SeedSequence([seed, iteration, rank]).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(state >> np.uint64(1)))
