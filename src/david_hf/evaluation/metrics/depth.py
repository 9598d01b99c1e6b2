"""Errors of relative depth after it was aligned to the ground truth (DAViD, tables 1 and 7)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from .checks import (
    FloatArray,
    Mask,
    require_booleans,
    require_finite,
    require_one_shape,
    require_pixels,
    require_positive_depth,
)
from .fits import (
    Fit,
    Values,
    fit_median,
    fit_median_mad,
    fit_scale,
    fit_scale_lad,
    fit_scale_shift,
    fit_scale_shift_lad,
    fit_trimmed,
)

Method = Literal["scale_shift", "scale", "median", "none"]
Space = Literal["depth", "disparity"]
Estimator = Literal["lstsq", "lad", "trimmed", "median_mad"]
Aligned = NDArray[np.float64]

# Nearest depth that is compared by ratio or logarithm: an aligned depth may lie behind the camera.
MIN_DEPTH_M = 1e-3

_FITS: dict[tuple[str, str], Callable[[Values, Values], Fit]] = {
    ("scale_shift", "lstsq"): fit_scale_shift,
    ("scale_shift", "lad"): fit_scale_shift_lad,
    ("scale_shift", "trimmed"): partial(fit_trimmed, with_shift=True),
    ("scale_shift", "median_mad"): fit_median_mad,
    ("scale", "lstsq"): fit_scale,
    ("scale", "lad"): fit_scale_lad,
    ("scale", "trimmed"): partial(fit_trimmed, with_shift=False),
    # Without a choice of estimator: these take the default.
    ("median", "lstsq"): fit_median,
    ("none", "lstsq"): lambda values, wanted: (1.0, 0.0),
}


def align(
    prediction: FloatArray,
    target: FloatArray,
    mask: Mask,
    method: Method = "scale_shift",
    space: Space = "depth",
    estimator: Estimator = "lstsq",
    max_depth_m: float = 10.0,
) -> Aligned:
    """Align one prediction to its ground truth; the defaults are those of DAViD's tables.

    Args:
        prediction: Relative depth or disparity, unitless, shape (H, W).
        target: Z-depth in metres, shape (H, W).
        mask: Human and valid, shape (H, W).
        method: What is fitted: "scale_shift" (Ranftl et al. 2020, eq. 4), "scale", "median" (ratio
            of the medians, Eigen et al. 2014) or "none". A fitted scale may be negative.
        space: "depth" fits the prediction to the target. "disparity" fits it to 1 / target, raises
            what comes out to at least 1 / `max_depth_m`, and inverts it.
        estimator: "lstsq"; "lad", least absolute deviations; "trimmed", least squares without the
            fifth of the pixels that fits worst (as Ranftl et al. 2020 trim their loss);
            "median_mad", median and mean distance to it (their robust scale and shift), whose scale
            is never negative. The last fits "scale_shift" alone, and only "lstsq" goes with
            "median" and "none".
        max_depth_m: Metres, the farthest depth a disparity can stand for; of no use in "depth".

    Returns:
        Depth in metres, shape (H, W), float64; outside of the mask too.

    Raises:
        ValueError: If the maps do not fit each other, the mask selects too few pixels (two with a
            shift, one without), prediction or target are unfit inside it, or method, space and
            estimator do not go together.
    """
    return align_group([(prediction, target, mask)], method, space, estimator, max_depth_m)[0]


def align_group(
    group: Sequence[tuple[FloatArray, FloatArray, Mask]],
    method: Method = "scale_shift",
    space: Space = "depth",
    estimator: Estimator = "lstsq",
    max_depth_m: float = 10.0,
) -> list[Aligned]:
    """Align several predictions by one fit over the pixels of all: a sequence or a data set.

    Args:
        group: Prediction, target and mask of each image, as `align` takes them. Sizes may differ
            between images, and single masks may be empty.
        method: As for `align`.
        space: As for `align`.
        estimator: As for `align`.
        max_depth_m: As for `align`.

    Returns:
        Depth in metres of each image, shape (H, W), float64.

    Raises:
        ValueError: As for `align`.
    """
    check_alignment(method, space, estimator)
    fit = _FITS[method, estimator]
    values, wanted = _pixels(group, minimum=2 if method == "scale_shift" else 1)
    if space == "depth":
        return [_apply(fit(values, wanted), prediction) for prediction, _, _ in group]
    if wanted.max() > max_depth_m:
        raise ValueError(
            f"expected a target within max_depth_m = {max_depth_m:g}, got {wanted.max():g} m; "
            "raise max_depth_m"
        )
    found = fit(values, 1 / wanted)
    return [
        1 / np.maximum(_apply(found, prediction), 1 / max_depth_m) for prediction, _, _ in group
    ]


def check_alignment(method: str, space: str, estimator: str) -> None:
    """Refuse a method, a space and an estimator that `align` does not know together.

    Raises:
        ValueError: If it does not.
    """
    if (method, estimator) not in _FITS or space not in ("depth", "disparity"):
        known = ", ".join(f"{name} with {estimate}" for name, estimate in _FITS)
        raise ValueError(
            "expected a method and an estimator that go together, and the space depth or "
            f"disparity, got {method!r} with {estimator!r} in {space!r}; known are {known}"
        )


def _pixels(
    group: Sequence[tuple[FloatArray, FloatArray, Mask]], minimum: int
) -> tuple[Values, Values]:
    """Checked prediction and target of all masks, flat, float64."""
    for prediction, target, mask in group:
        require_one_shape(2, prediction=prediction, target=target, mask=mask)
        require_booleans(mask)
        require_finite("prediction", prediction[mask])
        require_positive_depth(target[mask])
    require_pixels(sum(int(mask.sum()) for _, _, mask in group), minimum)
    values = np.concatenate([prediction[mask] for prediction, _, mask in group])
    wanted = np.concatenate([target[mask] for _, target, mask in group])
    return values.astype(np.float64), wanted.astype(np.float64)


def _apply(fit: Fit, prediction: FloatArray) -> Aligned:
    # Outside of the mask there may be anything, infinity times a scale of 0 included.
    with np.errstate(invalid="ignore"):
        return fit[0] * prediction.astype(np.float64) + fit[1]


def depth_metrics(
    prediction: FloatArray,
    target: FloatArray,
    mask: Mask,
    method: Method = "scale_shift",
    space: Space = "depth",
    estimator: Estimator = "lstsq",
    max_depth_m: float = 10.0,
    silog_lambda: float = 1.0,
) -> dict[str, float]:
    """Align, then compare inside the mask. Of depth that is aligned already: method "none".

    Args:
        prediction: As for `align`, and so are all but the last.
        target: See there.
        mask: See there.
        method: See there.
        space: See there.
        estimator: See there.
        max_depth_m: See there.
        silog_lambda: Share of the squared mean taken off in `silog`: 1 for the variance (KITTI),
            0.5 for Eigen et al. 2014.

    Returns:
        With p the aligned depth and d the target, in metres: `rmse_m`, sqrt(mean (p - d)^2);
        `abs_rel`, mean |p - d| / d; `sq_rel`, mean (p - d)^2 / d, in metres; `log10`, mean
        |log10 p - log10 d|; `silog`, 100 sqrt(mean e^2 - lambda (mean e)^2) with e = ln p - ln d;
        `delta1` to `delta3`, the shares of pixels with max(p / d, d / p) below 1.25, 1.25^2 and
        1.25^3; `rank`, Spearman's rank correlation of p and d: 1 if every pixel stands behind
        those that it should, however far. Logarithms and ratios take a p below a millimetre as
        a millimetre: what is aligned to behind the camera is far off, not undefined.

    Raises:
        ValueError: As for `align`.
    """
    aligned = align(prediction, target, mask, method, space, estimator, max_depth_m)[mask]
    true = target[mask].astype(np.float64)
    error = aligned - true
    in_front = np.maximum(aligned, MIN_DEPTH_M)
    ratio = np.maximum(in_front / true, true / in_front)
    log_error = np.log(in_front / true)
    # Rounding must not make a root of less than nothing.
    spread = max(0.0, (log_error**2).mean() - silog_lambda * log_error.mean() ** 2)
    return {
        "rmse_m": float(np.sqrt((error**2).mean())),
        "abs_rel": float((np.abs(error) / true).mean()),
        "sq_rel": float((error**2 / true).mean()),
        "log10": float(np.abs(log_error).mean() / np.log(10)),
        "silog": float(100 * np.sqrt(spread)),
        **{f"delta{power}": float((ratio < 1.25**power).mean()) for power in (1, 2, 3)},
        "rank": rank_correlation(aligned, true),
    }


def rank_correlation(values: Values, wanted: Values) -> float:
    """Spearman's rank correlation of two flat arrays; equal values share the mean of their ranks.

    Returns:
        In [-1, 1]; 0 if one of them is constant.
    """
    if values.min() == values.max() or wanted.min() == wanted.max():
        return 0.0
    return float(spearmanr(values, wanted).statistic)
