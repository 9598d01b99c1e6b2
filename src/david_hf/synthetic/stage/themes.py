"""What kinds of rooms hold."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from david_hf.synthetic.scene import Part

from .furniture import SEATS, TABLES
from .storage import PIECES
from .style import Style
from .things import THINGS, placed


@dataclass(frozen=True)
class Theme:
    """What stands where, by name.

    Attributes:
        furniture: Pieces along the walls, see `storage.PIECES`.
        hangings: Pieces on the walls, see `hangings.HANGINGS`.
        free: Groups that stand in the room, see `GROUPS`.
        ceiling: "pendant", "panels" or "none".
        windows: Whether it may have windows.
        rug: Whether it may have a rug.
    """

    furniture: tuple[str, ...]
    hangings: tuple[str, ...]
    free: tuple[str, ...] = ()
    ceiling: str = "none"
    windows: bool = True
    rug: bool = False


def cafe_group(style: Style) -> list[Part]:
    """A round table with two chairs."""
    parts = TABLES["round"](style, (0.7, 0.7), 0.74)
    chair = SEATS[style.pick("chair", "shell_chair", "stool")](style, 0.45)
    return parts + placed(chair, [0, 0.62, 0]) + placed(chair, [0, -0.62, 0], 180)


def desk_group(style: Style) -> list[Part]:
    """A desk with a chair."""
    size = (float(style.rng.uniform(1.1, 1.6)), 0.7)
    chair = SEATS["office_chair"](style, 0.47)
    return TABLES["desk"](style, size, 0.74) + placed(chair, [0, -0.65, 0], 180)


def school_group(style: Style) -> list[Part]:
    """A school bench with two chairs."""
    chair = SEATS["shell_chair"](style, 0.45)
    parts = TABLES["table"](style, (1.3, 0.5), 0.74)
    for x in (-0.33, 0.33):
        parts = parts + placed(chair, [x, 0.5, 0])
    return parts


def dining_group(style: Style) -> list[Part]:
    """A table with four chairs."""
    chair, parts = SEATS["chair"](style, 0.45), TABLES["table"](style, (1.5, 0.85), 0.75)
    for x in (-0.4, 0.4):
        parts = parts + placed(chair, [x, 0.62, 0]) + placed(chair, [x, -0.62, 0], 180)
    return parts


def lounge_group(style: Style) -> list[Part]:
    """An armchair with a low table."""
    table = placed(TABLES["table"](style, (0.9, 0.5), 0.42), [0, -0.85, 0])
    return SEATS["armchair"](style, 0.43) + table


def rack_group(style: Style) -> list[Part]:
    """A shelf of goods with its back to another."""
    one = PIECES["rack"](style).parts
    return one + placed(one, [0, 0, 0], 180)


def plant_group(style: Style) -> list[Part]:
    """A plant."""
    return placed(PIECES["plant"](style).parts, [0, 0.45, 0])


def tripod_group(style: Style) -> list[Part]:
    """A stool with something on it, as in a studio."""
    height = float(style.rng.uniform(0.45, 0.8))
    return SEATS["stool"](style, height) + placed(THINGS["vase"](style), [0, 0, height])


GROUPS: dict[str, Callable[[Style], list[Part]]] = {
    "cafe": cafe_group,
    "desk": desk_group,
    "school": school_group,
    "dining": dining_group,
    "lounge": lounge_group,
    "rack": rack_group,
    "plant": plant_group,
    "stool": tripod_group,
}

_HOME = (
    "bookshelf",
    "sideboard",
    "plant",
    "floor_lamp",
    "sofa",
    "armchair",
    "cupboard",
    "radiator",
)

THEMES = {
    "living": Theme(
        _HOME,
        ("pictures", "pictures", "shelf", "screen", "clock", "door"),
        ("lounge", "dining", "plant"),
        "pendant",
        rug=True,
    ),
    "office": Theme(
        ("bookshelf", "cupboard", "desk", "plant", "chairs", "radiator", "sideboard"),
        ("board", "pictures", "posters", "screen", "clock", "door"),
        ("desk", "desk", "plant"),
        "panels",
    ),
    "kitchen": Theme(
        ("kitchen", "kitchen", "fridge", "cupboard", "table", "radiator"),
        ("shelf", "clock", "pictures", "door"),
        ("dining", "cafe"),
        "pendant",
    ),
    "bedroom": Theme(
        ("bed", "cupboard", "sideboard", "plant", "floor_lamp", "bookshelf", "armchair"),
        ("pictures", "clock", "shelf", "posters", "door"),
        ("lounge",),
        "pendant",
        rug=True,
    ),
    "corridor": Theme(
        ("bench", "plant", "radiator", "chairs", "cupboard"),
        ("door", "door", "door", "pictures", "posters", "clock"),
        (),
        "panels",
    ),
    "cafe": Theme(
        ("bar", "bar", "bench", "plant", "sideboard", "chairs"),
        ("pictures", "board", "shelf", "clock", "posters"),
        ("cafe", "cafe", "cafe"),
        "pendant",
    ),
    "shop": Theme(
        ("rack", "rack", "rack", "bookshelf", "bar_counter", "crates"),
        ("posters", "shelf", "screen", "door"),
        ("rack", "rack"),
        "panels",
    ),
    "workshop": Theme(
        ("workbench", "workbench", "crates", "rack", "cupboard", "crates"),
        ("pipes", "posters", "shelf", "board", "door"),
        ("stool",),
        "panels",
    ),
    "studio": Theme(("crates", "chairs", "cupboard"), ("pipes", "door"), ("stool",), windows=False),
    "classroom": Theme(
        ("bookshelf", "cupboard", "radiator", "desk", "plant"),
        ("board", "board", "posters", "pictures", "clock", "door"),
        ("school", "school", "school"),
        "panels",
    ),
    "night": Theme(
        _HOME,
        ("pictures", "shelf", "posters", "screen", "door"),
        ("lounge", "desk"),
        rug=True,
    ),
    "stage": Theme((), (), (), windows=False),
}


def visible_count(length: float, furnishing: float) -> int:
    """How many pieces to try on a wall of `length` metres."""
    return int(np.clip(round(length * furnishing), 1, 5))
