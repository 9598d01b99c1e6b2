"""Whether a finished sample is worth keeping: framing, labels that agree, exposure.

A reason is a fixed word and the number that was found, such as `burnt 0.52`.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from david_hf.synthetic.mesh import FloatArray, normalize
from david_hf.synthetic.rendering.develop import face_disc
from david_hf.synthetic.rendering.labels import Render
from david_hf.synthetic.rendering.sample_files import Sample
from david_hf.synthetic.scene import Scene

Mask = NDArray[np.bool_]

MIN_COVERAGE, MAX_COVERAGE = 0.02, 0.97  # of the picture by people
MIN_SOLID = 0.2  # of what people cover, opaque
SOLID = 0.99  # alpha of an opaque pixel
MAX_UNLABELLED = 0.001  # of the opaque pixels: single ones, at rims
MIN_DEPTH_M, MAX_DEPTH_M = 0.15, 30.0
MAX_NORMAL_ERROR_DEG = 12.0
MIN_COMPARED = 100  # pixels that a median of angles needs
MAX_SLOPE = 4.0  # tangent of the angle to the picture plane above which surfaces count as edges
MIN_TONE, MAX_TONE = 0.02, 0.97  # sRGB
MAX_CLIPPED = 0.4  # share of a figure


def check(sample: Sample, scene: Scene, render: Render) -> list[str]:
    """Reasons to reject a sample; an empty list accepts it.

    Args:
        sample: The finished sample.
        scene: What it shows.
        render: What Cycles made of the scene.
    """
    reasons = _framing(sample, scene)
    if reasons:  # there is nobody to look at
        return reasons
    return [*_depth(sample), *_normals(sample, render), *_exposure(sample, scene)]


def normals_from_depth(depth_m: FloatArray, intrinsics: FloatArray) -> FloatArray:
    """Normals of the surface that a depth map draws, by central differences.

    Args:
        depth_m: (H, W) z-depth in metres; anything not finite where there is none.
        intrinsics: (3, 3) pinhole matrix in pixels; the centre of the first pixel is (0.5, 0.5).

    Returns:
        (H, W, 3) unit, x right, y up, z to the camera; zero on the border and where a neighbour has
        no depth.
    """
    height, width = depth_m.shape
    depth = np.where(np.isfinite(depth_m), depth_m, np.nan)
    y, x = np.mgrid[0:height, 0:width] + 0.5
    rays = np.stack(
        [
            (x - intrinsics[0, 2]) / intrinsics[0, 0],
            -(y - intrinsics[1, 2]) / intrinsics[1, 1],
            -np.ones_like(x),
        ],
        -1,
    )
    points = rays * depth[..., None]
    right = points[1:-1, 2:] - points[1:-1, :-2]
    up = points[:-2, 1:-1] - points[2:, 1:-1]
    normals = np.zeros((height, width, 3))
    normals[1:-1, 1:-1] = np.nan_to_num(normalize(np.cross(right, up)))
    return normals


def normal_agreement(
    depth_m: FloatArray,
    normals: FloatArray,
    alpha: FloatArray,
    intrinsics: FloatArray,
    hair: FloatArray | None = None,
) -> FloatArray:
    """Angles between the normals and the slope of the depth.

    Compared are pixels of one opaque surface: not the outline, not the edges within it, where depth
    jumps, and not hair, whose normals are those of a coarse proxy.

    Args:
        depth_m: (H, W) z-depth in metres, infinite or 0 where nobody is.
        normals: (H, W, 3) unit.
        alpha: (H, W) coverage by people.
        intrinsics: (3, 3) pinhole matrix in pixels.
        hair: (H, W) share of strands, or None where it is not known.

    Returns:
        (N,) degrees, one for each compared pixel.
    """
    known = np.isfinite(depth_m) & (depth_m > 0) & (alpha > SOLID)
    if hair is not None:
        known &= hair < 0.02
    depth = np.where(known, depth_m, np.nan)
    smooth = known & ~_jumps(depth, float(intrinsics[1, 1]))
    compared = binary_erosion(smooth, iterations=2)
    slope = normals_from_depth(depth, intrinsics)[compared]
    cosine = (slope * normalize(normals[compared])).sum(-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _jumps(depth: FloatArray, focal_px: float) -> Mask:
    """Pixels (H, W) whose depth differs from a neighbour's by more than a steep surface's does."""
    jumps = np.zeros(depth.shape, bool)
    limit = MAX_SLOPE * depth / focal_px
    with np.errstate(invalid="ignore"):
        across = np.abs(np.diff(depth, axis=1)) > limit[:, 1:]
        down = np.abs(np.diff(depth, axis=0)) > limit[1:]
    jumps[:, 1:] |= across
    jumps[:, :-1] |= across
    jumps[1:] |= down
    jumps[:-1] |= down
    return jumps


def _framing(sample: Sample, scene: Scene) -> list[str]:
    coverage = float((sample.alpha > 0.5).mean())
    if coverage < MIN_COVERAGE:
        return [f"small {coverage:.3f}"]
    reasons = []
    if coverage > MAX_COVERAGE:
        reasons.append(f"fills {coverage:.3f}")
    solid = float((sample.alpha > SOLID).sum() / (sample.alpha > 0.05).sum())
    if solid < MIN_SOLID:
        reasons.append(f"thin {solid:.2f}")
    if scene.factors.get("category") == "face":
        (x, y), depth = _project_face(scene)
        inside = 0 <= x <= scene.camera.width and 0 <= y <= scene.camera.height
        if depth <= 0 or not inside:
            reasons.append(f"face-outside {x:.0f},{y:.0f}")
    return reasons


def _project_face(scene: Scene) -> tuple[FloatArray, float]:
    """Pixel position (2,) and z-depth in metres of the first person's face."""
    pixels, depth = scene.camera.project(scene.faces[0].position)
    return pixels[0], float(depth[0])


def _depth(sample: Sample) -> list[str]:
    depth_m = sample.depth_cm[sample.alpha > SOLID] / 100
    known = np.isfinite(depth_m) & (depth_m < 600)
    reasons = []
    unknown = 1 - float(known.mean()) if len(known) else 0.0
    if unknown > MAX_UNLABELLED:
        reasons.append(f"no-depth {unknown:.3f}")
    if known.any():
        low, high = float(depth_m[known].min()), float(depth_m[known].max())
        if low < MIN_DEPTH_M or high > MAX_DEPTH_M:
            reasons.append(f"depth-range {low:.2f}..{high:.2f}")
    return reasons


def _normals(sample: Sample, render: Render) -> list[str]:
    solid = sample.alpha > SOLID
    if not solid.any():
        return []
    normals = sample.normals[solid]
    length = np.linalg.norm(normals, axis=-1)
    reasons = []
    off = 1 - float((np.abs(length - 1) <= 0.01).mean())  # also where they are not finite
    if off > MAX_UNLABELLED:
        reasons.append(f"normal-length {off:.3f}")
    facing = float(np.nan_to_num(normals[:, 2]).mean())
    if facing <= 0:
        reasons.append(f"normals-away {facing:.2f}")
    angles = normal_agreement(
        sample.depth_cm / 100, sample.normals, sample.alpha, sample.intrinsics, render.strands
    )
    if len(angles) >= MIN_COMPARED and not np.median(angles) <= MAX_NORMAL_ERROR_DEG:
        reasons.append(f"normals-disagree {np.median(angles):.1f}")
    return reasons


def _exposure(sample: Sample, scene: Scene) -> list[str]:
    tones = sample.rgb.astype(np.float32).mean(-1) / 255
    figure = sample.alpha > 0.5
    reasons = []
    middle = float(np.median(tones[_metered(scene, figure)]))
    if not MIN_TONE <= middle <= MAX_TONE:
        reasons.append(f"exposure {middle:.3f}")
    burnt = float((sample.rgb[figure] >= 254).all(-1).mean())
    if burnt > MAX_CLIPPED:
        reasons.append(f"burnt {burnt:.2f}")
    black = float((sample.rgb[figure] <= 2).all(-1).mean())
    if black > MAX_CLIPPED and not scene.factors.get("night"):
        reasons.append(f"black {black:.2f}")
    return reasons


def _metered(scene: Scene, figure: Mask) -> Mask:
    """Pixels (H, W) that the exposure was made for: the face, or the figure if that is not seen."""
    disc = face_disc(scene.camera, scene.faces[0], figure)
    return disc if disc.sum() >= 8 else figure
