"""Any recipe as a smoke test: the same training, on a few synthetic cases, within a minute on two CPU cores."""

from dataclasses import replace

from lightm.models import options_for_size
from lightm.training.config import Config

PHANTOMS = {2: ("phantom-cxr", 64), 3: ("phantom-ct", 32)}
CASES, EPOCHS, BATCH, ITERATIONS, WARMUP = 20, 2, 2, 8, 5


def smoke(config: Config) -> Config:
    """`config` on phantoms: optimiser, precision and every other option of the training as they are.

    The network keeps its width; where its options say for which image size it is built, they follow the phantoms'. So
    a smoke run shows that a recipe works. It shows nothing of how good its result is.
    """
    dims = len(config.data.size)
    name, size = PHANTOMS[dims]
    options = config.model.options | options_for_size(config.model.name, (size,) * dims)
    iterations = min(config.train.iterations_per_epoch, ITERATIONS)
    return replace(
        config,
        name=f"{config.name}-smoke",
        data=replace(
            config.data,
            name=name,
            root="",
            size=(size,) * dims,
            split="",
            options={"cases": CASES, "size": size, "seed": 0},
            normalise="auto",
        ),
        model=replace(config.model, options=options),
        optim=replace(config.optim, warmup=min(config.optim.warmup, WARMUP)),
        train=replace(config.train, epochs=EPOCHS, batch_size=BATCH, accumulate=1, iterations_per_epoch=iterations),
        eval=replace(config.eval, batch_size=BATCH),
    )
