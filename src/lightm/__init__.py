"""lightm: LightM-UNet (arXiv 2403.05246) understood, checked and usable."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("lightm")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"
