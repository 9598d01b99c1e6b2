"""Seats and tables in the frame of the person who uses them."""

from collections.abc import Callable

import numpy as np

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.mesh import FloatArray, Mesh
from david_hf.synthetic.scene import Part
from david_hf.synthetic.shapes import (
    box,
    cylinder,
    ellipsoid,
    moved,
    quad,
    revolve,
    sheet,
    tube,
    turn,
)

from .style import Style
from .things import clutter, placed

BACK = 0.18  # metres from the sitter's contact to what he leans on: clear of the buttocks
FRONT = -0.27  # the front edge, behind the calves
DESK_THINGS = ("laptop", "monitor", "papers", "book", "mug", "lamp", "frame", "plant")
TABLE_THINGS = ("cup", "bottle", "bowl", "vase", "book", "plant", "mug")


def seat(draws: Draws, height: float) -> list[Part]:
    """A seat in the sitter's frame.

    Args:
        draws: Of section "stage"; the factor is `seat.kind`.
        height: Of the seat's top above the floor, metres.

    Returns:
        Parts on z = 0. The origin is the floor below the sitter's contact; the sitter faces -y,
        and what is behind begins at y = 0.18.
    """
    kind = draws("seat.kind")
    return SEATS[kind](Style(draws.rng, draws("palette")), height)


def table(draws: Draws, height: float) -> list[Part]:
    """A table, desk or counter with things on it, in front of a person.

    Args:
        draws: Of section "stage"; the factor is `table.kind`.
        height: Of its top, metres.

    Returns:
        Parts on z = 0. The origin is the floor below the middle of its near edge; the person is
        at y > 0 and faces -y.
    """
    style, kind = Style(draws.rng, draws("palette")), draws("table.kind")
    width, depth = draws.rng.uniform(1.0, 1.9), draws.rng.uniform(0.55, 0.85)
    return placed(TABLES[kind](style, (width, depth), height), [0, -depth / 2, 0])


def _posts(corners: FloatArray, height: float, thick: float, splay: float = 0.0) -> list[Mesh]:
    """Round legs below corners (N, 2), their feet moved outwards by a share `splay`."""
    middle = corners.mean(0)
    feet = middle + (corners - middle) * (1 + splay)
    return [
        tube([[*foot, 0], [*corner, height]], [thick * 0.8, thick], 8)
        for foot, corner in zip(feet, corners, strict=True)
    ]


def _corners(half: float, front: float, back: float) -> FloatArray:
    return np.array([[-half, front], [half, front], [half, back], [-half, back]])


def chair(style: Style, height: float) -> list[Part]:
    """A wooden chair with slats, or a pad on its seat."""
    rng = style.rng
    half, tall = rng.uniform(0.19, 0.23), rng.uniform(0.36, 0.5)
    slab = box([2 * half + 0.03, BACK - FRONT, 0.03], [0, (BACK + FRONT) / 2, height - 0.02], 0.006)
    legs = _posts(_corners(half - 0.02, FRONT + 0.03, BACK - 0.01), height - 0.03, 0.017, 0.08)
    lean = BACK + 0.03 + rng.uniform(0.02, 0.08)
    posts = [
        tube([[x, BACK + 0.02, height - 0.03], [x, lean, height + tall]], 0.016, 8)
        for x in (-half + 0.01, half - 0.01)
    ]
    slats = _slats(style, half, lean, height, tall)
    parts = [style.wood.part("chair", slab, *legs, *posts, *slats)]
    if rng.random() < 0.5:
        pad = ellipsoid([half - 0.01, 0.2, 0.022], [0, -0.05, height - 0.012], 0.4, 20)
        parts.append(style.accent.part("pad", pad))
    return parts


def _slats(style: Style, half: float, lean: float, height: float, tall: float) -> list[Mesh]:
    """What fills the back of a chair."""
    kind, y = style.pick("across", "upright", "panel"), (BACK + 0.02 + lean) / 2 + 0.01
    if kind == "upright":
        rods = [
            tube([[x, BACK + 0.02, height], [x, lean, height + tall - 0.02]], 0.007, 6)
            for x in np.linspace(-half + 0.06, half - 0.06, 5)
        ]
        return [*rods, box([2 * half, 0.022, 0.06], [0, lean, height + tall - 0.02], 0.006)]
    if kind == "across":
        levels = np.linspace(0.35, 0.95, int(style.rng.integers(2, 5)))
        return [
            box(
                [2 * half, 0.016, 0.05],
                [0, BACK + 0.02 + (lean - BACK - 0.02) * k, height + tall * k],
                0.004,
            )
            for k in levels
        ]
    return [box([2 * half, 0.016, tall * 0.55], [0, y, height + tall * 0.7], 0.004)]


def shell_chair(style: Style, height: float) -> list[Part]:
    """A moulded shell on thin legs."""
    tall = style.rng.uniform(0.3, 0.42)
    profile = np.array(
        [
            [FRONT - 0.01, -0.02],
            [FRONT + 0.04, 0.0],
            [-0.05, -0.012],
            [BACK - 0.03, 0.0],
            [BACK + 0.04, 0.06],
            [BACK + 0.07, tall * 0.6],
            [BACK + 0.11, tall],
        ]
    )
    across = np.linspace(-1, 1, 9)
    points = np.empty((len(profile), 9, 3))
    points[..., 0] = across * 0.23
    points[..., 1] = profile[:, :1] - 0.05 * across**2 * (profile[:, 1:] > 0.03)
    points[..., 2] = profile[:, 1:] + height - 0.005 + 0.02 * across**4
    legs = _posts(_corners(0.17, -0.2, 0.12), height - 0.02, 0.012, 0.25)
    leg_finish = style.metal if style.rng.random() < 0.6 else style.wood
    return [style.any_colour().part("shell", sheet(points)), leg_finish.part("legs", *legs)]


def office_chair(style: Style, height: float) -> list[Part]:
    """A swivel chair on a star of five feet."""
    rng = style.rng
    tall = rng.uniform(0.45, 0.62)
    pad = ellipsoid([0.25, 0.23, 0.045], [0, -0.03, height - 0.04], 0.45, 24)
    back = ellipsoid([0.22, 0.04, tall / 2], [0, BACK + 0.05, height + 0.1 + tall / 2], 0.5, 24)
    angles = np.deg2rad(np.arange(5) * 72 + rng.uniform(0, 72))
    feet = [
        tube([[0, 0, 0.11], [0.3 * np.cos(a), 0.3 * np.sin(a), 0.07]], [0.025, 0.016], 6)
        for a in angles
    ]
    wheels = [ellipsoid([0.03] * 3, [0.3 * np.cos(a), 0.3 * np.sin(a), 0.03], 1, 8) for a in angles]
    column = tube([[0, 0, 0.08], [0, 0, height - 0.07]], 0.025, 10)
    bar = tube(
        [[0, 0.1, height - 0.07], [0, BACK + 0.1, height], [0, BACK + 0.1, height + 0.3]], 0.02
    )
    return [
        style.cloth.part("pads", pad, back),
        style.dark.part("base", *feet, *wheels, column, bar),
    ]


def stool(style: Style, height: float) -> list[Part]:
    """A round stool; a tall one has a foot ring."""
    radius = style.rng.uniform(0.16, 0.2)
    top = revolve(
        np.array(
            [[0, -0.05], [radius - 0.01, -0.05], [radius, -0.02], [radius - 0.015, 0], [0, 0]]
        ),
        24,
        60,
    )
    corners = _corners(radius * 0.6, -radius * 0.6, radius * 0.6)
    legs = _posts(corners, height - 0.04, 0.016, 0.5)
    angle = np.linspace(0, 2 * np.pi, 17)
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1) * radius * 1.08
    rung = tube(ring + np.array([0, 0, height * 0.4]), 0.009, 6, caps=False)
    seat_finish = style.cloth if style.rng.random() < 0.4 else style.wood
    return [
        seat_finish.part("stool", moved(top, [0, 0, height])),
        (style.metal if style.rng.random() < 0.5 else style.wood).part("legs", *legs, rung),
    ]


def bench(style: Style, height: float) -> list[Part]:
    """A bench of planks, some with a back."""
    rng, width = style.rng, style.rng.uniform(1.2, 1.8)
    middle, planks = float(rng.uniform(-0.3, 0.3)), []
    for y in np.linspace(FRONT + 0.07, BACK - 0.05, 3):
        planks.append(box([width, 0.13, 0.035], [middle, y, height - 0.018], 0.005))
    if rng.random() < 0.4:
        for z in (0.2, 0.36):
            planks.append(box([width, 0.03, 0.11], [middle, BACK + 0.05, height + z], 0.005))
    frames = [
        box(
            [0.05, 0.4, height - 0.035],
            [middle + side * (width / 2 - 0.2), -0.05, (height - 0.035) / 2],
        )
        for side in (-1, 1)
    ]
    backs = [
        box([0.05, 0.03, 0.5], [middle + side * (width / 2 - 0.2), BACK + 0.08, height + 0.17])
        for side in (-1, 1)
    ]
    held = frames + (backs if len(planks) > 3 else [])
    return [style.wood.part("planks", *planks), style.metal.part("frame", *held)]


def block(style: Style, height: float) -> list[Part]:
    """A cube, a crate, a drum or a pouf."""
    rng, half = style.rng, style.rng.uniform(0.22, 0.27)
    kind = style.pick("cube", "drum", "pouf")
    if kind == "cube":
        mesh = box([2 * half, 2 * half, height], [0, half + FRONT + 0.04, height / 2], 0.008)
        return [(style.wood if rng.random() < 0.5 else style.any_colour()).part("cube", mesh)]
    if kind == "drum":
        return [style.any_colour().part("drum", cylinder(half, height, 28))]
    return [
        style.cloth.part(
            "pouf", ellipsoid([half + 0.04, half + 0.04, height / 2], [0, 0, height / 2], 0.45, 24)
        )
    ]


def _upholstered(style: Style, height: float, width: float, seats: int) -> list[Part]:
    rng, deep = style.rng, BACK - FRONT + 0.02
    arm, tall = rng.uniform(0.1, 0.2), rng.uniform(0.3, 0.45)
    start = (
        -(rng.integers(seats) + 0.5) * width / seats
    )  # where the left end is: one sits mid-cushion
    middle = start + width / 2
    base = box(
        [width + 2 * arm, deep + 0.22, height - 0.16],
        [middle, (BACK + FRONT) / 2 + 0.1, height / 2],
        0.015,
    )
    behind = box(
        [width + 2 * arm, 0.12, tall + 0.1], [middle, BACK + 0.2, height + tall / 2 - 0.1], 0.03
    )
    arms = [
        box(
            [arm, deep + 0.2, height + 0.04],
            [start + x, (BACK + FRONT) / 2 + 0.1, height / 2 + 0.07],
            0.03,
        )
        for x in (-arm / 2, width + arm / 2)
    ]
    cushions = []
    for k in range(seats):
        x, half = start + (k + 0.5) * width / seats, width / seats / 2 - 0.004
        cushions.append(
            ellipsoid([half, deep / 2, 0.085], [x, (BACK + FRONT) / 2, height - 0.085], 0.3, 24)
        )
        lean = moved(
            ellipsoid([half, 0.08, tall / 2], [0, 0, 0], 0.4, 24),
            [x, BACK + 0.09, height + tall / 2 + 0.02],
        )
        cushions.append(lean)
    feet = _posts(
        _corners(width / 2 + arm * 0.6, FRONT + 0.04, BACK + 0.2) + np.array([middle, 0.0]),
        0.1,
        0.02,
    )
    parts = [
        style.cloth.part("sofa", base, behind, *arms, *cushions),
        style.wood.part("feet", *feet),
    ]
    if seats > 1:
        ends = (start + 0.2, start + width - 0.2)
        at = [max(ends, key=abs), BACK - 0.02, height + 0.2]
        pillow = moved(
            ellipsoid([0.2, 0.07, 0.2], [0, 0, 0], 0.55, 20), at, turn(rng.uniform(-20, 20))
        )
        parts.append(style.accent.part("pillow", pillow))
    return parts


def armchair(style: Style, height: float) -> list[Part]:
    """An upholstered chair with arms."""
    return _upholstered(style, height, style.rng.uniform(0.66, 0.76), 1)


def sofa(style: Style, height: float) -> list[Part]:
    """A sofa for two or three, whose end may be to either side."""
    seats = int(style.rng.integers(2, 4))
    return _upholstered(style, height, seats * style.rng.uniform(0.62, 0.75), seats)


def bed(style: Style, height: float) -> list[Part]:
    """A bed on whose long edge one sits, with a blanket and a pillow."""
    rng, long, deep = style.rng, 2.0, style.rng.uniform(0.9, 1.6)
    shift = float(rng.uniform(-0.6, 0.6))
    middle = [shift, FRONT + 0.03 + deep / 2]
    frame = box([long, deep, height - 0.22], [*middle, (height - 0.22) / 2], 0.01)
    mattress = ellipsoid([long / 2, deep / 2, 0.12], [*middle, height - 0.13], 0.2, 28)
    blanket = ellipsoid(
        [long * 0.34, deep / 2 + 0.015, 0.125], [shift - 0.3, middle[1], height - 0.125], 0.2, 28
    )
    pillows = [
        ellipsoid([0.2, 0.3, 0.08], [shift + long / 2 - 0.28, y, height + 0.05], 0.5, 20)
        for y in np.arange(FRONT + 0.4, FRONT + deep - 0.2, 0.68)
    ]
    board = box(
        [0.05, deep, height + 0.45], [shift + long / 2 + 0.03, middle[1], (height + 0.45) / 2], 0.01
    )
    return [
        style.wood.part("bed", frame, board),
        style.white.part("mattress", mattress, *pillows),
        style.accent.part("blanket", blanket),
    ]


SEATS: dict[str, Callable[[Style, float], list[Part]]] = {
    "chair": chair,
    "shell_chair": shell_chair,
    "office_chair": office_chair,
    "stool": stool,
    "bench": bench,
    "block": block,
    "armchair": armchair,
    "sofa": sofa,
    "bed": bed,
}


def wooden_table(style: Style, size: tuple[float, float], height: float) -> list[Part]:
    """A table on four legs, set."""
    width, depth = size
    top = box([width, depth, 0.03], [0, 0, height - 0.015], 0.005)
    apron = box([width - 0.12, depth - 0.12, 0.08], [0, 0, height - 0.07])
    corners = _corners(width / 2 - 0.07, -depth / 2 + 0.07, depth / 2 - 0.07)
    legs = [box([0.05, 0.05, height - 0.03], [*at, (height - 0.03) / 2], 0.004) for at in corners]
    things = clutter(style, size, height, TABLE_THINGS)
    return [style.wood.part("table", top, apron, *legs), *things]


def desk(style: Style, size: tuple[float, float], height: float) -> list[Part]:
    """A desk with work on it; its front is open."""
    width, depth = size
    top = box([width, depth, 0.028], [0, 0, height - 0.014], 0.004)
    drawers = box(
        [0.4, depth - 0.1, height - 0.1], [width / 2 - 0.23, 0, (height - 0.1) / 2 + 0.05], 0.004
    )
    legs = [
        tube([[-width / 2 + 0.06, y, 0], [-width / 2 + 0.06, y, height - 0.02]], 0.02, 8)
        for y in (-depth / 2 + 0.06, depth / 2 - 0.06)
    ]
    return [
        style.other_wood.part("desk", top, drawers),
        style.metal.part("legs", *legs),
        *clutter(style, size, height, DESK_THINGS),
    ]


def counter(style: Style, size: tuple[float, float], height: float) -> list[Part]:
    """A closed counter or bar."""
    width, depth = size[0] * 1.3, size[1]
    body = box([width - 0.06, depth - 0.08, height - 0.04], [0, 0, (height - 0.04) / 2])
    front = quad(
        [-width / 2 + 0.05, -depth / 2 + 0.035, 0.08], [width - 0.1, 0, 0], [0, 0, height - 0.16]
    )
    top = box([width, depth, 0.04], [0, 0, height - 0.02], 0.008)
    return [
        style.other_wood.part("counter", body),
        style.wood.part("top", top, front),
        *clutter(style, (width, depth), height, ("cup", "bottle", "vase", "bowl", "mug", "bottle")),
    ]


def round_table(style: Style, size: tuple[float, float], height: float) -> list[Part]:
    """A round cafe table on one foot."""
    radius = size[1] / 2
    top = cylinder(radius, 0.03, 32, [0, 0, height - 0.03])
    foot = revolve(
        np.array(
            [[0, 0], [radius * 0.6, 0], [radius * 0.55, 0.02], [0.03, 0.05], [0.03, height - 0.03]]
        )
    )
    things = clutter(style, (size[1], size[1]), height, ("cup", "mug", "bottle", "vase"))
    return [style.wood.part("top", top), style.metal.part("foot", foot), *things]


TABLES: dict[str, Callable[[Style, tuple[float, float], float], list[Part]]] = {
    "table": wooden_table,
    "desk": desk,
    "counter": counter,
    "round": round_table,
}
