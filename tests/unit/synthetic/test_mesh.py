import numpy as np

from david_hf.synthetic.mesh import (
    Mesh,
    neighbour_mean,
    tessellate,
    vertex_normals,
)


def plane(cells: int) -> Mesh:
    """The unit square at z = 0 in triangles, looking up."""
    y, x = np.mgrid[0 : cells + 1, 0 : cells + 1] / cells
    vertices = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1)
    corner = np.arange((cells + 1) ** 2).reshape(cells + 1, -1)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    faces = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )
    return Mesh(vertices, faces, vertices[:, :2], faces)


def test_normals_of_a_plane_point_up() -> None:
    mesh = plane(3)

    np.testing.assert_allclose(
        vertex_normals(mesh.vertices, mesh.faces), np.tile([0, 0, 1.0], (16, 1)), atol=1e-9
    )


def test_the_neighbour_mean_keeps_constants_and_smooths_spikes() -> None:
    mesh = plane(3)
    smooth = neighbour_mean(mesh.faces, 16)

    np.testing.assert_allclose(smooth @ np.ones(16), np.ones(16))
    spike = np.zeros(16)
    spike[5] = 1
    assert (smooth @ spike)[5] == 0
    assert (smooth @ spike).max() < 0.5


def test_a_tessellated_ball_is_rounder_and_keeps_its_vertices() -> None:
    from unit.synthetic.heads import RADIUS, ball_head

    head = ball_head()
    mesh = Mesh(head.skin, head.faces, head.skin[:, :2], head.faces)

    fine = tessellate(mesh)

    assert len(fine.faces) == 4 * len(mesh.faces)
    surface = head.skin[: head.faces.max() + 1]
    np.testing.assert_allclose(fine.vertices[: len(surface)], surface)
    ends = head.skin[np.unique(np.sort(head.faces[:, :2]), axis=0)]
    chord = RADIUS - np.linalg.norm(ends.mean(1), axis=1).mean()
    lifted = np.abs(np.linalg.norm(fine.vertices[len(surface) :], axis=1) - RADIUS).mean()
    assert lifted < 0.5 * chord
