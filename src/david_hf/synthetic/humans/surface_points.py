"""Points that ride on the body's surface: placed on a neutral face, found again on any other.

Features of a face (hairline, beard, brows) are authored in the coordinates of one neutral, unposed
body, in metres. Bound to the mesh there, they follow every shape, expression and pose.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from david_hf.synthetic.mesh import FloatArray, IntArray, Mesh, normalize


@dataclass(frozen=True)
class SurfacePoints:
    """Points bound to triangles.

    Attributes:
        corners: (N, 3) vertices of each point's triangle.
        weights: (N, 3) barycentric weights.
    """

    corners: IntArray
    weights: FloatArray

    def of(self, values: FloatArray) -> FloatArray:
        """Interpolate per-vertex values (V, C) at the points, (N, C)."""
        return np.einsum("nk,nkc->nc", self.weights, values[self.corners])


def bind(points: FloatArray, vertices: FloatArray, faces: IntArray) -> SurfacePoints:
    """Bind points (N, 3) to the nearest of some triangles of a mesh."""
    corners = vertices[faces]
    _, near = cKDTree(corners.mean(1)).query(points, k=min(6, len(faces)))
    near = near.reshape(len(points), -1)
    weights = _barycentric(points[:, None], corners[near])
    found = np.einsum("nmk,nmkc->nmc", weights, corners[near])
    best = np.linalg.norm(found - points[:, None], axis=-1).argmin(1)
    row = np.arange(len(points))
    return SurfacePoints(faces[near[row, best]], weights[row, best])


def _barycentric(points: FloatArray, corners: FloatArray) -> FloatArray:
    """Weights (N, M, 3) of the projections of points on triangles, clipped to the triangles."""
    first = corners[..., 1, :] - corners[..., 0, :]
    second = corners[..., 2, :] - corners[..., 0, :]
    offset = points - corners[..., 0, :]
    a, b, c = (first * first).sum(-1), (first * second).sum(-1), (second * second).sum(-1)
    d, e = (offset * first).sum(-1), (offset * second).sum(-1)
    area = a * c - b * b + 1e-18
    weights = np.stack([1 - (c * d - b * e + a * e - b * d) / area,
                        (c * d - b * e) / area, (a * e - b * d) / area], -1)  # fmt: skip
    weights = np.clip(weights, 0, None)
    return weights / weights.sum(-1, keepdims=True)


def scatter(
    rng: np.random.Generator, vertices: FloatArray, faces: IntArray, density: FloatArray, count: int
) -> SurfacePoints:
    """Random points on triangles, as many per area as `density` (V,) says.

    Raises:
        ValueError: If the density is zero everywhere.
    """
    corners = vertices[faces]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    share = area * density[faces].mean(1)
    if share.sum() <= 0:
        raise ValueError("expected a density above zero somewhere, got none")
    chosen = faces[rng.choice(len(faces), count, p=share / share.sum())]
    weight = rng.random((count, 2))
    folded = weight.sum(1) > 1
    weight[folded] = 1 - weight[folded]
    return SurfacePoints(chosen, np.column_stack([1 - weight.sum(1), weight]))


class TexelMap:
    """Which point of a mesh each texel of its texture shows, to paint per-vertex fields.

    Args:
        mesh: Mesh with uv.
        size: Side of the map, texels.
    """

    def __init__(self, mesh: Mesh, size: int = 512) -> None:
        self.size = size
        uv = mesh.uv[mesh.uv_faces]
        # As many points per triangle as it has texels, and some more: no texel is missed.
        sides = np.linalg.norm(uv - np.roll(uv, 1, axis=1), axis=-1).max(1) * size
        steps = np.ceil(np.clip(sides * 1.5, 1, 80)).astype(int)
        self._corners = np.zeros((size, size, 3), np.int32)
        self._weights = np.zeros((size, size, 3), np.float32)
        self.filled = np.zeros((size, size), bool)
        for step in np.unique(steps):
            self._fill(mesh.faces[steps == step], uv[steps == step], int(step))
        self._grow()

    def _fill(self, faces: IntArray, uv: FloatArray, step: int) -> None:
        first, second = np.meshgrid(np.arange(step + 1), np.arange(step + 1))
        inside = first + second <= step
        weights = np.stack([step - first - second, first, second], -1)[inside] / step
        at = np.einsum("kc,fcd->fkd", weights, uv) * self.size
        column = np.clip(at[..., 0].astype(int), 0, self.size - 1)
        row = np.clip((self.size - at[..., 1]).astype(int), 0, self.size - 1)
        self._corners[row, column] = faces[:, None, :]
        self._weights[row, column] = weights[None]
        self.filled[row, column] = True

    def _grow(self) -> None:
        """Give texels beside the charts the nearest point: bilinear look-ups reach them."""
        from scipy.ndimage import distance_transform_edt

        _, nearest = distance_transform_edt(~self.filled, return_indices=True)
        self._corners = self._corners[tuple(nearest)]
        self._weights = self._weights[tuple(nearest)]

    def paint(self, field: FloatArray) -> FloatArray:
        """A per-vertex field (V,) as a picture (size, size)."""
        return (field[self._corners] * self._weights).sum(-1)


def face_frame(along: FloatArray, normals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Unit directions (N, 3) in the surface: along, and across it to the left seen from outside."""
    tangent = normalize(along - normals * (along * normals).sum(-1, keepdims=True))
    return tangent, np.cross(normals, tangent)
