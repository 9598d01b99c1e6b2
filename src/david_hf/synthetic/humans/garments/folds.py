"""Heights of folds in cloth: hanging, gathered, and pressed together where a limb bends."""

import numpy as np

from david_hf.synthetic.mesh import FloatArray, IntArray, normalize

from .cutting import Sheet


def noise(points: FloatArray, rng: np.random.Generator, length: FloatArray) -> FloatArray:
    """Smooth waves (N,), about in [-1, 1].

    Args:
        points: (N, 3) metres.
        rng: Source of randomness.
        length: (3,) wavelength along x, y and z, metres.
    """
    scaled = (points / length).astype(np.float32)
    total = np.zeros(len(points), np.float32)
    for _ in range(4):
        along = rng.normal(0, 2.2, 3).astype(np.float32)
        bend = np.sin(scaled @ along + np.float32(rng.uniform(0, 6.3)))
        across = (2 * np.pi * normalize(rng.normal(size=3))).astype(np.float32)
        total += np.sin(scaled @ across + np.float32(1.6) * bend)
    return total / np.float32(2.6)


def ridges(points: FloatArray, rng: np.random.Generator, length: FloatArray) -> FloatArray:
    """Like `noise`, with crests narrower than the valleys, as cloth has; in [0, 1]."""
    return np.asarray((0.5 + 0.5 * np.clip(noise(points, rng, length), -1, 1)) ** 1.8)


def creases(points: FloatArray, rng: np.random.Generator, length: FloatArray) -> FloatArray:
    """Rounded ridges along winding lines that come and go; in [0, 1]."""
    strength = np.clip(0.5 + 0.8 * noise(points, rng, 2.5 * length), 0, 1)
    return np.asarray(strength * np.exp(-((noise(points, rng, length) / 0.42) ** 2)))


def compression(sheet: Sheet, faces: IntArray, along: FloatArray) -> FloatArray:
    """How much the pose shortens the cloth along a coordinate.

    Args:
        sheet: The posed cloth.
        faces: (F, 3) of the sheet.
        along: (N,) coordinate at rest, metres: length of the sleeve, or height.

    Returns:
        (N,) in [0, 1]: 0 for unchanged or stretched, 1 for cloth pressed to nothing.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    first, second = edges.T
    before = np.linalg.norm(sheet.rest[first] - sheet.rest[second], axis=1) + 1e-6
    after = np.linalg.norm(sheet.points[first] - sheet.points[second], axis=1)
    weight = (along[first] - along[second]) ** 2 / before
    pressed = np.clip(1 - after / before, -0.5, 1) * weight
    total, norm = np.zeros(len(along)), np.full(len(along), 1e-9)
    for corner in (first, second):
        total += np.bincount(corner, pressed, len(along))
        norm += np.bincount(corner, weight, len(along))
    return np.asarray(np.clip(total / norm, 0, 1))


def limb_folds(
    sheet: Sheet, rng: np.random.Generator, along: FloatArray, wavelength: float
) -> FloatArray:
    """Rings (N,) across a limb where it bends, about in [0, 1]: multiply by a height in metres."""
    pressed = np.clip(compression(sheet, sheet.faces, along) * 3.0, 0, 1)
    wobble = noise(sheet.rest, rng, np.array([0.12, 0.12, 0.16]))
    phase = 2 * np.pi * along / wavelength + 2.2 * wobble
    return pressed * (0.5 + 0.5 * np.sin(phase)) ** 1.5
