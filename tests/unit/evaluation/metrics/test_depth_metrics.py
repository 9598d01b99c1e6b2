import numpy as np
import pytest

from david_hf.evaluation.depth import align_scale_shift, depth_metrics
from david_hf.evaluation.matting import matting_metrics
from david_hf.evaluation.normals import angular_error_deg, normal_metrics


@pytest.mark.parametrize(("scale", "shift"), [(2.0, 0.5), (0.1, -3.0), (-1.0, 4.0)])
def test_alignment_undoes_any_affine_map(scale: float, shift: float) -> None:
    target = np.random.default_rng(0).random((8, 8)) + 1
    mask = np.ones((8, 8), bool)

    aligned = align_scale_shift(((target - shift) / scale).astype(np.float32), target, mask)

    np.testing.assert_allclose(aligned, target, atol=1e-5)


def test_alignment_survives_large_offsets() -> None:
    target = np.linspace(150, 152, 1000).reshape(20, 50)

    metrics = depth_metrics(1e6 + target, target, np.ones_like(target, bool))

    assert metrics["rmse_m"] < 1e-6


def test_only_the_mask_counts() -> None:
    target = np.arange(1.0, 17).reshape(4, 4)
    prediction = target.copy()
    prediction[0] = 1e6
    mask = np.ones((4, 4), bool)
    mask[0] = False

    assert depth_metrics(prediction, target, mask)["abs_rel"] == pytest.approx(0, abs=1e-12)


def test_depth_errors_have_their_textbook_values() -> None:
    # Predictions that do not correlate with the target are aligned to its mean, 2.
    target, mask = np.array([[1.0, 3.0, 1.0, 3.0]]), np.ones((1, 4), bool)

    metrics = depth_metrics(np.array([[0.0, 0.0, 1.0, 1.0]]), target, mask)

    assert metrics["rmse_m"] == pytest.approx(1)
    assert metrics["abs_rel"] == pytest.approx((1 + 1 / 3) / 2)
    assert metrics["delta1"] == 0


def test_an_empty_mask_is_refused() -> None:
    zeros = np.zeros((2, 2))

    with pytest.raises(ValueError, match="at least 2 pixels"):
        depth_metrics(zeros, zeros, zeros > 0)
    with pytest.raises(ValueError, match="selects no pixel"):
        normal_metrics(np.zeros((2, 2, 3)), np.zeros((2, 2, 3)), zeros > 0)


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 11.0, 90.0, 179.0])
def test_angles_are_exact_also_near_zero(degrees: float) -> None:
    angle = np.radians(degrees)
    turned = np.array([np.sin(angle), 0, np.cos(angle)])

    assert angular_error_deg(3 * turned, np.array([0, 0, 1])) == pytest.approx(degrees, abs=1e-9)


def test_normal_shares_count_pixels() -> None:
    angles = np.radians([[0.0, 20.0], [25.0, 60.0]])
    prediction = np.stack([np.sin(angles), 0 * angles, np.cos(angles)], -1)
    target = np.broadcast_to([0.0, 0, 1], (2, 2, 3))

    metrics = normal_metrics(prediction, target, np.ones((2, 2), bool))

    assert metrics["mean_deg"] == pytest.approx(26.25)
    assert metrics["median_deg"] == pytest.approx(22.5)
    assert (metrics["under_11.25"], metrics["under_22.5"], metrics["under_30"]) == (0.25, 0.5, 0.75)


def test_matting_errors_have_their_textbook_values() -> None:
    target = np.array([[1.0, 1.0], [0.0, 0.0]])
    prediction = np.array([[1.0, 0.0], [0.5, 0.0]])

    metrics = matting_metrics(prediction, target)

    assert metrics["sad"] == pytest.approx(0.0015)
    assert metrics["mad"] == pytest.approx(0.375)
    assert metrics["mse"] == pytest.approx((1 + 0.25) / 4)
    assert metrics["iou"] == pytest.approx(0.5)


def test_matting_wants_one_size() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(3, 2\)"):
        matting_metrics(np.zeros((2, 2)), np.zeros((3, 2)))
