"""The pencils that both phantoms draw with: smooth random fields, soft edges, rounded intersections."""

import numpy as np


def smooth_field(rng: np.random.Generator, size: tuple[int, ...], knots: int) -> np.ndarray:
    """A smooth random function on a grid: float32 (*size), values about -1 to 1, `knots` bumps along each axis.

    A cubic B-spline through random coefficients. Their number does not depend on `size`, so the same generator gives
    the same function at every resolution.
    """
    coefficients = rng.standard_normal((knots + 3,) * len(size)).astype(np.float32)
    for axis, n in enumerate(size):
        basis = _cubic_basis(n, knots)  # (n, knots + 3)
        coefficients = np.moveaxis(np.tensordot(basis, coefficients, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(coefficients)


def _cubic_basis(n: int, knots: int) -> np.ndarray:
    position = (np.arange(n, dtype=np.float32)[:, None] + 0.5) / n * knots  # (n, 1)
    distance = np.abs(position + 1 - np.arange(knots + 3, dtype=np.float32))  # (n, knots + 3)
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far)


def ramp(x: np.ndarray, width: float) -> np.ndarray:
    """0 below -width/2, 1 above width/2, a straight line between: a soft edge at x = 0."""
    return np.clip(x * np.float32(1 / width) + np.float32(0.5), 0, 1)


def bump(x: np.ndarray, centre: float, width: float) -> np.ndarray:
    """A Gaussian bump of height 1; `width` is its standard deviation."""
    return np.exp(np.float32(-0.5) * ((x - np.float32(centre)) * np.float32(1 / width)) ** 2)


def smooth_minimum(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """min(a, b) with the crease rounded over `radius`: signed distances a, b in, that of the rounded corner out."""
    crease = np.clip(np.float32(radius) - np.abs(a - b), 0, None)
    return np.minimum(a, b) - crease * crease * np.float32(0.25 / radius)
