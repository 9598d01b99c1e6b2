"""Strands grown on a posed head: guides under comb and gravity, and strands between them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from david_hf.synthetic.humans.surface_points import SurfacePoints, scatter
from david_hf.synthetic.mesh import FloatArray, IntArray, normalize

from .styles import HairStyle

NUM_GUIDES = 700
SHOULDER_MARGIN = 0.006  # metres that long hair keeps from clothes


@dataclass(frozen=True)
class HeadFrame:
    """The posed, dressed body seen from the head's rest frame, where hair is grown.

    Attributes:
        skin: (V, 3) vertices of the skin, metres.
        outer: (V, 3) outermost surface over each vertex, clothes included.
        normals: (V, 3) unit.
        faces: (F, 3) faces of the head and neck.
        on_head: (V,) bool: vertices that follow the head or the upper neck.
        eyes: (2, 3) eye centres.
        down: (3,) unit direction of gravity.
    """

    skin: FloatArray
    outer: FloatArray
    normals: FloatArray
    faces: IntArray
    on_head: NDArray[np.bool_]
    eyes: FloatArray
    down: FloatArray

    @cached_property
    def centre(self) -> FloatArray:
        """A point inside the skull, 1 cm above eye level."""
        y = self.skin[self.on_head, 1]
        return np.array([0, (y.min() + y.max()) / 2 + 0.01, self.eyes[:, 2].mean() + 0.01])

    @cached_property
    def _surface(self) -> NDArray[np.integer]:
        """Vertices of the body's surface; the base mesh has helpers, too, which have no normal."""
        return np.flatnonzero((self.normals**2).sum(1) > 0.5)

    @cached_property
    def _trees(self) -> tuple[cKDTree, cKDTree]:
        return cKDTree(self.outer[self._surface]), cKDTree(self.skin[self._surface])

    def nearest(
        self, points: FloatArray, on_skin: bool = False
    ) -> tuple[FloatArray, NDArray[np.integer]]:
        """Distances and vertices of the outermost surface, or of the skin, nearest to points."""
        distance, found = self._trees[on_skin].query(points)
        return distance, self._surface[found]

    def push_out(self, points: FloatArray, margin: FloatArray) -> FloatArray:
        """Lift points (N, 3) to `margin` (N,) above the outermost surface."""
        distance, nearest = self.nearest(points)
        normal = self.normals[nearest]
        height = ((points - self.outer[nearest]) * normal).sum(1)
        wanted = margin + np.where(self.on_head[nearest], 0, SHOULDER_MARGIN * (margin > 0))
        lift = np.where((height < wanted) & (distance < 0.12), wanted - height, 0)
        return points + normal * lift[:, None]


def grow(
    rng: np.random.Generator,
    head: HeadFrame,
    style: HairStyle,
    density: FloatArray,
    count: int,
    limit: float | None = None,
) -> NDArray[np.float32]:
    """Strands (count, style.points, 3) in the head's frame, metres.

    Args:
        rng: Source of randomness.
        head: Where to grow.
        style: How to grow.
        density: (V,) density of roots.
        count: Number of strands.
        limit: Largest distance from the skin beneath a hat, metres, or None.
    """
    roots = scatter(rng, head.skin, head.faces, density, NUM_GUIDES)
    guides = _grow_guides(rng, head, style, roots)
    if limit is not None:
        guides = _flatten(head, guides, limit)
    strand_roots = scatter(rng, head.skin, head.faces, density, count).of(head.skin)
    strands = interpolate(rng, style, guides, strand_roots)
    return cut_tips(rng, strands).astype(np.float32)


def _grow_guides(
    rng: np.random.Generator, head: HeadFrame, style: HairStyle, bound: SurfacePoints
) -> FloatArray:
    """Guide strands (N, points, 3), grown outside of body and clothes."""
    roots, normals = bound.of(head.skin), normalize(bound.of(head.normals))
    count = len(roots)
    side = np.where(roots[:, :1] > style.part_at, 1.0, -1.0)
    falls = style.fringe & _over_forehead(head, roots)
    comb = _comb(style.comb, roots - head.centre, side)
    comb[falls] = normalize(np.array([0.0, -0.75, -0.5]) + 0.35 * side[falls] * [1.0, 0, 0])
    comb = comb - normals * (comb * normals).sum(1, keepdims=True)
    direction = normalize(normals * style.lift + comb)
    spread = (1 + 0.12 * rng.normal(size=(count, 1))).clip(0.65, 1.35)
    length = style.length * spread * style.length_at(roots - head.centre)[:, None]
    length[falls] = np.minimum(length[falls], 0.075)
    clear = (style.length > 0.05) & ~falls
    guides = trace(head, style, roots, direction, comb, length, np.where(clear, side[:, 0], 0))
    return curl(rng, style, guides, length)


def trace(
    head: HeadFrame,
    style: HairStyle,
    roots: FloatArray,
    direction: FloatArray,
    comb: FloatArray,
    length: FloatArray,
    clear_to: FloatArray,
) -> FloatArray:
    """Strands (N, points, 3) that follow the comb and then gravity, outside of the body.

    Args:
        head: What they grow on.
        style: How they grow.
        roots: (N, 3) metres.
        direction: (N, 3) unit direction they leave the skin in.
        comb: (N, 3) direction they are combed in.
        length: (N, 1) metres.
        clear_to: (N,) side, -1 or 1, to which a strand leaves the face, 0 if it may hang there.
    """
    steps = style.points - 1
    step = length / steps
    points = [roots]
    for k in range(1, style.points):
        ramp = min(1.0, 4.0 * k / steps)
        # The comb is forgotten along the strand, gravity takes over.
        pull = head.down * style.gravity * ramp * step / 0.02
        pull = pull + comb * 0.12 * style.memory * max(0.0, 1 - 2.2 * k / steps)
        direction = normalize(direction + pull + _cling(points[-1], head, style))
        margin = np.full(len(roots), style.margin * min(1.0, k / 3))
        grown = head.push_out(points[-1] + direction * step, margin)
        grown = _clear_face(grown, head, clear_to)
        direction = normalize(grown - points[-1])
        points.append(grown)
    return np.stack(points, 1)


def _over_forehead(head: HeadFrame, roots: FloatArray) -> NDArray[np.bool_]:
    relative = roots - head.centre
    angle = np.abs(np.arctan2(relative[:, 0], -relative[:, 1]))
    return (angle < 0.85) & (relative[:, 2] < 0.095)


def _comb(name: str, relative: FloatArray, side: FloatArray) -> FloatArray:
    """Combing direction (N, 3) at points relative to the head's centre; side is +-1."""
    one = np.ones_like(side)
    if name == "down":
        return np.concatenate([0.8 * side, 0.25 * one, -0.8 * one], 1)
    if name == "side":
        return np.concatenate([1.0 * side, 0.25 * one, -0.35 * one], 1)
    if name == "back":
        return np.concatenate([0.15 * side, one, -0.1 * one], 1)
    if name == "forward":
        return np.concatenate([0.2 * side, -0.7 * one, -0.3 * one], 1)
    return normalize(relative)


def _cling(points: FloatArray, head: HeadFrame, style: HairStyle) -> FloatArray:
    """Direction towards the skull for points that stand off it by more than the margin."""
    distance, nearest = head.nearest(points)
    excess = np.clip((distance - 1.5 * style.margin) / 0.02, 0, 1)
    return -head.normals[nearest] * (style.cling * excess)[:, None]


def _clear_face(points: FloatArray, head: HeadFrame, side: FloatArray) -> FloatArray:
    """Part hair (N, 3) to its side (N,) in front of the face."""
    eye = head.eyes.mean(0)
    half_face = 0.078
    before = (points[:, 1] < eye[1] + 0.045) & (points[:, 2] < eye[2] + 0.035)
    before &= (np.abs(points[:, 0]) < half_face) & (side != 0)
    away = side * (half_face - side * points[:, 0]) * 0.6
    moved = points.copy()
    moved[:, 0] += np.where(before, away, 0)
    return moved


def _flatten(head: HeadFrame, guides: FloatArray, limit: float) -> FloatArray:
    """Press guides to within `limit` metres of the skin above the eyes: a hat sits there."""
    points = guides.reshape(-1, 3)
    _, nearest = head.nearest(points, on_skin=True)
    normal = head.normals[nearest]
    height = ((points - head.skin[nearest]) * normal).sum(1)
    is_beneath = points[:, 2] > head.eyes[:, 2].mean() + 0.02
    press = np.where(is_beneath, np.maximum(0, height - limit), 0)
    return (points - normal * press[:, None]).reshape(guides.shape)


def curl(
    rng: np.random.Generator, style: HairStyle, guides: FloatArray, length: FloatArray
) -> FloatArray:
    """Wind the guides into helices."""
    if style.curl == 0:
        return guides
    along = np.linspace(0, 1, style.points) * length * style.turns * 2 * np.pi
    phase = along + rng.uniform(0, 2 * np.pi, (len(guides), 1))
    tangent = normalize(np.gradient(guides, axis=1))
    first: FloatArray = rng.normal(size=(len(guides), 1, 3))
    first = normalize(first - tangent * (first * tangent).sum(2, keepdims=True))
    second = np.cross(tangent, first)
    onset = np.minimum(1, 3 * np.linspace(0, 1, style.points))[None, :, None]
    return guides + style.curl * onset * (
        first * np.cos(phase)[..., None] + second * np.sin(phase)[..., None]
    )


def interpolate(
    rng: np.random.Generator, style: HairStyle, guides: FloatArray, roots: FloatArray
) -> FloatArray:
    """One strand per root (N, 3): the shape of a near guide, clumped towards it, with frizz."""
    count = len(roots)
    guide_roots = guides[:, 0]
    _, near = cKDTree(guide_roots).query(roots, k=3)
    pick = near[np.arange(count), rng.choice(3, count, p=[0.6, 0.25, 0.15])]
    along = np.linspace(0, 1, style.points)[None, :, None]
    spacing = (roots - guide_roots[pick])[:, None]
    strands = guides[pick] + spacing * (1 - style.clump * along)
    for octave in range(3):
        phase = along * (4 + 5 * octave) + rng.uniform(0, 2 * np.pi, (count, 1, 1))
        sway = rng.normal(size=(count, 1, 3)) / (1 + octave)
        strands = strands + style.frizz * np.sqrt(along) * np.sin(phase) * sway
    return strands


def cut_tips(rng: np.random.Generator, strands: FloatArray) -> FloatArray:
    """Shorten each strand by up to a fifth, keeping its number of points."""
    points = strands.shape[1]
    along = np.linspace(0, 1, points)[None, :, None]
    at = along * rng.uniform(0.8, 1, (len(strands), 1, 1)) * (points - 1)
    low = np.clip(at.astype(int), 0, points - 2)
    before = np.take_along_axis(strands, low.repeat(3, 2), 1)
    after = np.take_along_axis(strands, (low + 1).repeat(3, 2), 1)
    return before + (at - low) * (after - before)
