"""Fits of `scale * values + shift` to what is wanted, by least squares and by robust means.

All take flat float64 arrays of one length, at least one value, and return scale and shift. The
scale may be negative, except from `fit_median_mad`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Fit = tuple[float, float]

# Share of the pixels that a trimmed fit leaves out, as Ranftl et al. 2020 do in their loss.
TRIMMED_SHARE = 0.2


def fit_scale_shift(values: Values, wanted: Values) -> Fit:
    """Least squares (Ranftl et al. 2020, eq. 4), by centred sums, which lose no digits.

    Of constant values, the scale is 0 and the shift the mean of what is wanted: the least squares
    there are. (The code of MiDaS sets both to 0.)
    """
    centre = values.mean()
    centred = values - centre
    variance = (centred**2).mean()
    # The mean of equal values may differ from them in its last digit.
    is_constant = values.min() == values.max()
    scale = 0.0 if is_constant else float((centred * wanted).mean() / variance)
    return scale, float(wanted.mean() - scale * centre)


def fit_scale(values: Values, wanted: Values) -> Fit:
    """Least squares of the scale alone."""
    squares = (values**2).sum()
    return float((values * wanted).sum() / squares) if squares > 0 else 0.0, 0.0


def fit_median(values: Values, wanted: Values) -> Fit:
    """Ratio of the medians (Eigen et al. 2014).

    Raises:
        ValueError: If the median of the values is 0, or the ratio negative, which would turn the
            prediction inside out.
    """
    middle = np.median(values)
    if middle == 0:
        raise ValueError("expected a prediction whose median is not 0; align it by a fit instead")
    ratio = float(np.median(wanted) / middle)
    if ratio < 0:
        raise ValueError(
            f"expected a prediction whose median is positive, got {middle:.4g}; align it by a fit "
            "with a shift instead"
        )
    return ratio, 0.0


def fit_median_mad(values: Values, wanted: Values) -> Fit:
    """Bring the median, and the mean distance to it, to those wanted (Ranftl et al. 2020).

    The scale is never negative: what is larger when nearer has to be negated first. Of constant
    values, the scale is 0.
    """
    middle, wanted_middle = np.median(values), np.median(wanted)
    spread = np.abs(values - middle).mean()
    scale = float(np.abs(wanted - wanted_middle).mean() / spread) if spread > 0 else 0.0
    return scale, float(wanted_middle - scale * middle)


def fit_scale_lad(values: Values, wanted: Values) -> Fit:
    """Least absolute deviations of the scale alone, exact: a weighted median of ratios."""
    weights = np.abs(values)
    used = weights > 0
    if not used.any():
        return 0.0, 0.0
    ratios, weights = wanted[used] / values[used], weights[used]
    order = np.argsort(ratios)
    reached = np.cumsum(weights[order])
    return float(ratios[order][np.searchsorted(reached, reached[-1] / 2)]), 0.0


def fit_scale_shift_lad(values: Values, wanted: Values) -> Fit:
    """Least absolute deviations, exact but for rounding.

    For a given scale the best shift is the median of what is left. The sum of deviations is then a
    convex function of the scale, whose slope is bisected. Constant values give the scale 0.

    What is wanted may be far off in places; values far out of the range of the others still draw
    the line to them.
    """
    centre = float(np.median(values))
    centred = values - centre
    width = np.abs(centred).sum()
    if width == 0:
        return 0.0, float(np.median(wanted))
    start, _ = fit_scale_shift(centred, wanted)
    step = np.abs(wanted - np.median(wanted)).sum() / width + abs(start) * 1e-3
    low = _first_beyond(start, -step, lambda scale: _slope(centred, wanted, scale) <= 0)
    high = _first_beyond(start, step, lambda scale: _slope(centred, wanted, scale) >= 0)
    finest = np.spacing(max(abs(low), abs(high)))
    while high - low > finest:
        middle = (low + high) / 2
        if _slope(centred, wanted, middle) > 0:
            high = middle
        else:
            low = middle
    return float(low), float(np.median(wanted - low * centred) - low * centre)


def _first_beyond(start: float, step: float, reached: Callable[[float], bool]) -> float:
    """Go from `start` in steps that double until the minimum lies behind."""
    while not reached(start):
        start, step = start + step, 2 * step
    return start


def _slope(centred: Values, wanted: Values, scale: float) -> float:
    """Slope, at a scale, of the least sum of deviations that any shift leaves."""
    residual = wanted - scale * centred
    signs = np.sign(residual - np.median(residual))
    # Deviations of 0 may take any sign between -1 and 1. The median is the best shift, and so there
    # are some with which all signs sum to 0; those make the slope one of the scale alone.
    none = signs == 0
    if none.any():
        signs[none] = -signs.sum() / none.sum()
    return -float((signs * centred).sum())


def fit_trimmed(values: Values, wanted: Values, *, with_shift: bool) -> Fit:
    """Least squares over the pixels that are left when the fifth with the largest errors is not.

    Starts at the least absolute deviations and fits to what is kept until that gets no better
    (Rousseeuw and van Driessen 2006, concentration steps): the error falls with every step.
    """
    fit = fit_scale_shift if with_shift else fit_scale
    scale, shift = (fit_scale_shift_lad if with_shift else fit_scale_lad)(values, wanted)
    kept = len(values) - int(TRIMMED_SHARE * len(values))
    best, least = (scale, shift), np.inf
    while True:
        errors = (scale * values + shift - wanted) ** 2
        keep = np.argpartition(errors, kept - 1)[:kept]
        if (left := errors[keep].sum()) >= least:
            return best
        best, least = (scale, shift), left
        scale, shift = fit(values[keep], wanted[keep])
