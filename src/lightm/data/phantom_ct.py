"""A synthetic abdominal CT: organs painted one over the other in Hounsfield units, each with a soft edge.

Coordinates in millimetres from the middle of the body: x to the patient's left, y to the back, z to the head; arrays
are indexed [y, x, z], so that image[:, :, k] is an axial slice the way a radiologist looks at it.
"""

import numpy as np

from lightm.data.drawing import ramp, smooth_field, smooth_minimum

AIR, LUNG, FAT, FLUID, MUSCLE, BONE = -1000.0, -850.0, -100.0, 12.0, 55.0, 420.0

Box = tuple[slice, slice, slice]
WHOLE: Box = (slice(None), slice(None), slice(None))


class Scan:
    """The canvas: HU and label of each voxel, and the pencils that draw on it."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int, int]):
        plane, height = rng.uniform(330, 400), rng.uniform(200, 240)
        self.spacing = tuple(extent / n for extent, n in zip((plane, plane, height), size, strict=True))
        offsets = rng.normal(0, [6, 6, 8])
        y, x, z = (
            ((np.arange(n) + 0.5 - n / 2) * step + offset).astype(np.float32)
            for n, step, offset in zip(size, self.spacing, offsets, strict=True)
        )
        self.y, self.x, self.z = y[:, None, None], x[None, :, None], z[None, None, :]
        self.edge = sum(self.spacing) / 3  # mm over which one tissue fades into the next, as in a voxel that holds both
        self.hu = np.full(size, AIR, np.float32)
        self.label = np.zeros(size, np.uint8)
        self.wobble = smooth_field(rng, size, 6)  # makes outlines irregular
        self.fine = smooth_field(rng, size, 18)

    def box(self, centre: tuple[float, float, float], reach: float) -> Box:
        """The part of the canvas within `reach` mm of the centre (x, y, z) along each axis."""
        x, y, z = centre
        return tuple(
            slice(*np.searchsorted(axis.ravel(), [middle - reach, middle + reach]))
            for axis, middle in ((self.y, y), (self.x, x), (self.z, z))
        )

    def at(self, box: Box) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y, z of the voxels in the box, each along its own axis."""
        return self.x[:, box[1]], self.y[box[0]], self.z[:, :, box[2]]

    def ellipsoid(
        self,
        centre: tuple[float, ...],
        semi: tuple[float, ...],
        turn: float = 0.0,
        rough: float = 0.0,
        box: Box | None = None,
    ) -> tuple[np.ndarray, Box]:
        """About the distance (mm) to the surface, positive inside, and the box that holds it.

        semi: half-axes along x, y, z; turn: radians in the axial plane; rough: mm by which the surface wobbles.
        """
        box = box or self.box(centre, max(semi) * 1.1 + 3 * rough + self.edge)
        x, y, z = self.at(box)
        x, y = x - np.float32(centre[0]), y - np.float32(centre[1])
        along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
        plane = (along / semi[0]) ** 2 + (across / semi[1]) ** 2
        inside = np.sqrt((plane + ((z - centre[2]) / semi[2]) ** 2).astype(np.float32))
        inside = (1 - inside) * np.float32(sum(semi) / 3)
        if rough:
            inside += np.float32(rough) * self.wobble[box]
        return inside, box

    def tube(self, start: np.ndarray, end: np.ndarray, radius: float) -> tuple[np.ndarray, Box]:
        """About the distance (mm) to the surface of a straight vessel from start to end (x, y, z), and its box."""
        middle = (start + end) / 2
        box = self.box(tuple(middle), float(np.abs(end - start).max()) / 2 + radius + self.edge)
        x, y, z = (axis - np.float32(o) for axis, o in zip(self.at(box), start, strict=True))
        way = (end - start).astype(np.float32)
        t = np.clip((x * way[0] + y * way[1] + z * way[2]) / np.float32(way @ way), 0, 1)
        return radius - np.sqrt((x - t * way[0]) ** 2 + (y - t * way[1]) ** 2 + (z - t * way[2]) ** 2), box

    def paint(self, inside: np.ndarray, box: Box, hu: float | np.ndarray, only: np.ndarray | None = None) -> None:
        """Fill where `inside` > 0 with `hu`, mixing at the border; `only` (0 to 1) limits it."""
        share = ramp(inside, self.edge)
        if only is not None:
            share = share * only
        self.hu[box] += share * (hu - self.hu[box])


def draw_abdomen(
    rng: np.random.Generator, size: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """One patient: image float32 (H, W, Z) in HU, label uint8 (H, W, Z) 1 liver, 2 tumour, spacing in mm.

    All random choices but the noise of the voxels are made in the same order at every size.
    """
    scan = Scan(rng, size)
    half_x, half_y = rng.uniform(140, 172), rng.uniform(98, 128)
    fat = rng.uniform(6, 26)
    cavity = _trunk(rng, scan, half_x, half_y, fat)
    room = np.array([half_x - fat - 14, half_y - fat - 14, 75.0])  # half the abdominal cavity, mm along x, y, z
    contrast = rng.uniform(0.0, 1.0)  # how far the contrast agent has come: 0 none, 1 portal venous phase
    _chest_above(rng, scan, room, cavity)
    _bones_and_great_vessels(rng, scan, half_x, half_y, fat, contrast)
    _other_organs(rng, scan, room, cavity, contrast)
    _liver(rng, scan, room, cavity, contrast)
    scan.hu += 6 * scan.fine
    scan.hu += rng.uniform(6, 20) * rng.standard_normal(size, dtype=np.float32)
    return np.rint(np.clip(scan.hu, -1024, 1500)), scan.label, scan.spacing


def _trunk(rng: np.random.Generator, scan: Scan, half_x: float, half_y: float, fat: float) -> np.ndarray:
    """Skin, fat, muscle wall, fat inside. Returns about the distance (mm) to the inner wall, positive inside."""
    power = rng.uniform(2.0, 2.6)  # 2: an ellipse
    x, y, _ = scan.at(WHOLE)
    radius = ((np.abs(x) / half_x) ** power + (np.abs(y) / half_y) ** power) ** np.float32(1 / power)  # (H, W, 1)
    depth = (1 - radius) * np.float32((half_x + half_y) / 2) + 2.5 * scan.wobble
    table = np.minimum(3 - np.abs(y - half_y - 12 + 0.0006 * x**2), 190 - np.abs(x))
    scan.paint(table + 0 * scan.z, WHOLE, MUSCLE)
    scan.paint(depth, WHOLE, FAT)
    scan.paint(depth - fat - 2 * scan.wobble, WHOLE, MUSCLE + 8 * scan.fine)
    cavity = depth - fat - rng.uniform(9, 16)
    scan.paint(cavity, WHOLE, FAT + 10 * scan.fine)
    return cavity


def _chest_above(rng: np.random.Generator, scan: Scan, room: np.ndarray, cavity: np.ndarray) -> None:
    """Both lungs above the domes of the diaphragm, and the apex of the heart between them."""
    x, y, z = scan.at(WHOLE)
    top = rng.uniform(50, 72)
    for side, lower in ((-1, 0.0), (1, rng.uniform(5, 18))):
        dome = top - lower - 55 * ((x - side * 0.5 * room[0]) / (0.62 * room[0])) ** 2 - 40 * (y / room[1]) ** 2
        lung = np.minimum(z - dome - 3 * scan.wobble, cavity - 3)
        scan.paint(np.minimum(lung, side * x - 8), WHOLE, LUNG + 25 * scan.fine)
    heart, box = scan.ellipsoid((rng.uniform(10, 30), -0.35 * room[1], top + 30), (58, 45, 34), rough=3)
    scan.paint(heart, box, 45 + rng.uniform(0, 90))


def _bones_and_great_vessels(
    rng: np.random.Generator, scan: Scan, half_x: float, half_y: float, fat: float, contrast: float
) -> None:
    x, y, z = scan.at(WHOLE)
    spine_y, radius = half_y * rng.uniform(0.42, 0.5), rng.uniform(18, 23)
    column = radius - np.hypot(x, (y - spine_y) * 1.15)  # (H, W, 1)
    muscle, box = scan.ellipsoid((0, spine_y + 28, 0), (58, 24, 400), rough=2, box=WHOLE)
    scan.paint(muscle, box, MUSCLE + 8 * scan.fine)
    disc = ramp(np.abs((z / 34 + rng.uniform()) % 1 - 0.5) - 0.38, 0.08)  # (1, 1, Z): 1 between two vertebrae
    cortex = np.where(column < 4, BONE, 190.0)
    scan.paint(column + 0 * z, WHOLE, cortex + disc * (85 - cortex) + 30 * scan.fine)
    arch = np.maximum(7 - np.abs(x) + 0 * y, 12 - np.hypot(x / 2.2, y - spine_y - radius - 8))
    arch = np.minimum(arch, np.minimum(y - spine_y - radius + 2, spine_y + radius + 38 - y))
    scan.paint(arch - 12 * disc, WHOLE, BONE)
    scan.paint(8 - np.hypot(x, y - spine_y - radius - 8) + 0 * z, WHOLE, 30.0)

    ring = (half_x + half_y) / 2 * (1 - np.hypot(x / half_x, y / half_y))  # (H, W, 1): depth under the skin
    angle = np.arctan2(np.abs(x), -y + 0 * x)  # 0 in front, pi at the back
    phase = (z + rng.uniform(40, 60) * np.cos(angle)) / rng.uniform(25, 32) + rng.uniform()  # they fall to the front
    rib = np.minimum(5 - np.abs(ring - fat - 7), 26 * (0.2 - np.abs(phase - np.rint(phase))))
    rib = np.minimum(rib, z + 20 - 75 * (angle < 1.0) - 60 * np.cos(angle))  # none in front of the belly
    scan.paint(rib, WHOLE, BONE + rng.uniform(0, 150))

    front = spine_y - radius
    for centre_x, wide, filled in ((rng.uniform(5, 16), rng.uniform(8, 12), 1.0), (-rng.uniform(16, 26), 11, 0.75)):
        vessel = wide - np.hypot(x - centre_x, y - front + 8) + 1.5 * scan.wobble
        scan.paint(vessel, WHOLE, 42 + 130 * contrast * filled)


def _other_organs(rng: np.random.Generator, scan: Scan, room: np.ndarray, cavity: np.ndarray, contrast: float) -> None:
    """Spleen, kidneys, pancreas, stomach with fluid and air, bowel: like the liver in gray, elsewhere in place."""

    def organ(place, semi, hu, turn=0.0, rough=3.0):
        centre = tuple(np.multiply(place, room) + rng.normal(0, 5, 3))
        inside, box = scan.ellipsoid(centre, tuple(np.multiply(semi, rng.uniform(0.85, 1.2, 3))), turn, rough)
        inside = np.minimum(inside, cavity[box] - 1)
        scan.paint(inside, box, hu + 7 * scan.fine[box])
        return inside, box

    for _ in range(rng.integers(14, 26)):  # bowel, some of it with gas
        place = (rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.2), rng.uniform(-1.4, -0.3))
        semi = rng.uniform(12, 32, 3)
        inside, box = organ(place, semi, rng.uniform(15, 60), rng.uniform(0, 3))
        if rng.uniform() < 0.4:
            scan.paint(np.minimum(inside - 4, -rng.uniform(0, 8) - (scan.y[box[0]] - place[1] * room[1])), box, AIR)
    for side in (-1, 1):
        inside, box = organ((side * 0.5, 0.5, -0.55 + 0.12 * side), (27, 30, 52), 42 + 130 * contrast, side * 0.5)
        scan.paint(inside - 15, box, 20 + 60 * contrast)
    organ((0.72, 0.4, 0.35), (26, 42, 42), 48 + 70 * contrast, 0.4, rough=5)
    organ((0.1, 0.05, -0.1), (52, 13, 13), 42 + 50 * contrast, -0.3, rough=5)
    wall, box = organ((0.42, -0.4, 0.3), (46, 34, 44), 42 + 35 * contrast, 0.5, rough=5)
    scan.paint(wall - 5, box, rng.uniform(5, 60))
    level = -0.4 * room[1] - rng.uniform(-8, 22)  # the patient lies on the back: air rises to the front
    scan.paint(np.minimum(wall - 5, level - scan.y[box[0]]), box, AIR)


def _liver(rng: np.random.Generator, scan: Scan, room: np.ndarray, cavity: np.ndarray, contrast: float) -> None:
    """Right and left lobe, vessels, gallbladder, up to five tumours; draws the label too."""
    lobes = [
        (np.array([-0.48, 0.02, 0.12]) * room, np.array([0.6, 0.88, 1.1]) * room, 0.15),
        (np.array([-0.02, -0.5, 0.35]) * room, np.array([0.5, 0.38, 0.45]) * room, -0.2),
    ]
    lobes = [
        (centre + rng.normal(0, 5, 3), semi * rng.uniform(0.82, 1.08, 3), turn + rng.normal(0, 0.12))
        for centre, semi, turn in lobes
    ]
    right, _ = scan.ellipsoid(*lobes[0], rough=5, box=WHOLE)
    left, _ = scan.ellipsoid(*lobes[1], rough=5, box=WHOLE)
    inside = -smooth_minimum(-right, -left, 12)
    slope, low = rng.uniform(0.5, 0.9), rng.uniform(-40, -15)
    # The underside rises to the left, over the stomach.
    underside = (scan.z - slope * scan.x - low) * np.float32(1 / np.hypot(1, slope))
    inside = smooth_minimum(inside, underside + 0 * inside, 15)
    inside = np.minimum(inside, cavity - 1)
    vertebra = np.hypot(scan.x, scan.y - 0.62 * room[1]) - 34  # the liver leans on the spine, and does not enter it
    inside = np.minimum(inside, vertebra + 0 * scan.z)
    gray = rng.choice([0, 0, 0, -25]) * rng.uniform() + 52 + 55 * contrast  # some livers are fatty, and darker
    scan.paint(inside, WHOLE, gray + 5 * scan.fine + 4 * scan.wobble)
    within = ramp(inside, scan.edge)

    hilum = np.array([-0.22, -0.12, 0.05]) * room
    for _ in range(7):
        tip = lobes[int(rng.uniform() < 0.3)]
        end = tip[0] + tip[1] * rng.uniform(-0.75, 0.75, 3)
        inside_tube, box = scan.tube(hilum, end, rng.uniform(2.5, 5.0))
        scan.paint(inside_tube, box, gray + 12 + 35 * contrast, only=within[box])

    bladder, box = scan.ellipsoid(tuple(np.array([-0.3, -0.5, -0.42]) * room), (13, 18, 24), 0.4, 2)
    scan.paint(bladder, box, FLUID)
    inside[box] = np.minimum(inside[box], -bladder)
    scan.label[inside > 0] = 1

    for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4, 5])):
        lobe = lobes[int(rng.uniform() < 0.25)]
        direction = rng.standard_normal(3)
        centre = lobe[0] + lobe[1] * direction / np.linalg.norm(direction) * rng.uniform(0.1, 0.75)
        radius = np.exp(rng.uniform(np.log(7), np.log(32)))
        semi = tuple(radius * rng.uniform(0.8, 1.25, 3))
        tumour, box = scan.ellipsoid(tuple(centre), semi, rng.uniform(0, 3), radius / 7)
        darker = rng.uniform(22, 60)
        if rng.uniform() < 0.3:  # a rim that takes up contrast
            scan.paint(tumour + 3, box, gray + 25 * contrast, only=within[box])
        scan.paint(tumour, box, gray - darker + 9 * scan.fine[box], only=within[box])
        scan.label[box][(tumour > 0) & (inside[box] > 0)] = 2
