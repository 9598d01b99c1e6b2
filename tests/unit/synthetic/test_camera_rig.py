from dataclasses import replace

import numpy as np
import pytest

from david_hf.synthetic.stage.camera_rig import Camera, direction_from, frame_points

FRONT = np.array([0.0, -1.0, 0.0])


def camera() -> Camera:
    """At y = -2, looking along +y, 90 degrees high."""
    return Camera(
        np.array([0.0, -2.0, 0.0]),
        np.array([1.0, 0, 0]),
        np.array([0.0, 0, 1]),
        np.array([0.0, 1, 0]),
        np.pi / 2,
        200,
        100,
    )


def test_projection_has_rows_downwards_and_depth_along_the_axis() -> None:
    pixels, depth = camera().project(np.array([[0.0, 0, 0], [0.5, 0, 1.0]]))

    np.testing.assert_allclose(pixels, [[50, 100], [75, 50]])
    np.testing.assert_allclose(depth, [2, 2])


def test_rays_project_back_onto_their_pixels() -> None:
    cam = camera()
    rays = cam.rays()

    pixels, _ = cam.project(cam.position + 3 * rays[[10, 150], [20, 90]])

    np.testing.assert_allclose(pixels, [[20.5, 10.5], [90.5, 150.5]])


def test_normals_look_right_up_and_at_the_camera() -> None:
    towards_camera = camera().to_camera_frame(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]))

    np.testing.assert_allclose(towards_camera, [[0, 0, 1], [1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("seed", range(20))
def test_all_points_are_in_the_frame(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(0, [0.3, 0.2, 0.8], (300, 3))
    direction = np.array([rng.normal(0, 0.6), -1, rng.normal(0, 0.2)])

    cam = frame_points(points, direction, 0.6, (256, 192), 1.1, roll=0.1, wish=rng.random(2))

    pixels, depth = cam.project(points)
    assert depth.min() > 0
    # The margin is 10 %; moving the figure changes its perspective by a little of that.
    assert pixels.min() > -6
    assert (pixels.max(0) < [198, 262]).all()


def test_lowest_keeps_the_figure_in_the_upper_part() -> None:
    points = np.array([[0, 0, -0.1], [0, 0, 0.1], [0.1, 0, 0], [-0.1, 0, 0]])
    centres = [
        frame_points(
            points, FRONT, 0.5, (100, 100), 2.0, 0.0, np.array([0.5, height]), lowest=0.0
        ).project(np.zeros(3))[0][0, 1]
        for height in (0.0, 0.5, 1.0)
    ]

    assert max(centres) < 51
    assert min(centres) < 40


def test_blur_grows_with_the_distance_from_the_focus() -> None:
    cam = replace(camera(), aperture_m=0.05, focus_m=2.0)

    assert cam.blur_radius_px(2.0) == 0
    # Similar triangles: a cone of 25 mm radius at the lens, one metre behind the focus of 2 m.
    assert cam.blur_radius_px(3.0) == pytest.approx(0.025 * (1 / 2 - 1 / 3) * cam.focal_px)
    assert camera().blur_radius_px(np.inf) == 0


def test_directions_point_from_the_person_to_the_camera() -> None:
    np.testing.assert_allclose(direction_from(0, 0), FRONT)
    np.testing.assert_allclose(direction_from(np.pi / 2, 0), [1, 0, 0], atol=1e-12)
    assert direction_from(1.0, 0.4)[2] == pytest.approx(np.sin(0.4))
