import numpy as np
import pytest

from david_hf.synthetic import shapes
from david_hf.synthetic.mesh import Mesh, vertex_normals


def volume(mesh: Mesh) -> float:
    """Of a closed mesh; negative if its faces look inwards."""
    corners = mesh.vertices[mesh.faces]
    return float(np.linalg.det(corners).sum() / 6)


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        (shapes.box([1, 2, 3], [4, 5, 6]), 6.0),
        (shapes.cylinder(0.5, 2.0, 256), np.pi / 2),
        (shapes.ellipsoid([1, 2, 3], segments=128), 8 * np.pi),
        (shapes.tube([[0, 0, 0], [0, 0, 1], [0, 0, 3]], 0.1, 128), 0.03 * np.pi),
    ],
    ids=["box", "cylinder", "ellipsoid", "tube"],
)
def test_solids_have_their_volume_and_look_outwards(mesh: Mesh, expected: float) -> None:
    assert volume(mesh) == pytest.approx(expected, rel=0.01)


def test_a_bevel_takes_the_twelve_edges_off_a_box() -> None:
    bevelled = shapes.box([1, 1, 1], bevel=0.1)
    edges, corners = 12 * 0.8 * 0.1**2 / 2, 8 * 5 / 6 * 0.1**3
    assert volume(bevelled) == pytest.approx(1 - edges - corners)


def test_the_faces_of_a_box_are_shaded_flat() -> None:
    mesh = shapes.box([1, 2, 3], bevel=0.05)
    normals = vertex_normals(mesh.vertices, mesh.faces)[mesh.faces]
    assert np.allclose(normals, normals[:, :1], atol=1e-6)


def test_a_ball_is_shaded_smoothly_across_the_seam_of_its_texture() -> None:
    mesh = shapes.ellipsoid([1, 1, 1], segments=48)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    assert ((normals * mesh.vertices).sum(1) > 0.997).all()


def test_a_profile_is_creased_only_where_it_bends_sharply() -> None:
    sharp = shapes.revolve([[0.5, 0], [0.5, 1], [0.1, 1]], 8)
    soft = shapes.revolve([[0.5, 0], [0.5, 1], [0.45, 2]], 8)
    assert (len(sharp.vertices), len(soft.vertices)) == (32, 24)


def test_texture_coordinates_are_metres_unless_a_picture_is_fitted() -> None:
    wall = shapes.quad([1, 1, 1], [3, 0, 0], [0, 0, 2])
    view = shapes.quad([1, 1, 1], [3, 0, 0], [0, 0, 2], fit=True)
    assert wall.uv.max(0).tolist() == [3, 2]
    assert view.uv.max(0).tolist() == [1, 1]


def test_the_grain_of_a_board_runs_along_it() -> None:
    board = shapes.box([0.1, 2.0, 0.02])
    assert board.uv[:, 0].max() == pytest.approx(2.0)
    assert board.uv[:, 1].max() == pytest.approx(0.1)


def test_a_tube_keeps_its_radius_through_bends() -> None:
    angle = np.linspace(0, np.pi, 33)
    path = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1)
    mesh = shapes.tube(path, 0.1, 12, caps=False)
    ring = mesh.vertices.reshape(33, 12, 3)
    assert np.allclose(np.linalg.norm(ring - path[:, None], axis=-1), 0.1)
    assert np.allclose(ring.mean(1), path)


def test_copies_keep_their_own_vertices() -> None:
    mesh = shapes.quad([0, 0, 0], [1, 0, 0], [0, 1, 0])
    turns = np.stack([shapes.turn(0), shapes.turn(90)])
    two = shapes.scatter(mesh, turns, np.array([[0, 0, 0], [5.0, 0, 0]]), np.array([1.0, 2.0]))
    assert two.vertices[two.faces[2:]].reshape(-1, 3).min(0).tolist() == pytest.approx([3, 0, 0])
    assert len(two.vertices) == 8
