"""Angular error of surface normals in degrees, and the frames normals come in (DAViD, table 2)."""

import base64
import zlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .checks import FloatArray, Mask, require_booleans, require_finite, require_pixels

Convention = Literal["opengl", "opencv", "blender_world"]

THRESHOLDS_DEG = (5, 7.5, 11.25, 22.5, 30)

# Signs that bring X, Y, Z of a camera's frame to X right, Y up, Z towards the camera.
_SIGNS = {"opengl": (1, 1, 1), "opencv": (1, -1, -1)}


def angular_error_deg(prediction: FloatArray, target: FloatArray) -> NDArray[np.float64]:
    """Angle between normals of any length, degrees in [0, 180]; 90 where one has no length.

    The angle is that of the cosine similarity (DSINE), but computed with atan2, which stays exact
    near zero where arccos does not.

    Args:
        prediction: Shape (..., 3).
        target: Shape (..., 3).
    """
    first, second = prediction.astype(np.float64), target.astype(np.float64)
    cross = np.linalg.norm(np.cross(first, second), axis=-1)
    dot = (first * second).sum(-1)
    # A normal that is missing must not pass for a perfect one.
    missing = ~(first.any(-1) & second.any(-1))
    return np.where(missing, 90.0, np.degrees(np.arctan2(cross, dot)))


def normal_metrics(prediction: FloatArray, target: FloatArray, mask: Mask) -> dict[str, float]:
    """Angular errors of one image.

    Args:
        prediction: Shape (H, W, 3), X right, Y up, Z towards the camera, of any length.
        target: Same.
        mask: Human and valid, shape (H, W).

    Returns:
        `mean_deg`, `median_deg` and `rmse_deg` in degrees; `under_5`, `under_7.5`, `under_11.25`,
        `under_22.5` and `under_30`, the shares of pixels, in [0, 1], with a smaller error.

    Raises:
        ValueError: If the maps do not fit each other, the mask is empty, or a normal inside it is
            not finite.
    """
    error = _masked_error(prediction, target, mask)
    shares = {f"under_{limit:g}": float((error < limit).mean()) for limit in THRESHOLDS_DEG}
    return {
        "mean_deg": float(error.mean()),
        "median_deg": float(np.median(error)),
        "rmse_deg": float(np.sqrt((error**2).mean())),
        **shares,
    }


def _masked_error(prediction: FloatArray, target: FloatArray, mask: Mask) -> NDArray[np.float64]:
    """Errors of the pixels inside the mask, after checks, flat."""
    if not (prediction.shape == target.shape == (*mask.shape, 3) and mask.ndim == 2):
        raise ValueError(
            "expected prediction and target (H, W, 3) and a mask (H, W), got "
            f"{prediction.shape}, {target.shape} and {mask.shape}; resize the prediction to the "
            "size of the ground truth first"
        )
    require_booleans(mask)
    require_pixels(int(mask.sum()))
    require_finite("prediction", prediction[mask])
    require_finite("target", target[mask])
    return angular_error_deg(prediction[mask], target[mask])


class NormalPool:
    """Errors of the pixels of all images taken together, each pixel counting the same (DSINE).

    Large persons weigh more than small ones; a mean over images (DAViD, Sapiens) weighs them alike.
    Mean, RMSE and shares are exact. The median is read off counts of errors in steps of a fraction
    of a degree, and is within one step.

    Args:
        bins_per_deg: Steps per degree. The default takes 150 MB, however many images there are.
    """

    def __init__(self, bins_per_deg: int = 100_000) -> None:
        self._bins_per_deg = bins_per_deg
        self._counts = np.zeros(180 * bins_per_deg + 1, np.int64)
        self._sums = np.zeros(2 + len(THRESHOLDS_DEG))
        self._num_pixels = 0

    def add(self, prediction: FloatArray, target: FloatArray, mask: Mask) -> None:
        """Take in one image; arguments and errors as of `normal_metrics`."""
        error = _masked_error(prediction, target, mask)
        bins, counts = np.unique((error * self._bins_per_deg).astype(np.int64), return_counts=True)
        self._counts[bins] += counts
        self._sums += [
            error.sum(),
            (error**2).sum(),
            *((error < limit).sum() for limit in THRESHOLDS_DEG),
        ]
        self._num_pixels += len(error)

    def state(self) -> dict[str, Any]:
        """All that is known so far, as JSON."""
        counts = zlib.compress(self._counts.astype("<i8").tobytes())
        return {
            "counts": base64.b64encode(counts).decode(),
            "sums": self._sums.tolist(),
            "num_pixels": self._num_pixels,
        }

    def merge(self, state: Mapping[str, Any]) -> None:
        """Take in the `state` of a pool with as many bins.

        Raises:
            ValueError: If it is none.
        """
        counts = np.frombuffer(zlib.decompress(base64.b64decode(state["counts"])), "<i8")
        if counts.shape != self._counts.shape:
            raise ValueError(f"expected {len(self._counts)} counts of errors, got {len(counts)}")
        self._counts += counts
        self._sums += state["sums"]
        self._num_pixels += state["num_pixels"]

    def metrics(self) -> dict[str, float]:
        """Metrics of all pixels so far, named as those of `normal_metrics`.

        Raises:
            ValueError: If there are none.
        """
        if not self._num_pixels:
            raise ValueError("expected at least 1 image in the pool, got none; add one first")
        mean, mean_square, *shares = (self._sums / self._num_pixels).tolist()
        under = {f"under_{x:g}": share for x, share in zip(THRESHOLDS_DEG, shares, strict=True)}
        return {
            "mean_deg": mean,
            "median_deg": self._median(),
            "rmse_deg": float(np.sqrt(mean_square)),
            **under,
        }

    def _median(self) -> float:
        reached = np.cumsum(self._counts)
        middle = [(self._num_pixels - 1) // 2, self._num_pixels // 2]
        bins = np.searchsorted(reached, middle, side="right")
        # The errors of one bin are taken to be spread evenly over it.
        before = reached[bins] - self._counts[bins]
        inside = (np.array(middle) - before + 0.5) / self._counts[bins]
        return float((bins + inside).mean() / self._bins_per_deg)


def convert_normals(
    normals: FloatArray,
    convention: Convention,
    camera_to_world: FloatArray | None = None,
) -> FloatArray:
    """Bring normals to X right, Y up, Z towards the camera.

    What was converted from the wrong convention is mostly told by `check_convention`.

    Args:
        normals: Shape (..., 3).
        convention: The frame they are in. "opengl": X right, Y up, Z towards the camera, as here.
            "opencv": X right, Y down, Z away from the camera. "blender_world": that of the scene.
        camera_to_world: Rotation or pose of a Blender camera (`matrix_world`), shape (3, 3) or
            (4, 4), without scale; for "blender_world" alone.

    Returns:
        Shape (..., 3).

    Raises:
        ValueError: If the convention is unknown, or its rotation is missing or none.
    """
    if convention in _SIGNS:
        return normals * np.array(_SIGNS[convention], normals.dtype)
    if convention != "blender_world":
        raise ValueError(
            f"expected a convention out of {', '.join(_SIGNS)}, blender_world, got {convention!r}"
        )
    if camera_to_world is None:
        raise ValueError(
            "expected camera_to_world with normals of the convention 'blender_world'; give the "
            "camera's matrix_world"
        )
    rotation = camera_to_world[:3, :3]
    if rotation.shape != (3, 3) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4):
        raise ValueError(
            f"expected camera_to_world to be a rotation (3, 3) or a pose (4, 4) without scale, got "
            f"{camera_to_world.tolist()}"
        )
    # The frame of a Blender camera is that of OpenGL, and row vectors times the rotation are what
    # its inverse makes of columns.
    return normals @ rotation.astype(normals.dtype)


def check_convention(normals: FloatArray, mask: Mask, name: str = "target") -> None:
    """Refuse normals that look away from the camera: surfaces that are seen face it.

    Args:
        normals: Shape (H, W, 3), after `convert_normals`.
        mask: Human and valid, shape (H, W).
        name: What the normals are, for the message.

    Raises:
        ValueError: If the mean of Z inside the mask is negative.
    """
    require_booleans(mask)
    require_pixels(int(mask.sum()))
    mean_z = float(normals[mask][:, 2].mean(dtype=np.float64))
    if mean_z < 0:
        raise ValueError(
            f"expected the normals of the {name} to face the camera, got a mean Z of {mean_z:.2f}; "
            "say which convention they are in"
        )
