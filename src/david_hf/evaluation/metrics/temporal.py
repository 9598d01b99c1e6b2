"""How steady predictions are from frame to frame, against ground truth; without optical flow.

A video that does not fit into memory can be taken two frames at a time: both numbers are means
over pairs of consecutive frames.
"""

import numpy as np

from .checks import (
    FloatArray,
    Mask,
    require_alpha,
    require_booleans,
    require_finite,
    require_one_shape,
    require_positive_depth,
)


def dtssd(prediction: FloatArray, target: FloatArray) -> float:
    """Error of how mattes change: 100 sqrt(mean(((p_t - p_t-1) - (a_t - a_t-1))^2)) (as of RVM).

    The mean is over pixels; the value that of all pairs of frames (Erofeev et al. 2015; Lin et al.
    2022). 0 if all changes are right, as with an error that stays the same.

    Args:
        prediction: Alpha in [0, 1], shape (T, H, W), T at least 2.
        target: Same.

    Raises:
        ValueError: If the shapes differ, there is a single frame, or alpha leaves [0, 1].
    """
    _require_frames(prediction=prediction, target=target)
    require_alpha("prediction", prediction)
    require_alpha("target", target)
    errors = [
        np.subtract(ours, true, dtype=np.float64)
        for ours, true in zip(prediction, target, strict=True)
    ]
    changes = [np.mean((errors[t] - errors[t - 1]) ** 2) for t in range(1, len(errors))]
    return float(100 * np.mean(np.sqrt(changes)))


def depth_flicker(prediction_m: FloatArray, target_m: FloatArray, mask: Mask) -> float:
    """Change of the error of aligned depth from frame to frame, in percent of the depth.

    Our own definition: 100 |(p_t - p_t-1) - (d_t - d_t-1)| / d_t, as a mean over the pixels that
    are valid in both frames, then over pairs of frames that have some. 0 if all changes are right.

    Align the sequence by one fit (`align_group`): fits by frame take off what flickers as a whole.

    Args:
        prediction_m: Aligned depth in metres, shape (T, H, W), T at least 2.
        target_m: Z-depth in metres, shape (T, H, W).
        mask: Human and valid, shape (T, H, W).

    Raises:
        ValueError: If the shapes differ, there is a single frame, no pixel is valid in two frames
            that follow each other, or prediction or target are unfit inside the mask.
    """
    _require_frames(prediction_m=prediction_m, target_m=target_m, mask=mask)
    require_booleans(mask)
    require_finite("prediction", prediction_m[mask])
    require_positive_depth(target_m[mask])
    flicker = []
    for t in range(1, len(mask)):
        both = mask[t] & mask[t - 1]
        if not both.any():
            continue
        ours = prediction_m[t - 1 : t + 1, both].astype(np.float64)
        true = target_m[t - 1 : t + 1, both].astype(np.float64)
        flicker.append(np.mean(np.abs(np.diff(ours - true, axis=0)) / true[1]))
    if not flicker:
        raise ValueError(
            "expected a pixel that the mask selects in two frames in a row, got none; leave such "
            "sequences out"
        )
    return float(100 * np.mean(flicker))


def _require_frames(**maps: FloatArray | Mask) -> None:
    require_one_shape(3, **maps)
    frames = len(next(iter(maps.values())))
    if frames < 2:
        raise ValueError(f"expected at least 2 frames, got {frames}")
