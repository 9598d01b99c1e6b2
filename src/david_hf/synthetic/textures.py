"""Textures as 8-bit sRGB arrays (H, W, 3)."""

import colorsys
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


def recolour(texture: Texture, rng: np.random.Generator) -> Texture:
    """Turn the hue, draw saturation and brightness anew; half of the results are dark."""
    hsv = np.asarray(Image.fromarray(texture[..., :3]).convert("HSV")).astype(np.float64)
    hsv[..., 0] = (hsv[..., 0] + rng.integers(0, 256)) % 256
    if rng.random() < 0.5:
        saturation, gamma = rng.uniform(0.0, 0.4), rng.uniform(1.3, 2.6)
    else:
        saturation, gamma = rng.uniform(0.1, 1.1), rng.uniform(0.6, 1.4)
    hsv[..., 1] *= saturation
    hsv[..., 2] = 255 * (hsv[..., 2] / 255) ** gamma
    picture = Image.fromarray(np.clip(hsv, 0, 255).astype(np.uint8), "HSV")
    return np.asarray(picture.convert("RGB"))


def clothing_colour(rng: np.random.Generator) -> FloatArray:
    """SRGB colour of a garment: what people wear is mostly dark, white or grey."""
    tone = rng.choice(["dark", "light", "muted", "vivid"], p=[0.38, 0.17, 0.28, 0.17])
    saturation, value = {
        "dark": (rng.uniform(0, 0.5), rng.uniform(0.04, 0.25)),
        "light": (rng.uniform(0, 0.15), rng.uniform(0.75, 0.95)),
        "muted": (rng.uniform(0.1, 0.5), rng.uniform(0.25, 0.75)),
        "vivid": (rng.uniform(0.5, 0.95), rng.uniform(0.35, 0.85)),
    }[str(tone)]
    return np.array(colorsys.hsv_to_rgb(rng.random(), saturation, value))


def fabric(rng: np.random.Generator, size: int = 512) -> Texture:
    """A woven fabric: plain, striped, checked, dotted or blotched."""
    y, x = np.mgrid[0:size, 0:size] / size
    repeats = int(rng.integers(6, 50))
    names = ["plain", "rows", "columns", "checks", "dots", "blotches"]
    pattern = str(rng.choice(names, p=[0.66, 0.1, 0.06, 0.08, 0.04, 0.06]))
    share = _pattern(pattern, x, y, repeats, rng)[..., None]
    picture = clothing_colour(rng) * (1 - share) + clothing_colour(rng) * share
    weave = 1 + 0.05 * rng.normal(size=(size, size, 1))
    return to_8bit(picture * weave)


def _pattern(
    name: str, x: FloatArray, y: FloatArray, repeats: int, rng: np.random.Generator
) -> FloatArray:
    """Share of the second colour, (size, size) in [0, 1]."""
    rows = np.sin(2 * np.pi * repeats * y) > 0.25
    columns = np.sin(2 * np.pi * repeats * x) > 0.25
    if name == "rows":
        return rows.astype(float)
    if name == "columns":
        return columns.astype(float)
    if name == "checks":
        return 0.5 * rows + 0.5 * columns
    if name == "dots":
        return ((x * repeats % 1 - 0.5) ** 2 + (y * repeats % 1 - 0.5) ** 2 < 0.08).astype(float)
    if name == "blotches":
        waves = [
            np.sin(repeats * (rng.normal() * x + rng.normal() * y) + rng.uniform(0, 6))
            for _ in range(5)
        ]
        return np.clip(sum(waves) / 3 + 0.5, 0, 1)
    return np.zeros_like(x)


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
