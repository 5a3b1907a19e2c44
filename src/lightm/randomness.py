"""All randomness of a run as functions of its seed and position, so that no generator's state has to be saved.

Data order follows (seed, epoch), augmentation (seed, epoch, case), everything torch draws inside an iteration, such as
dropout, (seed, iteration, process). A run that goes on from a checkpoint draws what it would have drawn anyway.
"""

import math

import numpy as np
import torch


def epoch_batches(
    cases: int, per_step: int, parts: int, steps: int, *, seed: int, epoch: int, rank: int = 0, world: int = 1
) -> list[list[list[int]]]:
    """Case indices of one epoch for process `rank` of `world`: steps lists of parts lists of per_step / parts / world.

    The order is one shuffled pass over the cases after another, cut off at the epoch's end; in each step all processes
    together take the cases that a single one would.
    """
    rng = np.random.default_rng([seed, epoch])
    passes = math.ceil(steps * per_step / cases)
    order = np.concatenate([rng.permutation(cases) for _ in range(passes)])[: steps * per_step]
    return order.reshape(steps, parts, world, -1)[:, :, rank].tolist()


def seed_iteration(seed: int, iteration: int, rank: int = 0) -> None:
    """Seed torch on every device for one iteration of one process."""
    state = np.random.SeedSequence([seed, iteration, rank]).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(state >> np.uint64(1)))
