from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from david_hf.data.geometry import GeometricAugmentations, Placement, place_in_square
from david_hf.data.sample import HumanSample

FOCAL = 80.0
HEIGHT, WIDTH = 60, 40


def tilted_plane(height: int = HEIGHT, width: int = WIDTH) -> HumanSample:
    """The plane n . p = -2 in the data set's frame, seen by a centred camera."""
    normal = np.array([0.3, 0.2, 0.9])
    normal /= np.linalg.norm(normal)
    intrinsics = np.array([[FOCAL, 0, width / 2], [0, FOCAL, height / 2], [0, 0, 1.0]])
    depth = plane_depth(intrinsics, normal, height, width)
    y, x = np.mgrid[0:height, 0:width] + 0.5
    image = np.stack([x / width, y / height, np.full_like(x, 0.5)], -1)
    return HumanSample(
        image=image.astype(np.float32),
        alpha=np.ones((height, width), np.float32),
        depth_m=depth.astype(np.float32),
        normals=np.broadcast_to(normal, (height, width, 3)).astype(np.float32),
        valid=np.ones((height, width), bool),
        intrinsics=intrinsics,
        category="",
        identifier="plane",
        source="test",
    )


def plane_depth(intrinsics: np.ndarray, normal: np.ndarray, height: int, width: int) -> np.ndarray:
    """Z-depth of the plane n . p = -2 at every pixel's centre."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    rays = np.linalg.inv(intrinsics) @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    towards = (rays * [[1], [-1], [-1]]).T  # x right, y up, z to the camera
    return (-2 / (towards @ normal)).reshape(height, width)


PLACEMENTS = {
    "fitted": Placement(),
    "zoomed": Placement(zoom=1.7),
    "shrunk": Placement(zoom=0.5),
    "shifted": Placement(shift=(0.2, -0.1)),
    "turned": Placement(angle=0.4),
    "mirrored": Placement(mirror=True),
    "all": Placement(1.3, (-0.1, 0.15), -0.3, True),
}


@pytest.mark.parametrize("name", PLACEMENTS)
def test_picture_depth_normals_and_camera_still_belong_together(name: str) -> None:
    sample, placement = tilted_plane(), PLACEMENTS[name]

    placed = place_in_square(sample, 96, placement)

    inside = cv2.erode(placed.valid.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert inside.mean() > 0.1
    normal = placed.normals[inside].mean(0)
    expected = plane_depth(placed.intrinsics, normal, 96, 96)
    np.testing.assert_allclose(placed.depth_m[inside], expected[inside], rtol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(placed.normals[placed.valid], axis=-1), 1, atol=1e-5)
    focal = FOCAL * 96 / HEIGHT * placement.zoom
    np.testing.assert_allclose(
        placed.intrinsics[[0, 0, 1, 1], [0, 1, 0, 1]], [focal, 0, 0, focal], atol=1e-9
    )


def test_a_pixel_goes_where_the_camera_says() -> None:
    sample = tilted_plane()
    sample.image[:] = 0
    sample.image[42, 30] = 1
    point = np.linalg.inv(sample.intrinsics) @ [30.5, 42.5, 1]  # a ray, x right, y down
    placement = Placement(1.5, (-0.05, -0.1), 0.25)

    placed = place_in_square(sample, 120, placement)

    turned = np.array([[np.cos(0.25), -np.sin(0.25)], [np.sin(0.25), np.cos(0.25)]]) @ point[:2]
    expected = placed.intrinsics @ [*turned, 1]
    weights = placed.image[..., 0]
    y, x = np.mgrid[0:120, 0:120] + 0.5
    centre = [(weights * x).sum() / weights.sum(), (weights * y).sum() / weights.sum()]
    np.testing.assert_allclose(centre, expected[:2], atol=0.1)


def test_a_mirrored_picture_has_the_opposite_x_of_normals() -> None:
    sample = tilted_plane(40, 40)

    placed = place_in_square(sample, 40, Placement(mirror=True))

    np.testing.assert_allclose(placed.image, sample.image[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(placed.normals[..., 0], -sample.normals[:, ::-1, 0], atol=1e-6)
    np.testing.assert_allclose(placed.normals[..., 1:], sample.normals[:, ::-1, 1:], atol=1e-6)


def test_the_border_is_repeated_but_has_no_surface() -> None:
    placed = place_in_square(tilted_plane(60, 40), 60, Placement())

    assert (placed.valid == (np.arange(60) >= 10) & (np.arange(60) < 50)).all()
    np.testing.assert_allclose(placed.image[:, 0], placed.image[:, 10], atol=1e-6)
    np.testing.assert_array_equal(placed.alpha, 1)
    assert not placed.depth_m[~placed.valid].any()
    assert not placed.normals[~placed.valid].any()


def test_depth_and_normals_do_not_mix_with_what_is_unknown() -> None:
    sample = tilted_plane()
    valid = np.zeros(sample.size, bool)
    valid[:, :20] = True
    half = replace(
        sample,
        valid=valid,
        depth_m=sample.depth_m * valid,
        normals=sample.normals * valid[..., None],
    )

    placed = place_in_square(half, 90, Placement(angle=0.2))

    known = placed.valid
    assert placed.depth_m[known].min() > 0.9 * sample.depth_m.min()
    assert (placed.normals[known] @ [0, 0, 1]).min() > 0.9


def test_a_fine_pattern_is_averaged_when_shrunk_and_not_aliased() -> None:
    sample = tilted_plane(64, 64)
    sample.image[:] = (np.arange(64) % 2)[:, None]

    placed = place_in_square(sample, 64, Placement(zoom=0.25))

    np.testing.assert_allclose(placed.image[28:36, 28:36], 0.5, atol=0.01)


def test_labels_that_are_unknown_stay_unknown() -> None:
    bare = replace(tilted_plane(), alpha=None, depth_m=None, normals=None, intrinsics=None)

    placed = place_in_square(bare, 32, Placement(zoom=1.2))

    assert placed.alpha is placed.depth_m is placed.normals is placed.intrinsics is None
    assert placed.image.shape == (32, 32, 3)


def test_the_same_seed_draws_the_same_placement_and_probabilities_hold() -> None:
    augmentations = GeometricAugmentations()
    drawn = [augmentations.draw(np.random.default_rng([1, i])) for i in range(2000)]

    assert drawn[:5] == [augmentations.draw(np.random.default_rng([1, i])) for i in range(5)]
    assert np.mean([d.mirror for d in drawn]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([d.zoom == 1 for d in drawn]) == pytest.approx(0.2, abs=0.04)
    assert np.mean([d.angle == 0 for d in drawn]) == pytest.approx(0.7, abs=0.05)
    assert 0.7 <= min(d.zoom for d in drawn) < 0.75
    assert 1.5 < max(d.zoom for d in drawn) <= 1.6
    assert max(abs(d.angle) for d in drawn) <= np.radians(12)


@pytest.mark.parametrize("zoom", [(0.0, 1.0), (1.5, 0.5), 1.0])
def test_a_zoom_that_is_no_range_is_refused(zoom: Any) -> None:
    with pytest.raises(ValueError, match="zoom: expected"):
        GeometricAugmentations(zoom=zoom)


def test_nothing_is_drawn_where_every_probability_is_zero() -> None:
    still = GeometricAugmentations(
        zoom_probability=0, shift_probability=0, rotation_probability=0, mirror_probability=0
    )

    assert still.draw(np.random.default_rng(0)) == Placement()
