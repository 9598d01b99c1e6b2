"""Furniture that stands against walls: its back is at y = 0, it faces -y, x = 0 is its middle."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from david_hf.synthetic.mesh import Mesh
from david_hf.synthetic.scene import Part
from david_hf.synthetic.shapes import box, cylinder, moved, quad, revolve, tube, turn

from .finishes import glowing, tiles
from .furniture import (
    TABLE_THINGS,
    armchair,
    bed,
    bench,
    counter,
    desk,
    shell_chair,
    sofa,
    wooden_table,
)
from .pictures import book_spines, goods
from .style import Style
from .things import THINGS, clutter, placed, plant


@dataclass(frozen=True)
class Piece:
    """Something to stand or hang on a wall.

    Attributes:
        parts: Its parts; the wall is the plane y = 0, the room y < 0.
        width: Metres along the wall.
        depth: Metres into the room.
        low: Where it begins above the floor, metres.
        high: Where it ends.
    """

    parts: list[Part]
    width: float
    depth: float
    low: float
    high: float


def measured(parts: list[Part]) -> Piece:
    """A piece of parts that are centred on x = 0 before the wall."""
    points = np.concatenate([part.mesh.vertices for part in parts])
    low, high = points.min(0), points.max(0)
    width = 2 * float(max(-low[0], high[0]))
    return Piece(parts, width, float(-low[1]), float(low[2]), float(high[2]))


def _boards(style: Style, width: float, depth: float, height: float, levels: int) -> list[Mesh]:
    """A case with shelves."""
    case = [
        box([0.025, depth, height], [side * (width / 2 - 0.012), -depth / 2, height / 2])
        for side in (-1, 1)
    ]
    shelves = [
        box([width - 0.04, depth - 0.01, 0.022], [0, -depth / 2, z])
        for z in np.linspace(0.05, height - 0.012, levels)
    ]
    return [*case, *shelves, box([width, 0.01, height], [0, -0.006, height / 2])]


def bookshelf(style: Style) -> Piece:
    """Shelves of books and a few other things."""
    rng = style.rng
    width, depth, height = rng.uniform(0.7, 1.6), rng.uniform(0.26, 0.34), rng.uniform(1.5, 2.2)
    levels = int(height / 0.34) + 1
    case = _boards(style, width, depth, height, levels)
    gap = (height - 0.062) / (levels - 1)
    rows: list[list[Mesh]] = [[], []]
    things: list[Part] = []
    for k in range(levels - 1):
        z, filled = 0.062 + k * gap, width * rng.uniform(0.45, 0.96)
        row = box([filled, depth * 0.6, gap * 0.8], [0, 0, gap * 0.4])
        side = -1 if rng.random() < 0.5 else 1
        shift = [side * (width - 0.05 - filled) / 2, -depth * 0.45, z]
        front = quad(
            [shift[0] - filled / 2, -depth * 0.76, z], [filled, 0, 0], [0, 0, gap * 0.8], fit=True
        )
        rows[k % 2] += [front]
        things.append(style.dark.part("books", moved(row, shift)))
        if filled < width * 0.7:
            thing = THINGS[style.pick("frame", "vase", "bowl", "plant")](style)
            things += placed(thing, [-side * (width - filled) * 0.55 / 1.2, -depth / 2, z])
    spines = [book_spines(rng).part("spines", *row) for row in rows if row]
    return measured([style.wood.part("shelf", *case), *spines, *things])


def rack(style: Style) -> Piece:
    """Shelves of goods in a shop."""
    rng = style.rng
    width, depth, height = rng.uniform(1.0, 1.8), 0.42, rng.uniform(1.6, 2.1)
    case = _boards(style, width, depth, height, 5)
    gap, rows = (height - 0.062) / 4, []
    for k in range(4):
        corner = [-width / 2 + 0.03, -depth * 0.85, 0.062 + k * gap]
        view = quad(corner, [width - 0.06, 0, 0], [0, 0, gap * 0.85], fit=True)
        rows.append(goods(rng).part("goods", view))
    return measured([style.white.part("rack", *case), *rows])


def cupboard(style: Style) -> Piece:
    """A wardrobe or locker with doors and handles."""
    rng = style.rng
    width, depth, height = rng.uniform(0.8, 1.8), rng.uniform(0.45, 0.6), rng.uniform(1.7, 2.2)
    doors = max(2, int(width / 0.5))
    each = width / doors
    body = box([width, depth - 0.02, height], [0, -depth / 2 + 0.01, height / 2], 0.004)
    middles = [-width / 2 + (k + 0.5) * each for k in range(doors)]
    fronts = [
        box([each - 0.008, 0.018, height - 0.1], [x, -depth + 0.004, height / 2 + 0.02], 0.003)
        for x in middles
    ]
    handles = [
        tube([[x + s, -depth - 0.03, 0.95], [x + s, -depth - 0.03, 1.15]], 0.007, 6)
        for k, x in enumerate(middles)
        for s in [(1 - 2 * (k % 2)) * (each / 2 - 0.06)]
    ]
    return measured(
        [style.other_wood.part("cupboard", body, *fronts), style.metal.part("handles", *handles)]
    )


def sideboard(style: Style) -> Piece:
    """A low chest of drawers with things on it."""
    rng = style.rng
    width, depth, height = rng.uniform(0.9, 1.7), rng.uniform(0.38, 0.48), rng.uniform(0.5, 0.95)
    body = box(
        [width, depth - 0.02, height - 0.1], [0, -depth / 2 + 0.01, height / 2 + 0.05], 0.004
    )
    rows, columns = int(rng.integers(2, 4)), int(rng.integers(1, 4))
    cell = (width / columns, (height - 0.12) / rows)
    at = [
        (-width / 2 + (i + 0.5) * cell[0], 0.11 + (k + 0.5) * cell[1])
        for i in range(columns)
        for k in range(rows)
    ]
    fronts = [box([cell[0] - 0.01, 0.02, cell[1] - 0.01], [x, -depth, z], 0.003) for x, z in at]
    knobs = [cylinder(0.012, 0.03, 8) for _ in at]
    face = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    handles = [
        moved(knob, [x, -depth - 0.01, z + cell[1] * 0.25], face)
        for knob, (x, z) in zip(knobs, at, strict=True)
    ]
    legs = [
        box([0.04, 0.04, 0.12], [s * (width / 2 - 0.05), y, 0.06])
        for s in (-1, 1)
        for y in (-0.06, -depth + 0.06)
    ]
    things = placed(clutter(style, (width, depth), height, TABLE_THINGS), [0, -depth / 2, 0])
    parts = [
        style.wood.part("sideboard", body, *fronts, *legs),
        style.metal.part("knobs", *handles),
    ]
    return measured([*parts, *things])


def kitchen_unit(style: Style) -> Piece:
    """A worktop over cupboards, a splashback of tiles, and cupboards above."""
    rng, depth, height = style.rng, 0.6, 0.9
    width = float(rng.choice([1.2, 1.8, 2.4]))
    count = int(width / 0.6)
    xs = [-width / 2 + 0.3 + 0.6 * k for k in range(count)]
    body = box([width, depth - 0.04, height - 0.14], [0, -depth / 2 + 0.02, height / 2 + 0.03])
    fronts = [
        box([0.59, 0.02, height - 0.16], [x, -depth + 0.03, height / 2 + 0.03], 0.003) for x in xs
    ]
    upper = box([width, 0.32, 0.65], [0, -0.16, 1.8])
    doors = [box([0.59, 0.02, 0.63], [x, -0.33, 1.8], 0.003) for x in xs]
    top = box([width, depth, 0.04], [0, -depth / 2, height - 0.02], 0.004)
    handles = [tube([[x - 0.08, -depth, 0.78], [x + 0.08, -depth, 0.78]], 0.006, 6) for x in xs]
    handles += [tube([[x - 0.08, -0.36, 1.53], [x + 0.08, -0.36, 1.53]], 0.006, 6) for x in xs]
    tap_at = np.array(
        [[0, 0, 0], [0, 0, 0.24], [0, -0.08, 0.3], [0, -0.17, 0.28], [0, -0.18, 0.22]]
    )
    handles.append(tube(tap_at + np.array([xs[0], -0.1, height]), 0.013, 8))
    splash = quad([-width / 2, -0.008, height], [width, 0, 0], [0, 0, 0.58])
    kitchen = ("bowl", "bottle", "mug", "cup", "plant", "bottle", "vase")
    things = placed(clutter(style, (width, depth), height, kitchen), [0, -depth / 2, 0])
    return measured(
        [
            style.other_wood.part("cupboards", body, *fronts, upper, *doors),
            style.wood.part("worktop", top),
            style.metal.part("handles", *handles),
            tiles(rng, [0.88, 0.87, 0.84], 0.1).part("splashback", splash),
            *things,
        ]
    )


def fridge(style: Style) -> Piece:
    """A tall fridge with two doors."""
    body = box([0.62, 0.62, 1.85], [0, -0.31, 0.925], 0.01)
    doors = [box([0.61, 0.05, h], [0, -0.65, z], 0.01) for h, z in ((1.15, 0.6), (0.62, 1.5))]
    bars = [
        tube([[-0.24, -0.72, a], [-0.24, -0.72, b]], 0.01, 6) for a, b in ((0.8, 1.1), (1.25, 1.5))
    ]
    finish = style.metal if style.rng.random() < 0.5 else style.white
    return measured([finish.part("fridge", body, *doors), style.dark.part("bars", *bars)])


def workbench(style: Style) -> Piece:
    """A workbench with tools on a board above it."""
    rng, width, depth, height = style.rng, style.rng.uniform(1.4, 2.2), 0.65, 0.88
    top = box([width, depth, 0.06], [0, -depth / 2, height - 0.03], 0.005)
    legs = [
        box([0.08, 0.08, height - 0.06], [s * (width / 2 - 0.1), y, height / 2 - 0.03])
        for s in (-1, 1)
        for y in (-0.1, -depth + 0.1)
    ]
    under = box([width - 0.2, depth - 0.1, 0.03], [0, -depth / 2, 0.25])
    board = box([width * 0.9, 0.02, 0.8], [0, -0.012, 1.5])
    grips, blades = [], []
    for x in np.arange(-width * 0.4, width * 0.4, 0.14):
        z, long = rng.uniform(1.3, 1.75), rng.uniform(0.1, 0.22)
        grips.append(tube([[x, -0.04, z], [x, -0.04, z + 0.1]], 0.014, 6))
        blades.append(box([rng.uniform(0.01, 0.07), 0.012, long], [x, -0.04, z - long / 2]))
    boxes = [
        style.any_colour().part("case", box([0.34, 0.3, 0.22], [x, -depth / 2, 0.375], 0.01))
        for x in np.arange(-width / 2 + 0.35, width / 2 - 0.3, 0.5)
    ]
    return measured(
        [
            style.wood.part("bench", top, *legs, under),
            style.other_wood.part("board", board),
            style.any_colour().part("grips", *grips),
            style.metal.part("tools", *blades),
            *boxes,
            *placed(
                clutter(style, (width, depth), height, ("bottle", "cup", "papers", "lamp")),
                [0, -depth / 2, 0],
            ),
        ]
    )


def crates(style: Style) -> Piece:
    """A stack of boxes."""
    rng, meshes, z = style.rng, [], 0.0
    for _ in range(int(rng.integers(1, 4))):
        size = rng.uniform([0.35, 0.3, 0.25], [0.6, 0.45, 0.45])
        meshes.append(
            moved(box(size, [0, 0, size[2] / 2], 0.004), [0, -0.35, z], turn(rng.normal(0, 8)))
        )
        z += float(size[2])
    cardboard = style.other_wood if rng.random() < 0.3 else style.earth
    return measured([cardboard.part("crates", *meshes)])


def radiator(style: Style) -> Piece:
    """A radiator of ribs."""
    width = style.rng.uniform(0.6, 1.2)
    ribs = [
        box([0.05, 0.1, 0.58], [x, -0.09, 0.4], 0.012)
        for x in np.arange(-width / 2 + 0.03, width / 2, 0.065)
    ]
    pipes = [tube([[-width / 2, -0.09, z], [width / 2, -0.09, z]], 0.014, 6) for z in (0.16, 0.64)]
    return measured([style.white.part("radiator", *ribs, *pipes)])


def potted_plant(style: Style) -> Piece:
    """A tall plant in a pot."""
    height = style.rng.uniform(0.8, 1.8)
    parts = placed(plant(style, height, 110), [0, -0.45, 0])
    return measured(parts)


def floor_lamp(style: Style) -> Piece:
    """A tall lamp with a glowing shade."""
    rng = style.rng
    height, radius = rng.uniform(1.4, 1.7), rng.uniform(0.15, 0.22)
    foot = revolve(np.array([[0, 0], [0.14, 0], [0.13, 0.02], [0.012, 0.03], [0.012, height]]))
    shade = revolve(
        np.array([[radius, height - 0.12], [radius * rng.uniform(0.6, 1), height + 0.16]])
    )
    parts = [
        style.metal.part("foot", foot),
        glowing((1.0, 0.82, 0.58), rng.uniform(2, 5)).part("shade", shade),
    ]
    return measured(placed(parts, [0, -0.3, 0]))


def _from_table(parts: list[Part], size: tuple[float, float], height: float, gap: float) -> Piece:
    return measured(placed(parts, [0, -size[1] / 2 - gap, 0]))


def side_table(style: Style) -> Piece:
    """A table against the wall."""
    size = (float(style.rng.uniform(0.8, 1.5)), float(style.rng.uniform(0.45, 0.7)))
    return _from_table(wooden_table(style, size, 0.75), size, 0.75, 0.02)


def side_desk(style: Style) -> Piece:
    """A desk whose user would look at the wall."""
    size = (float(style.rng.uniform(1.2, 1.7)), 0.7)
    return _from_table(desk(style, size, 0.74), size, 0.74, 0.02)


def bar(style: Style) -> Piece:
    """Bottles on lit boards over a cupboard, behind a bar."""
    rng, width = style.rng, style.rng.uniform(1.6, 2.6)
    body = box([width, 0.4, 0.95], [0, -0.2, 0.475], 0.006)
    levels = (1.2, 1.55, 1.9)
    boards = [box([width, 0.26, 0.03], [0, -0.13, z]) for z in levels]
    bottles = []
    for z in levels:
        for x in np.arange(-width / 2 + 0.1, width / 2 - 0.05, 0.3):
            bottles += placed(THINGS["bottle"](style), [x + rng.normal(0, 0.03), -0.13, z + 0.015])
    strip = quad([-width / 2, -0.006, 1.0], [width, 0, 0], [0, 0, 1.2])
    glow = glowing(rng.choice([[1.0, 0.7, 0.35], [0.4, 0.6, 1.0], [1.0, 0.4, 0.6]]), 0.7)
    return measured([style.wood.part("bar", body, *boards), glow.part("glow", strip), *bottles])


def bar_counter(style: Style) -> Piece:
    """A counter that stands free before the shelves behind it."""
    size = (1.7, 0.6)
    return _from_table(counter(style, size, 1.08), (size[0] * 1.3, size[1]), 1.3, 0.9)


def wall_sofa(style: Style) -> Piece:
    """A sofa with its back to the wall."""
    return _seat_piece(sofa(style, 0.44))


def wall_armchair(style: Style) -> Piece:
    """An armchair with its back to the wall."""
    return _seat_piece(armchair(style, 0.43))


def wall_bed(style: Style) -> Piece:
    """A bed along the wall."""
    return _seat_piece(bed(style, 0.5))


def wall_bench(style: Style) -> Piece:
    """A bench along the wall."""
    return _seat_piece(bench(style, 0.46))


def chair_row(style: Style) -> Piece:
    """Two or three equal chairs."""
    one = shell_chair(style, 0.45)
    count = int(style.rng.integers(2, 4))
    parts = [p for k in range(count) for p in placed(one, [k * 0.58, 0, 0])]
    return _seat_piece(parts)


def _seat_piece(parts: list[Part]) -> Piece:
    """A seat as a piece against the wall, centred."""
    points = np.concatenate([part.mesh.vertices for part in parts])
    low, high = points.min(0), points.max(0)
    shift = [-(low[0] + high[0]) / 2, -high[1] - 0.03, 0]
    return measured(placed(parts, shift))


PIECES: dict[str, Callable[[Style], Piece]] = {
    "bookshelf": bookshelf,
    "rack": rack,
    "cupboard": cupboard,
    "sideboard": sideboard,
    "kitchen": kitchen_unit,
    "fridge": fridge,
    "workbench": workbench,
    "crates": crates,
    "radiator": radiator,
    "plant": potted_plant,
    "floor_lamp": floor_lamp,
    "table": side_table,
    "desk": side_desk,
    "bar": bar,
    "bar_counter": bar_counter,
    "sofa": wall_sofa,
    "armchair": wall_armchair,
    "bed": wall_bed,
    "bench": wall_bench,
    "chairs": chair_row,
}
