"""The requirements of a network on its arguments and on its input, checked before any work is done."""

import math

from torch import Tensor

from lightm.errors import LightMError


def check_counts(**counts: int) -> None:
    """Raise LightMError for the first argument that isn't a whole number of at least 1."""
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise LightMError(f"{name} must be a whole number of at least 1, not {value!r}.")


def check_spatial_dims(spatial_dims: int) -> None:
    """Raise LightMError unless the network is to be 2D or 3D."""
    if spatial_dims not in (2, 3):
        raise LightMError(f"spatial_dims must be 2 (images) or 3 (volumes), not {spatial_dims!r}.")


def check_image(x: Tensor, spatial_dims: int, in_channels: int, step: int) -> None:
    """Raise LightMError with the remedy unless x is a floating point (B, in_channels, *S), S divisible by `step`."""
    axes = ", ".join("HWZ"[:spatial_dims])
    if x.ndim != spatial_dims + 2:
        raise LightMError(
            f"The input has shape {tuple(x.shape)}; this network is {spatial_dims}D and takes "
            f"(batch, channels, {axes}): add or remove axes."
        )
    if x.shape[1] != in_channels:
        raise LightMError(
            f"The input has {x.shape[1]} channels and the network {in_channels}: build the network with "
            f"in_channels={x.shape[1]} or give it {in_channels} channels."
        )
    if not x.is_floating_point():
        raise LightMError(f"The input is {x.dtype}: normalise it and convert it to floating point, e.g. x.float().")
    sizes = tuple(x.shape[2:])
    if any(size % step or size < step for size in sizes):
        larger = tuple(max(math.ceil(size / step), 1) * step for size in sizes)
        smaller = tuple(size // step * step for size in sizes)
        crop = f" or crop to {smaller}" if min(smaller) > 0 else ""
        raise LightMError(f"The spatial size {sizes} must be divisible by {step}: pad or resize to {larger}{crop}.")
