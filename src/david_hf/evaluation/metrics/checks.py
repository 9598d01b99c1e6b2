"""What every metric asks of its input; each violation is a ValueError of one line."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
Mask = NDArray[np.bool_]


def require_one_shape(num_axes: int, **maps: NDArray[Any]) -> None:
    """Refuse maps, by name, that differ in shape or have another number of axes.

    Raises:
        ValueError: If they do.
    """
    shapes = [values.shape for values in maps.values()]
    if len(set(shapes)) > 1:
        raise ValueError(
            f"expected {' and '.join(maps)} of one size, got {' and '.join(map(str, shapes))}; "
            "resize the prediction to the size of the ground truth first"
        )
    if len(shapes[0]) != num_axes:
        raise ValueError(f"expected {' and '.join(maps)} of {num_axes} axes, got {shapes[0]}")


def require_booleans(mask: NDArray[Any]) -> None:
    """Refuse a mask of another type, which would select by index.

    Raises:
        ValueError: If it is one.
    """
    if mask.dtype != np.bool_:
        raise ValueError(f"expected a mask of booleans, got {mask.dtype}; compare it with 0.5")


def require_pixels(selected: int, minimum: int = 1) -> None:
    """Refuse masks that select fewer pixels than it takes.

    Raises:
        ValueError: If they do.
    """
    if selected < minimum:
        raise ValueError(
            f"expected a mask to select at least {minimum} pixel{'s' * (minimum > 1)}, got "
            f"{selected}; leave such images out"
        )


def require_finite(name: str, values: FloatArray) -> None:
    """Refuse values, those inside the mask, that are NaN or infinite.

    Raises:
        ValueError: If one is.
    """
    if not np.isfinite(values).all():
        raise ValueError(
            f"expected a finite {name} wherever the mask is true, got NaN or infinity; repair it, "
            "or take these pixels out of the mask"
        )


def require_positive_depth(target: FloatArray) -> None:
    """Refuse ground truth, that inside the mask, which is no distance in front of the camera.

    Raises:
        ValueError: If a value is not.
    """
    require_finite("target", target)
    if target.size and target.min() <= 0:
        raise ValueError(
            f"expected a target depth above 0 wherever the mask is true, got {target.min():g}; "
            "take pixels without a depth out of the mask"
        )


def require_alpha(name: str, alpha: NDArray[Any]) -> FloatArray:
    """Refuse what is no matte; return it as floats, float32 and float64 as they are.

    Raises:
        ValueError: If it is empty or has values outside [0, 1].
    """
    if alpha.size == 0:
        raise ValueError(f"expected {name} to have pixels, got {alpha.shape}")
    low, high = alpha.min(), alpha.max()
    # Said this way round, NaN is refused as well.
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"expected {name} in [0, 1], got {low:g} to {high:g}; clip it, or divide 8-bit values "
            "by 255"
        )
    return alpha if alpha.dtype in (np.float32, np.float64) else alpha.astype(np.float64)
