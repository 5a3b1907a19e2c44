"""lightm: LightM-UNet (arXiv 2403.05246) understood, checked and usable.

>>> import lightm
>>> model = lightm.build_model("lightm-unet", spatial_dims=2, in_channels=1, out_channels=2)
>>> trained = lightm.load("runs/smoke")  # after `lightm train smoke`

Each name below is imported when it is first used, so that `import lightm` is quick and needs no torch; for type
checkers and editors they stand in `__init__.pyi`.
"""

from importlib import import_module
from typing import Any

__all__ = ["LightMUNet", "__version__", "build_model", "list_models", "load", "selective_scan"]
_HOMES = {
    "LightMUNet": "lightm.models.unet",
    "build_model": "lightm.models",
    "list_models": "lightm.models",
    "load": "lightm.inference",
    "selective_scan": "lightm.scan",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = _version()
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lightm")
    except PackageNotFoundError:
        return "0+unknown"  # run from a checkout that was never installed
