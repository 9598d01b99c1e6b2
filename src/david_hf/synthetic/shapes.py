"""Primitive meshes for furniture and things.

The renderer shades smoothly across shared vertices, so hard edges here have vertices of their
own. Texture coordinates are in metres (u along the longer side of the faces of boxes), unless a
shape is asked to `fit` one picture. They may leave [0, 1]: pictures repeat.
"""

from itertools import pairwise, product

import numpy as np
from numpy.typing import ArrayLike

from .mesh import FloatArray, IntArray, Mesh, join, normalize


def turn(yaw_deg: float) -> FloatArray:
    """Rotation (3, 3) about z, from x towards y."""
    cos, sin = np.cos(np.deg2rad(yaw_deg)), np.sin(np.deg2rad(yaw_deg))
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def moved(mesh: Mesh, shift: ArrayLike = (0, 0, 0), rotation: FloatArray | None = None) -> Mesh:
    """The mesh turned by a matrix (3, 3), then shifted by (3,) metres."""
    vertices = mesh.vertices if rotation is None else mesh.vertices @ rotation.T
    return Mesh(vertices + np.asarray(shift, float), mesh.faces, mesh.uv, mesh.uv_faces)


def scatter(mesh: Mesh, rotations: FloatArray, shifts: FloatArray, scales: FloatArray) -> Mesh:
    """Copies of a mesh, each scaled (N,), turned (N, 3, 3) and shifted (N, 3) metres."""
    count = len(shifts)
    vertices = np.einsum("nij,vj->nvi", rotations * scales[:, None, None], mesh.vertices)
    offsets = np.arange(count)[:, None, None]
    return Mesh(
        (vertices + shifts[:, None]).reshape(-1, 3),
        (mesh.faces[None] + offsets * len(mesh.vertices)).reshape(-1, 3),
        np.tile(mesh.uv, (count, 1)),
        (mesh.uv_faces[None] + offsets * len(mesh.uv)).reshape(-1, 3),
    )


def lattice(rows: int, columns: int, closed: bool = False) -> tuple[IntArray, IntArray]:
    """Triangles of a grid of points in row-major order, and those of its texture coordinates.

    Args:
        rows: Number of rows of points.
        columns: Number of columns of points.
        closed: Whether the last column meets the first. The texture then has one column more.

    Returns:
        Faces (F, 3) over rows * columns points and over the texture's points.
    """
    row, column = (a.ravel() for a in np.mgrid[0 : rows - 1, 0 : columns - (not closed)])

    def triangles(width: int) -> IntArray:
        right = (column + 1) % width
        here, there = row * width + column, row * width + right
        lower = [here, there, there + width]
        upper = [here, there + width, here + width]
        return np.stack([np.stack(lower, 1), np.stack(upper, 1)], 1).reshape(-1, 3)

    return triangles(columns), triangles(columns + closed)


def sheet(points: FloatArray, fit: bool = False) -> Mesh:
    """A smooth surface through a grid of points (R, C, 3); its front is columns x rows."""
    rows, columns, _ = points.shape
    across = np.linalg.norm(np.diff(points, axis=1), axis=-1).mean(0)
    along = np.linalg.norm(np.diff(points, axis=0), axis=-1).mean(1)
    u, v = (np.concatenate([[0.0], np.cumsum(steps)]) for steps in (across, along))
    if fit:
        u, v = u / u[-1], v / v[-1]
    faces, uv_faces = lattice(rows, columns)
    uv = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    return Mesh(points.reshape(-1, 3).astype(float), faces, uv, uv_faces)


def quad(corner: ArrayLike, across: ArrayLike, along: ArrayLike, fit: bool = False) -> Mesh:
    """A parallelogram from a corner (3,) along two edges (3,); its front is across x along."""
    start, u, v = (np.asarray(part, float) for part in (corner, across, along))
    return sheet(np.array([[start, start + u], [start + v, start + u + v]]), fit)


def _box_corners() -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """The facets of a bevelled box: see `box`."""
    signs: list[tuple[int, ...]] = []
    lifted, facing, faces = [], [], []
    facets: list[list[tuple[tuple[int, ...], int]]] = []
    for axis, side in product(range(3), (-1, 1)):
        others = [k for k in range(3) if k != axis]
        ring = []
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            corner = [side] * 3
            corner[others[0]], corner[others[1]] = a, b
            ring.append((tuple(corner), axis))
        facets.append(ring)
    for axis in range(3):  # edges along this axis, between the faces of the two others
        first, second = (k for k in range(3) if k != axis)
        for a, b in product((-1, 1), (-1, 1)):
            ends = []
            for end in (-1, 1):
                corner = [end] * 3
                corner[first], corner[second] = a, b
                ends.append(tuple(corner))
            near, far = ends
            facets.append([(near, first), (far, first), (far, second), (near, second)])
    for corner_signs in product((-1, 1), repeat=3):
        facets.append([(tuple(corner_signs), axis) for axis in range(3)])
    for facet in facets:
        points = np.array([np.array(s) * (1 - 0.2 * (np.arange(3) != k)) for s, k in facet])
        outward = np.cross(points[1] - points[0], points[2] - points[0]) @ points.mean(0) > 0
        ordered = facet if outward else facet[::-1]
        base = len(signs)
        faces += [(base, base + k, base + k + 1) for k in range(1, len(facet) - 1)]
        for corner_sign, axis in ordered:
            signs.append(corner_sign)
            lifted.append(np.arange(3) == axis)
            facing.append(facet[0][1])
    return np.array(signs, float), np.array(lifted, float), np.array(facing), np.array(faces)


_SIGNS, _LIFTED, _FACING, _BOX_FACES = _box_corners()
_FLAT_BOX = (24, 12)  # how many vertices and faces come before the bevels


def box(size: ArrayLike, centre: ArrayLike = (0, 0, 0), bevel: float = 0.0) -> Mesh:
    """A box of full edge lengths (3,) metres with hard edges, cut at 45 degrees if bevelled."""
    edges, middle = np.asarray(size, float), np.asarray(centre, float)
    num_vertices, num_faces = (len(_SIGNS), len(_BOX_FACES)) if bevel > 0 else _FLAT_BOX
    signs, lifted = _SIGNS[:num_vertices], _LIFTED[:num_vertices]
    facing, faces = _FACING[:num_vertices], _BOX_FACES[:num_faces]
    vertices = signs * (edges / 2 - min(bevel, float(edges.min()) * 0.49) * (1 - lifted))
    pairs = np.array([[1, 2], [0, 2], [0, 1]])
    pairs = np.where((edges[pairs[:, 0]] < edges[pairs[:, 1]])[:, None], pairs[:, ::-1], pairs)
    uv = np.take_along_axis(vertices + edges / 2, pairs[facing], 1)
    return Mesh(vertices + middle, faces, uv, faces)


def tube(path: ArrayLike, radius: ArrayLike, sides: int = 8, caps: bool = True) -> Mesh:
    """A round tube along points (K, 3) of radius () or (K,) metres; ends closed by flat caps."""
    line = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radius, float), len(line))
    steps = normalize(np.diff(line, axis=0))
    tangents = normalize(np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]]))
    first = _transported(tangents)
    second = np.cross(tangents, first)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None]
    points = line[:, None] + ring * radii[:, None, None]
    faces, uv_faces = lattice(len(line), sides, closed=True)
    length = np.cumsum([0.0, *np.linalg.norm(np.diff(line, axis=0), axis=1)])
    around = np.linspace(0, 2 * np.pi * float(radii.mean()), sides + 1)
    uv = np.stack(np.meshgrid(length, around, indexing="ij"), -1).reshape(-1, 2)
    side = Mesh(points.reshape(-1, 3), faces, uv, uv_faces)
    if not caps:
        return side
    return join([side, _cap(points[0][::-1], line[0]), _cap(points[-1], line[-1])])


def _transported(tangents: FloatArray) -> FloatArray:
    """Unit vectors (K, 3) across a path that turn about it as little as possible."""
    helper = np.eye(3)[np.argmin(np.abs(tangents[0]))]
    across = [normalize(np.cross(tangents[0], helper))]
    for tangent in tangents[1:]:
        across.append(normalize(across[-1] - tangent * (across[-1] @ tangent)))
    return np.array(across)


def _cap(ring: FloatArray, centre: FloatArray) -> Mesh:
    """A fan that closes a ring (N, 3)."""
    count = len(ring)
    here = np.arange(count)
    faces = np.stack([np.full(count, count), here, (here + 1) % count], 1)
    axes = (ring[0] - centre, ring[count // 4] - centre)
    flat = np.stack([(ring - centre) @ normalize(axis) for axis in axes], 1)
    return Mesh(np.vstack([ring, centre]), faces, np.vstack([flat, [0, 0]]), faces)


def revolve(profile: ArrayLike, sides: int = 20, crease_deg: float = 40.0) -> Mesh:
    """The surface of a profile (K, 2) of radius and height, turned about z.

    A profile that runs upwards, or outwards below and inwards above, has its front outside.

    Args:
        profile: Radius >= 0 and height, metres.
        sides: Number of segments around.
        crease_deg: A sharper bend of the profile becomes a hard edge.
    """
    line = np.asarray(profile, float)
    steps = normalize(np.diff(line, axis=0))
    bends = (steps[:-1] * steps[1:]).sum(1) < np.cos(np.deg2rad(crease_deg))
    starts = [0, *(np.flatnonzero(bends) + 1), len(line) - 1]
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    around = np.stack([np.cos(angle), np.sin(angle)], 1)
    pieces = []
    for low, high in pairwise(starts):
        radius, height = line[low : high + 1].T
        points = np.empty((len(radius), sides, 3))
        points[..., :2] = radius[:, None, None] * around
        points[..., 2] = height[:, None]
        faces, uv_faces = lattice(len(radius), sides, closed=True)
        run = np.cumsum([0.0, *np.hypot(np.diff(radius), np.diff(height))])
        u = np.linspace(0, 2 * np.pi * float(radius.max()), sides + 1)
        uv = np.stack(np.meshgrid(u, run), -1).reshape(-1, 2)
        if np.ptp(height) == 0:  # a flat disc or ring
            uv = points[:, [*range(sides), 0], :2].reshape(-1, 2)
        pieces.append(Mesh(points.reshape(-1, 3), faces, uv, uv_faces))
    return join(pieces)


def cylinder(radius: float, height: float, sides: int = 20, base: ArrayLike = (0, 0, 0)) -> Mesh:
    """An upright closed cylinder on a base point (3,)."""
    return moved(
        revolve(np.array([[0, 0], [radius, 0], [radius, height], [0, height]]), sides), base
    )


def ellipsoid(
    radii: ArrayLike, centre: ArrayLike = (0, 0, 0), power: float = 1.0, segments: int = 16
) -> Mesh:
    """A smooth ellipsoid of radii (3,) metres; a power below 1 makes it boxy, like a cushion."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)[:, None]
    longitude = np.linspace(0, 2 * np.pi, segments, endpoint=False)[None]

    def bent(values: FloatArray) -> FloatArray:
        return np.sign(values) * np.abs(values) ** power

    across = np.maximum(bent(np.cos(latitude)), 1e-3)  # poles without zero-area faces
    unit = np.stack(
        [
            across * bent(np.cos(longitude)),
            across * bent(np.sin(longitude)),
            np.broadcast_to(bent(np.sin(latitude)), (len(latitude), segments)),
        ],
        -1,
    )
    faces, uv_faces = lattice(len(latitude), segments, closed=True)
    width, height = 2 * np.pi * float(np.max(radii)), np.pi * float(np.min(radii))
    u, v = np.linspace(0, width, segments + 1), np.linspace(0, height, len(latitude))
    uv = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    vertices = (unit * np.asarray(radii, float)).reshape(-1, 3) + np.asarray(centre, float)
    return Mesh(vertices, faces, uv, uv_faces)
