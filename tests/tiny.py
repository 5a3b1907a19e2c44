"""A run that takes a second: two-digit numbers of tiny synthetic cases, a network of a few thousand weights."""

from lightm.config import Config, config_from_dict


def tiny_config(**changes) -> Config:
    """The recipe, with `section__key=value` changes."""
    table = {
        "name": "tiny",
        "data": {"size": [16, 16], "options": {"cases": 20, "size": 24}},
        "model": {"options": {"width": 4, "depths": [1], "bottleneck_depth": 1, "d_state": 4}},
        "optim": {"lr": 0.01},
        "train": {"epochs": 3, "batch_size": 4},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        table.setdefault(section, {})[name] = value
    return config_from_dict(table)
