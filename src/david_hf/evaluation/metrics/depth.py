"""Relative depth after a least-squares fit of scale and shift, in depth space (DAViD, table 1)."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]


def align_scale_shift(prediction: Array, target: Array, mask: Mask) -> NDArray[np.float64]:
    """Fit `scale * prediction + shift` to `target` inside `mask` (Ranftl et al. 2020, eq. 4).

    The scale may be negative: a prediction that is larger when nearer is aligned as well.

    Args:
        prediction: Relative depth, unitless, shape (H, W).
        target: Z-depth in metres, shape (H, W).
        mask: Human and valid, shape (H, W).

    Returns:
        Aligned depth in metres, shape (H, W), float64.

    Raises:
        ValueError: If the mask selects fewer than two pixels.
    """
    if mask.sum() < 2:
        raise ValueError(
            f"a mask must select at least 2 pixels to fit a scale and a shift, got {mask.sum()}"
        )
    # float64: the normal equations subtract large numbers of equal size.
    values, wanted = prediction.astype(np.float64), target[mask].astype(np.float64)
    centre = values[mask].mean()
    centred = values[mask] - centre
    variance = (centred**2).mean()
    scale = (centred * wanted).mean() / variance if variance > 0 else 0.0
    return scale * (values - centre) + wanted.mean()


def depth_metrics(prediction: Array, target: Array, mask: Mask) -> dict[str, float]:
    """RMSE in metres, AbsRel, and the share of pixels with a ratio under 1.25, after alignment.

    Args:
        prediction: Relative depth of any sign and scale, shape (H, W).
        target: Z-depth in metres, shape (H, W).
        mask: Human and valid, shape (H, W).

    Raises:
        ValueError: If the mask selects fewer than two pixels.
    """
    aligned = align_scale_shift(prediction, target, mask)[mask]
    true = target[mask].astype(np.float64)
    error = aligned - true
    # A depth at or behind the camera cannot be near the truth: it counts as outside.
    ratio = np.maximum(np.maximum(aligned, 1e-6) / true, true / np.maximum(aligned, 1e-6))
    return {
        "rmse_m": float(np.sqrt((error**2).mean())),
        "abs_rel": float((np.abs(error) / true).mean()),
        "delta1": float((ratio < 1.25).mean()),
    }
