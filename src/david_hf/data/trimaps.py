"""Trimaps: 255 for sure foreground, 0 for sure background, 128 where a matting is judged."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .codecs import decode_alpha
from .sample import Array

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255


def make_trimap(alpha: Array, size: int = 30) -> NDArray[np.uint8]:
    """Make a trimap from a matte: pixels closer than half of `size` to an edge are unknown.

    The rule by which results on PPM-100 and PhotoMatte85 are published (Zhong and Zharkov, WACV
    2024): all that is not quite transparent, dilated, less all that is quite opaque, eroded.

    Args:
        alpha: (H, W) in [0, 1].
        size: Pixels, side of the ellipse that dilates and erodes. It does not scale with the
            picture.

    Returns:
        (H, W) in {0, 128, 255}.

    Raises:
        ValueError: If alpha has another form.
    """
    if alpha.ndim != 2 or not np.issubdtype(alpha.dtype, np.floating):
        raise ValueError(
            f"expected alpha (H, W) as floats in [0, 1], got {alpha.dtype} {alpha.shape}"
        )
    # Of an even side, the ellipse and its anchor are not symmetric, and the published numbers
    # depend on that: hence OpenCV's own, and no other library's.
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    possible = cv2.dilate((alpha != 0).astype(np.uint8), ellipse)
    sure = cv2.erode((alpha == 1).astype(np.uint8), ellipse)
    trimap = np.where(possible, np.uint8(UNKNOWN), np.uint8(BACKGROUND))
    trimap[sure != 0] = FOREGROUND
    return trimap


def read_trimap(path: Path) -> NDArray[np.uint8] | None:
    """Read a trimap (H, W) in {0, 128, 255}; None if there is no such file.

    Raises:
        ValueError: If it is damaged, or holds other values.
    """
    if not path.is_file():
        return None
    try:
        values = np.rint(decode_alpha(path.read_bytes()) * 255).astype(np.uint8)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    other = np.setdiff1d(values, (BACKGROUND, UNKNOWN, FOREGROUND))
    if len(other):
        raise ValueError(
            f"{path}: expected a trimap of {BACKGROUND}, {UNKNOWN} and {FOREGROUND} alone, got "
            f"also {', '.join(map(str, other[:5]))}; get or make it again, as PNG"
        )
    return values
