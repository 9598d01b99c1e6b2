"""Linear light and sRGB."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


def srgb_to_linear(srgb: FloatArray) -> FloatArray:
    """Decode sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: FloatArray) -> FloatArray:
    """Encode linear light >= 0 as sRGB (IEC 61966-2-1)."""
    curve = 1.055 * np.clip(linear, 1e-6, None) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, curve)


def develop(linear: FloatArray) -> FloatArray:
    """Linear light to sRGB in [0, 1], as a camera does: with a soft shoulder above 0.7."""
    light = np.clip(linear, 0, None)
    shoulder = 0.7 + 0.3 * (1 - np.exp(-(np.maximum(light, 0.7) - 0.7) / 0.3))
    return linear_to_srgb(np.where(light < 0.7, light, shoulder))
