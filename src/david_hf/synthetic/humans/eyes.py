"""Eyeballs: the base mesh's, smoothed, with a painted iris."""

import numpy as np

from david_hf.data.colour import linear_to_srgb
from david_hf.synthetic.factors import Draws
from david_hf.synthetic.mesh import Mesh, tessellate
from david_hf.synthetic.scene import Part, Surface
from david_hf.synthetic.textures import Texture, smooth_noise, to_8bit

from .bodies import BodyModel, PosedBody

SIZE = 256
IRIS_RADIUS = 0.39  # of the eyeball's
IRISES = {
    "brown": (0.16, 0.07, 0.028), "dark_brown": (0.06, 0.028, 0.014), "blue": (0.14, 0.28, 0.46),
    "green": (0.13, 0.22, 0.11), "grey": (0.26, 0.30, 0.32), "hazel": (0.22, 0.14, 0.05),
}  # fmt: skip
EYE = Surface("eye", roughness=0.06, specular=0.6)


def eye_parts(draws: Draws, model: BodyModel, body: PosedBody) -> list[Part]:
    """Both eyeballs, posed.

    Args:
        draws: Section "person".
        model: The body model.
        body: The posed body.
    """
    texture = paint_iris(draws.rng, draws("eyes"), draws("pupil"))
    parts = []
    for name in ("helper-l-eye", "helper-r-eye"):
        part = model.parts[name]
        used = np.unique(part.faces)
        rest = body.rest.vertices
        centre = rest[used].mean(0)
        unit = (rest - centre) / np.abs(rest[used] - centre).max()
        # Seen from the front; the back takes the colour of the white.
        uv = 0.5 + 0.5 * np.clip(unit[:, [0, 2]], -1, 1)
        uv[unit[:, 1] > 0.3] = 0.01
        posed = Mesh(body.vertices, part.faces, uv, part.faces)
        parts.append(Part(name, tessellate(posed), texture, EYE, is_human=True))
    return parts


def paint_iris(rng: np.random.Generator, colour: str, pupil: float) -> Texture:
    """An eye seen from the front (SIZE, SIZE, 3): white, iris with fibres and a dark rim, pupil.

    Args:
        rng: Source of the fibres.
        colour: A key of IRISES.
        pupil: Radius of the pupil, share of the iris.
    """
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE / 2) - 1
    radius, angle = np.hypot(x, y) / IRIS_RADIUS, np.arctan2(y, x)
    fibres = sum(
        np.sin(angle * int(rng.integers(12, 70)) + rng.uniform(0, 6) + radius * rng.uniform(-3, 3))
        for _ in range(5)
    )
    ring = np.exp(-(((radius - pupil - 0.2) / 0.16) ** 2))
    iris = np.array(IRISES[colour]) * (1 + 0.14 * fibres + 0.5 * ring)[..., None]
    iris *= np.clip(1.0 - 0.75 * np.clip((radius - 0.8) / 0.2, 0, 1), 0, 1)[..., None]
    white = np.array([0.72, 0.66, 0.62]) * (
        1 - 0.12 * np.clip(radius - 1.2, 0, 1.5)[..., None] * np.array([0.4, 1.0, 1.0])
    )
    white = white * (1 + smooth_noise(rng, SIZE, ((32, 0.03), (6, 0.02))))[..., None]
    inside = np.clip((1.0 - radius) / 0.06 + 0.5, 0, 1)[..., None]
    hole = np.clip((pupil - radius) / 0.06 + 0.5, 0, 1)[..., None]
    picture = (white * (1 - inside) + iris * inside) * (1 - hole) + 0.004 * hole
    return to_8bit(linear_to_srgb(np.clip(picture, 0, 1)))
