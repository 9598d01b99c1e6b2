"""Walls and pillars to lean on, steps to stand on."""

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.mesh import FloatArray
from david_hf.synthetic.scene import Part
from david_hf.synthetic.shapes import box

from .finishes import brick, colour_of, concrete, plaster, wood


def wall_behind(draws: Draws, contact: FloatArray) -> list[Part]:
    """A piece of wall or a pillar behind a leaning person, who faces -y more or less.

    Args:
        draws: Of section "stage".
        contact: World point (3,) where the body touches it.
    """
    rng = draws.rng
    make = (plaster, concrete, brick)[int(rng.choice(3, p=[0.5, 0.2, 0.3]))]
    finish = make(rng, colour_of(rng, draws("palette")))
    if rng.random() < 0.15:
        finish = wood(rng, "oak")
    width = float(rng.choice([rng.uniform(0.5, 0.8), rng.uniform(1.2, 3.0)]))
    aside = rng.uniform(-0.2, 0.2) * width
    height = rng.uniform(2.2, 3.0)
    wall = box((width, 0.3, height), (contact[0] + aside, contact[1] + 0.155, height / 2))
    return [finish.part("wall", wall)]


def step_below(draws: Draws, contact: FloatArray) -> list[Part]:
    """A block beneath a raised foot.

    Args:
        draws: Of section "stage".
        contact: World point (3,) under the sole.
    """
    rng = draws.rng
    make = (concrete, plaster)[int(rng.integers(2))]
    finish = make(rng, colour_of(rng, draws("palette")))
    if rng.random() < 0.4:
        finish = wood(rng, "pine")
    width, depth = rng.uniform(0.35, 0.9), rng.uniform(0.3, 0.45)
    size = (width, depth, float(contact[2]))
    return [finish.part("step", box(size, (contact[0], contact[1], contact[2] / 2), 0.005))]
