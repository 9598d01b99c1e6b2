"""Ground out of doors: a wide disc beneath the people, before a panorama."""

import numpy as np
from numpy.typing import ArrayLike

from david_hf.synthetic.mesh import Mesh
from david_hf.synthetic.scene import Part, Surface
from david_hf.synthetic.shapes import revolve
from david_hf.synthetic.textures import smooth_noise, to_8bit

from .finishes import Finish, Rng, brick, carpet, tiles, wood

RADIUS = 30.0  # metres: its edge lies three degrees below the horizon of a standing viewer
SIZE = 384
# Colour (sRGB) of loose ground, how much it varies, and the edge of its texture in metres.
LOOSE: dict[str, tuple[ArrayLike, float, float]] = {
    "asphalt": ((0.30, 0.30, 0.31), 0.9, 1.6),
    "grass": ((0.30, 0.38, 0.15), 1.6, 1.8),
    "sand": ((0.74, 0.64, 0.48), 0.6, 2.2),
    "gravel": ((0.52, 0.49, 0.45), 1.5, 0.9),
    "earth": ((0.38, 0.28, 0.20), 1.2, 2.0),
    "snow": ((0.86, 0.88, 0.91), 0.25, 2.5),
}
GREYS = ((0.62, 0.60, 0.56), (0.45, 0.45, 0.46), (0.66, 0.55, 0.46))


def ground(rng: Rng, kind: str) -> list[Part]:
    """A disc of ground at z = 0.

    Args:
        rng: Source of its texture.
        kind: A key of LOOSE, or paving, bricks, deck or turf.

    Raises:
        ValueError: If there is no such kind.
    """
    grey = np.array(GREYS[int(rng.integers(len(GREYS)))])
    made = {
        "paving": lambda: tiles(rng, grey, 0.4),
        "bricks": lambda: brick(rng, grey * [1.0, 0.85, 0.75]),
        "deck": lambda: wood(rng, "ash", boards=6, roughness=0.7),
        "turf": lambda: carpet(rng, (0.25, 0.36, 0.14)),
    }
    if kind in LOOSE:
        finish = _loose(rng, *LOOSE[kind])
    elif kind in made:
        finish = made[kind]()
    else:
        raise ValueError(f"expected a ground of {[*LOOSE, *made]}, got {kind!r}")
    disc = revolve([[RADIUS, 0.0], [0.0, 0.0]], sides=48)
    metres = Mesh(disc.vertices, disc.faces, disc.vertices[:, :2], disc.faces)
    return [finish.part("ground", metres)]


def _loose(rng: Rng, colour: ArrayLike, roughness: float, metres: float) -> Finish:
    """Grains and patches of one colour."""
    octaves = ((96, 0.05), (32, 0.05), (8, 0.06), (3, 0.07), (1, 0.06))
    light = 1 + roughness * smooth_noise(rng, SIZE, octaves)
    hue = np.asarray(colour, float) * rng.normal(1, 0.06, 3)
    texture = to_8bit(np.clip(hue * light[..., None], 0, 1))
    return Finish(texture, metres, Surface(roughness=0.95, specular=0.15))
