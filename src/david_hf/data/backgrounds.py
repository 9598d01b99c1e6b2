"""What stands behind and before people: photos without people, made-up rooms, cloth, and things.

Whatever is drawn here is nobody: it has folds, stripes, or the shading of a round body, which a
network would otherwise take for signs of a person.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from .colour import srgb_to_linear
from .sample import Array

# Linear light of the values of a byte: looking up is many times as fast as raising to a power.
_LINEAR = srgb_to_linear(np.arange(256) / 255).astype(np.float32)


class Backgrounds:
    """Photos without people, and walls and boxes made up when there are none.

    Args:
        folder: Folder of .jpg or .png photos, or None.
        photo_share: How often a photo is used when there are some.
        leave_out: Tells which photos are not used; None for none.
        cloth_share: How often a curtain or a flag hangs there.
        thing_share: How often things stand there.
        plain_share: How often there is nothing at all, as in studios and in pictures of products.
    """

    def __init__(
        self,
        folder: Path | None,
        photo_share: float = 0.7,
        leave_out: Callable[[Path], bool] | None = None,
        cloth_share: float = 0.2,
        thing_share: float = 0.3,
        plain_share: float = 0.08,
    ) -> None:
        paths = find_photos(folder) if folder else []
        self.photos = [read_photo(path) for path in paths if not (leave_out and leave_out(path))]
        self.photo_share = photo_share if self.photos else 0.0
        self.cloth_share = cloth_share
        self.thing_share = thing_share
        self.plain_share = plain_share

    def sample(self, rng: np.random.Generator, size: tuple[int, int]) -> Array:
        """A linear background (H, W, 3)."""
        if rng.random() < self.plain_share:
            return plain_wall(rng, size)
        if rng.random() < self.photo_share:
            photo = self.photos[int(rng.integers(len(self.photos)))]
            picture = crop_photo(photo, rng, size)
        else:
            picture = made_up_room(rng, size)
        if rng.random() < self.cloth_share:
            hang_cloth(picture, rng)
        if rng.random() < self.thing_share:
            for _ in range(int(rng.integers(1, 5))):
                colour, coverage = make_thing(rng, size)
                picture += (colour - picture) * coverage[..., None]
        gain = np.exp(rng.normal(0, 0.3)) * (1 + 0.1 * rng.normal(size=3))
        return np.asarray(picture * gain, np.float32)


def crop_photo(photo: Image.Image, rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """A random crop of an RGB photo, mirrored half of the time, linear (H, W, 3)."""
    height, width = size
    scale = min(photo.width / width, photo.height / height) * rng.uniform(0.4, 1)
    left = rng.uniform(0, photo.width - width * scale)
    top = rng.uniform(0, photo.height - height * scale)
    box = (left, top, left + width * scale, top + height * scale)
    crop = photo.resize((width, height), Image.Resampling.BILINEAR, box)
    linear = _LINEAR[np.asarray(crop)]
    return linear[:, ::-1].copy() if rng.random() < 0.5 else linear


def find_photos(folder: Path) -> list[Path]:
    """The background photos of a folder, sorted.

    Raises:
        ValueError: If there is none.
    """
    suffixes = {".jpg", ".jpeg", ".png"}
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in suffixes)
    if not found:
        raise ValueError(f"{folder}: expected .jpg or .png photos without people, found none")
    return found


def read_photo(path: Path) -> Image.Image:
    """Read a photo as RGB.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:  # the latter of damaged PNG files
        raise ValueError(f"{path}: {error}") from error


def plain_wall(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """One colour, white and black above all, or a soft gradient of it, linear (H, W, 3)."""
    height, width = size
    colour = (
        np.full(3, rng.choice([0.0, 1.0, rng.uniform()])) if rng.random() < 0.7 else _paint(rng)
    )
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    slope = rng.normal(0, 0.3, 2) if rng.random() < 0.5 else np.zeros(2)
    shade = 1 + slope[0] * (x - 0.5) + slope[1] * (y - 0.5)
    return np.clip(colour * shade[..., None], 0, None).astype(np.float32)


def made_up_room(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """A wall with fall-off, floor, boxes and texture: what interiors are made of, linear."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    picture = np.broadcast_to(_paint(rng), (height, width, 3)).copy()
    if rng.random() < 0.6:
        picture[y > rng.uniform(0.5, 1.0) + rng.normal(0, 0.1) * x] = _paint(rng)
    for _ in range(int(rng.integers(0, 9))):
        left, top = rng.uniform(-0.2, 1, 2)
        wide, high = rng.uniform(0.03, 0.6, 2)
        inside = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
        picture[inside] = _paint(rng) * rng.uniform(0.6, 1.3)
    fall_off = 1 + rng.normal(0, 0.35) * (x - 0.5) + rng.normal(0, 0.35) * (y - 0.5)
    texture = smooth_noise(rng, size, int(rng.integers(2, 40))) * rng.uniform(0, 0.25)
    return np.clip(picture * (fall_off + texture)[..., None], 0, None).astype(np.float32)


def hang_cloth(picture: Array, rng: np.random.Generator) -> None:
    """Hang a curtain or a flag into a linear background (H, W, 3): folds that nobody wears."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    left, top = rng.uniform(-0.2, 0.9), rng.uniform(-0.4, 0.3)
    inside = (x > left) & (x < left + rng.uniform(0.1, 0.6))
    inside &= (y > top) & (y < top + rng.uniform(0.4, 1.6))
    turns = 2 * np.pi
    sway = rng.uniform(0, 2) * np.sin(turns * (y * rng.uniform(0.3, 1.5) + rng.uniform()))
    folds = np.cos(turns * x * rng.uniform(4, 25) + sway)
    angle = rng.choice([0.0, turns / 4, rng.uniform(0, turns)])
    across = np.cos(angle) * x + np.sin(angle) * y + rng.uniform(0, 0.01) * folds
    colours = np.stack([_paint(rng) for _ in range(int(rng.integers(1, 4)))])
    stripes = np.floor(across * rng.uniform(2, 25)).astype(int) % len(colours)
    shade = 1 + rng.uniform(0.1, 0.6) * folds
    picture[inside] = (colours[stripes] * shade[..., None])[inside]


def make_thing(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Array, Array]:
    """A ball, a box, a tube or a pole, anywhere: see `draw_thing`."""
    share = float(np.exp(rng.uniform(np.log(0.03), np.log(0.35))))
    slender = float(np.exp(rng.uniform(np.log(0.04), 0))) if rng.random() < 0.6 else 1.0
    centre = (rng.uniform(0, 1), rng.uniform(0, 1.1))
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    return draw_thing(rng, size, centre, (share, max(share * slender, 0.008)), angle)


def make_counter(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Array, Array]:
    """A table, a counter or a lectern that rises from the lower edge: see `draw_thing`."""
    wide, high = rng.uniform(0.15, 0.9), rng.uniform(0.1, 0.5)
    top = rng.uniform(0.6, 0.97)
    return draw_thing(rng, size, (rng.uniform(0, 1), top + high), (wide, high), rng.normal(0, 0.05))


def draw_thing(
    rng: np.random.Generator,
    size: tuple[int, int],
    centre: tuple[float, float],
    radii: tuple[float, float],
    angle: float,
) -> tuple[Array, Array]:
    """A lit body with a superellipse for an outline, its paint plain or striped.

    Args:
        rng: Of form, paint and light.
        size: Height and width of the frame.
        centre: x and y as shares of the frame's width and height.
        radii: Half its length and half its breadth as shares of the frame's longer side.
        angle: Turn, radians.

    Returns:
        Linear colour (H, W, 3), and coverage in [0, 1] (H, W).
    """
    height, width = size
    unit = max(height, width)
    rows, columns = _around(size, centre, radii, angle)
    y, x = np.ogrid[rows, columns]
    x, y = (x + 0.5 - centre[0] * width) / unit, (y + 0.5 - centre[1] * height) / unit
    cos, sin = np.cos(angle), np.sin(angle)
    u = ((cos * x + sin * y) / radii[0]).astype(np.float32)
    v = ((cos * y - sin * x) / radii[1]).astype(np.float32)
    power = float(rng.choice([2.0, 2.0, 4.0, 12.0]))
    distance = (np.abs(u) ** power + np.abs(v) ** power + 1e-6) ** (1 / power)
    coverage = np.clip((1 - distance) * min(radii) * unit + 0.5, 0, 1)
    # A height field over the outline gives the normals: round for balls, flat with soft rims for
    # boxes; a tube is round across and straight along.
    bulge = power - 1 if rng.random() < 0.7 else 1.0
    along = np.sign(u) * np.abs(np.clip(u, -1, 1)) ** max(bulge, 3.0 if radii[0] > radii[1] else 1)
    across = np.sign(v) * np.abs(np.clip(v, -1, 1)) ** bulge
    facing = np.sqrt(np.clip(1 - along**2 - across**2, 0.05, 1))
    light = rng.normal(size=3)
    light[2] = abs(light[2]) + 0.3
    light /= np.linalg.norm(light)
    diffuse = np.clip(light[0] * along + light[1] * across + light[2] * facing, 0, None)
    shade = rng.uniform(0.15, 0.7) + rng.uniform(0.3, 1.0) * diffuse
    colours = np.stack([_paint(rng) for _ in range(int(rng.integers(1, 4)))])
    stripes = u * rng.uniform(1, 4) if rng.random() < 0.5 else v * rng.uniform(1, 4)
    paint = colours[np.floor(stripes + rng.uniform()).astype(int) % len(colours)]
    gloss = rng.uniform(0, 0.8) * diffuse ** rng.uniform(8, 60) if rng.random() < 0.4 else 0.0
    colour, coverage_of_all = np.zeros((*size, 3), np.float32), np.zeros(size, np.float32)
    colour[rows, columns] = paint * shade[..., None] + np.asarray(gloss, np.float32)[..., None]
    coverage_of_all[rows, columns] = coverage
    return colour, coverage_of_all


def _around(
    size: tuple[int, int], centre: tuple[float, float], radii: tuple[float, float], angle: float
) -> tuple[slice, slice]:
    """Rows and columns of a frame outside of which a turned box has no part."""
    unit = max(size) + 0.5 / min(radii)  # the soft rim grows with the longer radius
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    reach = (sin * radii[0] + cos * radii[1], cos * radii[0] + sin * radii[1])
    slices = []
    for length, middle, half in zip(size, reversed(centre), reach, strict=True):
        low, high = middle * length - half * unit - 1, middle * length + half * unit + 2
        slices.append(slice(max(0, int(low)), max(0, min(length, int(high)))))
    return slices[0], slices[1]


def _paint(rng: np.random.Generator) -> Array:
    """A wall colour: mostly greyish, from black to white, linear."""
    value = rng.beta(0.9, 1.1) * 0.85 + 0.01
    tint = 1 + rng.normal(0, 0.22, 3) * (1 if rng.random() < 0.7 else 3)
    return np.clip(value * tint, 0.003, 1).astype(np.float32)


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Array:
    """Noise (H, W) around 0 with a deviation near 1, smooth over so many cells along each side."""
    coarse = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC), np.float32)
