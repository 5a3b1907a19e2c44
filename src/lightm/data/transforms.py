"""From a case to network input: resize, normalise, augment. Image and label go through the same geometry.

The variants are drawn here and not by `monai.transforms`: each is a function of one generator and nothing else, which a
run that resumes to the bit needs, and the records of this repository were trained on exactly these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import cos, radians, sin

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightm.data.base import Case
from lightm.errors import LightMError, suggest

# What a liver window shows, in HU: everything from fat to enhanced vessels, nothing of the range of lung and bone.
CT_WINDOW = (-175.0, 250.0)


def preprocess(case: Case, size: Sequence[int], normalise: str) -> tuple[Tensor, Tensor]:
    """A case at the training size: image float32 (C, *size), label uint8 (*size).

    The image is resized by anti-aliased linear interpolation, the label by nearest neighbour, both with voxel centres
    aligned (half-pixel convention), then the image is normalised (`normalise_image`).
    """
    size = tuple(size)
    if len(size) != case.label.ndim:
        raise LightMError(
            f"size={size} has {len(size)} axes, but case {case.case_id} has {case.label.ndim}; give one an axis."
        )
    image, label = torch.from_numpy(case.image), torch.from_numpy(case.label)
    return normalise_image(resize_image(image, size), normalise), resize_label(label, size)


def resize_image(image: Tensor, size: Sequence[int]) -> Tensor:
    """(C, *S) float -> (C, *size), linear interpolation; an axis that shrinks is low-pass filtered first (no aliasing).

    The filter is separable, and PyTorch has it for pictures only: a volume is resized as pictures (H, W), then (W, Z).
    """
    size = tuple(size)
    if tuple(image.shape[1:]) == size:
        return image
    if len(size) == 2:
        return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    image = image.movedim(-1, 0)  # (Z, C, H, W)
    image = F.interpolate(image, size[:2], mode="bilinear", antialias=True)
    image = image.permute(2, 1, 3, 0)  # (H, C, W, Z)
    image = F.interpolate(image, size[1:], mode="bilinear", antialias=True)
    return image.transpose(0, 1).contiguous()  # (C, H, W, Z)


def resample(image: Tensor, spacing: Sequence[float], to: Sequence[float]) -> Tensor:
    """(C, *S) with voxels `spacing` apart -> the same at about `to`: (C, *S'), S' = round(S spacing / to), at least 1.

    By `resize_image`: unlike `monai.transforms.Spacing` it filters an axis that shrinks, and keeps the image's borders.
    LightMError if the two have not one number an axis.
    """
    if len(to) != image.ndim - 1:
        raise LightMError(f"A spacing of {len(to)} numbers does not suit an image with {image.ndim - 1} axes.")
    return resize_image(image, [max(1, round(n * a / b)) for n, a, b in zip(image.shape[1:], spacing, to, strict=True)])


def resize_label(label: Tensor, size: Sequence[int]) -> Tensor:
    """(*S) uint8 -> (*size), nearest neighbour."""
    if tuple(label.shape) == tuple(size):
        return label
    return F.interpolate(label[None, None], tuple(size), mode="nearest-exact")[0, 0]


def normalise_image(image: Tensor, how: str) -> Tensor:
    """(C, *S) in native units -> what the network sees.

    "zscore": each channel of the case to mean 0 and standard deviation 1 (radiographs, MR: units differ per case).
    "ct": Hounsfield units within CT_WINDOW to -1 … 1, the same for all cases: HU mean something.
    "window:LOW:HIGH": the same with another window, "window:-1000:400" for lungs.
    "percentile": each channel cut at its 0.5th and 99.5th percentile, then as "zscore": for images with a few very
    bright voxels.
    LightMError for any other name, or a window that is none.
    """
    if how == "percentile":
        from monai.transforms.utils_pytorch_numpy_unification import (
            percentile,  # slow to import; no limit of 2^24 values
        )

        image, how = torch.stack([c.clamp(*percentile(c, [0.5, 99.5]).tolist()) for c in image]), "zscore"
    if how == "zscore":
        axes = tuple(range(1, image.ndim))
        std, mean = torch.std_mean(image, axes, keepdim=True, correction=0)
        return (image - mean) / std.clamp_min(1e-6)
    if window := window_of(how):
        low, high = window
        return (image.clamp(low, high) - (low + high) / 2) / ((high - low) / 2)
    known = ("zscore", "ct", "percentile", "window:-1000:400")
    raise LightMError(f"There is no normalisation {how!r}. {suggest(how, known)}")


def window_of(how: str) -> tuple[float, float] | None:
    """The values that a normalisation brings to -1 and 1; None for one that looks at the image."""
    if how == "ct":
        return CT_WINDOW
    if not how.startswith("window:"):
        return None
    try:
        low, high = (float(part) for part in how.split(":")[1:])
    except ValueError:
        low = high = float("nan")
    if not -1e6 <= low < high <= 1e6:
        raise LightMError(f"normalise={how!r} must be window:LOW:HIGH with two rising numbers, e.g. window:-1000:400.")
    return low, high


@dataclass(frozen=True)
class Augmentation:
    """How far a training case is changed at random; each number is the limit of a uniform draw, 0 turns it off.

    rotation: degrees, about each axis. zoom, shift: fractions of the size. gain, gamma: contrast, as exponents of 2.
    offset, noise: in units of the normalised image; noise is its greatest standard deviation.
    flip: axes of S mirrored half of the time. None by default: a heart on the right and a liver on the left are
    diseases, not variety.
    """

    rotation: float = 10.0
    zoom: float = 0.12
    shift: float = 0.06
    gain: float = 0.25
    gamma: float = 0.4
    offset: float = 0.1
    noise: float = 0.08
    flip: tuple[int, ...] = ()


def augment(
    image: Tensor, label: Tensor, rng: np.random.Generator, settings: Augmentation | None = None
) -> tuple[Tensor, Tensor]:
    """A random variant of a preprocessed case: image (C, *S) float32, label (*S) uint8; same shapes out.

    The same generator state gives the same variant. What moves in from outside repeats the border of the image.
    """
    settings = settings or Augmentation()
    image, label = _move(image, label, rng, settings)
    gamma, gain = 2.0 ** (rng.uniform(-1, 1, 2) * (settings.gamma, settings.gain))
    low, high = image.aminmax()
    span = (high - low).clamp_min(1e-6)
    image = ((image - low) / span).pow_(gamma).mul_(span).add_(low)
    image = image.mul_(gain).add_(settings.offset * rng.uniform(-1, 1))
    noise = rng.standard_normal(tuple(image.shape), dtype=np.float32)
    return image.add_(torch.from_numpy(noise), alpha=settings.noise * rng.uniform()), label


def _move(image: Tensor, label: Tensor, rng: np.random.Generator, settings: Augmentation) -> tuple[Tensor, Tensor]:
    """Rotate, zoom, shift and mirror: one affine map of the grid, linear for the image and nearest for the label."""
    grid = _grid(_affine(tuple(label.shape), rng, settings), tuple(label.shape))[None]  # (1, *S, d)
    image = F.grid_sample(image[None], grid, "bilinear", "border", align_corners=False)[0]
    label = F.grid_sample(label[None, None].float(), grid, "nearest", "border", align_corners=False)[0, 0]
    return image, label.to(torch.uint8)


def _grid(theta: np.ndarray, size: tuple[int, ...]) -> Tensor:
    """What `affine_grid` of PyTorch gives for one map (d, d + 1): (*size, d), by sums, without its slow product."""
    dims = len(size)
    axes = [((torch.arange(n) + 0.5) * (2 / n) - 1).view(-1, *[1] * (dims - 1 - i)) for i, n in enumerate(size)]
    rows = []
    for *weights, constant in theta.tolist():  # one row for each coordinate of the input
        row = axes[-1] * weights[0] + constant
        for weight, axis in zip(weights[1:], reversed(axes[:-1]), strict=True):
            row = row + axis * weight
        rows.append(row)
    return torch.stack(rows, dim=-1)


def _affine(size: tuple[int, ...], rng: np.random.Generator, settings: Augmentation) -> np.ndarray:
    """The map from a place in the output to its place in the input, as `affine_grid` wants it: (d, d + 1)."""
    dims = len(size)
    matrix = np.eye(dims)
    for i, j in combinations(range(dims), 2):  # one plane in 2D, three in 3D
        angle = radians(settings.rotation) * rng.uniform(-1, 1)
        turn = np.eye(dims)
        turn[[i, i, j, j], [i, j, i, j]] = cos(angle), -sin(angle), sin(angle), cos(angle)
        matrix = matrix @ turn
    matrix *= 1 + settings.zoom * rng.uniform(-1, 1, dims)
    for axis, mirrored in enumerate(rng.uniform(size=dims) < 0.5):
        if mirrored and axis in settings.flip:
            matrix[:, axis] *= -1
    half = np.array(size) / 2  # the grid counts -1 … 1 along each axis; a rotation is one only in voxels
    matrix = matrix * half / half[:, None]
    shift = 2 * settings.shift * rng.uniform(-1, 1, dims)
    return np.concatenate([matrix[::-1, ::-1], shift[::-1, None]], axis=1).astype(
        np.float32
    )  # it names axes last first
