"""Any recipe in small: the same training on a few synthetic cases, to see in a minute that it works on a machine."""

from dataclasses import replace

from lightm.models import list_models, options_for_size
from lightm.training.config import Config

PHANTOMS = {2: "phantom-cxr", 3: "phantom-ct"}
SIZE = {2: 64, 3: 32}  # in pixels or voxels along each axis
EPOCHS, BATCH = 2, 2

# Options of a narrow network, by its name or else wherever it has them.
NARROW = {"unetr": {"hidden_size": 48, "mlp_dim": 48, "num_heads": 3, "feature_size": 4}}
NARROW |= {"swin-unetr": {"feature_size": 12}}
NARROW_OTHERS = {"width": 8, "init_filters": 8, "depths": [1, 1, 1], "bottleneck_depth": 1}
LEAST_SIZE = {"swin-unetr": 64}  # it halves five times, and normalises what is left


def shrink(
    config: Config, size: int, *, cases: int = 20, iterations: int = 8, narrow: bool = False, phantoms: bool = True
) -> Config:
    """`config` on small images for a few iterations; optimiser, precision and all else of the training as they are.

    size: of the images, along each axis; options that name an image size follow it. cases, iterations: how many cases
    there are, and how many iterations an epoch has. narrow: a network with few channels and layers, too.
    phantoms: synthetic cases; False keeps the data set. It shows that a recipe works, and not how good its result is.
    """
    dims, name = len(config.data.size), config.model.name
    size = max(size, LEAST_SIZE.get(name, 0))
    known = next((info.options for info in list_models() if info.name == name), {})
    changed = options_for_size(name, (size,) * dims)
    if narrow:
        changed |= {key: value for key, value in NARROW.get(name, NARROW_OTHERS).items() if key in known}
    data = replace(config.data, size=(size,) * dims, root="")
    if phantoms:
        options = {"cases": cases, "size": size, "seed": 0}
        data = replace(data, name=PHANTOMS[dims], split="", options=options, normalise="auto", folds=0, fold=0)
        data = replace(data, spacing=(), cache="")
    return replace(
        config,
        data=data,
        model=replace(config.model, options=config.model.options | changed),
        optim=replace(config.optim, warmup=min(config.optim.warmup, iterations // 2)),
        train=replace(
            config.train,
            epochs=EPOCHS,
            batch_size=BATCH,
            accumulate=1,
            iterations_per_epoch=iterations,
            class_weights=() if phantoms else config.train.class_weights,
        ),
        eval=replace(config.eval, batch_size=BATCH),
    )
