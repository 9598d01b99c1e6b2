"""Strand hair: guides grown on the posed head, strands between them, proxy normals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from .mesh import FloatArray, IntArray, normalize

POINTS_PER_STRAND = 14
NUM_GUIDES = 700
SOLID = 4.0  # strand points per voxel above which hair counts as dense
CLOTHES_MARGIN = 0.03  # metres: keeps long hair outside of jackets


@dataclass(frozen=True)
class HairStyle:
    """How hair grows. Lengths in metres.

    Attributes:
        length: Shortest and longest mean length.
        combs: Directions it may be combed in: down, back, forward, out.
        lift: Range of the growth along the skin's normal, against the comb's 1.
        gravity: Pull per 2 cm of strand.
        margin: Distance kept from the skin.
        curl_radii: Radii of the helix to choose from; 0 is straight.
        curl_turns: Turns per metre.
        clump: Share of the root spacing that is gone at the tips.
        frizz: Amplitude of the irregularity of single strands.
        comb_memory: How long the comb acts along a strand, 0 to 1.
        cling: Pull towards the skin of strands that stand off it; 0 lets them stand.
    """

    length: tuple[float, float]
    combs: tuple[str, ...]
    lift: tuple[float, float]
    gravity: float
    margin: float
    curl_radii: tuple[float, ...]
    curl_turns: float
    clump: float
    frizz: float
    comb_memory: float = 1.0
    cling: float = 0.6


STYLES = {
    "buzz": HairStyle((0.004, 0.010), ("down",), (1, 1), 0, 0.001, (0,), 20, 0, 0.0004),
    "short": HairStyle(
        (0.015, 0.05),
        ("forward", "back", "down"),
        (0.4, 1.0),
        0.10,
        0.006,
        (0, 0, 0.003),
        40,
        0.5,
        0.002,
        1.0,
        0.25,
    ),
    "parted": HairStyle(
        (0.05, 0.09), ("side",), (0.25, 0.5), 0.4, 0.010, (0, 0, 0.003), 25, 0.5, 0.002
    ),
    "back": HairStyle((0.10, 0.20), ("back",), (0.2, 0.3), 0.5, 0.012, (0, 0.004), 20, 0.5, 0.003),
    "afro": HairStyle(
        (0.03, 0.09), ("out",), (1.5, 1.5), 0.02, 0.008, (0.006,), 35, 0.6, 0.008, 0.3, 0
    ),
    "bob": HairStyle(
        (0.18, 0.28), ("down",), (0.3, 0.4), 0.6, 0.010, (0, 0, 0.006), 12, 0.4, 0.003
    ),
    "long": HairStyle(
        (0.32, 0.50), ("down",), (0.25, 0.35), 0.8, 0.010, (0, 0.005, 0.012), 10, 0.5, 0.004
    ),
    "beard": HairStyle(
        (0.003, 0.03), ("down",), (0.7, 1.0), 0.1, 0.001, (0, 0.002), 60, 0.3, 0.002
    ),
}

# Probability of each head style; "card" is a MakeHuman hair mesh.
MALE_STYLES = {"buzz": 0.14, "short": 0.38, "parted": 0.14, "back": 0.09, "afro": 0.07,
               "bob": 0.02, "long": 0.03, "card": 0.05, "bald": 0.08}  # fmt: skip
FEMALE_STYLES = {"buzz": 0.03, "short": 0.12, "parted": 0.05, "back": 0.14, "afro": 0.08,
                 "bob": 0.20, "long": 0.26, "card": 0.10, "bald": 0.02}  # fmt: skip


@dataclass(frozen=True)
class HeadFrame:
    """The posed body seen from the head's rest frame, where hair is grown.

    Attributes:
        vertices: (N, 3) metres.
        normals: (N, 3) unit.
        faces: (F, 3) of the body surface.
        on_head: (N,) bool: vertices that follow the head or the upper neck.
        eyes: (2, 3) eye centres.
        mouth: (3,) centre of the mouth.
        down: (3,) unit direction of gravity.
    """

    vertices: FloatArray
    normals: FloatArray
    faces: IntArray
    on_head: NDArray[np.bool_]
    eyes: FloatArray
    mouth: FloatArray
    down: FloatArray

    @property
    def centre(self) -> FloatArray:
        """A point inside the skull, 1 cm above eye level."""
        y = self.vertices[self.on_head, 1]
        return np.array([0, (y.min() + y.max()) / 2 + 0.01, self.eyes[:, 2].mean() + 0.01])


def sample_melanin(rng: np.random.Generator, ancestry: str) -> tuple[float, float]:
    """(melanin, redness) of the Principled Hair BSDF: black, brown, blond, red, grey.

    Melanin below 0.6 reads as blond or grey; black hair needs more than 0.92.
    """
    groups = [
        (0.92, 1.0, 0.1),
        (0.66, 0.92, 0.45),
        (0.25, 0.5, 0.5),
        (0.5, 0.72, 0.95),
        (0.03, 0.3, 0.02),
    ]
    share = (
        [0.30, 0.38, 0.15, 0.07, 0.10]
        if ancestry == "caucasian"
        else [0.82, 0.08, 0.01, 0.01, 0.08]
    )
    low, high, redness = groups[rng.choice(5, p=share)]
    return float(rng.uniform(low, high)), float(np.clip(rng.normal(redness, 0.08), 0, 1))


def colour_of_melanin(melanin: float, redness: float) -> FloatArray:
    """Linear RGB close to what the hair shader shows, for brows and hair cards."""
    amount = -np.log(max(1 - melanin, 1e-4))
    eumelanin, pheomelanin = np.array([0.506, 0.841, 1.653]), np.array([0.343, 0.733, 1.924])
    absorption = amount * ((1 - redness) * eumelanin + redness * pheomelanin)
    return np.exp(-2.2 * np.sqrt(absorption)) * 0.8


def grow(
    rng: np.random.Generator, head: HeadFrame, style_name: str, count: int
) -> NDArray[np.float32]:
    """Strands (count, POINTS_PER_STRAND, 3) in the head's frame, metres."""
    style = STYLES[style_name]
    triangles = _beard_area(rng, head) if style_name == "beard" else _scalp(rng, head)
    area = np.linalg.norm(_face_normals(head, triangles), axis=1)
    guides, guide_roots = _grow_guides(rng, head, style, triangles, area)
    roots, _ = _sample_roots(rng, head, triangles, area, count)
    strands = _interpolate(rng, style, guides, guide_roots, roots)
    return _cut_tips(rng, strands).astype(np.float32)


def _face_normals(head: HeadFrame, triangles: IntArray) -> FloatArray:
    corners = head.vertices[triangles]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _head_triangles(head: HeadFrame) -> tuple[IntArray, FloatArray, FloatArray, NDArray[np.bool_]]:
    """Triangles of the head, centres, azimuth (0 at the face, pi behind), who faces out."""
    triangles = head.faces[head.on_head[head.faces].all(1)]
    middle = head.vertices[triangles].mean(1)
    relative = middle - head.centre
    azimuth = np.abs(np.arctan2(relative[:, 0], -relative[:, 1]))
    normals = normalize(_face_normals(head, triangles))
    # Inner faces (mouth, nostrils, behind the lids) look towards the centre.
    outward = (normals * relative).sum(1) > 0.2 * np.linalg.norm(relative, axis=1)
    return triangles, middle, azimuth, outward


def _scalp(rng: np.random.Generator, head: HeadFrame) -> IntArray:
    """Triangles above a hairline, given as height over azimuth, with a little irregularity."""
    triangles, middle, azimuth, outward = _head_triangles(head)
    relative = middle - head.centre
    front = rng.uniform(0.052, 0.072)
    angles = [0, 0.6, 1.0, 1.25, 1.5, 1.9, 2.4, 3.15]
    heights = [front, front - 0.004, 0.042, 0.020, 0.002, 0.012, -0.05, -0.065]
    hairline = np.interp(azimuth, angles, heights)
    hairline += 0.004 * np.sin(relative @ rng.normal(0, 60, 3) + rng.uniform(0, 6))
    return triangles[(relative[:, 2] > hairline) & outward]


def _beard_area(rng: np.random.Generator, head: HeadFrame) -> IntArray:
    """Jaw, chin and upper lip without the lips; some men shave the moustache."""
    triangles, middle, azimuth, outward = _head_triangles(head)
    below_mouth = head.mouth[2] - middle[:, 2]
    upper_edge = np.interp(azimuth, [0, 0.5, 1.0, 1.5], [-0.018, -0.012, -0.02, -0.055])
    upper_edge += rng.uniform(-0.004, 0.008)
    area = outward & (azimuth < 1.45) & (below_mouth > upper_edge) & (below_mouth < 0.05)
    lips = (np.abs(middle[:, 0]) < 0.027) & (np.abs(below_mouth) < 0.009)
    moustache = (np.abs(middle[:, 0]) < 0.03) & (below_mouth < 0)
    area &= ~lips & ~(moustache & (rng.random() < 0.2))
    return triangles[area]


def _sample_roots(
    rng: np.random.Generator, head: HeadFrame, triangles: IntArray, area: FloatArray, count: int
) -> tuple[FloatArray, FloatArray]:
    """Uniform points on the triangles, (count, 3), and their unit normals."""
    chosen = triangles[rng.choice(len(triangles), count, p=area / area.sum())]
    weight = rng.random((count, 2))
    folded = weight.sum(1) > 1
    weight[folded] = 1 - weight[folded]
    barycentric = np.concatenate([1 - weight.sum(1, keepdims=True), weight], 1)[..., None]
    points = (head.vertices[chosen] * barycentric).sum(1)
    return points, normalize((head.normals[chosen] * barycentric).sum(1))


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


def _grow_guides(
    rng: np.random.Generator,
    head: HeadFrame,
    style: HairStyle,
    triangles: IntArray,
    area: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Guide strands (NUM_GUIDES, POINTS, 3), grown outside of the body, and their roots."""
    roots, normals = _sample_roots(rng, head, triangles, area, NUM_GUIDES)
    side = np.where(roots[:, :1] > rng.choice([0, 0.028, -0.028]), 1.0, -1.0)
    comb = _comb(str(rng.choice(style.combs)), roots - head.centre, side)
    comb = comb - normals * (comb * normals).sum(1, keepdims=True)
    direction = normalize(normals * rng.uniform(*style.lift) + comb)
    spread = (1 + 0.15 * rng.normal(size=(NUM_GUIDES, 1))).clip(0.6, 1.4)
    step = rng.uniform(*style.length) * spread / (POINTS_PER_STRAND - 1)
    tree = cKDTree(head.vertices)
    points = [roots]
    for k in range(1, POINTS_PER_STRAND):
        # The comb is forgotten along the strand, gravity takes over.
        pull = head.down * style.gravity * min(1, k / 4) * step / 0.02
        pull = pull + comb * 0.12 * style.comb_memory * max(0, 1 - k / 6)
        direction = normalize(direction + pull + _cling(points[-1], head, tree, style))
        grown = _push_out(points[-1] + direction * step, head, tree, style, min(1, k / 3))
        if style.length[1] > 0.05:  # a beard belongs in the face
            grown = _clear_face(grown, head, side)
        direction = normalize(grown - points[-1])
        points.append(grown)
    return _curl(rng, style, np.stack(points, 1), step * (POINTS_PER_STRAND - 1)), roots


def _cling(points: FloatArray, head: HeadFrame, tree: cKDTree, style: HairStyle) -> FloatArray:
    """Direction towards the skull for points that stand off it by more than the margin."""
    distance, nearest = tree.query(points)
    excess = np.clip((distance - 1.5 * style.margin) / 0.02, 0, 1)
    return -head.normals[nearest] * (style.cling * excess)[:, None]


def _push_out(
    points: FloatArray, head: HeadFrame, tree: cKDTree, style: HairStyle, ramp: float
) -> FloatArray:
    """Lift points to the style's margin above the skin, more above what clothes may cover."""
    distance, nearest = tree.query(points)
    normal = head.normals[nearest]
    height = ((points - head.vertices[nearest]) * normal).sum(1)
    margin = (style.margin + np.where(head.on_head[nearest], 0, CLOTHES_MARGIN)) * ramp
    lift = np.where((height < margin) & (distance < 0.12), margin - height, 0)
    return points + normal * lift[:, None]


def _clear_face(points: FloatArray, head: HeadFrame, side: FloatArray) -> FloatArray:
    """Part hair to its side in front of the face."""
    eye = head.eyes.mean(0)
    half_face = 0.078
    before = (points[:, 1] < eye[1] + 0.045) & (points[:, 2] < eye[2] + 0.035)
    before &= np.abs(points[:, 0]) < half_face
    away = side[:, 0] * (half_face - side[:, 0] * points[:, 0]) * 0.6
    points[:, 0] += np.where(before, away, 0)
    return points


def _curl(
    rng: np.random.Generator, style: HairStyle, guides: FloatArray, length: FloatArray
) -> FloatArray:
    """Wind the guides into helices."""
    radius = float(rng.choice(style.curl_radii))
    if radius == 0:
        return guides
    along = np.linspace(0, 1, POINTS_PER_STRAND) * length * style.curl_turns * 2 * np.pi
    phase = along + rng.uniform(0, 2 * np.pi, (len(guides), 1))
    tangent = normalize(np.gradient(guides, axis=1))
    first: FloatArray = rng.normal(size=(len(guides), 1, 3))
    first = normalize(first - tangent * (first * tangent).sum(2, keepdims=True))
    second = np.cross(tangent, first)
    onset = np.minimum(1, np.arange(POINTS_PER_STRAND) / 4)[None, :, None]
    return guides + radius * onset * (
        first * np.cos(phase)[..., None] + second * np.sin(phase)[..., None]
    )


def _interpolate(
    rng: np.random.Generator,
    style: HairStyle,
    guides: FloatArray,
    guide_roots: FloatArray,
    roots: FloatArray,
) -> FloatArray:
    """One strand per root: the shape of a near guide, clumped towards it, with frizz."""
    count = len(roots)
    _, near = cKDTree(guide_roots).query(roots, k=3)
    pick = near[np.arange(count), rng.choice(3, count, p=[0.6, 0.25, 0.15])]
    along = np.linspace(0, 1, POINTS_PER_STRAND)[None, :, None]
    spacing = (roots - guide_roots[pick])[:, None]
    strands = guides[pick] + spacing * (1 - style.clump * along)
    for octave in range(3):
        phase = along * (4 + 5 * octave) + rng.uniform(0, 2 * np.pi, (count, 1, 1))
        sway = rng.normal(size=(count, 1, 3)) / (1 + octave)
        strands = strands + style.frizz * np.sqrt(along) * np.sin(phase) * sway
    return strands


def _cut_tips(rng: np.random.Generator, strands: FloatArray) -> FloatArray:
    """Shorten each strand by up to a quarter, keeping its number of points."""
    along = np.linspace(0, 1, POINTS_PER_STRAND)[None, :, None]
    at = along * rng.uniform(0.75, 1, (len(strands), 1, 1)) * (POINTS_PER_STRAND - 1)
    low = np.clip(at.astype(int), 0, POINTS_PER_STRAND - 2)
    before = np.take_along_axis(strands, low.repeat(3, 2), 1)
    after = np.take_along_axis(strands, (low + 1).repeat(3, 2), 1)
    return before + (at - low) * (after - before)


def proxy_normals(
    strands: FloatArray, skull: FloatArray, voxel: float = 0.006
) -> NDArray[np.float32]:
    """Coarse surface normal at each strand point, (N * POINTS, 3) unit (DAViD, appendix A.1).

    Strand normals alias at picture resolution, so the ground truth uses those of a coarse proxy.
    The paper meshes the voxel density of the strands and looks up the nearest mesh normal. The
    iso-surface's normal is minus the gradient of that density, which is evaluated here directly at
    the points.

    Args:
        strands: (N, POINTS, 3) metres.
        skull: (M, 3) points on and beneath the skin: they make thin hair the outside of something
            solid.
        voxel: Edge of a voxel, metres.
    """
    between = (strands[:, 1:] + strands[:, :-1]) / 2
    points = np.concatenate([strands.reshape(-1, 3), between.reshape(-1, 3)])
    low = points.min(0) - 0.05
    shape = np.ceil((points.max(0) + 0.05 - low) / voxel).astype(int) + 1

    def cells(of: FloatArray) -> NDArray[np.integer]:
        return np.ravel_multi_index(((of - low) / voxel).astype(int).T, shape)

    near = skull[((skull > low) & (skull < points.max(0) + 0.05)).all(1)]
    density = np.bincount(cells(points), minlength=int(shape.prod())).astype(np.float32)
    density = np.minimum(density, SOLID)
    density[cells(near)] = SOLID
    density = gaussian_filter(density.reshape(shape), 1.8)
    at = ((strands.reshape(-1, 3) - low) / voxel).T - 0.5
    gradient = [
        map_coordinates(np.gradient(density, axis=axis), at, order=1, mode="nearest")
        for axis in range(3)
    ]
    return normalize(-np.stack(gradient, 1)).astype(np.float32)
