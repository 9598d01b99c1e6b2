"""Small meshes made of rows of points: bands, tubes, discs and domes."""

import numpy as np
from scipy.ndimage import gaussian_filter

from david_hf.synthetic.mesh import FloatArray, IntArray, Mesh, normalize

# Closed grids run from column 0 to the last and back to 0.


def grid(points: FloatArray, closed: bool = False, tile: tuple[float, float] = (1.0, 1.0)) -> Mesh:
    """A mesh over points (R, C, 3), seen from outside when columns run to the left.

    Args:
        points: Rows from top to bottom.
        closed: Whether the last column meets the first.
        tile: How often a texture repeats across columns and rows.
    """
    rows, columns = points.shape[:2]
    wide = columns + closed
    # Rows lie apart in the texture as they do in space, so that cloth is not stretched.
    steps = np.linalg.norm(np.diff(points, axis=0), axis=2).mean(1)
    down = np.concatenate([[0.0], np.cumsum(steps)]) / max(float(steps.sum()), 1e-9)
    uv = np.stack(np.meshgrid(np.linspace(0, tile[0], wide), tile[1] * (1 - down)), 2)
    uv = uv.reshape(-1, 2)
    row, column = (part.ravel() for part in np.mgrid[0 : rows - 1, 0 : wide - 1])

    def quads(width: int, wrap: int) -> IntArray:
        a, b = row * width + column, row * width + (column + 1) % wrap
        c, d = a + width, b + width
        return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])

    return Mesh(points.reshape(-1, 3), quads(columns, columns), uv, quads(wide, wide))


def thick(points: FloatArray, thickness: float, closed: bool = False) -> FloatArray:
    """A band (R, C, 3) made into a flat loop (2 R + 1, C, 3) with an outside, edges and an inside.

    The outside lies where the normals of `grid` point.
    """
    inside = points - thickness * grid_normals(points, closed)
    middle = 0.5 * (points[[-1]] + inside[[-1]])
    loop = [points, middle, inside[::-1], points[[0]]]
    return np.concatenate(loop)


def grid_normals(points: FloatArray, closed: bool = False) -> FloatArray:
    """Unit normals (R, C, 3) of a grid."""
    across: FloatArray
    if closed:
        across = np.roll(points, -1, 1) - np.roll(points, 1, 1)
    else:
        across = np.asarray(np.gradient(points, axis=1))
    return normalize(np.cross(np.gradient(points, axis=0), across))


def tube(
    path: FloatArray, radius: float | FloatArray, closed: bool = False, sides: int = 8
) -> Mesh:
    """A round tube along a path (N, 3); the radius in metres is a number or (N,)."""
    if closed:
        tangent = normalize(np.roll(path, -1, 0) - np.roll(path, 1, 0))
    else:
        tangent = normalize(np.gradient(path, axis=0))
    # One fixed helper direction, the one least parallel to the path, keeps the sides from twisting.
    helper = np.eye(3)[np.abs(tangent).max(0).argmin()]
    across = normalize(np.cross(tangent, helper))
    up = np.cross(across, tangent)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    reach = np.broadcast_to(radius, len(path))[None, :, None]
    ring = np.cos(angle)[:, None, None] * across + np.sin(angle)[:, None, None] * up
    points = path[None] + reach * ring
    if not closed:
        caps = np.broadcast_to(path[[0, -1]][None], (sides, 2, 3))
        points = np.concatenate([caps[:, :1], points, caps[:, 1:]], 1)
    if closed:
        points = np.concatenate([points, points[:, :1]], 1)
    return grid(points.transpose(1, 0, 2), True)


def disc(centre: FloatArray, normal: FloatArray, radius: float, height: float) -> Mesh:
    """A button: a flat round body of metres `radius` standing `height` above its centre."""
    normal = normalize(normal)
    across = normalize(np.cross(normal, [0.0, 0.0, 1.0] if abs(normal[2]) < 0.9 else [1.0, 0, 0]))
    up = np.cross(normal, across)
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)[:, None]
    ring = np.cos(angle) * across + np.sin(angle) * up
    profile = [(0.0, 0.8), (0.6, 0.8), (0.8, 1.0), (0.95, 0.9), (1.0, 0.5), (1.0, -0.5)]
    rows = [centre + radius * r * ring + height * h * normal for r, h in profile]
    return grid(np.stack(rows), True)


def envelope(
    points: FloatArray, directions: FloatArray, spread_deg: float, smooth: float
) -> FloatArray:
    """Radius (R, C) around `points` as seen from the origin.

    Args:
        points: (N, 3) about the origin.
        directions: (R, C, 3) unit; columns go once around.
        spread_deg: Points within this angle of a direction count.
        smooth: Sigma of the final blur, in cells.
    """
    radius = np.linalg.norm(points, axis=1)
    unit = (points / radius[:, None]).astype(np.float32)
    flat = directions.reshape(-1, 3).astype(np.float32)
    cosine = flat @ unit.T
    near = cosine > np.cos(np.deg2rad(spread_deg))
    reach = np.where(near, radius.astype(np.float32), 0).max(1)
    empty = reach == 0
    if empty.any():
        reach[empty] = radius[cosine[empty].argmax(1)]
    shaped = reach.reshape(directions.shape[:2]).astype(float)
    return np.asarray(gaussian_filter(shaped, smooth, mode=("nearest", "wrap")))
