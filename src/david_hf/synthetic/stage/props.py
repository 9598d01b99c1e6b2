"""Things held in hands, and things between camera and person."""

from collections.abc import Callable

import numpy as np

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.mesh import FloatArray, join, normalize
from david_hf.synthetic.scene import Part
from david_hf.synthetic.shapes import box, ellipsoid, moved, quad, revolve, tube

from .finishes import WALL_FINISHES, colour_of
from .furniture import SEATS, TABLES
from .pictures import screen
from .style import Style
from .things import THINGS, bouquet, placed, plant

# Rotations from upright things (z up) into the grip frame: x towards the thumb, y towards the
# fingers, z out of the palm.
UPRIGHT_TO_THUMB = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])


def prop(draws: Draws, kind: str, down: FloatArray | None = None) -> list[Part]:
    """Something held, in the grip frame of a hand.

    Args:
        draws: Of section "stage"; the factor is `palette`.
        kind: One of PROPS.
        down: Unit direction (3,) of gravity in that frame, for what hangs; away from the thumb if
            it is not given.

    Returns:
        Parts in metres. The origin is the centre of the palm's surface; x points to the thumb, y to
        the fingers, z out of the palm.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind not in PROPS:
        raise ValueError(f"expected a prop of {', '.join(PROPS)}, got {kind!r}")
    style = Style(draws.rng, draws("palette"))
    gravity = np.array([-1.0, 0.0, 0.0]) if down is None else normalize(np.asarray(down, float))
    return PROPS[kind](style, gravity)


def _gripped(parts: list[Part], radius: float, low: float) -> list[Part]:
    """Upright parts with the fingers around them `low` metres above their foot."""
    shift = np.array([-low, 0.01, radius + 0.004])
    return [part.moved(UPRIGHT_TO_THUMB, shift) for part in parts]


def _radius(parts: list[Part]) -> float:
    """Of upright parts about z."""
    return float(max(np.abs(part.mesh.vertices[:, 1]).max() for part in parts))


def _cup(style: Style, _: FloatArray) -> list[Part]:
    parts = THINGS["cup"](style)
    return _gripped(parts, _radius(parts), 0.05)


def _bottle(style: Style, _: FloatArray) -> list[Part]:
    parts = THINGS["bottle"](style)
    return _gripped(parts, _radius(parts), float(style.rng.uniform(0.06, 0.12)))


def _slate(style: Style, size: tuple[float, float, float], middle: float) -> list[Part]:
    """A flat device with its back on the palm and a lit screen."""
    width, length, thick = size
    body = box(size, [0, middle, 0.008 + thick / 2], 0.003)
    top = 0.0084 + thick
    corner = [-width / 2 + 0.004, middle - length / 2 + 0.006, top]
    view = quad(corner, [width - 0.008, 0, 0], [0, length - 0.012, 0], fit=True)
    return [
        style.any_colour().part("case", body),
        screen(style.rng, float(style.rng.uniform(0.2, 1.2))).part("screen", view),
    ]


def _phone(style: Style, _: FloatArray) -> list[Part]:
    return _slate(style, (0.074, float(style.rng.uniform(0.14, 0.16)), 0.009), 0.035)


def _tablet(style: Style, _: FloatArray) -> list[Part]:
    return _slate(style, (0.17, float(style.rng.uniform(0.22, 0.27)), 0.008), 0.1)


def _book(style: Style, _: FloatArray) -> list[Part]:
    """Open towards the reader, or closed."""
    if style.rng.random() < 0.5:
        return [part.moved(np.eye(3), np.array([0, 0.05, 0.008])) for part in THINGS["book"](style)]
    width, height, lift = 0.14, 0.21, np.deg2rad(18)
    covers, pages = [], []
    for side in (-1, 1):
        out = np.array([side * np.cos(lift), 0, np.sin(lift)])
        start = np.array([0, 0.05 - height / 2, 0.012])
        along = np.array([0, height, 0.0])
        edges = (out * width, along) if side > 0 else (along, out * width)
        covers.append(quad(start, *edges))
        lifted = start + np.array([0, 0.005, 0.012])
        edges = (out * (width - 0.006), along * 0.96)
        pages.append(quad(lifted, *(edges if side > 0 else edges[::-1])))
    return [style.any_colour().part("cover", *covers), style.white.part("pages", *pages)]


def _hanging(down: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where a handle runs through the fingers, and the rotation that turns -z to `down`."""
    across = np.array([0.0, 0.0, 1.0]) - down * down[2]
    if np.linalg.norm(across) < 0.2:
        across = np.array([0.0, 1.0, 0.0]) - down * down[1]
    width = normalize(np.cross(down, normalize(across)))
    return np.array([0.0, 0.035, 0.02]), np.stack([width, np.cross(-down, width), -down], 1)


def _bag(style: Style, down: FloatArray) -> list[Part]:
    """A shopping bag, a handbag or a briefcase."""
    rng, kind = style.rng, style.pick("shopping", "handbag", "briefcase")
    width, depth, height, drop = {
        "shopping": (0.3, 0.13, 0.36, 0.2),
        "handbag": (0.28, 0.12, 0.2, 0.16),
        "briefcase": (0.4, 0.09, 0.3, 0.05),
    }[kind]
    scale = float(rng.uniform(0.8, 1.1))
    middle = [0, 0, -drop - height * scale / 2]
    power = {"shopping": 0.2, "handbag": 0.4, "briefcase": 0.15}[kind]
    body = ellipsoid(np.array([width, depth, height]) * scale / 2, middle, power, 24)
    half = width * scale * 0.28
    angle = np.linspace(0, np.pi, 9)
    loop = np.stack([half * np.cos(angle), 0 * angle, -drop * (1 - np.sin(angle)) - 0.01], 1)
    straps = [tube(loop + np.array([0, y, 0]), 0.006, 6) for y in (-0.012, 0.012)]
    finish = style.cloth if rng.random() < 0.6 else style.any_colour()
    at, rotation = _hanging(down)
    parts = [finish.part("bag", body), style.dark.part("straps", *straps)]
    return [part.moved(rotation, at) for part in parts]


def _ball(style: Style, _: FloatArray) -> list[Part]:
    radius = float(style.rng.choice([0.033, 0.06, 0.11, 0.12]))
    ball = ellipsoid([radius] * 3, [0, 0.02, radius + 0.006], 1, 24)
    return [style.any_colour().part("ball", ball)]


def _umbrella(style: Style, _: FloatArray) -> list[Part]:
    """Closed, its handle towards the thumb."""
    angle = np.linspace(0, np.pi, 7)
    hook = np.stack([0.03 - 0.03 * np.cos(angle), 0 * angle, 0.09 + 0.03 * np.sin(angle)], 1)
    handle = tube(np.vstack([[0, 0, -0.1], hook]), 0.011, 10)
    pleats = revolve(
        np.array([[0, -0.82], [0.008, -0.8], [0.035, -0.35], [0.028, -0.16], [0, -0.1]])
    )
    stick = tube([[0, 0, -0.9], [0, 0, -0.08]], 0.005, 8)
    parts = [
        style.wood.part("handle", handle),
        style.accent.part("canopy", pleats),
        style.metal.part("stick", stick),
    ]
    return _gripped(parts, 0.012, 0.0)


def _microphone(style: Style, _: FloatArray) -> list[Part]:
    grip = revolve(np.array([[0, -0.1], [0.012, -0.1], [0.017, 0.08], [0, 0.08]]))
    head = ellipsoid([0.026] * 3, [0, 0, 0.1], 0.9, 16)
    parts = [style.dark.part("grip", grip), style.metal.part("head", head)]
    return _gripped(parts, 0.016, 0.0)


def _flowers(style: Style, _: FloatArray) -> list[Part]:
    length = float(style.rng.uniform(0.25, 0.38))
    wrap = revolve(np.array([[0.012, -0.1], [0.016, 0.03], [0.07, 0.16]]), 16, 70)
    parts = [style.white.part("paper", wrap), *bouquet(style, length)]
    stalks = tube([[0, 0, -0.16], [0, 0, 0.02]], 0.012, 8)
    return _gripped([*parts, style.leaf.part("stalks", stalks)], 0.032, 0.0)


PROPS: dict[str, Callable[[Style, FloatArray], list[Part]]] = {
    "cup": _cup,
    "phone": _phone,
    "tablet": _tablet,
    "book": _book,
    "bag": _bag,
    "ball": _ball,
    "bottle": _bottle,
    "umbrella": _umbrella,
    "microphone": _microphone,
    "flowers": _flowers,
}


def occluder(draws: Draws, top: float | None = None) -> list[Part]:
    """Something between camera and person.

    Args:
        draws: Of section "stage"; the factors are `occluder.kind` and `occluder.top`.
        top: Height about which it ends above the floor, metres; else it is drawn.

    Returns:
        Parts on z = 0 about the origin, about 0.3-2 m wide. The person is at y > 0, the camera at
        y < 0.
    """
    style = Style(draws.rng, draws("palette"))
    kind = draws("occluder.kind")
    height = draws("occluder.top") if top is None else float(top)
    return OCCLUDERS[kind](style, height)


def _desk_edge(style: Style, top: float) -> list[Part]:
    size = (float(style.rng.uniform(1.0, 1.8)), 0.6)
    return TABLES[style.pick("desk", "table")](style, size, top)


def _bar_counter(style: Style, top: float) -> list[Part]:
    return TABLES["counter"](style, (float(style.rng.uniform(1.0, 1.6)), 0.5), top)


def _device(kind: str) -> Callable[[Style, float], list[Part]]:
    def build(style: Style, top: float) -> list[Part]:
        """On a small table; its screen faces the person."""
        thing = placed(THINGS[kind](style), [0, 0, 0], 180)
        tall = max(float(part.mesh.vertices[:, 2].max()) for part in thing)
        height = max(top - tall, 0.3)
        board = box([0.9, 0.5, 0.03], [0, 0, height - 0.015], 0.005)
        leg = box([0.7, 0.06, height - 0.03], [0, 0, (height - 0.03) / 2])
        return [style.wood.part("table", board, leg), *placed(thing, [0, 0, height])]

    return build


def _books(style: Style, top: float) -> list[Part]:
    """A pile of books on a table."""
    parts, z = [], max(top - 0.2, 0.3)
    parts.append(style.wood.part("table", box([0.8, 0.5, z], [0, 0, z / 2], 0.005)))
    while z < top:
        pile = THINGS["book"](style)
        parts += placed(pile, [0, 0, z], float(style.rng.normal(0, 15)))
        z = max(float(part.mesh.vertices[:, 2].max()) for part in parts[1:])
    return parts


def _stretched(parts: list[Part], top: float) -> list[Part]:
    """The parts made as high as asked."""
    tall = max(float(part.mesh.vertices[:, 2].max()) for part in parts)
    return [part.moved(np.diag([1.0, 1.0, top / tall]), np.zeros(3)) for part in parts]


def _leaves(style: Style, top: float) -> list[Part]:
    return _stretched(plant(style, top, 110), top)


def _chair_back(style: Style, top: float) -> list[Part]:
    """An empty chair whose back is towards the camera."""
    kind = style.pick("chair", "shell_chair", "office_chair", "armchair")
    return _stretched(placed(SEATS[kind](style, 0.46), [0, 0.3, 0], 180), top)


def _low_wall(style: Style, top: float) -> list[Part]:
    """Brick, stone, wood or a partition, with a coping."""
    rng, width = style.rng, style.rng.uniform(1.0, 2.4)
    kind = style.pick("brick", "concrete", "wood", "panels", "plaster")
    finish = WALL_FINISHES[kind](rng, colour_of(rng, style.pick("warm", "grey", "white")))
    body = box([width, 0.14, top - 0.05], [0, 0, (top - 0.05) / 2])
    coping = box([width + 0.04, 0.2, 0.05], [0, 0, top - 0.025], 0.006)
    return [finish.part("wall", body), style.other_wood.part("coping", coping)]


def _railing(style: Style, top: float) -> list[Part]:
    """A balustrade of rods or of turned balusters."""
    rng, width = style.rng, style.rng.uniform(1.4, 2.4)
    xs = np.arange(-width / 2, width / 2 + 0.01, rng.uniform(0.1, 0.16))
    rail = box([width + 0.1, 0.07, 0.045], [0, 0, top - 0.022], 0.008)
    foot = box([width + 0.1, 0.06, 0.03], [0, 0, 0.1])
    if rng.random() < 0.5:
        rods = [tube([[x, 0, 0.1], [x, 0, top - 0.03]], 0.009, 6) for x in xs]
        return [style.wood.part("rail", rail), style.metal.part("rods", foot, join(rods))]
    profile = np.array([[0.022, 0.1], [0.03, 0.25], [0.014, 0.4], [0.02, 0.7], [0.016, 1.0]])
    profile[:, 1] *= (top - 0.03) / 1.0
    posts = [moved(revolve(profile, 10, 80), [x, 0, 0]) for x in xs]
    return [style.wood.part("balustrade", rail, foot, *posts)]


OCCLUDERS: dict[str, Callable[[Style, float], list[Part]]] = {
    "desk": _desk_edge,
    "laptop": _device("laptop"),
    "monitor": _device("monitor"),
    "plant": _leaves,
    "chair": _chair_back,
    "wall": _low_wall,
    "railing": _railing,
    "counter": _bar_counter,
    "books": _books,
}
