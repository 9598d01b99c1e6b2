"""Garments cut from the surface of the body: tops, trousers, jackets, tights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from david_hf.synthetic.mesh import FloatArray, normalize, vertex_normals

from .cutting import Sheet
from .fitting import Fit
from .folds import creases, limb_folds, ridges

CLOSED = -1.0


@dataclass(frozen=True)
class Pattern:
    """What a garment covers and how it hangs. Lengths in metres.

    Attributes:
        lowest: Rest height of its lower hem.
        highest: Rest height of its upper edge.
        sleeve: Length of the sleeves from the shoulder joint; below 0 for none.
        neck: Height of the neckline above the plane of a round one.
        neck_depth: How far a V or a scoop reaches below that plane in front.
        neck_width: Half width of that V or scoop; negative for a round scoop.
        is_trousers: Whether legs are covered and arms are not.
        ease: Distance from what is beneath.
        loose: 0 for a tight garment, 1 for one that hangs from chest and back.
        flare: Extra distance at the lower hem.
        folds: Height of the folds.
        smoothing: Laplacian steps, which bridge the hollows of the body.
        opening: Half width of the opening in front at the hem, or `CLOSED`.
        lapel: Height at which an open front begins to widen towards the neck.
        steps: Subdivisions of the base mesh.
        ring_height: Distance of quilted rings, 0 for none.
    """

    lowest: float
    highest: float = 9.0
    sleeve: float = 9.0
    neck: float = 0.0
    neck_depth: float = 0.0
    neck_width: float = 0.06
    is_trousers: bool = False
    ease: float = 0.008
    loose: float = 0.3
    flare: float = 0.0
    folds: float = 0.003
    smoothing: int = 6
    opening: float = CLOSED
    lapel: float = 9.0
    steps: int = 1
    ring_height: float = 0.0


def front_width(pattern: Pattern, z: FloatArray) -> FloatArray:
    """Half width (N,) of the opening in front at rest heights `z`."""
    return pattern.opening + 0.36 * np.clip(z - pattern.lapel, 0, None)


def level(fit: Fit, pattern: Pattern, rest: FloatArray, arm: FloatArray) -> FloatArray:
    """About the distance (N,) in metres to the nearest edge of the garment; positive inside."""
    inside = np.minimum(rest[:, 2] - pattern.lowest, pattern.highest - rest[:, 2])
    if pattern.is_trousers:
        return np.minimum(inside, -0.06 - arm)
    is_arm = arm > -0.09
    # On the arms only the length of the sleeve counts: hands hang lower than the hem.
    inside = np.where(is_arm, 0.3, inside)
    inside = np.minimum(inside, pattern.sleeve - arm)
    inside = np.minimum(inside, _neckline(fit, pattern, rest))
    if pattern.opening > CLOSED:
        slit = np.abs(rest[:, 0]) - front_width(pattern, rest[:, 2])
        inside = np.minimum(inside, np.where(rest[:, 1] < fit.front - 0.02, slit, 0.3))
    return inside


def _neckline(fit: Fit, pattern: Pattern, rest: FloatArray) -> FloatArray:
    across = np.clip(np.abs(rest[:, 0]) / abs(pattern.neck_width), 0, 1)
    shape = np.sqrt(1 - across**2) if pattern.neck_width < 0 else 1 - across
    front = np.clip((fit.front - rest[:, 1]) / 0.04, 0, 1)
    below = pattern.neck - pattern.neck_depth * shape * front - fit.above_neck(rest)
    return np.asarray(below)


@dataclass(frozen=True)
class Shell:
    """A garment before trimmings.

    Attributes:
        sheet: The cloth, uncut.
        level: (N,) distance to its nearest edge.
        pattern: What it was made from.
    """

    sheet: Sheet
    level: FloatArray
    pattern: Pattern

    @property
    def cloth(self) -> Sheet:
        """What is worn, with folded edges."""
        return self.sheet.cut(self.level).with_rim(0.0025, 0.012)

    def patch(self, level: FloatArray, height: float, rim: float = 0.002) -> Sheet:
        """A piece sewn onto the cloth where `level` (N,) is positive: pocket, band, placket."""
        inside = np.minimum(level, self.level + 0.001)
        if not (inside > 0).any():
            return self.sheet.cut(inside)
        return self.sheet.cut(inside).raised(height).with_rim(rim, 0.0)

    def nearest(self, x: float, z: float) -> tuple[FloatArray, FloatArray]:
        """Posed point and normal of the front of the cloth at rest x and z."""
        rest = self.sheet.rest
        cost = (rest[:, 0] - x) ** 2 + (rest[:, 2] - z) ** 2
        cost = cost + np.where((rest[:, 1] > 0) | (self.sheet.arm > -0.05), 10, 0)
        index = np.argpartition(cost, 6)[:6]
        weight = (1 / (cost[index] + 1e-5))[:, None]
        point = (weight * self.sheet.points[index]).sum(0) / weight.sum()
        return point, normalize((weight * self.sheet.normals[index]).sum(0))


def sew(
    fit: Fit, rng: np.random.Generator, pattern: Pattern, beneath: Sequence[Pattern] = ()
) -> Shell:
    """Make a garment over what is worn so far, and record it as the new outermost layer.

    Args:
        fit: The body with its layers.
        rng: Source of randomness for the folds.
        pattern: What to make.
        beneath: Garments that will be worn over it: under them folds are flat, and cloth that is
            well hidden is cut away.
    """
    inside = level(fit, pattern, fit.rest, fit.arm)
    shell, rest_shell = _base_shell(fit, pattern, inside)
    sheet = fit.sheet(shell, rest_shell, steps=pattern.steps)
    edges = level(fit, pattern, sheet.rest, sheet.arm)
    active = np.flatnonzero((edges > -0.03)[sheet.faces].any(1))
    used, compact = np.unique(sheet.faces[active], return_inverse=True)
    sheet = Sheet(
        sheet.points[used], sheet.normals[used], sheet.rest[used], sheet.arm[used],
        compact.reshape(-1, 3),
    )  # fmt: skip
    edges = edges[used]
    height = _fold_height(fit, rng, pattern, sheet, edges)
    for other in beneath:
        over = level(fit, other, sheet.rest, sheet.arm)
        edges = np.minimum(edges, 0.06 - over)
        height = height * np.clip(0.6 - over / 0.03, 0.12, 1)
    _record(fit, pattern, shell, inside)
    return Shell(sheet.raised(height), edges, pattern)


def _record(fit: Fit, pattern: Pattern, shell: FloatArray, inside: FloatArray) -> None:
    covered = (inside > 0) & fit.on_skin
    fit.covered |= covered
    reserve = normalize(shell - fit.body.vertices) * (0.8 * pattern.folds)
    fit.outer = np.where(covered[:, None], shell + reserve, fit.outer)
    if pattern.opening <= CLOSED:
        fit.hides |= _well_inside(fit, inside)


def _well_inside(fit: Fit, inside: FloatArray) -> NDArray[np.bool_]:
    """Base vertices (19158,) far enough from the hem that skin stays beneath the edge."""
    hidden: NDArray[np.bool_] = inside > 0.012
    hidden &= fit.on_skin
    faces = fit.model.surface.faces
    hidden[faces[~hidden[faces].all(1)].ravel()] = False
    return hidden


def _base_shell(fit: Fit, pattern: Pattern, inside: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Posed and rest base vertices (19158, 3) of the garment; elsewhere the layer beneath."""
    rest, normals = fit.rest, fit.dummy_normals
    hem = np.clip((pattern.lowest + 0.45 - rest[:, 2]) / 0.45, 0, 1) ** 1.5
    at_neck = np.clip(0.25 - fit.above_neck(rest) / 0.05, 0.3, 1)
    ease = pattern.ease * at_neck + pattern.flare * hem * (fit.arm < -0.05)
    ease = ease + 0.5 * pattern.ease * np.clip(fit.arm / 0.15, 0, 1)
    hang = fit.leg_hang if pattern.is_trousers else fit.hang
    hang = hang * np.clip(pattern.loose, 0, 1)
    shell = fit.dummy + normals * ease[:, None] + _outwards(fit) * hang[:, None]
    active = (inside > -0.08)[:, None]
    mean = fit.model.neighbour_mean
    for _ in range(pattern.smoothing):
        shell = np.where(active, 0.5 * shell + 0.5 * (mean @ shell), shell)
    height = ((shell - fit.dummy) * normals).sum(1)
    shell = shell + normals * np.maximum(0, 0.3 * ease - height)[:, None]
    return _over_layers(fit, fit.posed(shell), active, ease), shell


def _outwards(fit: Fit) -> FloatArray:
    flat = fit.dummy_normals * [1, 1, 0]
    return normalize(flat + 1e-9)


def _over_layers(
    fit: Fit, shell: FloatArray, active: NDArray[np.bool_], ease: FloatArray
) -> FloatArray:
    """Relax the posed shell and keep it outside of the layers worn so far."""
    faces, mean = fit.model.surface.faces, fit.model.neighbour_mean
    normals = vertex_normals(mean @ (mean @ fit.outer), faces)
    # Tights have little room: they must not sink into the skin.
    least = np.maximum(0.35 * ease, np.minimum(0.0025, 0.8 * ease))
    for _ in range(3):
        shell = np.where(active, 0.5 * shell + 0.5 * (mean @ shell), shell)
        height = ((shell - fit.outer) * normals).sum(1)
        lift = np.maximum(0, least - height)
        shell = np.where(active, shell + normals * lift[:, None], shell)
    return np.where(active, shell, fit.outer)


def _fold_height(
    fit: Fit, rng: np.random.Generator, pattern: Pattern, sheet: Sheet, edges: FloatArray
) -> FloatArray:
    """Metres (N,) to move the cloth outwards."""
    calm = np.clip(edges / 0.03, 0, 1)
    on_arm = np.clip((sheet.arm + 0.02) / 0.06, 0, 1)
    along_arm = limb_folds(sheet, rng, sheet.arm, 0.032) * on_arm
    along_body = limb_folds(sheet, rng, sheet.rest[:, 2], 0.045) * (1 - on_arm)
    height = 2.2 * (along_arm + along_body)
    if pattern.ring_height > 0:
        return calm * pattern.folds * (_quilt(pattern, sheet, on_arm) + 0.3 * height)
    size = 0.8 + 0.4 * pattern.loose
    hanging = ridges(sheet.rest, rng, np.array([0.07, 0.07, 0.40]) * size)
    slack = creases(sheet.rest @ _turned(rng, 0.25), rng, np.array([0.20, 0.20, 0.055]) * size)
    drag = creases(sheet.rest @ _turned(rng, 1.0), rng, np.array([0.07, 0.14, 0.22]) * size)
    low = np.clip((fit.height["chest"] + 0.1 - sheet.rest[:, 2]) / 0.3, 0, 1)
    trunk = 0.9 * hanging * low + 1.1 * drag + 0.9 * slack * low
    sleeve = 1.3 * slack + 1.1 * drag
    if pattern.is_trousers:
        stacked = np.clip(1 - (sheet.rest[:, 2] - pattern.lowest) / 0.18, 0, 1)
        trunk = 0.6 * hanging + 0.8 * drag + 1.6 * slack * (0.3 + stacked)
    total = 1.3 * (height + on_arm * sleeve + (1 - on_arm) * trunk)
    return calm * pattern.folds * 2.5 * np.tanh(total / 2.5)


def _quilt(pattern: Pattern, sheet: Sheet, on_arm: FloatArray) -> FloatArray:
    """Puffed rings with narrow seams between them."""
    along = np.where(on_arm > 0.5, sheet.arm, sheet.rest[:, 2])
    return np.sqrt(np.abs(np.sin(np.pi * along / pattern.ring_height)))


def _turned(rng: np.random.Generator, most: float) -> FloatArray:
    """A rotation (3, 3) about y by up to `most` radians to either side: folds run aslant."""
    angle = rng.uniform(-most, most)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
