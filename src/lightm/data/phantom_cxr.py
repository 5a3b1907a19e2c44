"""A synthetic chest radiograph: the thickness of what the beam crosses is summed up, then exposed like a film.

Coordinates: u to the right and v down the picture, both about -1 to 1, in the frame of the patient; p = side * u is the
distance from the midline, side -1 the patient's right lung (left in the picture), +1 the left lung.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lightm.data.drawing import bump, ramp, smooth_field, smooth_minimum

WIDTH_MM = 350.0  # a cassette for adults is 35 cm wide


@dataclass(frozen=True)
class Chest:
    """The proportions of one patient, drawn once; lengths in units of half the picture."""

    half_width: float  # of the rib cage, inside
    apex: float  # v of the lungs' tops
    dome: float  # v of the right half of the diaphragm
    heart: float  # how far the heart reaches to the left, as a fraction of half_width
    aorta: float
    wall: float  # thickness of what covers the ribs
    rib_gap: float
    rib_slope: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Chest":
        apex = rng.uniform(-0.82, -0.62)
        dome = rng.uniform(0.32, 0.66)
        return cls(
            half_width=rng.uniform(0.62, 0.82),
            apex=apex,
            dome=dome,
            heart=rng.uniform(0.42, 0.66),
            aorta=rng.uniform(0.02, 0.08),
            wall=rng.uniform(0.05, 0.2),
            rib_gap=(dome - apex) / rng.uniform(8.5, 10.5),
            rib_slope=rng.uniform(0.15, 0.35),
        )


def draw_chest(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """One patient: image float32 (H, W) with gray values 0 to 255, label uint8 (H, W) 1 in the lungs, spacing in mm.

    All random choices but the noise of the pixels are made in the same order at every size.
    """
    chest = Chest.draw(rng)
    u, v = _patient_frame(rng, size)
    thickness, body = _soft_tissue(rng, chest, u, v)
    label = np.zeros(size, np.uint8)
    vessels = _vessel_texture(rng, size)
    opacities = _opacities(rng, chest, u, v)
    for side in (-1, 1):
        inside = _lung(rng, chest, side, u, v)  # > 0 in the lung: about the distance to its border
        label[inside > 0] = 1
        middle = (0.55 + 0.1 * (side < 0)) * chest.half_width
        lens = 1 - 0.4 * np.clip((side * u - middle) / (0.6 * chest.half_width), -1, 1) ** 2
        air = ramp(inside - 0.01, 0.05) * lens * (rng.uniform(0.45, 0.65) - 0.22 * vessels)
        thickness -= np.clip(air - opacities * ramp(inside + 0.02, 0.1), 0, None)
        thickness += _ribs(rng, chest, side, u, v) * body
    image, seen = _expose(rng, thickness)
    return image, label * seen, tuple(WIDTH_MM / n for n in size)


def _patient_frame(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """u, v of every pixel: the patient stands a little turned, shifted, nearer or farther, and is never symmetric."""
    y, x = ((np.arange(n, dtype=np.float32) + 0.5) * np.float32(2 / n) - 1 for n in size)
    angle = np.deg2rad(rng.normal(0, 4))
    zoom_x, zoom_y = rng.uniform(0.92, 1.15) * rng.uniform(0.94, 1.06, 2)
    shift_x, shift_y = rng.normal(0, 0.04, 2)
    x, y = x[None, :] * zoom_x + shift_x, y[:, None] * zoom_y + shift_y
    u = np.cos(angle) * x - np.sin(angle) * y + 0.014 * smooth_field(rng, size, 5)
    v = np.sin(angle) * x + np.cos(angle) * y + 0.014 * smooth_field(rng, size, 5)
    return u.astype(np.float32), v.astype(np.float32)


def _soft_tissue(rng: np.random.Generator, chest: Chest, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Trunk, mediastinum with heart, spine, abdomen with gas: (H, W), about 0 to 2; and 1 where the body is."""
    neck = rng.uniform(0.2, 0.28)
    trunk = chest.half_width + chest.wall + 0.06
    shoulder = chest.apex + rng.uniform(-0.02, 0.12)
    armpit = rng.uniform(-0.1, 0.3)
    knots = [-2.0, shoulder - 0.3, shoulder - 0.05, shoulder + 0.2, armpit - 0.25, armpit, 2.0]
    widths = [neck, neck * 1.1, 0.7, 1.3, trunk + rng.uniform(0.1, 0.4), trunk, trunk + rng.uniform(0, 0.15)]
    edge = np.interp(v, knots, widths).astype(np.float32)
    lens = np.sqrt(np.clip(1 - (u / edge) ** 2, 0, None))
    body = ramp(edge - np.abs(u), 0.06)
    tissue = (0.55 + 0.35 * lens) * body * (1 + 0.06 * smooth_field(rng, u.shape, 8))

    below = ramp(v - chest.dome - 0.05, 0.3)
    tissue += rng.uniform(0.25, 0.45) * below * lens
    gas_u, gas_v = rng.uniform(0.25, 0.45), chest.dome + rng.uniform(0.16, 0.3)
    gas = ramp(1 - np.hypot((u - gas_u) / rng.uniform(0.08, 0.2), (v - gas_v) / rng.uniform(0.05, 0.12)), 0.4)
    gas *= ramp(gas_v + 0.03 - v, 0.03)  # the patient stands: below the gas lies fluid, and its surface is level
    tissue -= rng.choice([0.0, 0.35, 0.55]) * gas

    central = 0.75 * bump(u, 0.02, 0.13) + 0.3 * bump(u, 0.14, 0.2) * ramp(v - chest.apex - 0.7, 0.5)
    tissue += rng.uniform(0.35, 0.55) * central
    trachea = rng.uniform(-0.03, 0.02)
    tissue -= 0.15 * ramp(0.035 - np.abs(u - trachea), 0.03) * ramp(chest.apex + 0.5 - v, 0.1)
    disc = 0.75 + 0.25 * np.cos(v * np.float32(2 * np.pi / (0.9 * chest.rib_gap)))
    tissue += rng.uniform(0.08, 0.2) * ramp(0.085 - np.abs(u), 0.04) * disc
    if rng.uniform() < 0.35:  # breast or pectoral shadows
        breast_v, amount = rng.uniform(0.2, 0.4), rng.uniform(0.08, 0.2)
        away = np.hypot((np.abs(u) - 0.45) / 0.3, (v - breast_v) / 0.26)
        tissue += amount * ramp(1 - away, 0.3) * body
    return tissue, body


def _lung(rng: np.random.Generator, chest: Chest, side: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """About the distance to the border of one lung, positive inside: wall, mediastinum, diaphragm and apex meet."""
    p = side * u
    width = chest.half_width * rng.uniform(0.9, 1.05)
    dome = chest.dome + (rng.uniform(-0.05, 0.12) if side > 0 else 0.0) - rng.choice([0, 0, 0, 0.2]) * rng.uniform()
    height = dome - chest.apex
    t = (v - np.float32(chest.apex)) * np.float32(1 / height)  # 0 at the apex, 1 at the dome

    stations = np.array([-1.0, 0.0, 0.12, 0.3, 0.55, 0.85, 1.15, 2.0])
    lateral = width * np.array([0.3, 0.44, 0.62, 0.8, 0.93, 1.0, 1.0, 0.97])
    lateral[1:6] *= rng.uniform(0.92, 1.06, 5)
    knob = chest.aorta if side > 0 else 0.02
    heart = chest.heart * width if side > 0 else rng.uniform(0.18, 0.28) * width
    top = rng.uniform(0.08, 0.13)
    waist = 0.13 + 0.3 * (heart - 0.13)
    medial = np.array([top, top, top + 0.02, top + 0.03 + knob, waist, 0.93 * heart, heart, heart])
    to_wall = _curve(t, stations, lateral) - p
    to_middle = p - _curve(t, stations, medial)

    centre, flatness = rng.uniform(0.36, 0.52) * width, rng.uniform(0.08, 0.32)
    bow = (p - np.float32(centre)) * np.float32(1 / (0.55 * width))
    to_floor = dome + flatness * bow * bow - v
    tip = (p - np.float32(0.38 * width)) * np.float32(1 / (0.4 * width))
    to_apex = v - chest.apex - 0.12 * tip * tip
    upper = smooth_minimum(smooth_minimum(to_wall, to_middle, 0.12), to_apex, 0.2)
    return smooth_minimum(upper, to_floor, rng.choice([0.01, 0.05, 0.25]))  # sharp or blunted angle


def _curve(t: np.ndarray, stations: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A smooth curve through a few stations, evaluated everywhere: the polygon, then its corners averaged away."""
    fine = np.linspace(-1, 2, 301)
    polygon = np.interp(fine, stations, values)
    kernel = np.hanning(33)
    smooth = np.convolve(np.pad(polygon, 16, mode="edge"), kernel / kernel.sum(), mode="valid")
    return np.interp(t, fine, smooth).astype(np.float32)


def _ribs(rng: np.random.Generator, chest: Chest, side: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Posterior ribs, which slope down outwards, anterior ribs, which slope down inwards, and the clavicle: (H, W)."""
    p = side * u
    width = chest.half_width * 1.03
    cage = width * np.interp(v, [chest.apex - 0.1, chest.apex + 0.5, 1.2], [0.45, 0.95, 1.05]).astype(np.float32)
    out = p / cage
    inside = ramp(p - 0.04, 0.04) * ramp(1.03 - out, 0.06)
    strength = rng.uniform(0.06, 0.16)
    tangential = 1 + 0.9 * np.clip(out, 0, 1) ** 4  # at the flank the beam runs along the rib

    phase = (v - chest.apex - chest.rib_slope * p * (0.3 + p)) / chest.rib_gap + rng.uniform(-0.3, 0.3)
    bones = strength * _bands(phase, rng.uniform(0.15, 0.22), first=0, last=11) * tangential
    slope = rng.uniform(0.45, 0.75)
    phase = (v - chest.apex + slope * (p - 0.5) * (0.6 + 0.5 * p)) / (1.15 * chest.rib_gap) + rng.uniform(0, 1)
    fade = ramp(out - rng.uniform(0.35, 0.5), 0.3)  # cartilage, towards the breastbone, hardly shows
    bones += 0.8 * strength * _bands(phase, rng.uniform(0.18, 0.26), first=2, last=9) * fade
    bones *= inside

    collar = chest.apex + rng.uniform(0.12, 0.28)
    line = collar - rng.uniform(0.1, 0.3) * (p - 0.08) + 0.03 * np.sin(7 * p)
    within = ramp(p - 0.07, 0.03) * ramp(0.95 - p, 0.05)
    bones += rng.uniform(0.1, 0.22) * ramp(rng.uniform(0.025, 0.04) - np.abs(v - line), 0.02) * within
    return bones


def _bands(phase: np.ndarray, half: float, first: int, last: int) -> np.ndarray:
    """Bands at the whole numbers `first` to `last`, `half` wide to each side, brighter at their edges like tubes."""
    nearest = np.rint(phase)
    distance = np.abs(phase - nearest)
    band = ramp(half - distance, 0.08) * (0.7 + 0.5 * (distance / half) ** 2)
    return band * ((nearest >= first) & (nearest <= last))


def _opacities(rng: np.random.Generator, chest: Chest, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Shadows in some lungs (infiltrates, nodules): what they take from the air, (H, W)."""
    shadow = np.zeros_like(u)
    ragged = smooth_field(rng, u.shape, 14)
    if rng.uniform() < 0.45:
        for _ in range(rng.integers(1, 5)):
            at_u = rng.choice([-1, 1]) * rng.uniform(0.3, 0.85) * chest.half_width
            at_v = rng.uniform(chest.apex + 0.15, chest.dome)
            radius, amount = rng.uniform(0.04, 0.22), rng.uniform(0.1, 0.5)
            away = np.hypot(u - at_u, (v - at_v) * rng.uniform(0.7, 1.3)) / radius
            shadow += amount * np.clip(1.2 - away + 0.35 * ragged, 0, 1)
    return shadow


def _vessel_texture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Branching vessels from both hila, as strokes of falling width on a small canvas: (H, W), 0 to about 1."""
    canvas = Image.new("L", (256, 256))
    pen = ImageDraw.Draw(canvas)
    for side in (-1, 1):
        for _ in range(9):
            _branch(rng, pen, 128 + side * 22, rng.uniform(110, 140), rng.uniform(-1.3, 1.3), side, 3.2)
    canvas = canvas.filter(ImageFilter.GaussianBlur(1.0)).resize(size[::-1], Image.Resampling.BILINEAR)
    mottle = 0.12 * smooth_field(rng, size, 24)
    return np.asarray(canvas, np.float32) / 160 + mottle


def _branch(
    rng: np.random.Generator, pen: ImageDraw.ImageDraw, x: float, y: float, angle: float, side: int, width: float
) -> None:
    while width > 0.7:
        stretch, fork, turn, bend = rng.uniform(size=4)
        length = 8 + 7 * stretch
        to_x, to_y = x + side * length * math.cos(angle), y + length * math.sin(angle)
        pen.line((x, y, to_x, to_y), fill=int(50 + 45 * width), width=max(1, round(width)))
        if fork < 0.5:
            sharp = (0.4 + 0.5 * turn) * (1 if fork < 0.25 else -1)
            _branch(rng, pen, to_x, to_y, angle + sharp, side, width * 0.6)
        x, y, angle, width = to_x, to_y, angle + 0.8 * (bend - 0.5), width * 0.84


def _expose(rng: np.random.Generator, thickness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thickness to gray values 0 to 255: tube voltage, film curve, scatter, noise; now and then a marker or collimator.

    Second: 1 where the patient is seen, 0 behind the collimator; uint8 (H, W).
    """
    height, width = thickness.shape
    film = 1 - np.exp(-rng.uniform(1.0, 1.9) * np.clip(thickness, 0, None))
    film = film ** rng.uniform(0.8, 1.5)
    black, white = rng.uniform(0.0, 0.16), rng.uniform(0.75, 1.05)
    tilt = rng.normal(0, 0.06) * np.linspace(-1, 1, width, dtype=np.float32)  # the heel effect of the anode
    gray = black + (white - black) * film + tilt
    gray += 0.02 * smooth_field(rng, thickness.shape, 3)

    if rng.uniform() < 0.4:  # the side marker, a letter of lead
        at = (rng.uniform(0.03, 0.12), rng.uniform(0.8, 0.93))  # an L, on the patient's left
        _stroke(gray, at[0], at[1], 0.06, 0.012)
        _stroke(gray, at[0] + 0.048, at[1], 0.012, 0.035)
    seen = np.ones((height, width), np.uint8)
    if rng.uniform() < 0.25:  # the collimator leaves a dark frame
        top, left = (int(rng.uniform(0, 0.05) * n) for n in (height, width))
        seen[:top] = seen[height - top :] = seen[:, :left] = seen[:, width - left :] = 0
        gray = np.where(seen, gray, np.float32(0.02))
    sigma = rng.uniform(0.008, 0.03)
    gray += sigma * rng.standard_normal(gray.shape, dtype=np.float32)
    return np.rint(255 * np.clip(gray, 0, 1)).astype(np.float32), seen


def _stroke(gray: np.ndarray, top: float, left: float, height: float, width: float) -> None:
    """Paint a white rectangle; all lengths are fractions of the picture."""
    h, w = gray.shape
    gray[int(top * h) : int((top + height) * h) + 1, int(left * w) : int((left + width) * w) + 1] = 0.97
