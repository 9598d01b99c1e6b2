"""Where hair grows: densities over the vertices of the body, authored on the neutral body.

All functions take the neutral, unposed vertices (V, 3) in metres and return densities (V,) in
[0, 1]. Heights are relative to the eyes, angles in radians around the head: 0 in front, pi behind.
"""

import numpy as np

from david_hf.synthetic.humans.bodies import Landmarks
from david_hf.synthetic.mesh import FloatArray

SOFT = 0.006  # metres over which a hairline thins out

# Height of the hairline above the eyes over the angle, without the front, which differs most.
ANGLES = [0.0, 0.6, 1.0, 1.25, 1.5, 1.9, 2.4, 3.15]
HEIGHTS = [0.0, -0.004, 0.052, 0.030, 0.012, 0.022, -0.040, -0.055]


def polar(vertices: FloatArray, marks: Landmarks) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Angle in [0, pi], height above the eyes, and offset x of all vertices."""
    relative = vertices - marks.centre
    return (
        np.abs(np.arctan2(relative[:, 0], -relative[:, 1])),
        relative[:, 2],
        relative[:, 0],
    )


def _above(value: FloatArray, soft: float = SOFT) -> FloatArray:
    """0 below -soft, 1 above +soft, smooth between."""
    ramp = np.clip((value + soft) / (2 * soft), 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def scalp(
    rng: np.random.Generator, vertices: FloatArray, marks: Landmarks, front: float, temples: float
) -> FloatArray:
    """The scalp above a slightly irregular hairline.

    Args:
        rng: Source of the irregularity.
        vertices: Neutral vertices.
        marks: Landmarks.
        front: Height of the hairline above the eyes in front, metres; 0.06 to 0.1.
        temples: How far it recedes at the temples, metres.
    """
    angle, height, _ = polar(vertices, marks)
    heights = np.array(HEIGHTS) + np.array([front, front, 0, 0, 0, 0, 0, 0])
    heights[1:3] += temples * np.array([1.0, 0.6])
    line = np.interp(angle, ANGLES, heights)
    wave = np.sin((vertices - marks.centre) @ rng.normal(0, 60, 3) + rng.uniform(0, 6))
    return _above(height - line - 0.003 * wave)


def crown(vertices: FloatArray, marks: Landmarks) -> FloatArray:
    """What baldness takes first: the top of the head down to above the ears."""
    angle, height, _ = polar(vertices, marks)
    limit = np.interp(angle, [0, 1.2, 1.9, 2.6, 3.15], [0.0, 0.040, 0.050, 0.045, 0.03])
    return _above(height - limit, 0.012)


def beard(vertices: FloatArray, marks: Landmarks, kind: str) -> FloatArray:
    """Facial hair: full, short_boxed, goatee, moustache, chin_strap, sideburns or stubble.

    Raises:
        ValueError: If there is no such kind.
    """
    angle, _, across = polar(vertices, marks)
    below = marks.mouth - vertices[:, 2]
    span = marks.mouth - marks.chin
    side = np.abs(across)
    cheek = np.interp(angle, [0, 0.45, 0.8, 1.1, 1.35], [-0.016, -0.004, 0.006, -0.012, -0.05])
    jaw = _above(below - cheek, 0.005) * _above(span + 0.012 - below) * _above(1.42 - angle, 0.08)
    lip = _above(0.026 - side, 0.007) * _above(0.016 + below, 0.003) * _above(-0.006 - below, 0.002)
    lips = _above(0.028 - side) * _above(0.0085 - np.abs(below), 0.002)
    chin = _above(0.026 - side) * _above(below - 0.012, 0.004) * _above(span + 0.01 - below)
    around = (
        _above(0.038 - side) * _above(side - 0.022) * _above(below + 0.014) * _above(span - below)
    )
    on_face = _above(1.45 - angle, 0.1)
    kinds = {
        "full": np.maximum(jaw, lip),
        "stubble": np.maximum(jaw, lip) * 0.9,
        "short_boxed": np.maximum(jaw * _above(below - cheek - 0.008, 0.004), lip),
        "goatee": np.maximum.reduce([lip, chin, around]),
        "moustache": lip,
        "chin_strap": jaw * _above(below - cheek - 0.028, 0.005),
        "sideburns": jaw * _above(angle - 0.95, 0.08),
    }
    if kind not in kinds:
        raise ValueError(f"expected a beard of {list(kinds)}, got {kind!r}")
    is_skull = vertices[:, 2] > marks.chin - 0.035
    return kinds[kind] * (1 - lips) * on_face * is_skull
