"""Errors of a soft foreground over the whole image (DAViD, table 3)."""

import numpy as np
from numpy.typing import NDArray


def matting_metrics(
    prediction: NDArray[np.floating], target: NDArray[np.floating]
) -> dict[str, float]:
    """SAD in thousands, MSE and MAD per pixel, and the IoU of both masks at 0.5, of one image.

    Args:
        prediction: Alpha in [0, 1], shape (H, W), at the original size.
        target: Same.

    Raises:
        ValueError: If the shapes differ.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"expected maps of one size, got {prediction.shape} and {target.shape}; resize the "
            "prediction to the size of the ground truth first"
        )
    error = prediction.astype(np.float64) - target.astype(np.float64)
    ours, true = prediction > 0.5, target > 0.5
    union = (ours | true).sum()
    return {
        "sad": float(np.abs(error).sum() / 1000),
        "mse": float((error**2).mean()),
        "mad": float(np.abs(error).mean()),
        "iou": float((ours & true).sum() / union) if union else 1.0,
    }
