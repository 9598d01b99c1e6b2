"""Single pictures on things: views from windows, paintings, screens, spines of books."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from david_hf.synthetic.mesh import FloatArray
from david_hf.synthetic.scene import Surface
from david_hf.synthetic.textures import Texture, to_8bit

from .finishes import PALETTES, Finish, Rng, colour_of, noise


def _rgb(colour: FloatArray) -> tuple[int, ...]:
    return tuple(int(channel) for channel in to_8bit(colour))


def _gradient(top: FloatArray, bottom: FloatArray, size: tuple[int, int]) -> Image.Image:
    share = np.linspace(0, 1, size[1])[:, None, None]
    column = to_8bit(top * (1 - share) + bottom * share)
    return Image.fromarray(np.repeat(column, size[0], 1))


def window_view(rng: Rng, view: str, emission: float) -> Finish:
    """What a window shows, out of focus, and the light it sheds.

    Args:
        rng: Source of randomness.
        view: "sky", "street", "garden" or "night".
        emission: Radiance of white.
    """
    size, night = (128, 160), view == "night"
    blue = np.array(colorsys.hsv_to_rgb(0.58, rng.uniform(0, 0.45), 1.0))
    top, bottom = (np.array([0.02, 0.03, 0.07]), np.full(3, 0.08)) if night else (blue, np.ones(3))
    picture = _gradient(top, bottom, size)
    draw = ImageDraw.Draw(picture)
    horizon = int(size[1] * rng.uniform(0.35, 0.8))
    if view in ("street", "night"):
        _draw_houses(draw, rng, size, horizon, night)
    if view in ("garden", "street"):
        _draw_trees(draw, rng, size, horizon, 60 if view == "garden" else 12)
    blurred = picture.filter(ImageFilter.GaussianBlur(rng.uniform(1.0, 3.0)))
    return Finish(np.asarray(blurred), 1.0, Surface(roughness=0.3, emission=emission))


def _draw_houses(
    draw: ImageDraw.ImageDraw, rng: Rng, size: tuple[int, int], horizon: int, night: bool
) -> None:
    left = -20
    while left < size[0]:
        width, top = int(rng.integers(18, 60)), horizon - int(rng.integers(-10, 60))
        wall = colour_of(rng, "warm") * (0.05 if night else rng.uniform(0.45, 0.9))
        draw.rectangle([left, top, left + width, size[1]], fill=_rgb(wall))
        for x in range(left + 4, left + width - 6, 9):
            for y in range(top + 5, size[1], 12):
                lit = rng.random() < (0.4 if night else 0.1)
                pane = np.array([1.0, 0.8, 0.45]) if lit else wall * 0.5
                draw.rectangle([x, y, x + 4, y + 6], fill=_rgb(pane))
        left += width


def _draw_trees(
    draw: ImageDraw.ImageDraw, rng: Rng, size: tuple[int, int], horizon: int, count: int
) -> None:
    draw.rectangle([0, horizon + 18, *size], fill=_rgb(colour_of(rng, "green") * 0.75))
    for x, y, radius in zip(
        rng.uniform(0, size[0], count),
        rng.normal(horizon, 14, count),
        rng.uniform(6, 20, count),
        strict=True,
    ):
        leaves = _rgb(colour_of(rng, "green") * rng.uniform(0.3, 0.85))
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=leaves)


def painting(rng: Rng) -> Finish:
    """A landscape, an abstract picture, a poster with type or a monochrome photograph."""
    kind = str(rng.choice(["landscape", "shapes", "poster", "photo"]))
    size = (128, 128)
    if kind == "landscape":
        texture = _landscape(rng, size)
    elif kind == "photo":
        light = np.clip(0.5 + 0.35 * noise(rng, 128, 4) + 0.15 * noise(rng, 128, 16), 0, 1)
        texture = to_8bit(light[..., None] * np.array([1.0, 0.97, 0.92]))
    else:
        texture = _shapes(rng, size, with_type=kind == "poster")
    return Finish(texture, 1.0, Surface(roughness=rng.uniform(0.2, 0.7)))


def _landscape(rng: Rng, size: tuple[int, int]) -> Texture:
    picture = _gradient(colour_of(rng, "cool"), colour_of(rng, "warm"), size)
    draw, x = ImageDraw.Draw(picture), np.arange(0, size[0] + 8, 8)
    for height in np.sort(rng.uniform(0.3, 0.95, 4)):
        waves = np.sin(x / rng.uniform(8, 40) + rng.uniform(0, 6)) * rng.uniform(2, 14)
        hills = [(float(a), float(b)) for a, b in zip(x, size[1] * height + waves, strict=True)]
        colour = colour_of(rng, str(rng.choice(["green", "cool", "warm", "dark"])))
        draw.polygon([*hills, (size[0] + 8, size[1]), (0, size[1])], fill=_rgb(colour * 0.9))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8)))


def _shapes(rng: Rng, size: tuple[int, int], with_type: bool) -> Texture:
    names = list(PALETTES)
    picture = Image.new("RGB", size, _rgb(colour_of(rng, str(rng.choice(names)))))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(2, 7))):
        x = np.sort(rng.uniform(0, size[0], 2))
        y = np.sort(rng.uniform(0, size[1] * (0.6 if with_type else 1), 2))
        corners = [float(corner) for corner in (x[0], y[0], x[1], y[1])]
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape(corners, fill=_rgb(colour_of(rng, str(rng.choice(names)))))
    if with_type:
        ink = _rgb(colour_of(rng, str(rng.choice(["dark", "white", "vivid"]))))
        draw.rectangle([10, 82, 10 + int(rng.integers(50, 105)), 94], fill=ink)
        for line in range(102, 122, 5):
            draw.rectangle([10, line, 10 + int(rng.integers(40, 108)), line + 1], fill=ink)
    return np.asarray(picture)


def screen(rng: Rng, emission: float = 1.0) -> Finish:
    """A lit screen: text, a chart or a film."""
    size = (160, 100)
    kind = str(rng.choice(["text", "chart", "film", "desktop"]))
    dark = rng.random() < 0.4
    ground, ink = (
        (np.full(3, 0.08), np.full(3, 0.8)) if dark else (np.full(3, 0.95), np.full(3, 0.2))
    )
    if kind in ("film", "desktop"):
        picture = Image.fromarray(_landscape(rng, size))
    else:
        picture = Image.new("RGB", size, _rgb(ground))
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, 0, size[0], 5], fill=_rgb(ground * 0.85))
    if kind in ("text", "desktop"):
        left = 12 if kind == "text" else 80
        draw.rectangle([left - 6, 12, size[0] - 8, 92], fill=_rgb(ground))
        for y in range(17, 90, 5):
            colour = ink if rng.random() < 0.7 else colour_of(rng, "vivid")
            draw.rectangle(
                [left, y, left + int(rng.integers(10, size[0] - left - 12)), y + 1],
                fill=_rgb(colour),
            )
    if kind == "chart":
        for x in range(14, 150, 12):
            draw.rectangle(
                [x, 90 - int(rng.integers(5, 75)), x + 7, 90], fill=_rgb(colour_of(rng, "vivid"))
            )
    return Finish(np.asarray(picture), 1.0, Surface(roughness=0.2, emission=emission))


def book_spines(rng: Rng) -> Finish:
    """A row of books, as one picture with dark gaps above the shorter ones."""
    size = (256, 64)
    picture = Image.new("RGB", size, (14, 12, 10))
    draw, x = ImageDraw.Draw(picture), 0
    while x < size[0]:
        width, top = int(rng.integers(4, 14)), int(rng.integers(2, 22))
        palette = str(rng.choice(list(PALETTES)))
        colour = colour_of(rng, palette) * rng.uniform(0.5, 1.0)
        if rng.random() < 0.94:
            draw.rectangle([x, top, x + width - 2, size[1]], fill=_rgb(colour))
            mark = colour_of(rng, str(rng.choice(["white", "dark", "vivid"])))
            low = int(rng.integers(top + 4, 44))
            draw.rectangle(
                [x + 1, low, x + width - 3, low + int(rng.integers(2, 16))], fill=_rgb(mark)
            )
        x += width
    return Finish(np.asarray(picture), 1.0, Surface(roughness=0.6))


def goods(rng: Rng) -> Finish:
    """A row of packets, tins and bottles in a shop, as one picture."""
    size = (256, 64)
    picture = Image.new("RGB", size, (18, 17, 16))
    draw, x = ImageDraw.Draw(picture), 1
    while x < size[0]:
        width, top = int(rng.integers(9, 26)), int(rng.integers(4, 34))
        colour, label = colour_of(rng, "vivid"), colour_of(rng, "white")
        for _ in range(int(rng.integers(1, 5))):
            draw.rectangle([x, top, x + width - 2, size[1]], fill=_rgb(colour))
            draw.rectangle([x + 2, top + 8, x + width - 4, top + 18], fill=_rgb(label))
            x += width
    return Finish(np.asarray(picture), 1.0, Surface(roughness=0.4))
