from pathlib import Path

import numpy as np
import pytest
from unit.synthetic.scenes import CAMERA, HEIGHT, WIDTH, scene, wall_at, write_cycles_exr

from david_hf.synthetic.mesh import normalize
from david_hf.synthetic.rendering.labels import read_render

TOWARDS_CAMERA = np.array([0.0, -1.0, 0.0])


def test_aovs_are_divided_by_the_opacity_they_were_weighted_with(tmp_path: Path) -> None:
    write_cycles_exr(tmp_path / "render.exr", wall_at(3), TOWARDS_CAMERA, opacity=0.5)

    render = read_render(tmp_path / "render.exr", scene())

    np.testing.assert_allclose(render.alpha, 0.5)
    np.testing.assert_allclose(render.depth_m, 3, rtol=1e-5)
    np.testing.assert_allclose(render.normals, np.tile([0, 0, 1.0], (HEIGHT, WIDTH, 1)), atol=1e-6)
    np.testing.assert_allclose(render.colour[..., 0], 0.2)


def test_where_nothing_was_hit_there_is_no_label(tmp_path: Path) -> None:
    write_cycles_exr(tmp_path / "render.exr", wall_at(3), TOWARDS_CAMERA, opacity=0.01)

    render = read_render(tmp_path / "render.exr", scene())

    assert np.isinf(render.depth_m).all()
    assert not render.normals.any()


def test_depth_on_a_slope_is_that_of_the_pixels_centre(tmp_path: Path) -> None:
    normal = normalize(np.array([0.8, -1.0, 0.0]))
    rays = CAMERA.rays()
    rays = rays / (rays @ CAMERA.forward)[..., None]
    point = CAMERA.position + 3 * CAMERA.forward
    true = ((point - CAMERA.position) @ normal) / (rays @ normal)
    # The samples fell 0.2 pixels beside the centres.
    beside = rays + 0.2 / CAMERA.focal_px * CAMERA.right
    hit = (
        CAMERA.position
        + beside * (((point - CAMERA.position) @ normal) / (beside @ normal))[..., None]
    )
    write_cycles_exr(tmp_path / "render.exr", hit, normal)

    render = read_render(tmp_path / "render.exr", scene())

    assert np.abs((hit - CAMERA.position) @ CAMERA.forward - true).min() > 0.01
    np.testing.assert_allclose(render.depth_m, true, atol=1e-5)


def test_depth_of_a_mix_of_two_surfaces_is_left_as_it_is(tmp_path: Path) -> None:
    """A mean position far from the plane of the mean normal is no noise."""
    position = wall_at(3)
    position[..., 0] += 0.5
    normal = normalize(np.array([0.5, -1.0, 0.0]))
    write_cycles_exr(tmp_path / "render.exr", position, normal)

    np.testing.assert_allclose(read_render(tmp_path / "render.exr", scene()).depth_m, 3, rtol=1e-5)


def test_a_render_without_labels_is_refused(tmp_path: Path) -> None:
    from david_hf.synthetic.rendering.sample_files import write_exr

    write_exr(tmp_path / "render.exr", R=np.ones((4, 4)))

    with pytest.raises(ValueError, match=r"lacks the passes \['C', 'Combined', 'N', 'P'\]"):
        read_render(tmp_path / "render.exr", scene())
