import numpy as np
import pytest
from unit.synthetic.test_mesh import plane

from david_hf.synthetic.humans.surface_points import TexelMap, bind, scatter


def test_bound_points_ride_on_a_surface_that_bends() -> None:
    mesh = plane(6)
    wanted = np.array([[0.31, 0.77, 0.2], [0.5, 0.12, -0.1]])

    bound = bind(wanted, mesh.vertices, mesh.faces)

    np.testing.assert_allclose(bound.of(mesh.vertices)[:, :2], wanted[:, :2], atol=1e-9)
    bent = mesh.vertices + mesh.vertices[:, :1] * [0, 0, 2.0]
    np.testing.assert_allclose(bound.of(bent)[:, 2], 2 * wanted[:, 0], atol=1e-9)


def test_points_scatter_as_densely_as_they_should() -> None:
    mesh = plane(10)
    density = (mesh.vertices[:, 0] > 0.5).astype(float)

    points = scatter(np.random.default_rng(0), mesh.vertices, mesh.faces, density, 3000)

    x = points.of(mesh.vertices)[:, 0]
    assert x.min() > 0.39
    assert (x > 0.6).mean() == pytest.approx(0.4 / 0.45, abs=0.05)
    with pytest.raises(ValueError, match="density above zero"):
        scatter(np.random.default_rng(0), mesh.vertices, mesh.faces, 0 * density, 3)


def test_a_field_is_painted_where_its_vertices_are() -> None:
    mesh = plane(5)

    painted = TexelMap(mesh, 64).paint(mesh.vertices[:, 1])

    rows = (63.5 - np.arange(64)) / 64  # v runs upwards
    np.testing.assert_allclose(painted, np.tile(rows[:, None], (1, 64)), atol=0.03)
