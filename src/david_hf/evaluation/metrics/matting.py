"""Errors of a soft foreground, as tables of portrait matting have them (DAViD, tables 3 and 6).

All but the IoU and `grad_rhemann` are those of Li et al. 2021 (P3M), which Zhong and Zharkov 2024
and DAViD report. Everything is computed at the size of the ground truth.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from david_hf.data.trimaps import BACKGROUND, FOREGROUND, UNKNOWN

from .checks import FloatArray, Mask, require_alpha, require_one_shape

Trimap = NDArray[np.uint8]

_SIGMA = 1.4
# As the references step: 3 * 0.1 is 0.30000000000000004, and that decides about 8-bit mattes.
_LEVELS = 0.1 * np.arange(11)
# Distance from its level below which a pixel counts as connected (Rhemann et al. 2009).
_LEAST_DISTANCE = 0.15
_STRIP_ROWS = 128


def matting_metrics(
    prediction: FloatArray, target: FloatArray, trimap: Trimap | None = None
) -> dict[str, float]:
    """All metrics of one matte.

    Args:
        prediction: Alpha in [0, 1], shape (H, W), at the original size.
        target: Same.
        trimap: Shape (H, W) of 0, 128 (unknown) and 255; None for the metrics that need none.

    Returns:
        Over the whole image: `sad`, sum of absolute differences in thousands; `mse` and `mad`, per
        pixel; `iou` of both mattes at 0.5; `grad_p3m`, `grad_rhemann` and `conn`, see there.
        With a trimap also those of `trimap_metrics`.

    Raises:
        ValueError: If the shapes differ, alpha leaves [0, 1], or the trimap has other values or
            nothing unknown.
    """
    prediction, target = _alphas(prediction, target)
    sums = np.zeros(4)
    for ours, true in _strips(prediction, target):
        error = _absolute_error(ours, true)
        both, either = (ours > 0.5) & (true > 0.5), (ours > 0.5) | (true > 0.5)
        sums += error.sum(), _sum_of_squares(error), both.sum(), either.sum()
    absolute, squared, intersection, union = sums.tolist()
    metrics = {
        "sad": absolute / 1000,
        "mse": squared / target.size,
        "mad": absolute / target.size,
        "iou": intersection / union if union else 1.0,
        "grad_p3m": grad_p3m(prediction, target),
        "grad_rhemann": grad_rhemann(prediction, target),
        "conn": conn(prediction, target),
    }
    return metrics if trimap is None else metrics | trimap_metrics(prediction, target, trimap)


def trimap_metrics(prediction: FloatArray, target: FloatArray, trimap: Trimap) -> dict[str, float]:
    """Metrics by region of the trimap (P3M).

    Args:
        prediction: Alpha in [0, 1], shape (H, W).
        target: Same.
        trimap: Shape (H, W) of 0, 128 (unknown) and 255.

    Returns:
        `sad_t`, `mse_t` and `mad_t`, of the prediction with what is known filled in: sums over the
        whole image, so that a target at odds with its trimap counts, in thousands or per unknown
        pixel. `sad_fg` and `sad_bg`, of the prediction as it is where the trimap is 255 or 0, in
        thousands.

    Raises:
        ValueError: As for `matting_metrics`.
    """
    prediction, target = _alphas(prediction, target)
    unknown = _unknown(trimap, target)
    pixels = int(unknown.sum())
    sums = np.zeros(4)
    for ours, true, region in _strips(prediction, target, trimap):
        filled = _absolute_error(_fill_known(ours, region), true)
        error = _absolute_error(ours, true)
        foreground, background = error[region == FOREGROUND], error[region == BACKGROUND]
        sums += filled.sum(), _sum_of_squares(filled), foreground.sum(), background.sum()
    absolute, squared, in_foreground, in_background = sums.tolist()
    return {
        "sad_t": absolute / 1000,
        "mse_t": squared / pixels,
        "mad_t": absolute / pixels,
        "sad_fg": in_foreground / 1000,
        "sad_bg": in_background / 1000,
    }


def grad_p3m(prediction: FloatArray, target: FloatArray) -> float:
    """Sum of squared differences of the gradients' lengths, divided by 10 (P3M).

    The derivatives are SciPy's, of a Gaussian of sigma 1.4 that sums to 1, cut at 4 sigma, with the
    image mirrored at its border. Not the same quantity as `grad_rhemann`.

    Args:
        prediction: Alpha in [0, 1], shape (H, W).
        target: Same.

    Raises:
        ValueError: If the shapes differ or alpha leaves [0, 1].
    """
    prediction, target = _alphas(prediction, target)
    reach = int(4 * _SIGMA + 0.5)
    return _gradient_error(_gradient_p3m, reach, prediction, target) / 10


def _gradient_p3m(alpha: FloatArray) -> FloatArray:
    # float32 results, and the order of the axes: bit by bit what is published.
    down = gaussian_filter(alpha, _SIGMA, order=(1, 0), output=np.float32)
    right = gaussian_filter(alpha, _SIGMA, order=(0, 1), output=np.float32)
    return np.sqrt(down**2 + right**2)


def grad_rhemann(prediction: FloatArray, target: FloatArray, trimap: Trimap | None = None) -> float:
    """Sum of squared differences of the gradients' lengths, divided by 1000 (Rhemann et al. 2009).

    As of mmagic and RVM: both mattes are stretched to [0, 1], the derivative of a Gaussian of
    sigma 1.4 is scaled to an L2 norm of 1, and the border is repeated. BGMv2 does not divide.

    Args:
        prediction: Alpha in [0, 1], shape (H, W).
        target: Same.
        trimap: Shape (H, W) of 0, 128 (unknown) and 255: what is known is filled in, and only what
            is unknown counts (mmagic). None for the whole image (RVM).

    Raises:
        ValueError: As for `matting_metrics`.
    """
    prediction, target = _alphas(prediction, target)
    unknown = None
    if trimap is not None:
        unknown = _unknown(trimap, target)
        prediction = _fill_known(prediction, trimap)
    # Stretching a matte stretches its gradient.
    scales = _stretch(prediction), _stretch(target)
    reach = len(_rhemann_filters()[0]) // 2
    return _gradient_error(_gradient_rhemann, reach, prediction, target, scales, unknown) / 1000


def _stretch(alpha: FloatArray) -> float:
    spread = float(alpha.max()) - float(alpha.min())
    return 1 / spread if spread else 0.0


def _gradient_rhemann(alpha: FloatArray) -> NDArray[np.float64]:
    derive, smooth = _rhemann_filters()
    # In float32, as RVM computes it, flat parts get a gradient of 1e-8: seen in the sixth digit.
    alpha = alpha.astype(np.float64)
    right = cv2.sepFilter2D(alpha, -1, derive, smooth, borderType=cv2.BORDER_REPLICATE)
    down = cv2.sepFilter2D(alpha, -1, smooth, derive, borderType=cv2.BORDER_REPLICATE)
    return np.sqrt(right**2 + down**2)


def _rhemann_filters() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Derivative and Gaussian, of norm 1: then so is their product, the filter in two axes."""
    # They end where the Gaussian has fallen to 0.01.
    reach = int(np.ceil(_SIGMA * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * _SIGMA * 0.01))))
    offsets = np.arange(-reach, reach + 1)
    smooth = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    derive = offsets * smooth
    return derive / np.linalg.norm(derive), smooth / np.linalg.norm(smooth)


def _gradient_error(
    length: Callable[[FloatArray], FloatArray],
    reach: int,
    prediction: FloatArray,
    target: FloatArray,
    scales: tuple[float, float] = (1.0, 1.0),
    counted: Mask | None = None,
) -> float:
    """Sum of the squared differences of two gradients' lengths, scaled, where they count.

    It goes by strips, as `_strips`, but each brings along the rows beyond it that the filter
    reaches.
    """
    total = 0.0
    for top in range(0, len(target), _STRIP_ROWS):
        first = max(top - reach, 0)
        rows = slice(first, top + _STRIP_ROWS + reach)
        difference = scales[0] * length(prediction[rows]) - scales[1] * length(target[rows])
        inner = difference[top - first :][:_STRIP_ROWS]
        if counted is not None:
            inner = inner[counted[top : top + _STRIP_ROWS]]
        total += float(np.square(inner).sum(dtype=np.float64))
    return total


def conn(
    prediction: FloatArray,
    target: FloatArray,
    trimap: Trimap | None = None,
    variant: Literal["p3m", "rvm"] = "p3m",
) -> float:
    """Connectivity error in thousands (Rhemann et al. 2009), with levels 0.1 apart.

    The level of a pixel is the last at which it is part of the largest region, of four neighbours,
    where both mattes are at least that high. What counts is the difference of how far the mattes
    lie above it, distances under 0.15 taken as 0.

    Args:
        prediction: Alpha in [0, 1], shape (H, W).
        target: Same.
        trimap: Shape (H, W) of 0, 128 (unknown) and 255: what is known is filled in, and only what
            is unknown counts (mmagic, with the variant "rvm"). None for the whole image.
        variant: They differ where no pixel of both mattes is as high as a level: "p3m" passes over
            that level, and what remained gets level 1; for "rvm", and mmagic, it leaves there.
            Hence mattes that nowhere reach 0.1 together have no error in "p3m".

    Raises:
        ValueError: As for `matting_metrics`, and if the variant is unknown.
    """
    if variant not in ("p3m", "rvm"):
        raise ValueError(f"expected the variant p3m or rvm, got {variant!r}")
    prediction, target = _alphas(prediction, target)
    counted = np.ones(target.shape, np.bool_)
    if trimap is not None:
        counted = _unknown(trimap, target)
        prediction = _fill_known(prediction, trimap)
    passed = _levels_passed(prediction, target, variant)
    # In the precision the references hold levels in.
    levels = _LEVELS.astype(np.float32 if variant == "p3m" else target.dtype)
    total = 0.0
    for ours, true, level, valid in _strips(prediction, target, passed, counted):
        error = _absolute_error(_above(ours, levels[level]), _above(true, levels[level]))
        total += float(error[valid].sum())
    return total / 1000


def _levels_passed(prediction: FloatArray, target: FloatArray, variant: str) -> NDArray[np.uint8]:
    """Number of levels at which each pixel is part of the largest region, and was so below."""
    # float64: a float32 of 0.7 lies below the level 0.7, as it does for the references.
    lower = np.minimum(prediction, target, dtype=np.float64)
    remaining = np.ones(target.shape, np.bool_)
    passed = np.zeros(target.shape, np.uint8)
    for level in _LEVELS[1:]:
        reached = lower >= level
        if not reached.any():
            # Nor is anything at the levels above.
            if variant == "p3m":
                passed[remaining] = len(_LEVELS) - 1
            break
        remaining &= _largest_region(reached)
        passed += remaining
    return passed


def _largest_region(mask: Mask) -> Mask:
    """The largest of the regions of four neighbours; the first, by rows, of several."""
    _, regions, numbers, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    # Region 0 is what the mask leaves out.
    return regions == 1 + numbers[1:, cv2.CC_STAT_AREA].argmax()


def _above(alpha: FloatArray, levels: FloatArray) -> FloatArray:
    distance = alpha - levels
    return distance * (distance >= _LEAST_DISTANCE)


def _strips(*maps: NDArray[Any]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Go through maps by strips of rows: intermediate results stay in the processor's cache."""
    for top in range(0, len(maps[0]), _STRIP_ROWS):
        yield tuple(values[top : top + _STRIP_ROWS] for values in maps)


def _absolute_error(prediction: FloatArray, target: FloatArray) -> NDArray[np.float64]:
    error = np.subtract(prediction, target, dtype=np.float64)
    return np.abs(error, out=error)


def _sum_of_squares(values: NDArray[np.float64]) -> np.float64:
    # Not by BLAS, whose sums depend on its threads.
    return np.square(values).sum()


def _alphas(prediction: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    require_one_shape(2, prediction=prediction, target=target)
    return require_alpha("prediction", prediction), require_alpha("target", target)


def _unknown(trimap: Trimap, target: FloatArray) -> Mask:
    """Where the trimap, once checked, leaves the matte open."""
    require_one_shape(2, target=target, trimap=trimap)
    unknown = trimap == UNKNOWN
    if not (unknown | (trimap == BACKGROUND) | (trimap == FOREGROUND)).all():
        raise ValueError(
            f"expected a trimap of {BACKGROUND}, {UNKNOWN} and {FOREGROUND}, got values between "
            f"{trimap.min()} and {trimap.max()}; get or make it again"
        )
    if not unknown.any():
        raise ValueError("expected a trimap with unknown pixels, got none; evaluate without it")
    return unknown


def _fill_known(prediction: FloatArray, trimap: Trimap) -> FloatArray:
    filled = prediction.copy()
    filled[trimap == FOREGROUND] = 1
    filled[trimap == BACKGROUND] = 0
    return filled
