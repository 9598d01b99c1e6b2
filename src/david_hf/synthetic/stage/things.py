"""Small things that stand on tables: each a list of parts on z = 0 about the origin."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from david_hf.synthetic.mesh import FloatArray, Mesh, join, normalize
from david_hf.synthetic.scene import Part, Surface
from david_hf.synthetic.shapes import (
    box,
    cylinder,
    ellipsoid,
    moved,
    quad,
    revolve,
    scatter,
    sheet,
    tube,
    turn,
)

from .finishes import Rng, glowing
from .pictures import painting, screen
from .style import Style


def placed(parts: list[Part], shift: FloatArray | list[float], yaw_deg: float = 0.0) -> list[Part]:
    """The parts turned about z, then shifted by (3,) metres."""
    rotation = turn(yaw_deg)
    return [part.moved(rotation, np.asarray(shift, float)) for part in parts]


def merged(parts: list[Part]) -> list[Part]:
    """The parts, those that share one finish as one: each costs the renderer a material."""
    groups: dict[tuple[int, Surface], list[Part]] = {}
    for part in parts:
        groups.setdefault((id(part.texture), part.surface), []).append(part)
    return [
        replace(group[0], mesh=join([part.mesh for part in group])) for group in groups.values()
    ]


def leaf_blade(length: float, width: float, bend: float) -> Mesh:
    """A leaf along +y that bends down by `bend` radians over its length."""
    along = np.linspace(0, 1, 5)
    angle = -bend * along
    steps = length / 4 * np.stack([np.cos(angle), np.sin(angle)], 1)
    y, z = np.concatenate([np.zeros((1, 2)), np.cumsum(steps[:-1], 0)]).T
    half = width / 2 * np.sqrt(np.maximum(np.sin(np.pi * np.clip(along * 0.9 + 0.08, 0, 1)), 0.0))
    points = np.empty((5, 3, 3))
    for column, side in enumerate((-1, 0, 1)):
        points[:, column] = np.stack([side * half, y, z + abs(side) * half * 0.3], 1)
    return sheet(points, fit=True)


def foliage(rng: Rng, roots: FloatArray, outward: FloatArray, size: float, slim: float) -> Mesh:
    """Leaves at points (N, 3) that point along (N, 3), about `size` metres long."""
    count = len(roots)
    along = normalize(outward + 0.35 * rng.normal(size=(count, 3)))
    across = normalize(np.cross(along, [0.0, 0.0, 1.0]) + 0.3 * rng.normal(size=(count, 3)))
    across = normalize(across - along * (across * along).sum(1, keepdims=True))
    rotations = np.stack([across, along, np.cross(across, along)], 2)
    blade = leaf_blade(size, size * slim, float(rng.uniform(0.3, 1.2)))
    return scatter(blade, rotations, roots, rng.uniform(0.6, 1.3, count))


def plant(style: Style, height: float, count: int = 60) -> list[Part]:
    """A potted plant: a bush, or long leaves from the pot."""
    rng = style.rng
    pot = height * rng.uniform(0.22, 0.38)
    radius = pot * rng.uniform(0.4, 0.6)
    rim: list[list[float]] = [
        [0, 0],
        [radius * 0.75, 0],
        [radius, pot],
        [radius * 0.85, pot],
        [radius * 0.8, pot * 0.9],
    ]
    parts = [style.earth.part("pot", revolve([*rim, [0, pot * 0.9]], 16))]
    if rng.random() < 0.45:  # long leaves
        angle = rng.uniform(0, 2 * np.pi, 18)
        out = np.stack([np.cos(angle), np.sin(angle), rng.uniform(1.3, 4, 18)], 1)
        roots = np.tile([0.0, 0.0, pot * 0.9], (18, 1))
        leaves = foliage(rng, roots, normalize(out), (height - pot) * 0.95, 0.12)
        return [*parts, style.leaf.part("leaves", leaves)]
    middle, radii = pot + (height - pot) * 0.55, np.array([0.28, 0.28, 0.36]) * (height - pot) * 1.1
    out = normalize(rng.normal([0.0, 0.0, 0.3], 1.0, (count, 3)))
    roots = out * radii * rng.uniform(0.3, 1, (count, 1)) ** 0.5 + [0, 0, middle]
    stem = tube([[0, 0, pot * 0.8], [0.01, 0.01, middle]], 0.006 + 0.008 * height, 6)
    leaves = foliage(rng, roots, out, 0.05 + 0.09 * height, rng.uniform(0.3, 0.7))
    return [*parts, style.earth.part("stem", stem), style.leaf.part("leaves", leaves)]


def cup(style: Style, handle: bool = False) -> list[Part]:
    """A cup or mug about 9 cm high, sometimes a paper cup with a lid."""
    rng = style.rng
    height, radius = rng.uniform(0.08, 0.12), rng.uniform(0.033, 0.042)
    foot = radius * rng.uniform(0.7, 1.0)
    wall = [
        [0, 0],
        [foot, 0],
        [radius, height],
        [radius * 0.92, height],
        [foot * 0.9, 0.01],
        [0, 0.01],
    ]
    meshes = [revolve(np.array(wall), 14)]
    if handle:
        angle = np.linspace(-0.45, 0.45, 7) * np.pi
        loop = np.stack(
            [radius * 0.9 + 0.028 * np.cos(angle), 0 * angle, height / 2 + 0.03 * np.sin(angle)], 1
        )
        meshes.append(tube(loop, 0.005, 6))
    parts = [style.any_colour().part("cup", *meshes)]
    if not handle and rng.random() < 0.5:
        lid = cylinder(radius * 1.05, 0.012, 20, [0, 0, height - 0.003])
        parts.append(style.any_colour().part("lid", lid))
    return parts


def bottle(style: Style) -> list[Part]:
    """A bottle 18-30 cm high with a label."""
    rng = style.rng
    height, radius = rng.uniform(0.18, 0.3), rng.uniform(0.03, 0.042)
    shoulder, neck = height * rng.uniform(0.55, 0.72), radius * 0.38
    profile = [[0, 0], [radius, 0], [radius, shoulder], [radius * 0.8, shoulder + 0.02]]
    profile += [[neck, shoulder + 0.05], [neck, height], [0, height]]
    label = revolve(np.array([[radius + 5e-4, 0.04], [radius + 5e-4, shoulder * 0.8]]), 12)
    cap = cylinder(neck * 1.2, 0.022, 12, [0, 0, height - 0.012])
    return [
        style.any_colour().part("bottle", revolve(np.array(profile), 12, 50)),
        style.any_colour().part("label", label, cap),
    ]


def book(style: Style) -> list[Part]:
    """A closed book, lying."""
    rng = style.rng
    width, height = rng.uniform(0.12, 0.19), rng.uniform(0.18, 0.26)
    thick = rng.uniform(0.012, 0.04)
    covers = [box([width, height, 0.003], [0, 0, z]) for z in (0.0015, thick)]
    spine = box([0.003, height, thick], [-width / 2, 0, thick / 2])
    pages = box([width - 0.006, height - 0.008, thick - 0.003], [0, 0, thick / 2])
    return [style.any_colour().part("cover", *covers, spine), style.white.part("pages", pages)]


def laptop(style: Style, lid_deg: float = 105.0) -> list[Part]:
    """An open laptop; its screen faces -y."""
    base = box([0.33, 0.23, 0.016], [0, 0, 0.008], 0.003)
    keys = quad([-0.145, -0.06, 0.0165], [0.29, 0, 0], [0, 0.15, 0])
    lean = np.deg2rad(lid_deg - 90)
    up = np.array([0, np.sin(lean), np.cos(lean)])
    out = np.array([0, -np.cos(lean), np.sin(lean)])
    hinge = np.array([0, 0.115, 0.014])
    rotation = np.stack([np.array([1.0, 0, 0]), -out, up], 1)
    lid = moved(box([0.33, 0.006, 0.22], [0, 0.003, 0.11]), hinge, rotation)
    view = quad(hinge + out * 1e-3 + up * 0.012 - [0.155, 0, 0], [0.31, 0, 0], up * 0.198, fit=True)
    body = style.metal if style.rng.random() < 0.6 else style.dark
    return [
        body.part("laptop", base, lid),
        style.dark.part("keys", keys),
        screen(style.rng).part("screen", view),
    ]


def monitor(style: Style, width: float = 0.55) -> list[Part]:
    """A monitor on a foot; its screen faces -y."""
    height, low = width * 0.6, 0.12
    frame = box([width, 0.03, height], [0, 0.02, low + height / 2], 0.004)
    stand = box([0.06, 0.02, low + height / 2], [0, 0.05, (low + height / 2) / 2])
    foot = box([0.24, 0.18, 0.012], [0, 0.05, 0.006])
    corner = [-width / 2 + 0.012, 0.0045, low + 0.012]
    view = quad(corner, [width - 0.024, 0, 0], [0, 0, height - 0.024], fit=True)
    return [
        style.dark.part("monitor", frame, stand, foot),
        screen(style.rng, 1.5).part("screen", view),
    ]


def papers(style: Style) -> list[Part]:
    """Sheets lying about."""
    rng = style.rng
    sheets = [
        moved(box([0.21, 0.297, 0.002]), [*rng.normal(0, 0.05, 2), 0.001 + k * 2e-3], turn(angle))
        for k, angle in enumerate(rng.uniform(-40, 40, int(rng.integers(1, 4))))
    ]
    return [style.white.part("papers", *sheets)]


def bowl(style: Style) -> list[Part]:
    """A bowl, with fruit in half of the cases."""
    rng = style.rng
    radius = rng.uniform(0.09, 0.15)
    angle = np.linspace(0, np.pi / 2, 7)
    outside = np.stack([radius * np.sin(angle), radius * 0.6 * (1 - np.cos(angle))], 1)
    parts = [style.earth.part("bowl", revolve(np.concatenate([outside, outside[::-1] * 0.94]), 20))]
    if rng.random() < 0.5:
        at = np.column_stack([rng.normal(0, radius * 0.35, (5, 2)), np.full(5, radius * 0.5)])
        parts.append(style.any_colour().part("fruit", *(ellipsoid([0.038] * 3, c) for c in at)))
    return parts


def vase(style: Style) -> list[Part]:
    """A vase with flowers."""
    rng = style.rng
    height = rng.uniform(0.14, 0.28)
    v = np.linspace(0, 1, 9)
    radius = 0.03 + 0.035 * np.sin(np.pi * v * rng.uniform(0.7, 1.2)) ** 2
    body = revolve(np.stack([np.concatenate([[0], radius]), np.concatenate([[0], v * height])], 1))
    flowers = placed(bouquet(style, rng.uniform(0.15, 0.3)), [0, 0, height * 0.8])
    return [style.any_colour().part("vase", body), *flowers]


def bouquet(style: Style, length: float) -> list[Part]:
    """Stems from the origin upwards, with blossoms and leaves."""
    rng, count = style.rng, 14
    tips = np.column_stack([rng.normal(0, 0.35, (count, 2)), np.full(count, 1.0)])
    tips = normalize(tips) * length * rng.uniform(0.75, 1.1, (count, 1))
    stems = [tube([[0, 0, 0], tip * 0.5 + [0, 0, 0.01], tip], 0.003, 4, caps=False) for tip in tips]
    heads = [ellipsoid(np.array([1, 1, 0.7]) * rng.uniform(0.018, 0.04), tip, 1, 8) for tip in tips]
    green = foliage(rng, np.repeat(tips * 0.55, 2, 0), np.repeat(tips, 2, 0), length * 0.3, 0.3)
    return [
        style.leaf.part("stems", join(stems), green),
        style.any_colour().part("blossoms", *heads),
    ]


def desk_lamp(style: Style) -> list[Part]:
    """A small lamp with a glowing shade."""
    rng = style.rng
    height, radius = rng.uniform(0.32, 0.5), rng.uniform(0.09, 0.14)
    foot = revolve(
        np.array([[0, 0], [0.07, 0], [0.06, 0.02], [0.012, 0.04], [0.012, height - 0.15]])
    )
    shade = revolve(np.array([[radius, height - 0.16], [radius * 0.7, height]]))
    return [
        style.metal.part("foot", foot),
        glowing((1.0, 0.83, 0.6), rng.uniform(1.5, 4)).part("shade", shade),
    ]


def frame_on_table(style: Style) -> list[Part]:
    """A photograph in a standing frame that faces -y."""
    lean = np.array([0, 0.25, 0.97])
    board = quad([-0.08, -0.004, 0], [0.16, 0, 0], lean * 0.22)
    view = quad([-0.065, -0.007, 0.015], [0.13, 0, 0], lean * 0.185, fit=True)
    return [style.wood.part("frame", board), painting(style.rng).part("photograph", view)]


THINGS: dict[str, Callable[[Style], list[Part]]] = {
    "cup": cup,
    "mug": lambda style: cup(style, handle=True),
    "bottle": bottle,
    "book": book,
    "laptop": laptop,
    "monitor": monitor,
    "papers": papers,
    "bowl": bowl,
    "vase": vase,
    "plant": lambda style: plant(style, float(style.rng.uniform(0.25, 0.45)), 30),
    "lamp": desk_lamp,
    "frame": frame_on_table,
}


def clutter(
    style: Style, size: tuple[float, float], top: float, kinds: tuple[str, ...]
) -> list[Part]:
    """Things in a row, well apart, on a board of width and depth metres centred on the origin."""
    rng, parts = style.rng, []
    places = np.arange(-size[0] / 2 + 0.2, size[0] / 2 - 0.15, 0.38)
    for x in places[rng.random(len(places)) < 0.75]:
        thing = THINGS[str(rng.choice(kinds))](style)
        shift = [float(x), float(rng.uniform(-0.25, 0.25) * size[1]), top]
        parts += placed(thing, shift, float(rng.normal(0, 20)))
    return parts
