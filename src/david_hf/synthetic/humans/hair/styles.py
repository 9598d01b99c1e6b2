"""Hair styles and colours, as drawn from the distributions."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.mesh import FloatArray
from david_hf.synthetic.scene import HairColour

DYES = {
    "blue": (0.02, 0.07, 0.35),
    "pink": (0.75, 0.16, 0.35),
    "purple": (0.20, 0.04, 0.30),
    "green": (0.05, 0.28, 0.10),
    "red": (0.40, 0.02, 0.02),
    "platinum": (0.75, 0.68, 0.52),
}
OLD = 0.85  # anny's age above which hair is mostly grey


@dataclass(frozen=True)
class HairStyle:
    """How hair grows; `distributions/hair.yaml` explains the fields. Lengths in metres.

    Attributes:
        points: Points per strand: more for longer and for curly hair.
        part_at: Offset x of the parting.
    """

    name: str
    area: str
    length: float
    sides: float
    comb: str
    lift: float
    gravity: float
    margin: float
    curl: float
    turns: float
    clump: float
    frizz: float
    memory: float
    cling: float
    fringe: bool
    gather: str
    points: int
    part_at: float

    def length_at(self, relative: FloatArray) -> FloatArray:
        """Share (N,) of the length at roots (N, 3) relative to the head's centre: short sides."""
        if self.sides == 1:
            return np.ones(len(relative))
        up = np.clip((relative[:, 2] - 0.035) / 0.035, 0, 1)
        if self.area == "strip":
            up = np.clip((0.028 - np.abs(relative[:, 0])) / 0.01, 0, 1)
        return self.sides + (1 - self.sides) * up * up * (3 - 2 * up)


FIELDS = (
    "area", "length", "sides", "comb", "lift", "gravity", "margin", "curl", "turns", "clump",
    "frizz", "memory", "cling", "fringe", "gather",
)  # fmt: skip


def draw_style(draws: Draws, name: str) -> HairStyle:
    """The style `name` of one person.

    Raises:
        KeyError: If there is no such style.
    """
    if not draws.has(f"styles.{name}"):
        raise KeyError(f"no hair style is called {name}")
    values: dict[str, Any] = {}
    for field in FIELDS:
        has_own = draws.has(f"styles.{name}.{field}")
        values[field] = draws(f"styles.{name if has_own else 'default'}.{field}")
    values["curl"] = float(values["curl"])
    points = 8 if values["length"] < 0.03 else 14
    if values["length"] > 0.15 or values["curl"] > 0.004:
        points = 22
    part = {"none": 0.0, "middle": 0.0, "left": 0.028, "right": -0.028}[draws("parting")]
    return HairStyle(name=name, points=points, part_at=part, **values)


def draw_colour(draws: Draws) -> HairColour:
    """The colour of a person's hair: melanin, or a dye."""
    if draws("age") > OLD and draws("old_colour") != "as_before":
        draws.put("colour", draws("old_colour"))
    elif draws("age") < 0.5 and draws("colour") in ("grey", "white"):
        draws.put("colour", "brown")
    dye = DYES[draws("dye")] if draws("colour") == "dyed" else None
    return HairColour(draws("melanin"), draws("redness"), dye)


def linear_rgb(colour: HairColour) -> FloatArray:
    """Linear RGB (3,) close to what the hair shader shows, to paint the skin beneath."""
    if colour.dye is not None:
        return np.array(colour.dye)
    amount = -np.log(max(1 - colour.melanin, 1e-4))
    eumelanin, pheomelanin = np.array([0.506, 0.841, 1.653]), np.array([0.343, 0.733, 1.924])
    absorption = amount * ((1 - colour.redness) * eumelanin + colour.redness * pheomelanin)
    return np.exp(-2.2 * np.sqrt(absorption)) * 0.8
