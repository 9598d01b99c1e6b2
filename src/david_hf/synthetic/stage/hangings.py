"""What hangs on walls and from ceilings, doors and windows, as pieces in the frame of a wall."""

from collections.abc import Callable

import numpy as np

from david_hf.synthetic.mesh import FloatArray, Mesh
from david_hf.synthetic.scene import Part
from david_hf.synthetic.shapes import box, cylinder, moved, quad, revolve, sheet, tube

from .finishes import Finish, Rng, glowing, painted
from .pictures import painting, screen, window_view
from .storage import Piece, measured
from .style import Style
from .things import THINGS, placed


def _border(width: float, height: float, bar: float, depth: float, low: float) -> list[Mesh]:
    """Four bars around an opening of width x height that begins at `low`."""
    upright = [
        box([bar, depth, height + 2 * bar], [s * (width + bar) / 2, -depth / 2, low + height / 2])
        for s in (-1, 1)
    ]
    level = [
        box([width, depth, bar], [0, -depth / 2, low + height / 2 + s * (height + bar) / 2])
        for s in (-1, 1)
    ]
    return upright + level


def pictures(style: Style) -> Piece:
    """One framed picture, or a row of them."""
    rng, count = style.rng, int(style.rng.choice([1, 1, 2, 3]))
    width = rng.uniform(0.3, 1.0) / count**0.5
    height = width * rng.uniform(0.7, 1.4)
    low, parts = 1.55 - height / 2 + rng.normal(0, 0.08), []
    frames: list[Mesh] = []
    for k in range(count):
        x = (k - (count - 1) / 2) * (width + 0.14)
        frames += [moved(m, [x, 0, 0]) for m in _border(width, height, 0.025, 0.025, low)]
        mat = quad([x - width / 2, -0.008, low], [width, 0, 0], [0, 0, height])
        edge = rng.choice([0.0, 0.05])
        corner = [x - width / 2 + edge, -0.012, low + edge]
        view = quad(corner, [width - 2 * edge, 0, 0], [0, 0, height - 2 * edge], fit=True)
        parts += [style.white.part("mat", mat), painting(rng).part("picture", view)]
    frame = style.pick("wood", "dark", "white")
    finish = {"wood": style.wood, "dark": style.dark, "white": style.white}[frame]
    return measured([finish.part("frame", *frames), *parts])


def posters(style: Style) -> Piece:
    """Sheets pinned to the wall."""
    rng, parts = style.rng, []
    for k in range(int(rng.integers(1, 5))):
        width = rng.uniform(0.25, 0.55)
        x, low = 0.5 * k - 0.7 + rng.normal(0, 0.05), 1.25 + rng.normal(0, 0.12)
        view = quad([x, -0.004, low], [width, 0, 0], [0, 0, width * 1.35], fit=True)
        parts.append(painting(rng).part("poster", view))
    return measured(parts)


def wall_shelf(style: Style) -> Piece:
    """Boards with things on them."""
    rng, width = style.rng, style.rng.uniform(0.7, 1.4)
    levels = [1.35, 1.75][: int(rng.integers(1, 3))]
    boards = [box([width, 0.22, 0.025], [0, -0.11, z]) for z in levels]
    parts = [style.wood.part("boards", *boards)]
    for z in levels:
        for x in np.arange(-width / 2 + 0.15, width / 2 - 0.1, 0.3):
            if rng.random() < 0.7:
                thing = THINGS[style.pick("book", "vase", "frame", "bottle", "bowl", "plant")]
                parts += placed(thing(style), [x, -0.11, z + 0.013], float(rng.normal(0, 10)))
    return measured(parts)


def wall_screen(style: Style) -> Piece:
    """A television or an information screen."""
    rng, width = style.rng, style.rng.uniform(0.8, 1.4)
    height, low = width * 0.57, 1.5 - width * 0.28
    frame = box([width, 0.05, height], [0, -0.045, low + height / 2], 0.005)
    corner = [-width / 2 + 0.015, -0.072, low + 0.015]
    view = quad(corner, [width - 0.03, 0, 0], [0, 0, height - 0.03], fit=True)
    lit = rng.random() < 0.6
    finish = screen(rng, 1.2) if lit else painted((0.02, 0.02, 0.025), 0.1)
    return measured([style.dark.part("television", frame), finish.part("screen", view)])


def board(style: Style) -> Piece:
    """A blackboard, whiteboard or pin board."""
    rng, width, height, low = style.rng, style.rng.uniform(1.4, 2.6), 1.1, 0.95
    colour = {
        "black": (0.07, 0.1, 0.09),
        "white": (0.9, 0.9, 0.9),
        "cork": (0.6, 0.43, 0.27),
    }[style.pick("black", "white", "cork")]
    surface = quad([-width / 2, -0.012, low], [width, 0, 0], [0, 0, height])
    ink = painted((0.85, 0.85, 0.8) if sum(colour) < 1 else (0.1, 0.15, 0.35))
    lines = []
    for _ in range(int(rng.integers(3, 12))):
        x, z = rng.uniform(-width / 2 + 0.05, width / 2 - 0.7), rng.uniform(low + 0.1, low + 1)
        lines.append(quad([x, -0.014, z], [rng.uniform(0.1, 0.6), 0, 0], [0, 0, 0.014]))
    parts = [
        painted(colour, 0.5).part("board", surface),
        style.wood.part("frame", *_border(width, height, 0.04, 0.03, low)),
        ink.part("writing", *lines),
    ]
    return measured(parts)


def clock(style: Style) -> Piece:
    """A round clock."""
    radius = style.rng.uniform(0.12, 0.2)
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    at = np.array([0.0, 0.0, style.rng.uniform(1.75, 2.05)])
    ring = tube(_circle(radius), 0.018, 8, caps=False)
    dial = cylinder(radius, 0.02, 32)
    minute = box([0.012, radius * 0.75, 0.003], [0, radius * 0.37, 0.022])
    hour = box([radius * 0.5, 0.014, 0.003], [radius * 0.25, 0, 0.022])
    return measured(
        [
            style.dark.part("clock", *(moved(mesh, at, upright) for mesh in (ring, minute, hour))),
            style.white.part("dial", moved(dial, at, upright)),
        ]
    )


def _circle(radius: float) -> FloatArray:
    angle = np.linspace(0, 2 * np.pi, 33)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), 0.012 + 0 * angle], 1)


def pipes(style: Style) -> Piece:
    """Pipes and a switch box of a cellar or workshop."""
    rng = style.rng
    levels = rng.uniform(2.0, 2.3, 2)
    runs = [tube([[-0.8, -0.08, z], [0.8, -0.08, z]], rng.uniform(0.02, 0.05), 10) for z in levels]
    down = tube([[0.4, -0.08, 0], [0.4, -0.08, float(levels[0])]], 0.03, 10)
    case = box([0.35, 0.14, 0.45], [-0.3, -0.07, 1.5], 0.008)
    return measured([style.metal.part("pipes", *runs, down), style.any_colour().part("case", case)])


def door(style: Style) -> Piece:
    """A closed door in its frame."""
    rng, width, height = style.rng, style.rng.uniform(0.82, 1.0), 2.05
    leaf = box([width, 0.03, height], [0, -0.01, height / 2])
    fields = [
        box([width * 0.62, 0.012, h], [0, -0.03, z], 0.005) for h, z in ((0.75, 0.55), (0.8, 1.5))
    ]
    frame = _border(width, height, 0.08, 0.04, 0.0)
    knob = tube(
        [[width * 0.42, -0.02, 1.02], [width * 0.42, -0.08, 1.02], [width * 0.3, -0.08, 1.02]], 0.01
    )
    panes = [quad([-width * 0.28, -0.038, 1.15], [width * 0.56, 0, 0], [0, 0, 0.7], fit=True)]
    parts = [
        style.other_wood.part("door", leaf, *fields),
        style.white.part("door frame", *frame),
        style.metal.part("handle", knob),
    ]
    if rng.random() < 0.2:
        parts.append(window_view(rng, "sky", 1.0).part("pane", *panes))
    return measured(parts)


def _curtain(rng: np.random.Generator, left: float, width: float, low: float, high: float) -> Mesh:
    """Folds of cloth that hang down."""
    count = max(int(width / 0.022), 12)
    x = np.linspace(0, 1, count)
    waves = np.sin(2 * np.pi * x * max(width / 0.13, 2) + rng.uniform(0, 6))
    z = np.array([low, (low + high) / 2, high])
    points = np.empty((3, count, 3))
    points[..., 0] = left + width * (x + 0.01 * waves)
    points[..., 1] = -0.1 - 0.04 * waves * np.array([1.1, 1.0, 0.6])[:, None]
    points[..., 2] = z[:, None]
    return sheet(points)


def window(style: Style, view: str, emission: float, size: tuple[float, float]) -> Piece:
    """A window with bars, a sill, and curtains, blinds or neither.

    Args:
        style: Its materials.
        view: What it shows, see `pictures.window_view`.
        emission: Radiance of white outside.
        size: Width and height, metres.
    """
    rng, (width, height) = style.rng, size
    low = max(0.05, min(0.9, 2.35 - height))
    pane = quad([-width / 2, -0.006, low], [width, 0, 0], [0, 0, height], fit=True)
    columns, rows = max(1, round(width / 0.7)), int(rng.integers(1, 3))
    bars = _border(width, height, 0.07, 0.06, low)
    bars += [
        box([0.045, 0.045, height], [width * (k / columns - 0.5), -0.022, low + height / 2])
        for k in range(1, columns)
    ]
    bars += [box([width, 0.03, 0.03], [0, -0.015, low + height * k / rows]) for k in range(1, rows)]
    bars.append(box([width + 0.25, 0.2, 0.035], [0, -0.1, low - 0.08], 0.006))
    frame = style.dark if rng.random() < 0.2 else style.white
    parts = [
        frame.part("window frame", *bars),
        window_view(rng, view, emission).part("pane", pane),
    ]
    kind, top = style.pick("curtains", "curtains", "blinds", "none"), low + height + 0.12
    if kind == "curtains":
        foot = 0.03 if rng.random() < 0.6 else low - 0.15
        each = rng.uniform(0.25, 0.5)
        folds = [
            _curtain(rng, left, each, foot, top)
            for left in (-width / 2 - 0.2, width / 2 + 0.2 - each)
        ]
        rod = tube([[-width / 2 - 0.3, -0.1, top], [width / 2 + 0.3, -0.1, top]], 0.014, 8)
        parts += [style.accent.part("curtains", *folds), style.metal.part("rod", rod)]
    if kind == "blinds":
        share = rng.uniform(0.3, 1.0)
        tilt = np.array([[1.0, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
        slat = box([width, 0.04, 0.003])
        levels = np.arange(low + height * (1 - share), low + height, 0.055)
        parts.append(
            style.white.part("blinds", *(moved(slat, [0, -0.085, z], tilt) for z in levels))
        )
    return measured(parts)


def curtain_wall(velvet: Finish, rng: Rng, width: float, height: float) -> Part:
    """A stage curtain over the whole wall."""
    return velvet.part("curtain", _curtain(rng, -width / 2, width, 0.0, height))


def pendant(style: Style, at: FloatArray, ceiling: float) -> list[Part]:
    """A lamp that hangs from the ceiling down to `at` (3,)."""
    rng, radius = style.rng, style.rng.uniform(0.12, 0.26)
    tall = radius * rng.uniform(0.6, 1.4)
    shade = revolve(np.array([[radius, 0], [radius * 0.75, tall * 0.5], [0.03, tall]]), 24, 70)
    bulb = revolve(np.array([[0, 0.01], [radius * 0.8, 0.02]]), 24)
    cable = tube([[0, 0, tall], [0, 0, max(ceiling - float(at[2]), tall + 0.05)]], 0.005, 6)
    finish = style.any_colour() if rng.random() < 0.6 else glowing((1.0, 0.88, 0.7), 2.0)
    parts = [
        finish.part("shade", shade),
        style.dark.part("cable", cable),
        glowing((1.0, 0.9, 0.75), 6.0).part("bulb", bulb),
    ]
    return placed(parts, list(at))


def ceiling_panel(size: tuple[float, float], at: FloatArray, emission: float) -> list[Part]:
    """A flat glowing panel under the ceiling, centred at (3,)."""
    width, depth = size
    frame = painted((0.8, 0.8, 0.8), 0.5).part(
        "panel frame", box([width + 0.05, depth + 0.05, 0.03])
    )
    glow = quad([-width / 2, depth / 2, -0.018], [width, 0, 0], [0, -depth, 0])
    return placed([frame, glowing((1.0, 1.0, 1.0), emission).part("panel", glow)], list(at))


HANGINGS: dict[str, Callable[[Style], Piece]] = {
    "pictures": pictures,
    "posters": posters,
    "shelf": wall_shelf,
    "screen": wall_screen,
    "board": board,
    "clock": clock,
    "pipes": pipes,
    "door": door,
}
