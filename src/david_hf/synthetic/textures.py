"""Textures as 8-bit sRGB arrays (H, W, 3)."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from david_hf.data.colour import linear_to_srgb

from .mesh import FloatArray

Texture = NDArray[np.uint8]


def to_8bit(values: FloatArray) -> Texture:
    """Round [0, 1] to 0..255."""
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def flat(linear_rgb: ArrayLike) -> Texture:
    """A texture of one colour, given in linear RGB."""
    return np.tile(to_8bit(linear_to_srgb(np.asarray(linear_rgb, np.float64))), (4, 4, 1))


@lru_cache(maxsize=64)
def read_texture(path: Path, size: int) -> Texture:
    """A picture file as (size, size, 3 or 4)."""
    with Image.open(path) as image:
        mode = "RGBA" if "A" in image.getbands() else "RGB"
        resized = image.convert(mode).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(resized)


def smooth_noise(
    rng: np.random.Generator, size: int, octaves: Sequence[tuple[int, float]]
) -> FloatArray:
    """Sum of smooth noises (size, size); each octave has cells of so many texels and a strength."""
    total = np.zeros((size, size))
    for cell, strength in octaves:
        coarse = rng.normal(size=(max(2, size // cell),) * 2).astype(np.float32)
        smooth = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
        total += strength * np.asarray(smooth)
    return total
