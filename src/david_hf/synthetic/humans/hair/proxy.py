"""Normals of hair from a coarse proxy surface (DAViD, appendix A.1).

Normals of single strands alias at the resolution of a picture. The ground truth takes those of a
coarse surface around them instead: the strands' voxel density is meshed by marching cubes, and each
point of a strand takes the normal of the nearest point of that mesh.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from david_hf.synthetic.mesh import FloatArray, normalize, vertex_normals

VOXEL = 0.006  # metres
SOLID = 4.0  # strand points per voxel above which hair counts as dense
BLUR = 1.8  # voxels


def proxy_mesh(strands: FloatArray, skull: FloatArray) -> tuple[FloatArray, NDArray[np.integer]]:
    """Vertices (M, 3) in metres and faces (F, 3) of the coarse surface around strands.

    Args:
        strands: (N, K, 3) metres.
        skull: (S, 3) points on and beneath the skin: they make thin hair the outside of something
            solid.
    """
    between = (strands[:, 1:] + strands[:, :-1]) / 2
    points = np.concatenate([strands.reshape(-1, 3), between.reshape(-1, 3)])
    low, high = points.min(0) - 0.04, points.max(0) + 0.04
    shape = np.ceil((high - low) / VOXEL).astype(int) + 1

    def cells(of: FloatArray) -> NDArray[np.integer]:
        return np.ravel_multi_index(((of - low) / VOXEL).astype(int).T, tuple(shape))

    density = np.bincount(cells(points), minlength=int(shape.prod())).astype(np.float32)
    density = np.minimum(density, SOLID)
    inside = skull[((skull > low) & (skull < high)).all(1)]
    density[cells(inside)] = SOLID
    smooth = gaussian_filter(density.reshape(shape), BLUR)
    # Half of what is dense, or less where the hair is thin everywhere.
    level = min(SOLID * 0.25, float(smooth.max()) * 0.5)
    vertices, faces, _, _ = marching_cubes(smooth, level)
    return low + (vertices + 0.5) * VOXEL, faces


def proxy_normals(strands: FloatArray, skull: FloatArray) -> NDArray[np.float32]:
    """Normals (N * K, 3) of the nearest proxy surface at each point of the strands (N, K, 3)."""
    vertices, faces = proxy_mesh(strands, skull)
    normals = vertex_normals(vertices, faces)
    # skimage's faces run so that their normals point to lower density already; make sure.
    outward = (normals * (vertices - strands.reshape(-1, 3).mean(0))).sum()
    normals = normalize(normals if outward > 0 else -normals)
    # Points of one cell, half a voxel wide, share their nearest vertex: a tenth of the queries.
    low = vertices.min(0) - 1.0
    cells = ((strands.reshape(-1, 3) - low) / (VOXEL / 2)).astype(np.int64)
    keys = (cells[:, 0] << 42) | (cells[:, 1] << 21) | cells[:, 2]
    _, first, of_point = np.unique(keys, return_index=True, return_inverse=True)
    _, nearest = cKDTree(vertices).query(strands.reshape(-1, 3)[first])
    return normals[nearest[of_point]].astype(np.float32)
