"""Walls and pillars to lean on."""

import numpy as np

from ..factors import Draws
from ..mesh import FloatArray
from ..scene import Part
from ..shapes import box, turn
from .finishes import brick, colour_of, concrete, plaster, wood


def wall_behind(draws: Draws, contact: FloatArray) -> list[Part]:
    """A piece of wall or a pillar that touches a leaning person from behind or from the side.

    Args:
        draws: Of section "stage".
        contact: World point (3,) where the body touches it; the person stands near the origin.
    """
    rng = draws.rng
    make = (plaster, concrete, brick)[int(rng.choice(3, p=[0.5, 0.2, 0.3]))]
    finish = make(rng, colour_of(rng, draws("palette")))
    if rng.random() < 0.15:
        finish = wood(rng, "oak")
    sideways = abs(contact[0]) > abs(contact[1])
    yaw_deg = float(-90 * np.sign(contact[0])) if sideways else 0.0
    width = float(rng.choice([rng.uniform(0.35, 0.7), rng.uniform(1.2, 3.0)]))
    along = rng.uniform(-0.3, 0.3) * width
    wall = finish.part("wall", box((width, 0.3, rng.uniform(2.2, 3.0)), (along, 0.15, 1.2)))
    return [wall.moved(turn(yaw_deg), np.array([contact[0], contact[1], 0.0]))]
