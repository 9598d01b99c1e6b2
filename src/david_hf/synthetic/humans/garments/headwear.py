"""Hats, caps, hoods, scarves and helmets: meshes laid over the envelope of the head."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from david_hf.synthetic.mesh import FloatArray, Mesh, join

from .folds import noise
from .grids import disc, grid, thick
from .head import Head

NUM_COLUMNS = 56
WRAP_COLUMNS = 88  # cloth on the shoulders lies far from the centre


@dataclass(frozen=True)
class Headwear:
    """What sits on a head.

    Attributes:
        meshes: Posed meshes; the first is of the main fabric, others of the second one.
        scalp_free: (19158,) where hair may still root.
        hair_limit: Metres hair may stand off the head beneath it.
    """

    meshes: list[Mesh]
    scalp_free: NDArray[np.bool_]
    hair_limit: float


def _rows(brim: FloatArray, count: int) -> FloatArray:
    """Polar angles (count, C) from the pole to the brim."""
    return np.linspace(0.02, 1, count)[:, None] * brim


def _beneath(head: Head, brim: FloatArray, margin: float) -> NDArray[np.bool_]:
    """Which vertices (N,) of the head lie under a brim, but for `margin` radians at its edge."""
    offset = head.points - head.centre
    turn = np.arctan2(offset[:, 0], -offset[:, 1]) % (2 * np.pi)
    columns = np.linspace(0, 2 * np.pi, len(brim) + 1)
    edge = np.interp(turn, columns, np.append(brim, brim[0]))
    polar = np.arctan2(np.hypot(offset[:, 0], offset[:, 1]), offset[:, 2])
    return np.asarray(polar < edge - margin)


def _crown(
    head: Head, brim: FloatArray, gap: float, shape: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Rest points (R, C, 3) from the pole to the brim; `shape` adds metres at t in [0, 1]."""
    polar = _rows(brim, 26)
    directions, radius = head.dome(polar, len(brim))
    t = np.linspace(0, 1, len(polar))[:, None]
    reach = radius + gap + shape(t)
    return np.asarray(head.centre + directions * reach[..., None])


def _band(
    head: Head, brim: FloatArray, low: float, high: float, gap: float, bulge: float
) -> FloatArray:
    """Rest points (R, C, 3) of a band on the head between two shares of the brim's angle."""
    share = np.linspace(low, high, 9)[:, None]
    directions, radius = head.dome(share * brim, len(brim))
    round_off = bulge * np.sqrt(np.clip(1 - (2 * (share - low) / (high - low) - 1) ** 2, 0, 1))
    return np.asarray(head.centre + directions * (radius + gap + round_off)[..., None])


def _solid(head: Head, points: FloatArray, thickness: float, tile: tuple[float, float]) -> Mesh:
    return grid(head.posed(thick(points, thickness, True)), True, tile)


def beanie(head: Head, rng: np.random.Generator, slouch: float) -> Headwear:
    """A knitted hat; `slouch` in [0, 1] makes its top hang behind."""
    brim = head.brim_angle(rng.uniform(0.03, 0.055), -0.045)
    top = _crown(head, brim, 0.006, lambda t: 0.012 * np.sin(np.pi * t) + 0.02 * slouch * (1 - t))
    lean = np.linspace(1, 0, len(top))[:, None] ** 1.5
    top[..., 1] += 0.05 * slouch * lean
    top[..., 2] += 0.01 * lean
    crumple = noise(top.reshape(-1, 3), rng, np.full(3, 0.07)).reshape(top.shape[:2])
    outward = top - head.centre
    top = top + outward * (0.012 * (0.3 + slouch) * crumple * np.sin(np.pi * lean))[..., None]
    cuff = _band(head, brim, 0.66, 1.0, 0.008, 0.007)
    free = head.bare_scalp(_beneath(head, brim, 0.05))
    meshes = [_solid(head, top, 0.003, (2.0, 0.6)), _solid(head, cuff, 0.006, (2.0, 0.12))]
    return Headwear(meshes, free, 0.008)


def cap(head: Head, rng: np.random.Generator) -> Headwear:
    """A baseball cap with a bent visor."""
    brim = head.brim_angle(0.045, 0.0)
    front = 0.5 + 0.5 * np.cos(np.linspace(0, 2 * np.pi, len(brim), endpoint=False))
    crown = _crown(
        head, brim, 0.006, lambda t: 0.014 * np.sin(np.pi * np.clip(t, 0, 0.9)) * (0.5 + front)
    )
    free = head.bare_scalp(_beneath(head, brim, 0.06))
    top = crown[0].mean(0)
    pair = head.posed(np.stack([top, top + np.array([0, 0, 1.0])]))
    button = disc(pair[0], pair[1] - pair[0], 0.007, 0.006)
    meshes = [
        join([_solid(head, crown, 0.002, (1.6, 0.6)), button]),
        _visor(head, crown[-1], rng.uniform(0.055, 0.075), rng.uniform(0.008, 0.03)),
    ]
    return Headwear(meshes, free, 0.006)


def _visor(head: Head, rim: FloatArray, length: float, bend: float) -> Mesh:
    """A visor over the front third of a rim (C, 3)."""
    columns = np.concatenate([np.arange(-11, 0), np.arange(12)])
    edge = rim[columns]
    turn = np.linspace(-1, 1, len(columns))
    reach = np.sqrt(np.clip(1 - turn**2, 0, 1)) ** 0.75
    rows = []
    for share in np.linspace(-0.06, 1, 9):
        out = np.zeros_like(edge)
        out[:, 1] = -share * length * head.scale * reach
        out[:, 2] = -0.28 * share * length * reach - bend * turn**2 * (0.4 + 0.6 * share)
        rows.append(edge + out)
    points = np.stack(rows) + np.array([0, 0, 0.003])
    loop = np.concatenate([points, points[::-1] - [0, 0, 0.004], points[:1]])
    return grid(head.posed(loop), tile=(0.5, 0.3))


def brimmed_hat(head: Head, rng: np.random.Generator, width: float) -> Headwear:
    """A fedora, sun hat or bucket hat with a brim of `width` metres."""
    brim = head.brim_angle(0.05, 0.02)
    tall = rng.uniform(0.012, 0.04)
    pinch = rng.uniform(0.0, 0.022)
    crown = _crown(head, brim, 0.006, lambda t: tall * np.clip(1.35 - t, 0, 1) ** 0.5 - 0.6 * tall)
    top = head.centre[2] + np.linalg.norm(crown[0, 0] - head.centre) * 0.94
    crown[..., 2] = np.where(crown[..., 2] > top, top + 0.25 * (crown[..., 2] - top), crown[..., 2])
    inner = np.exp(-((np.hypot(crown[..., 0], crown[..., 1] - head.centre[1]) / 0.045) ** 2))
    crown[..., 2] -= pinch * inner
    turn = np.linspace(0, 2 * np.pi, len(brim), endpoint=False)
    curl = rng.uniform(-0.25, 0.45) * np.abs(np.sin(turn)) ** 2 + rng.uniform(-0.3, 0.1)
    share = np.linspace(0, 1, 9)[:, None, None]
    out = (crown[-1] - head.centre) * [1, 1, 0]
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    rise = (curl[:, None] * share[..., 0].T * 1.0).T[..., None] * [0, 0, 1.0]
    flat = crown[-1] + width * share * (out + rise * share)
    free = head.bare_scalp(_beneath(head, brim, 0.06))
    band = _band(head, brim, 0.86, 0.99, 0.0085, 0.001)
    loop = np.concatenate([flat, flat[::-1] - [0, 0, 0.003], flat[:1]])
    hat = join([_solid(head, crown, 0.002, (2.0, 0.8)), grid(head.posed(loop), True, (2.0, 0.4))])
    return Headwear([hat, _solid(head, band, 0.001, (1.0, 0.1))], free, 0.006)


def headband(head: Head, rng: np.random.Generator) -> Headwear:
    """A band round forehead and back of the head."""
    brim = head.brim_angle(rng.uniform(0.035, 0.06), 0.0)
    band = _band(head, brim, 0.72, 1.0, 0.004, 0.003)
    return Headwear(
        [_solid(head, band, 0.003, (1.6, 0.15))], np.ones(len(head.fit.rest), bool), 0.01
    )


def helmet(head: Head, rng: np.random.Generator) -> Headwear:
    """A bicycle or work helmet with a short peak."""
    brim = head.brim_angle(0.05, 0.015)
    ribs = 0.004 * rng.integers(0, 2)
    turn = np.linspace(0, 2 * np.pi, len(brim), endpoint=False)
    crown = _crown(
        head, brim, 0.016, lambda t: 0.016 * np.sin(np.pi * t * 0.8) + ribs * np.cos(6 * turn)
    )
    free = head.bare_scalp(_beneath(head, brim, 0.05))
    peak = _visor(head, crown[-1], 0.035, 0.004)
    return Headwear([join([_solid(head, crown, 0.012, (1.0, 1.0)), peak])], free, 0.014)


def wrap(head: Head, rng: np.random.Generator, puff: float, drop: float, face: float) -> Headwear:
    """A hood that is up, or a scarf over hair, ears and neck (hijab).

    Args:
        head: The head.
        rng: Source of randomness for the folds.
        puff: Distance from the head, metres.
        drop: How far it reaches below the centre of the head, metres.
        face: Opening for the face as a polar angle from the front, radians.
    """
    turn = np.linspace(0, 2 * np.pi, WRAP_COLUMNS, endpoint=False)
    # Seen from the front the opening is an upright oval from the forehead to below the chin.
    low, high = np.clip(np.cos(turn), 0, 1), np.clip(-np.cos(turn), 0, 1)
    opening = np.pi - (face + 0.03 * low - 0.24 * high)
    polar = np.linspace(0.02, 1, 56)[:, None] * opening
    directions, hugged = head.dome(polar, WRAP_COLUMNS, "back", head.points[::2], 12.0)
    clothed = head.fit.outer_rest
    near = np.linalg.norm(clothed - head.centre, axis=1) < 1.5 * drop
    hull = np.concatenate([head.points[::2], clothed[near]])
    _, draped = head.dome(polar, WRAP_COLUMNS, "back", hull, 10.0)
    rim = np.linspace(0, 1, len(polar))[:, None]
    share = np.clip((0.96 - rim) / 0.16, 0, 1)
    radius = hugged + share * (draped - hugged)
    down = np.clip(-directions[..., 2], 0, 1)
    folds = noise((directions * 0.2).reshape(-1, 3), rng, np.array([0.07, 0.07, 0.25])).reshape(
        radius.shape
    )
    loose = radius + puff * (1 + 0.5 * down) + (0.002 + 0.15 * puff * down) * folds * (1 - rim**6)
    # Below `drop` the cloth dives under the clothes.
    sunk = np.clip((loose * down - drop) / (0.35 * drop), 0, 1)
    loose = loose - sunk * (loose - 0.75 * drop / np.clip(down, 0.3, 1))
    rest = head.centre + directions * loose[..., None]
    layers = thick(rest, 0.003, True)
    posed = head.fit.carried(layers.reshape(-1, 3)).reshape(layers.shape)
    # The skull part follows the head alone; the drape follows neck and shoulders.
    share = np.clip((layers[..., 2] - head.chin[2] + 0.02) / 0.08, 0, 1)[..., None]
    mesh = grid(share * head.posed(layers) + (1 - share) * posed, True, (2.0, 1.6))
    offset = head.points - head.centre
    polar_points = np.arccos(np.clip(-offset[:, 1] / np.linalg.norm(offset, axis=1), -1, 1))
    free = head.bare_scalp(polar_points > face * 0.9)
    return Headwear([mesh], free, 0.5 * puff)
