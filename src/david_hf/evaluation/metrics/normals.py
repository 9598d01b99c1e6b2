"""Angular error of surface normals in degrees (DAViD, table 2)."""

import numpy as np
from numpy.typing import NDArray

THRESHOLDS_DEG = (11.25, 22.5, 30.0)


def angular_error_deg(
    prediction: NDArray[np.floating], target: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Angle between normals of any length, degrees in [0, 180].

    Computed with atan2, which stays exact near zero where arccos does not.

    Args:
        prediction: Shape (..., 3).
        target: Shape (..., 3).
    """
    first, second = prediction.astype(np.float64), target.astype(np.float64)
    cross = np.linalg.norm(np.cross(first, second), axis=-1)
    return np.degrees(np.arctan2(cross, (first * second).sum(-1)))


def normal_metrics(
    prediction: NDArray[np.floating], target: NDArray[np.floating], mask: NDArray[np.bool_]
) -> dict[str, float]:
    """Mean and median angle in degrees, and the shares under three angles, of one image.

    Args:
        prediction: Shape (H, W, 3), X right, Y up, Z towards the camera.
        target: Same.
        mask: Human and valid, shape (H, W).

    Raises:
        ValueError: If the mask is empty.
    """
    if not mask.any():
        raise ValueError("the mask selects no pixel; drop empty samples before calling")
    error = angular_error_deg(prediction[mask], target[mask])
    shares = {f"under_{limit:g}": float((error < limit).mean()) for limit in THRESHOLDS_DEG}
    return {"mean_deg": float(error.mean()), "median_deg": float(np.median(error)), **shares}
