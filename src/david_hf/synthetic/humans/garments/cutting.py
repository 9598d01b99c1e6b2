"""Triangle surfaces with values per vertex: subdivision, cutting at level sets, folded rims."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from david_hf.synthetic.mesh import FloatArray, IntArray, normalize


@dataclass(frozen=True)
class Sheet:
    """A piece of cloth.

    Attributes:
        points: (N, 3) posed positions, metres.
        normals: (N, 3) unit normals.
        rest: (N, 3) positions on the unposed body, which levels and texture coordinates use.
        arm: (N,) metres along the sleeve from the shoulder joint; negative on the trunk.
        faces: (F, 3) indices.
    """

    points: FloatArray
    normals: FloatArray
    rest: FloatArray
    arm: FloatArray
    faces: IntArray

    def cut(self, level: FloatArray) -> "Sheet":
        """The part where `level` (N,) is positive, with a smooth border on the level set."""
        values = np.column_stack([self.points, self.normals, self.rest, self.arm])
        values, faces = cut(values, self.faces, level)
        normals = normalize(values[:, 3:6])
        return Sheet(values[:, :3], normals, values[:, 6:9], values[:, 9], faces)

    def raised(self, height: float | FloatArray) -> "Sheet":
        """The sheet moved along its normals by metres, a number or (N,)."""
        shift = self.normals * np.broadcast_to(height, len(self.points))[:, None]
        return Sheet(self.points + shift, self.normals, self.rest, self.arm, self.faces)

    def with_rim(self, thickness: float, depth: float) -> "Sheet":
        """Fold the borders back: down by `thickness`, then inwards by `depth` metres."""
        start, end = _border(self.faces, len(self.points)).T
        if len(start) == 0:
            return self
        along = normalize(self.points[end] - self.points[start])
        inwards = np.zeros_like(self.points)
        for corner in (start, end):
            np.add.at(inwards, corner, np.cross(self.normals[corner], along))
        ring = np.unique(np.concatenate([start, end]))
        edge = np.arange(len(self.points))
        first, second = np.zeros_like(edge), np.zeros_like(edge)
        first[ring] = len(edge) + np.arange(len(ring))
        second[ring] = first[ring] + len(ring)
        below = self.points[ring] - thickness * self.normals[ring]
        inside = below + depth * normalize(inwards[ring]) - 0.3 * thickness * self.normals[ring]
        strips = []
        for near, far in ((edge, first), (first, second)):
            strips.append(np.stack([near[end], near[start], far[start]], 1))
            strips.append(np.stack([near[end], far[start], far[end]], 1))
        return Sheet(
            np.concatenate([self.points, below, inside]),
            np.concatenate([self.normals, self.normals[ring], -self.normals[ring]]),
            np.concatenate([self.rest, self.rest[ring], self.rest[ring]]),
            np.concatenate([self.arm, self.arm[ring], self.arm[ring]]),
            np.concatenate([self.faces, *strips]),
        )


def _border(faces: IntArray, num_vertices: int) -> IntArray:
    """Directed edges (E, 2) that belong to one face alone."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    key = edges.min(1) * num_vertices + edges.max(1)
    _, index, count = np.unique(key, return_index=True, return_counts=True)
    return edges[index[count == 1]]


def cut(values: FloatArray, faces: IntArray, level: FloatArray) -> tuple[FloatArray, IntArray]:
    """Cut triangles where `level` changes its sign.

    Args:
        values: (N, K) any values per vertex; those of new vertices are interpolated.
        faces: (F, 3).
        level: (N,) kept where positive.

    Returns:
        Values (M, K) and faces (G, 3) of what is kept, without unused vertices.
    """
    inside = level > 0
    count = inside[faces].sum(1)
    crossed = (count == 1) | (count == 2)
    corners, one_in = faces[crossed], count[crossed] == 1
    # Turn every crossed triangle so that its first corner is alone on its side.
    alone = (inside[corners] == one_in[:, None]).argmax(1)
    a, b, c = np.take_along_axis(corners, (alone[:, None] + np.arange(3)) % 3, 1).T
    pairs = np.sort(np.concatenate([np.stack([a, b], 1), np.stack([a, c], 1)]), 1)
    pairs, new = np.unique(pairs, axis=0, return_inverse=True)
    first, second = pairs.T
    share = (level[first] / (level[first] - level[second]))[:, None] if len(pairs) else 0
    made = values[first] + share * (values[second] - values[first])
    ab, ac = len(values) + new.reshape(2, -1)
    kept = np.concatenate(
        [
            faces[count == 3],
            np.stack([a, ab, ac], 1)[one_in],
            np.stack([ab, b, c], 1)[~one_in],
            np.stack([ab, c, ac], 1)[~one_in],
        ]
    )
    used, compact = np.unique(kept, return_inverse=True)
    return np.concatenate([values, made])[used], compact.reshape(-1, 3)


def subdivide(faces: IntArray, num_vertices: int) -> tuple[sparse.csr_matrix, IntArray]:
    """One step of Loop's subdivision.

    Returns:
        Sparse matrix (num_vertices + edges, num_vertices) that makes the new vertices of the old
        ones, and the faces (4 F, 3).
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs, which, count = np.unique(
        np.sort(edges, 1), axis=0, return_inverse=True, return_counts=True
    )
    which = which.ravel()
    is_border = count == 1
    opposite = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
    num_edges = len(pairs)
    rows = np.arange(num_edges)
    ends = np.where(is_border, 0.5, 0.375)
    inner = ~is_border[which]
    values = np.concatenate([ends, ends, np.full(inner.sum(), 0.125)])
    place = (
        np.concatenate([rows, rows, which[inner]]),
        np.concatenate([pairs[:, 0], pairs[:, 1], opposite[inner]]),
    )
    odd = sparse.coo_matrix((values, place), (num_edges, num_vertices))
    even = _loop_corners(pairs, is_border, num_vertices)
    mid = num_vertices + which.reshape(3, -1)
    first, second, third = faces.T
    new_faces = np.concatenate(
        [
            np.stack([first, mid[0], mid[2]], 1),
            np.stack([second, mid[1], mid[0]], 1),
            np.stack([third, mid[2], mid[1]], 1),
            mid.T,
        ]
    )
    return sparse.vstack([even, odd]).tocsr(), new_faces


def _loop_corners(
    pairs: IntArray, is_border: NDArray[np.bool_], num_vertices: int
) -> sparse.csr_matrix:
    """Loop's rule for the old vertices; those on a border follow the border alone."""
    on_border = np.zeros(num_vertices, bool)
    on_border[pairs[is_border]] = True
    both = np.concatenate([pairs, pairs[:, ::-1]])
    border_edge = np.concatenate([is_border, is_border])
    valence = np.bincount(both[:, 0], minlength=num_vertices)
    beta = np.where(valence == 3, 3 / 16, 3 / (8 * np.maximum(valence, 1)))
    use = ~on_border[both[:, 0]] | border_edge
    weight = np.where(on_border[both[:, 0]], 0.125, beta[both[:, 0]])[use]
    total = np.bincount(both[use, 0], weight, num_vertices)
    own = np.arange(num_vertices)
    rows, columns = np.concatenate([own, both[use, 0]]), np.concatenate([own, both[use, 1]])
    values = np.concatenate([1 - total, weight])
    return sparse.coo_matrix((values, (rows, columns)), (num_vertices,) * 2).tocsr()
