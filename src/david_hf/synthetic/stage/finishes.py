"""Finishes of rooms and things: textures, how many metres they cover, and how they shine.

Every repeating texture joins itself at its edges. Colours are sRGB in [0, 1].
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from david_hf.synthetic.mesh import FloatArray, Mesh, join
from david_hf.synthetic.scene import Part, Surface
from david_hf.synthetic.textures import Texture, to_8bit

Rng = np.random.Generator

# Ranges of hue, saturation and value, uniform.
PALETTES = {
    "white": ((0.08, 0.16), (0.0, 0.06), (0.84, 0.94)),
    "warm": ((0.03, 0.13), (0.12, 0.4), (0.6, 0.9)),
    "cool": ((0.5, 0.66), (0.08, 0.35), (0.55, 0.88)),
    "green": ((0.22, 0.42), (0.1, 0.38), (0.45, 0.82)),
    "grey": ((0.0, 1.0), (0.0, 0.06), (0.35, 0.75)),
    "dark": ((0.0, 1.0), (0.05, 0.4), (0.08, 0.3)),
    "vivid": ((0.0, 1.0), (0.45, 0.8), (0.45, 0.8)),
}


@dataclass(frozen=True)
class Finish:
    """A texture with its scale and its shine.

    Attributes:
        texture: (H, W, 3) uint8 sRGB.
        metres: Edge of the square the texture covers; 1 also for meshes that fit one picture.
        surface: How it is shaded.
    """

    texture: Texture
    metres: float = 1.0
    surface: Surface = field(default_factory=Surface)

    def part(self, name: str, *meshes: Mesh) -> Part:
        """Things with this finish; the texture coordinates of the meshes are metres."""
        mesh = join(meshes)
        return Part(name, replace(mesh, uv=mesh.uv / self.metres), self.texture, self.surface)


def colour_of(rng: Rng, palette: str) -> FloatArray:
    """An sRGB colour (3,) of a palette."""
    return np.array(colorsys.hsv_to_rgb(*(rng.uniform(*limits) for limits in PALETTES[palette])))


def painted(colour: ArrayLike, roughness: float = 0.5, metallic: float = 0.0) -> Finish:
    """One sRGB colour (3,)."""
    texture = np.tile(to_8bit(np.asarray(colour, float)), (4, 4, 1))
    return Finish(texture, 1.0, Surface(roughness=roughness, metallic=metallic))


def glowing(colour: ArrayLike, emission: float) -> Finish:
    """One sRGB colour (3,) that emits light."""
    return replace(painted(colour, 0.8), surface=Surface(roughness=0.8, emission=emission))


def noise(rng: Rng, size: int, cells: int, rows: int | None = None) -> FloatArray:
    """Smooth repeating noise (size, size) of unit variance at its knots, `cells` across."""
    knots = rng.normal(size=(rows or cells, cells)).astype(np.float32)
    margin = 3
    padded = np.pad(knots, margin, mode="wrap")
    height, width = padded.shape
    window = (margin, margin, width - margin, height - margin)
    smooth = Image.fromarray(padded).resize((size, size), Image.Resampling.BICUBIC, window)
    return np.asarray(smooth)


def cloudy(rng: Rng, size: int = 256) -> FloatArray:
    """Repeating noise (size, size) of several scales, about -1..1."""
    scales = ((3, 0.5), (8, 0.3), (24, 0.2), (size // 2, 0.15))
    return np.asarray(sum(share * noise(rng, size, cells) for cells, share in scales))


def _shaded(colour: ArrayLike, light: FloatArray) -> Texture:
    """A colour (..., 3) times a factor (H, W)."""
    return to_8bit(np.asarray(colour, float) * light[..., None])


def plaster(rng: Rng, colour: ArrayLike) -> Finish:
    """A painted wall: nearly even."""
    light = 1 + rng.uniform(0.01, 0.05) * cloudy(rng)
    return Finish(_shaded(colour, light), 2.5, Surface(roughness=0.9, specular=0.2))


def concrete(rng: Rng, colour: ArrayLike) -> Finish:
    """Stained cast concrete with the joints and holes of its formwork."""
    light = 1 + 0.13 * cloudy(rng) + 0.04 * noise(rng, 256, 128)
    light[:2] *= 0.7
    light[:, :2] *= 0.7
    y, x = np.mgrid[0:256, 0:256]
    light *= 1 - 0.5 * np.exp(-((x % 128 - 64) ** 2 + (y % 128 - 64) ** 2) / 5)
    mix = 0.25 * np.asarray(colour, float) + 0.75 * np.mean(np.asarray(colour, float))
    return Finish(_shaded(mix * 0.85, light), 2.4, Surface(roughness=0.85, specular=0.3))


def _cells(rows: int, columns: int, shift: float, size: int = 384) -> tuple[FloatArray, ...]:
    """Row, column and distances to the cell's edges (in texture units) of shifted bricks."""
    steps = (np.arange(size) + 0.5) / size
    row, down = np.divmod(steps[:, None] * rows, 1)
    column, along = np.divmod(steps * columns + shift * row, 1)
    across_edge = np.minimum(along, 1 - along) / columns
    down_edge = np.minimum(down, 1 - down) / rows
    return row.astype(int), column.astype(int) % columns, across_edge, down_edge


def brick(rng: Rng, colour: ArrayLike) -> Finish:
    """Bricks with mortar; a light colour gives a painted wall."""
    rows, columns = 14, 4
    row, column, across, down = _cells(rows, columns, 0.5)
    tone = rng.normal(0.95, 0.07, (rows, columns))[row, column]
    light = tone * (1 + 0.1 * cloudy(rng, 384))
    joint = (np.minimum(across, down) < 0.0055)[..., None]
    bricks = np.asarray(colour, float) * light[..., None]
    mortar = rng.uniform(0.4, 0.75) * (1 + 0.1 * cloudy(rng, 384))[..., None]
    return Finish(
        to_8bit(np.where(joint, mortar, bricks)), 1.05, Surface(roughness=0.9, specular=0.2)
    )


def tiles(rng: Rng, colour: ArrayLike, edge: float = 0.3) -> Finish:
    """Square or running tiles of `edge` metres, some of them chequered."""
    count = 4
    row, column, across, down = _cells(count, count, float(rng.choice([0.0, 0.5])))
    tone = 1 + 0.04 * rng.normal(size=(count, count))[row, column]
    if rng.random() < 0.3:
        tone = np.where((row + column) % 2 == 0, tone, tone * rng.uniform(0.35, 0.8))
    light = tone * (1 + 0.03 * cloudy(rng, 384))
    light[np.minimum(across, down) < 0.0035] *= rng.uniform(0.5, 0.8)
    surface = Surface(roughness=rng.uniform(0.15, 0.4))
    return Finish(_shaded(colour, light), count * edge, surface)


WOODS = {
    "oak": (0.66, 0.50, 0.33),
    "pine": (0.80, 0.65, 0.45),
    "walnut": (0.36, 0.24, 0.16),
    "cherry": (0.55, 0.31, 0.19),
    "ash": (0.74, 0.67, 0.57),
    "black": (0.10, 0.09, 0.085),
    "white": (0.86, 0.85, 0.82),
}


def wood(rng: Rng, tone: str, boards: int = 0, roughness: float | None = None) -> Finish:
    """Wood with its grain along u.

    Args:
        rng: Source of randomness.
        tone: One of WOODS.
        boards: How many boards lie side by side, or 0 for one piece.
        roughness: Of the varnish, or None to draw it.
    """
    size = 384 if boards else 256
    bend = 6 * noise(rng, size, 2, 5)
    y = np.mgrid[0:size, 0:size][0] / size
    rings = np.sin(2 * np.pi * (rng.integers(7, 14) * y) + bend)
    fibres = noise(rng, size, 6, 170)
    light = 0.95 + 0.05 * rings + 0.05 * fibres + 0.04 * noise(rng, size, 2, 8)
    metres = 0.9
    if boards:
        row, column, across, down = _cells(boards, 1, 0.37)
        light *= (1 + 0.06 * rng.normal(size=(boards, 1)))[row, column]
        light[np.minimum(across, down) < 0.002] *= 0.45
        metres = boards * float(rng.uniform(0.1, 0.16))
    tint = np.array(WOODS[tone]) * rng.uniform(0.85, 1.12)
    shine = rng.uniform(0.25, 0.55) if roughness is None else roughness
    return Finish(_shaded(tint, light), metres, Surface(roughness=shine, specular=0.4))


def carpet(rng: Rng, colour: ArrayLike) -> Finish:
    """A mottled pile."""
    light = 1 + 0.16 * noise(rng, 256, 128) + 0.06 * cloudy(rng)
    return Finish(_shaded(colour, light), 0.8, Surface(kind="fabric", roughness=1.0, specular=0.1))


def rug(rng: Rng) -> Finish:
    """A rug with borders and a repeated figure, as one picture."""
    size = 192
    y, x = np.abs(np.mgrid[0:size, 0:size] / size * 2 - 1)
    edge = np.maximum(x, y)
    palette = np.array([colour_of(rng, str(p)) for p in ("warm", "dark", "vivid", "cool", "white")])
    steps = np.digitize(edge, np.sort(rng.uniform(0.6, 0.98, 4)))
    figure = np.sin(rng.integers(8, 30) * x) * np.sin(rng.integers(8, 30) * y) > rng.uniform(0, 0.6)
    index = np.where((steps == 0) & figure, 2, steps)
    light = 1 + 0.1 * noise(rng, size, 96)
    return Finish(
        to_8bit(palette[rng.permutation(5)][index] * 0.8 * light[..., None]),
        1.0,
        Surface(kind="fabric", roughness=1.0, specular=0.1),
    )


def cloth(rng: Rng, colour: ArrayLike) -> Finish:
    """Upholstery and curtains: a weave, sometimes with stripes or checks."""
    size = 256
    y, x = np.mgrid[0:size, 0:size] / size
    light = 1 + 0.07 * rng.normal(size=(size, size)) + 0.05 * cloudy(rng)
    pattern = rng.choice(["plain", "stripes", "checks"], p=[0.75, 0.15, 0.1])
    waves = int(rng.integers(3, 9))
    if pattern != "plain":
        light *= np.where(np.sin(2 * np.pi * waves * x) > 0, 1, rng.uniform(0.5, 0.9))
    if pattern == "checks":
        light *= np.where(np.sin(2 * np.pi * waves * y) > 0, 1, rng.uniform(0.5, 0.9))
    return Finish(_shaded(colour, light), 0.45, Surface(kind="fabric", roughness=0.9, specular=0.2))


def leather(rng: Rng, colour: ArrayLike) -> Finish:
    """Smooth leather or vinyl."""
    light = 1 + 0.1 * cloudy(rng)
    return Finish(_shaded(colour, light), 0.6, Surface(roughness=rng.uniform(0.35, 0.5)))


def wallpaper(rng: Rng, colour: ArrayLike) -> Finish:
    """Stripes, diamonds, blossoms or damask in two near colours."""
    size = 256
    y, x = np.mgrid[0:size, 0:size] / size
    count = int(rng.integers(3, 9))
    u, v = count * x, count * y
    pattern = str(rng.choice(["stripes", "diamonds", "dots", "damask", "leaves"]))
    field = {
        "stripes": np.sin(2 * np.pi * u),
        "diamonds": np.abs((u % 1) - 0.5) + np.abs((v % 1) - 0.5) - 0.45,
        "dots": 0.09 - ((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2),
        "damask": np.sin(2 * np.pi * u) * np.cos(2 * np.pi * v) + 0.5 * np.sin(6 * np.pi * v),
        "leaves": noise(rng, size, 10) * np.sin(2 * np.pi * u),
    }[pattern]
    share = np.clip(field * 12 + 0.5, 0, 1)[..., None]
    base = np.asarray(colour, float)
    second = np.clip(base * rng.uniform(0.6, 1.25) + rng.normal(0, 0.06, 3), 0, 1)
    picture = (base * (1 - share) + second * share) * (1 + 0.02 * cloudy(rng))[..., None]
    return Finish(to_8bit(picture), rng.uniform(0.5, 1.4), Surface(roughness=0.85, specular=0.2))


def marble(rng: Rng, colour: ArrayLike) -> Finish:
    """Veined stone, polished."""
    size = 256
    veins = np.abs(noise(rng, size, 4) + 0.6 * noise(rng, size, 9) + 0.3 * noise(rng, size, 30))
    light = 1 - 0.45 * np.exp(-veins * 9) + 0.05 * cloudy(rng)
    return Finish(_shaded(colour, light), 1.3, Surface(roughness=rng.uniform(0.1, 0.25)))


def panels(rng: Rng, colour: ArrayLike) -> Finish:
    """Wainscot, metal sheets or acoustic panels: a grid of grooves."""
    rows, columns = int(rng.integers(1, 4)), int(rng.integers(1, 9))
    _, _, across, down = _cells(rows, columns, 0.0, 256)
    near = np.minimum(across, down)
    light = 1 - 0.35 * np.exp(-near * 220) + 0.02 * cloudy(rng)
    return Finish(_shaded(colour, light), 1.6, Surface(roughness=rng.uniform(0.3, 0.7)))


def metal(rng: Rng, colour: ArrayLike = (0.72, 0.72, 0.73)) -> Finish:
    """Brushed metal."""
    light = 1 + 0.05 * noise(rng, 256, 4, 128) + 0.04 * cloudy(rng)
    surface = Surface(roughness=rng.uniform(0.25, 0.45), metallic=1.0)
    return Finish(_shaded(colour, light), 0.8, surface)


def leaf(rng: Rng) -> Finish:
    """One leaf as a picture: a midrib along v."""
    size = 64
    y, x = np.mgrid[0:size, 0:size] / size
    hue = rng.uniform(0.2, 0.36) if rng.random() < 0.95 else rng.uniform(0.06, 0.12)
    base = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.4, 0.8), rng.uniform(0.25, 0.55)))
    ribs = 0.12 * np.sin(60 * (y + np.abs(x - 0.5))) + 0.5 * np.exp(-np.abs(x - 0.5) * 40)
    light = 0.85 + ribs + 0.15 * noise(rng, size, 8)
    return Finish(_shaded(base, light), 1.0, Surface(roughness=0.45, specular=0.4))


WALL_FINISHES: dict[str, Callable[[Rng, ArrayLike], Finish]] = {
    "plaster": plaster,
    "wallpaper": wallpaper,
    "brick": brick,
    "concrete": concrete,
    "tiles": lambda rng, colour: tiles(rng, colour, float(rng.choice([0.1, 0.15, 0.3]))),
    "panels": panels,
    "wood": lambda rng, _: wood(rng, str(rng.choice(["oak", "walnut", "ash", "white"])), 10),
}
FLOOR_FINISHES: dict[str, Callable[[Rng, ArrayLike], Finish]] = {
    "wood": lambda rng, _: wood(rng, str(rng.choice(list(WOODS))), 8),
    "tiles": lambda rng, colour: tiles(rng, colour, float(rng.choice([0.2, 0.3, 0.45]))),
    "carpet": carpet,
    "concrete": concrete,
    "marble": marble,
}
