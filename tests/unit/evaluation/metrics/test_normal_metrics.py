from typing import Any

import numpy as np
import pytest

from david_hf.evaluation.metrics.normals import (
    NormalPool,
    angular_error_deg,
    check_convention,
    convert_normals,
    normal_metrics,
)

FRONT = np.broadcast_to([0.0, 0, 1], (2, 2, 3))
ALL = np.ones((2, 2), bool)


def tilted(degrees: Any) -> np.ndarray:
    """Normals that many degrees off the axis to the camera."""
    angles = np.radians(degrees)
    return np.stack([np.sin(angles), 0 * angles, np.cos(angles)], -1)


def random_normals(seed: int, height: int = 12, width: int = 9) -> np.ndarray:
    normals = np.random.default_rng(seed).normal(size=(height, width, 3))
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def random_rotation(seed: int) -> np.ndarray:
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return rotation * np.linalg.det(rotation)


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 11.0, 90.0, 179.0])
def test_angles_are_exact_also_near_zero(degrees: float) -> None:
    assert angular_error_deg(3 * tilted(degrees), np.array([0, 0, 1])) == pytest.approx(
        degrees, abs=1e-9
    )


def test_angles_are_those_of_the_cosine_similarity() -> None:
    prediction, target = random_normals(0), random_normals(1)

    cosine = np.clip((prediction * target).sum(-1), -1, 1)

    np.testing.assert_allclose(
        angular_error_deg(5 * prediction, target), np.degrees(np.arccos(cosine)), rtol=1e-9
    )


def test_a_normal_without_length_is_90_degrees_off() -> None:
    zero = np.zeros(3)

    assert angular_error_deg(zero, np.array([0.0, 0, 1])) == 90
    assert angular_error_deg(np.array([0.0, 0, 1]), zero) == 90


def test_errors_have_their_textbook_values() -> None:
    metrics = normal_metrics(tilted([[0.0, 20.0], [25.0, 60.0]]), FRONT, ALL)

    assert metrics == pytest.approx(
        {
            "mean_deg": 26.25,
            "median_deg": 22.5,
            "rmse_deg": np.sqrt((400 + 625 + 3600) / 4),
            "under_5": 0.25,
            "under_7.5": 0.25,
            "under_11.25": 0.25,
            "under_22.5": 0.5,
            "under_30": 0.75,
        }
    )


def test_shares_are_told_by_their_limits() -> None:
    for limit in (5, 7.5, 11.25, 22.5, 30):
        below, above = tilted(np.full((2, 2), limit - 1e-6)), tilted(np.full((2, 2), limit + 1e-6))
        assert normal_metrics(below, FRONT, ALL)[f"under_{limit:g}"] == 1
        assert normal_metrics(above, FRONT, ALL)[f"under_{limit:g}"] == 0


def test_metrics_do_not_depend_on_rotation_length_orientation_or_precision() -> None:
    prediction, target = random_normals(0), random_normals(1)
    mask = np.random.default_rng(2).random((12, 9)) > 0.4
    rotation = random_rotation(3)

    metrics = normal_metrics(prediction, target, mask)

    assert normal_metrics(prediction @ rotation, target @ rotation, mask) == pytest.approx(metrics)
    assert normal_metrics(7 * prediction, target, mask) == pytest.approx(metrics)
    turned = [values.swapaxes(0, 1) for values in (prediction, target, mask)]
    assert normal_metrics(*turned) == pytest.approx(metrics)
    single = normal_metrics(prediction.astype(np.float32), target.astype(np.float32), mask)
    assert single == pytest.approx(metrics, rel=1e-6)


def test_only_the_mask_counts() -> None:
    prediction = FRONT.copy()
    prediction[0, 0] = np.nan

    assert normal_metrics(prediction, FRONT, ~np.isnan(prediction[..., 0]))["mean_deg"] == 0


@pytest.mark.parametrize(
    ("prediction", "mask", "message"),
    [
        (FRONT, ~ALL, r"at least 1 pixel, got 0"),
        (FRONT, ALL * 1.0, r"mask of booleans"),
        (FRONT * np.nan, ALL, r"finite prediction"),
        (FRONT.transpose(2, 0, 1), ALL, r"\(3, 2, 2\), \(2, 2, 3\) and \(2, 2\)"),
        (FRONT, ALL[:1], r"\(1, 2\)"),
    ],
)
def test_unfit_input_is_refused(prediction: np.ndarray, mask: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normal_metrics(prediction, FRONT, mask)
    with pytest.raises(ValueError, match=message):
        NormalPool().add(prediction, FRONT, mask)


def test_a_pool_weighs_pixels_alike_and_not_images() -> None:
    pool = NormalPool()
    pool.add(tilted([[20.0]]), FRONT[:1, :1], ALL[:1, :1])
    pool.add(
        tilted([[0.0, 0.0, 10.0]]), np.broadcast_to(FRONT[0, 0], (1, 3, 3)), np.ones((1, 3), bool)
    )

    metrics = pool.metrics()

    assert metrics["mean_deg"] == pytest.approx(7.5)
    assert metrics["rmse_deg"] == pytest.approx(np.sqrt(125))
    assert metrics["median_deg"] == pytest.approx(5, abs=1e-5)
    assert (metrics["under_5"], metrics["under_11.25"], metrics["under_22.5"]) == (0.5, 0.75, 1)


def test_a_pool_has_the_metrics_of_all_pixels_at_once() -> None:
    prediction, target = random_normals(0, 40), random_normals(1, 40)
    mask = np.ones((40, 9), bool)
    pool = NormalPool()
    for rows in (slice(0, 3), slice(3, 40)):
        pool.add(prediction[rows], target[rows], mask[rows])

    pooled, at_once = pool.metrics(), normal_metrics(prediction, target, mask)

    assert pooled["median_deg"] == pytest.approx(at_once["median_deg"], abs=1e-5)
    assert pooled == pytest.approx(at_once, rel=1e-6)


def test_the_median_of_many_equal_errors_is_within_its_step() -> None:
    pool = NormalPool()
    for degrees in (0.0, 30.0, 180.0):
        pool.add(
            tilted(np.full((10, 10), degrees)),
            np.broadcast_to(FRONT[0, 0], (10, 10, 3)),
            np.ones((10, 10), bool),
        )

    assert pool.metrics()["median_deg"] == pytest.approx(30, abs=1e-5)


def test_an_empty_pool_has_no_metrics() -> None:
    with pytest.raises(ValueError, match="at least 1 image in the pool"):
        NormalPool().metrics()


def test_normals_of_opencv_point_up_and_to_the_camera_once_converted() -> None:
    up_and_near = np.array([[[0.1, -0.6, -0.8]]], np.float32)

    converted = convert_normals(up_and_near, "opencv")

    np.testing.assert_allclose(converted, [[[0.1, 0.6, 0.8]]], rtol=1e-6)
    assert converted.dtype == np.float32
    np.testing.assert_array_equal(convert_normals(converted, "opengl"), converted)


def test_normals_of_a_blender_scene_are_turned_into_the_frame_of_its_camera() -> None:
    # A camera on the Y axis that looks along it, Z of the world being up.
    pose = np.eye(4)
    pose[:3, :3] = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    pose[:3, 3] = [0, -5, 1]
    faces_camera, faces_sky = [0.0, -1, 0], [0.0, 0, 1]

    converted = convert_normals(np.array([faces_camera, faces_sky]), "blender_world", pose)

    np.testing.assert_allclose(converted, [[0, 0, 1], [0, 1, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("convention", "camera", "message"),
    [
        ("directx", None, r"opengl, opencv, blender_world, got 'directx'"),
        ("blender_world", None, r"expected camera_to_world"),
        ("blender_world", 2 * np.eye(3), r"rotation \(3, 3\) or a pose \(4, 4\) without scale"),
        ("blender_world", np.eye(2), r"rotation \(3, 3\)"),
    ],
)
def test_what_cannot_be_converted_is_refused(convention: Any, camera: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert_normals(FRONT, convention, camera)


def test_normals_that_look_away_from_the_camera_are_refused() -> None:
    check_convention(FRONT, ALL)

    with pytest.raises(ValueError, match=r"normals of the prediction to face .* mean Z of -1\.00"):
        check_convention(-FRONT, ALL, "prediction")


def test_the_convention_is_judged_inside_the_mask() -> None:
    normals = FRONT.copy()
    normals[0] = [0, 0, -1]
    mask = ALL.copy()
    mask[0] = False

    check_convention(normals, mask)
    with pytest.raises(ValueError, match="face the camera"):
        check_convention(normals, ~mask)
