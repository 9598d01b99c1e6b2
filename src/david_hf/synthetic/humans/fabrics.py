"""Swatches of cloth: a tile of texture with the surface that suits the material.

A tile is a square of `TILE` metres that repeats without seams.
"""

import colorsys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from david_hf.synthetic.mesh import FloatArray
from david_hf.synthetic.scene import Surface

TILE = 0.4
MATERIALS = {
    # roughness, specular, cells of bump per metre, height of bump in metres, contrast of weave
    "cotton": (0.85, 0.25, 900.0, 0.0003, 0.05),
    "jersey": (0.9, 0.2, 700.0, 0.0002, 0.04),
    "denim": (0.8, 0.25, 800.0, 0.0004, 0.14),
    "wool": (0.95, 0.15, 500.0, 0.0006, 0.10),
    "knit": (0.95, 0.15, 350.0, 0.0010, 0.12),
    "leather": (0.42, 0.5, 250.0, 0.0004, 0.06),
    "silk": (0.55, 0.3, 900.0, 0.0001, 0.02),
    "nylon": (0.45, 0.45, 400.0, 0.0002, 0.02),
    "fleece": (1.0, 0.1, 250.0, 0.0012, 0.10),
}
PATTERNS = (
    "plain", "heather", "stripes", "pinstripes", "rows", "checks", "plaid", "dots", "herringbone",
    "ribs", "camouflage", "floral", "cable",
)  # fmt: skip
TONES = ("black", "dark", "white", "grey", "navy", "denim", "earth", "muted", "pastel", "vivid")


@dataclass(frozen=True)
class Fabric:
    """A material: one seamless tile (S, S, 3) uint8 sRGB and how it is shaded."""

    texture: NDArray[np.uint8]
    surface: Surface


def colour_of(tone: str, rng: np.random.Generator) -> FloatArray:
    """An sRGB colour (3,) in [0, 1] of a family of clothing colours.

    Raises:
        KeyError: If the tone is not one of `TONES`.
    """
    hue = rng.random()
    choices = {
        "black": (hue, rng.uniform(0, 0.25), rng.uniform(0.06, 0.16)),
        "dark": (hue, rng.uniform(0.15, 0.55), rng.uniform(0.14, 0.32)),
        "white": (hue, rng.uniform(0, 0.06), rng.uniform(0.82, 0.95)),
        "grey": (hue, rng.uniform(0, 0.08), rng.uniform(0.28, 0.72)),
        "navy": (rng.uniform(0.58, 0.67), rng.uniform(0.4, 0.75), rng.uniform(0.14, 0.34)),
        "denim": (rng.uniform(0.57, 0.63), rng.uniform(0.25, 0.6), rng.uniform(0.25, 0.6)),
        "earth": (rng.uniform(0.05, 0.16), rng.uniform(0.2, 0.55), rng.uniform(0.25, 0.7)),
        "muted": (hue, rng.uniform(0.15, 0.45), rng.uniform(0.35, 0.7)),
        "pastel": (hue, rng.uniform(0.12, 0.3), rng.uniform(0.72, 0.92)),
        "vivid": (hue, rng.uniform(0.6, 0.95), rng.uniform(0.4, 0.85)),
    }
    return np.array(colorsys.hsv_to_rgb(*choices[tone]))


def weave_fabric(
    rng: np.random.Generator,
    material: str,
    pattern: str,
    first: FloatArray,
    second: FloatArray,
    size: int = 512,
) -> Fabric:
    """A tile of cloth.

    Args:
        rng: Source of randomness for sizes and irregularities.
        material: One of `MATERIALS`.
        pattern: One of `PATTERNS`.
        first: sRGB colour (3,) of the ground.
        second: sRGB colour (3,) of the pattern.
        size: Side of the tile, pixels.

    Raises:
        KeyError: If material or pattern is unknown.
    """
    roughness, specular, scale, height, contrast = MATERIALS[material]
    share = _share(pattern, rng, size)[..., None].astype(np.float32)
    ground = np.asarray(first, np.float32)
    picture = ground + share * (np.asarray(second, np.float32) - ground)
    grain = rng.standard_normal((size, size), np.float32)
    if material == "denim":
        # The white weft of a twill shows as steep dashes.
        grain = gaussian_filter(grain, (2.5, 0.4), mode="wrap") * 2.2
    elif material in ("knit", "fleece", "wool"):
        grain = gaussian_filter(grain, 0.8, mode="wrap") * 2.5
    shade = 1 + contrast * grain + 0.02 * _worn(rng, size)
    surface = Surface("fabric", roughness, specular, bump_scale=scale, bump_height=height)
    if material in ("leather", "nylon", "silk"):
        surface = replace(surface, kind="plain")
    pixels = np.clip(picture * shade[..., None], 0.015, 0.97)
    return Fabric((pixels * 255 + 0.5).astype(np.uint8), surface)


def _worn(rng: np.random.Generator, size: int) -> FloatArray:
    """Seamless soft spots (size, size) of wear, about +-1.5."""
    turn = np.linspace(0, 2 * np.pi, size, endpoint=False, dtype=np.float32)
    total = np.zeros((size, size), np.float32)
    for _ in range(4):
        (k, m), (a, b) = rng.integers(1, 6, 2), rng.uniform(0, 6.3, 2).astype(np.float32)
        total += np.outer(np.sin(k * turn + a), np.sin(m * turn + b))
    return total


def plain(rgb: FloatArray, surface: Surface) -> Fabric:
    """A tile of one sRGB colour (3,) in [0, 1]."""
    pixel = (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Fabric(np.tile(pixel, (4, 4, 1)), surface)


def _share(pattern: str, rng: np.random.Generator, size: int) -> FloatArray:
    """Share (size, size) of the second colour, in [0, 1]."""
    y, x = np.mgrid[0:size, 0:size] / size
    if pattern in ("plain", "heather"):
        spots = rng.random((size, size)) * (0.35 if pattern == "heather" else 0)
        return np.asarray(spots)
    if pattern in ("camouflage", "floral"):
        return _blobs(pattern, rng, size)
    lines = {
        "stripes": lambda: _bars(y, int(rng.choice([6, 8, 10, 14, 20, 28])), rng.uniform(0.3, 0.6)),
        "pinstripes": lambda: 0.7 * _bars(x, int(rng.integers(14, 36)), 0.09),
        "rows": lambda: _bars(y, int(rng.integers(2, 5)), rng.uniform(0.15, 0.5)),
        "checks": lambda: _checks(x, y, int(rng.choice([8, 12, 20, 32]))),
        "plaid": lambda: _plaid(x, y, rng),
        "dots": lambda: _dots(x, y, int(rng.choice([8, 12, 16, 24])), rng.uniform(0.15, 0.3)),
        "herringbone": lambda: _herringbone(x, y),
        "ribs": lambda: 0.45 * (0.5 + 0.5 * np.cos(2 * np.pi * 64 * x)),
        "cable": lambda: _cable(x, y),
    }
    return np.asarray(lines[pattern]())


def _bars(t: FloatArray, repeats: int, width: float) -> FloatArray:
    return ((t * repeats) % 1 < width).astype(float)


def _checks(x: FloatArray, y: FloatArray, repeats: int) -> FloatArray:
    return 0.5 * _bars(x, repeats, 0.5) + 0.5 * _bars(y, repeats, 0.5)


def _plaid(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    repeats = int(rng.integers(3, 8))
    widths = rng.uniform(0.05, 0.5, 3)
    one = [sum(_bars(t + 0.13 * k, repeats, w) for k, w in enumerate(widths)) / 3 for t in (x, y)]
    return np.asarray(0.5 * one[0] + 0.5 * one[1])


def _dots(x: FloatArray, y: FloatArray, repeats: int, radius: float) -> FloatArray:
    row = np.floor(y * repeats)
    shifted = x * repeats + 0.5 * (row % 2)
    return ((shifted % 1 - 0.5) ** 2 + (y * repeats % 1 - 0.5) ** 2 < radius**2).astype(float)


def _herringbone(x: FloatArray, y: FloatArray) -> FloatArray:
    zigzag = np.abs((x * 20) % 1 - 0.5) * 2
    return 0.5 * (((y * 80 + zigzag * 4) % 1) < 0.5)


def _cable(x: FloatArray, y: FloatArray) -> FloatArray:
    centre = 0.18 * np.sin(2 * np.pi * 10 * y)
    u = (x * 8) % 1 - 0.5
    return 0.5 * np.exp(-(((np.abs(u) - np.abs(centre)) / 0.06) ** 2))


def _blobs(pattern: str, rng: np.random.Generator, size: int) -> FloatArray:
    if pattern == "camouflage":
        layers = [
            gaussian_filter(rng.standard_normal((size, size), np.float32), size / d, mode="wrap")
            for d in (22, 30)
        ]
        return sum((0.55 * (layer > 0.3 * layer.std()) for layer in layers), np.zeros((size, size)))
    y, x = np.mgrid[0:size, 0:size] / size
    share = np.zeros((size, size))
    for _ in range(int(rng.integers(10, 40))):
        across, up = rng.random(2)
        dx, dy = (x - across + 0.5) % 1 - 0.5, (y - up + 0.5) % 1 - 0.5
        petals = 1 + 0.35 * np.cos(5 * np.arctan2(dy, dx) + rng.uniform(0, 6))
        radius = np.hypot(dx, dy) / (rng.uniform(0.02, 0.055) * petals)
        share = np.maximum(share, (radius < 1) * np.where(radius < 0.3, 0.45, 1.0))
    return share


def emblem(rng: np.random.Generator, ground: FloatArray, ink: FloatArray) -> NDArray[np.uint8]:
    """A print for the chest: rings, bars, a star or lines like letters; (128, 128, 3) sRGB."""
    y, x = np.mgrid[0:128, 0:128] / 64 - 1
    kind = rng.choice(["ring", "bars", "star", "letters"])
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    if kind == "ring":
        mask = (radius < 0.9) & (radius > 0.6) | (radius < rng.uniform(0.2, 0.45))
    elif kind == "bars":
        mask = (np.abs(y) < 0.6) & ((y * rng.integers(3, 6)) % 1 < 0.6)
    elif kind == "star":
        mask = radius < 0.55 + 0.35 * np.cos(rng.integers(3, 8) * angle)
    else:
        cells = rng.random((3, 9)) < 0.62
        row = np.clip(((y + 0.6) / 1.2 * 3).astype(int), 0, 2)
        column = np.clip(((x + 0.9) / 1.8 * 9).astype(int), 0, 8)
        gap = ((y + 0.6) / 0.4 % 1 < 0.7) & ((x + 0.9) / 0.2 % 1 < 0.8)
        mask = cells[row, column] & gap & (np.abs(y) < 0.6) & (np.abs(x) < 0.9)
    pixels = np.where(mask[..., None], ink, ground)
    return (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
