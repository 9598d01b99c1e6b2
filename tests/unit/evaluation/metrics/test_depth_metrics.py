from itertools import combinations
from typing import Any

import numpy as np
import pytest

from david_hf.evaluation.metrics.depth import align, align_group, depth_metrics, rank_correlation
from david_hf.evaluation.metrics.fits import (
    fit_median_mad,
    fit_scale_lad,
    fit_scale_shift,
    fit_scale_shift_lad,
    fit_trimmed,
)

ALL = np.ones((8, 8), bool)


def made_depth(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((8, 8)) + 1


@pytest.mark.parametrize("estimator", ["lstsq", "lad", "trimmed"])
@pytest.mark.parametrize(("scale", "shift"), [(2.0, 0.5), (0.1, -3.0), (-1.0, 4.0)])
def test_alignment_undoes_any_affine_map(scale: float, shift: float, estimator: Any) -> None:
    target = made_depth()

    aligned = align(((target - shift) / scale).astype(np.float32), target, ALL, estimator=estimator)

    assert aligned.dtype == np.float64
    np.testing.assert_allclose(aligned, target, atol=1e-5)


def test_median_and_mean_deviation_undo_a_map_of_positive_scale() -> None:
    target = made_depth()

    aligned = align((target - 4) / 2, target, ALL, estimator="median_mad")
    flipped = align(-target, target, ALL, estimator="median_mad")

    np.testing.assert_allclose(aligned, target)
    np.testing.assert_allclose(flipped, 2 * np.median(target) - target)


def test_median_and_mean_deviation_are_those_of_the_formula() -> None:
    # Median 2, mean distance to it 4 / 3; wanted: 20 and 40 / 3.
    scale, shift = fit_median_mad(np.array([1.0, 2, 5]), np.array([10.0, 20, 50]))

    assert (scale, shift) == pytest.approx((10, 0))


@pytest.mark.parametrize("method", ["scale", "median"])
def test_a_factor_is_undone_without_a_shift(method: Any) -> None:
    target = made_depth()

    np.testing.assert_allclose(align(target / 7, target, ALL, method), target)
    shifted = align(target - 1, target, ALL, method)
    assert np.abs(shifted - target).max() > 0.01


def test_the_scale_by_least_squares_is_that_of_the_formula() -> None:
    target, prediction = np.array([[1.0, 5.0]]), np.array([[1.0, 2.0]])

    aligned = align(prediction, target, np.ones((1, 2), bool), "scale")

    np.testing.assert_allclose(aligned, prediction * 11 / 5)


def test_the_ratio_of_medians_aligns_by_medians() -> None:
    target, prediction = np.array([[3.0, 6.0, 100.0]]), np.array([[1.0, 2.0, 50.0]])

    aligned = align(prediction, target, np.ones((1, 3), bool), "median")

    np.testing.assert_allclose(aligned, [[3, 6, 150]])


def test_without_a_method_the_prediction_is_taken_as_metres() -> None:
    target = made_depth()

    np.testing.assert_array_equal(align(target, target, ALL, "none"), target)
    assert depth_metrics(target + 0.5, target, ALL, "none")["rmse_m"] == pytest.approx(0.5)


def test_least_squares_are_the_closed_form_of_midas() -> None:
    rng = np.random.default_rng(3)
    prediction, target = rng.random((8, 8)), rng.random((8, 8)) + 2
    mask = rng.random((8, 8)) > 0.3

    aligned = align(prediction, target, mask)

    p, d, m = prediction, target, mask.astype(float)
    a00, a01, a11 = (m * p * p).sum(), (m * p).sum(), m.sum()
    b0, b1 = (m * p * d).sum(), (m * d).sum()
    det = a00 * a11 - a01**2
    scale, shift = (a11 * b0 - a01 * b1) / det, (-a01 * b0 + a00 * b1) / det
    np.testing.assert_allclose(aligned, scale * p + shift, rtol=1e-12)


def test_disparity_is_fitted_to_the_inverse_of_depth() -> None:
    target = made_depth()
    prediction = 3 / target - 0.2

    np.testing.assert_allclose(align(prediction, target, ALL, space="disparity"), target)
    assert depth_metrics(prediction, target, ALL)["rmse_m"] > 0.02


def test_disparity_below_that_of_the_farthest_depth_is_raised_to_it() -> None:
    target, mask = np.array([[1.0, 2.0, 4.0]]), np.array([[True, True, False]])

    aligned = align(np.array([[1.0, 0.5, -3.0]]), target, mask, space="disparity", max_depth_m=5)

    np.testing.assert_allclose(aligned, [[1, 2, 5]])


def test_a_target_beyond_the_farthest_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"within max_depth_m = 10, got 12 m"):
        align(ALL * 1.0, ALL * 12.0, ALL, space="disparity")


def test_large_offsets_lose_no_digits() -> None:
    target = np.linspace(150, 152, 1000).reshape(20, 50)

    metrics = depth_metrics(1e6 + target, target, np.ones_like(target, bool))

    assert metrics["rmse_m"] < 1e-6


def test_precision_of_the_input_is_no_matter() -> None:
    prediction, target = made_depth(1).astype(np.float32), made_depth(2).astype(np.float32)

    single = depth_metrics(prediction, target, ALL)
    double = depth_metrics(prediction.astype(np.float64), target.astype(np.float64), ALL)

    assert single == double


def test_a_constant_prediction_is_aligned_to_the_mean() -> None:
    target = np.array([[1.0, 3.0], [1.0, 3.0]])

    aligned = align(np.full((2, 2), 7.0), target, np.ones((2, 2), bool))

    np.testing.assert_allclose(aligned, 2)


@pytest.mark.parametrize("seed", range(12))
def test_least_absolute_deviations_are_least(seed: int) -> None:
    # Some best line goes through two of the points; small whole numbers bring ties.
    rng = np.random.default_rng(seed)
    size = int(rng.integers(3, 12))
    values = rng.integers(-4, 5, size).astype(float) if seed % 2 else rng.normal(size=size)
    wanted = rng.integers(0, 5, size).astype(float) if seed % 2 else rng.standard_cauchy(size)

    scale, shift = fit_scale_shift_lad(values, wanted)

    lines = [(0.0, float(np.median(wanted)))]
    for i, j in combinations(range(size), 2):
        if values[i] != values[j]:
            slope = (wanted[i] - wanted[j]) / (values[i] - values[j])
            lines.append((slope, wanted[i] - slope * values[i]))
    least = min(np.abs(s * values + t - wanted).sum() for s, t in lines)
    assert np.abs(scale * values + shift - wanted).sum() == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_least_absolute_scale_is_least(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, wanted = rng.normal(size=9), rng.normal(size=9)
    values[0] = 0

    scale, _ = fit_scale_lad(values, wanted)

    least = min(np.abs(s * values - wanted).sum() for s in wanted[1:] / values[1:])
    assert np.abs(scale * values - wanted).sum() == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("estimator", ["lad", "trimmed"])
@pytest.mark.parametrize("method", ["scale_shift", "scale"])
def test_robust_fits_ignore_a_fifth_of_wrong_targets(method: Any, estimator: Any) -> None:
    target = made_depth()
    wrong = target.copy()
    wrong.flat[:12] += 50

    aligned = align(target / 3, wrong, ALL, method, estimator=estimator)

    np.testing.assert_allclose(aligned, target, rtol=1e-9)
    assert np.abs(align(target / 3, wrong, ALL, method) - target).max() > 1


def test_a_trimmed_fit_is_the_least_squares_of_what_it_keeps() -> None:
    rng = np.random.default_rng(5)
    values = rng.random(50)
    wanted = 2 * values + 1 + rng.standard_t(2, 50)

    scale, shift = fit_trimmed(values, wanted, with_shift=True)

    kept = np.argsort(np.abs(scale * values + shift - wanted))[:40]
    assert (scale, shift) == pytest.approx(fit_scale_shift(values[kept], wanted[kept]))


@pytest.mark.parametrize("fit", [fit_scale_shift, fit_scale_shift_lad, fit_median_mad])
def test_fits_of_constant_values_have_no_scale(fit: Any) -> None:
    scale, shift = fit(np.full(5, 0.3), np.array([1.0, 2, 3, 4, 5]))

    assert (scale, shift) == pytest.approx((0, 3))


def test_a_group_is_aligned_by_one_fit() -> None:
    target = made_depth()
    half = np.zeros((8, 8), bool)
    half[:4] = True
    group = [(target * 2 + 1, target, half), (target * 2 + 1, target, ~half)]

    first, second = align_group(group)
    alone = align_group([(target * 2, target, ALL), (target * 2 + 1, target, ALL)])

    np.testing.assert_allclose([first, second], [target, target])
    # No single fit suits both.
    assert np.abs(alone[0] - target).max() > 0.1
    np.testing.assert_allclose(alone[1] - alone[0], (alone[1] - alone[0])[0, 0])


def test_a_group_may_differ_in_size_and_have_an_empty_mask() -> None:
    target, wide = made_depth(), np.ones((2, 20))
    group = [(2 * target, target, ALL), (wide, wide, np.zeros((2, 20), bool))]

    first, second = align_group(group)

    np.testing.assert_allclose(first, target)
    np.testing.assert_allclose(second, 0.5)


def test_only_the_mask_counts() -> None:
    target = np.arange(1.0, 17).reshape(4, 4)
    prediction = target.copy()
    prediction[0] = [1e6, np.nan, np.inf, -1]
    mask = np.ones((4, 4), bool)
    mask[0] = False
    target[0, 0] = np.nan

    assert depth_metrics(prediction, target, mask)["abs_rel"] == pytest.approx(0, abs=1e-12)
    prediction[1:] = 7
    np.testing.assert_allclose(align(prediction, target, mask)[1:], 10.5)


def test_errors_have_their_textbook_values() -> None:
    # Predictions that do not correlate with the target are aligned to its mean, 2.
    target, mask = np.array([[1.0, 3.0, 1.0, 3.0]]), np.ones((1, 4), bool)

    metrics = depth_metrics(np.array([[0.0, 0.0, 1.0, 1.0]]), target, mask)

    assert metrics == pytest.approx(
        {
            "rmse_m": 1,
            "abs_rel": (1 + 1 / 3) / 2,
            "sq_rel": (1 + 1 / 3) / 2,
            "log10": (np.log10(2) + np.log10(1.5)) / 2,
            # e is ln 2 and ln 2 - ln 3: its standard deviation is half the distance.
            "silog": 100 * np.log(3) / 2,
            "delta1": 0,
            "delta2": 0.5,
            "delta3": 0.5,
            "rank": 0,
        }
    )


def test_the_share_of_the_mean_in_silog_is_a_setting() -> None:
    target, mask = np.array([[1.0, 1.0]]), np.ones((1, 2), bool)
    prediction = np.exp([[0.1, 0.3]])

    def silog(**settings: float) -> float:
        return depth_metrics(prediction, target, mask, "none", **settings)["silog"]

    assert silog() == pytest.approx(100 * 0.1)
    assert silog(silog_lambda=0.5) == pytest.approx(100 * np.sqrt(0.05 - 0.02))
    assert silog(silog_lambda=0) == pytest.approx(100 * np.sqrt(0.05))


def test_a_ratio_of_exactly_the_limit_is_outside() -> None:
    target, mask = np.array([[1.0, 1.0, 1.25, 1.5625]]), np.ones((1, 4), bool)

    metrics = depth_metrics(np.array([[1.25, 1.2, 1.0, 1.0]]), target, mask, "none")

    assert (metrics["delta1"], metrics["delta2"], metrics["delta3"]) == (0.25, 0.75, 1)


def test_depth_behind_the_camera_is_outside_and_its_metrics_are_finite() -> None:
    target, mask = np.array([[1.0, 1.0]]), np.ones((1, 2), bool)

    metrics = depth_metrics(np.array([[-2.0, 1.0]]), target, mask, "none")

    assert metrics["delta3"] == 0.5
    assert metrics["abs_rel"] == 1.5
    assert metrics["log10"] == pytest.approx(1.5)


def test_rank_correlation_sees_order_alone() -> None:
    wanted = np.array([1.0, 2.0, 4.0, 9.0])

    assert rank_correlation(np.exp(wanted), wanted) == pytest.approx(1)
    assert rank_correlation(-wanted, wanted) == pytest.approx(-1)
    assert rank_correlation(np.ones(4), wanted) == 0
    # 1 - 6 sum d^2 / (n (n^2 - 1)), with two neighbours exchanged.
    assert rank_correlation(np.array([1.0, 4.0, 2.0, 9.0]), wanted) == pytest.approx(0.8)


def test_metrics_do_not_depend_on_scale_shift_or_orientation() -> None:
    prediction, target, mask = made_depth(1), made_depth(2), made_depth(3) > 1.2

    metrics = depth_metrics(prediction, target, mask)

    assert depth_metrics(9 - 4 * prediction, target, mask) == pytest.approx(metrics)
    assert depth_metrics(prediction.T, target.T, mask.T) == pytest.approx(metrics)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": ~ALL}, r"at least 2 pixels, got 0"),
        ({"mask": ~ALL, "method": "scale"}, r"at least 1 pixel, got 0"),
        ({"mask": ALL * 1.0}, r"mask of booleans, got float64"),
        ({"target": ALL[:4] * 1.0}, r"\(8, 8\) and \(4, 8\) and \(8, 8\); resize"),
        ({"prediction": ALL * np.nan}, r"finite prediction"),
        ({"target": ALL * np.inf}, r"finite target"),
        ({"target": ALL * 0.0}, r"target depth above 0 .* got 0"),
        ({"method": "median", "prediction": ALL * 0.0}, r"median is not 0"),
        ({"method": "median", "estimator": "lad"}, r"got 'median' with 'lad' in 'depth'"),
        ({"method": "scale", "estimator": "median_mad"}, r"go together"),
        ({"space": "log"}, r"got 'scale_shift' with 'lstsq' in 'log'"),
    ],
)
def test_unfit_input_is_refused(arguments: dict[str, Any], message: str) -> None:
    fit = {"prediction": made_depth(), "target": made_depth(), "mask": ALL}

    with pytest.raises(ValueError, match=message) as caught:
        depth_metrics(**(fit | arguments))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [3, 7, 49, 777])
def test_a_constant_prediction_gets_the_mean_of_the_target(number: int) -> None:
    constant, target = np.full((1, number), 0.1), np.linspace(1, 2, number)[None]

    assert align(constant, target, np.ones((1, number), bool)) == pytest.approx(1.5)
