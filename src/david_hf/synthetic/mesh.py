"""Triangle meshes as arrays: normals, smoothing, refinement. Vertices are (N, 3) metres, z up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.integer]


@dataclass(frozen=True)
class Mesh:
    """Triangles with texture coordinates.

    Attributes:
        vertices: (N, 3) float, metres.
        faces: (F, 3) int, indices into `vertices`.
        uv: (M, 2) float in [0, 1], v upwards.
        uv_faces: (F, 3) int, indices into `uv`.
    """

    vertices: FloatArray
    faces: IntArray
    uv: FloatArray
    uv_faces: IntArray

    def select(self, keep: NDArray[np.bool_]) -> "Mesh":
        """The faces where `keep` (F,) is true; unused vertices stay."""
        return Mesh(self.vertices, self.faces[keep], self.uv, self.uv_faces[keep])


def join(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of several; at least one."""
    corners = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    charts = np.cumsum([0, *(len(mesh.uv) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + at for mesh, at in zip(meshes, corners, strict=False)]),
        np.concatenate([mesh.uv for mesh in meshes]),
        np.concatenate([mesh.uv_faces + at for mesh, at in zip(meshes, charts, strict=False)]),
    )


def normalize(vectors: FloatArray) -> FloatArray:
    """Unit vectors along the last axis; zero stays zero."""
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-12)


def vertex_normals(vertices: FloatArray, faces: IntArray) -> FloatArray:
    """Area-weighted unit normals (N, 3)."""
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    index, cross = faces.T.ravel(), np.tile(cross, (3, 1))
    sums = [np.bincount(index, cross[:, axis], len(vertices)) for axis in range(3)]
    return normalize(np.stack(sums, 1))


def neighbour_mean(faces: IntArray, num_vertices: int) -> sparse.csr_matrix:
    """Sparse (N, N) matrix that replaces a vertex by the mean of its neighbours."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    adjacency = sparse.coo_matrix(
        (np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (num_vertices, num_vertices)
    ).tocsr()
    adjacency.data[:] = 1.0  # shared edges were counted twice
    degree = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1.0)
    return sparse.diags(1.0 / degree) @ adjacency


def tessellate(mesh: Mesh, flatness: float = 0.25) -> Mesh:
    """Each triangle in four, the new vertices lifted towards the curved surface.

    A midpoint is projected on the tangent planes of both ends and takes their mean (Phong
    tessellation), so that a coarse mesh gets a smooth outline while its own vertices stay.

    Args:
        mesh: What to refine; unused vertices are dropped.
        flatness: 1 leaves the midpoints on the edges, 0 follows the tangent planes.
    """
    used, faces = np.unique(mesh.faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    vertices = mesh.vertices[used]
    normals = vertex_normals(vertices, faces)
    ends, middle_of = _edges(faces)
    middle = vertices[ends].mean(1)
    lifted = np.zeros_like(middle)
    for end in (0, 1):
        normal = normals[ends[:, end]]
        height = ((middle - vertices[ends[:, end]]) * normal).sum(1, keepdims=True)
        lifted += (middle - height * normal) / 2
    new = flatness * middle + (1 - flatness) * lifted
    uv_ends, uv_middle_of = _edges(mesh.uv_faces)
    return Mesh(
        np.concatenate([vertices, new]),
        _quartered(faces, middle_of + len(vertices)),
        np.concatenate([mesh.uv, mesh.uv[uv_ends].mean(1)]),
        _quartered(mesh.uv_faces, uv_middle_of + len(mesh.uv)),
    )


def _edges(faces: IntArray) -> tuple[IntArray, IntArray]:
    """Ends (E, 2) of all edges, and for each face (F, 3) the edges 01, 12, 20."""
    pairs = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    keys = pairs[:, 0].astype(np.int64) * (int(faces.max()) + 1) + pairs[:, 1]
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    return pairs[first], index.reshape(-1, 3)


def _quartered(faces: IntArray, middle: IntArray) -> IntArray:
    a, b, c = faces.T
    ab, bc, ca = middle.T
    return np.concatenate(
        [np.stack(corners, 1) for corners in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    )
