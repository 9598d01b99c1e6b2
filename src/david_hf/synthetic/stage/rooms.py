"""Closed rooms around people and a camera."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.mesh import FloatArray, normalize
from david_hf.synthetic.scene import Lamp, Part, Surface
from david_hf.synthetic.shapes import box, quad, sheet, tube

from .camera_rig import Camera
from .finishes import FLOOR_FINISHES, WALL_FINISHES, Finish, cloth, colour_of, painted, rug
from .hangings import HANGINGS, curtain_wall
from .layout import Person, Plan, lay_out
from .room_light import RoomLight
from .storage import PIECES, Piece
from .style import Style
from .themes import GROUPS, THEMES, Theme, visible_count
from .things import merged, placed


@dataclass(frozen=True)
class Room:
    """A room in the world.

    Attributes:
        parts: Walls, floor, ceiling and everything in it.
        lamps: Its light.
        name: Its theme.
    """

    parts: list[Part]
    lamps: list[Lamp]
    name: str


def build_room(
    draws: Draws, people: list[Person], camera: Camera, standing: Sequence[Part] = ()
) -> Room:
    """A furnished and lit room.

    The camera is at least 0.4 m from every wall and from furniture; people keep their radius and
    0.1 m more. Nothing stands between the camera and the people.

    Args:
        draws: Of section "stage"; the factors are `room.*` and `palette`.
        people: x, y and radius of the circle that holds each, metres; the first is the one framed.
        camera: Its place and direction; above the floor.
        standing: Things of the people, such as seats, in the world: the walls hold them, too.

    Raises:
        ValueError: If there are no people.
    """
    theme = THEMES[draws("room.theme")]
    margins = (draws("room.left"), draws("room.right"), draws("room.behind"), draws("room.front"))
    plan = lay_out(people, camera, draws("room.turn_deg"), margins)
    plan.make_way(standing)
    ceiling = max(draws("room.height"), float(camera.position[2]) + 0.45)
    style = Style(draws.rng, draws("palette"))
    light = RoomLight(draws, plan, style, theme, _face(plan, camera), ceiling).build()
    parts = [*_shell(draws, plan, style, ceiling), *light.parts]
    if draws("room.theme") == "studio":
        parts += _paper(draws, plan, style)
    if draws("room.theme") == "stage":
        parts += _curtains(plan, draws.rng, ceiling)
    parts += _furnish(draws, plan, style, theme)
    turned = plan.rotation
    lamps = [
        replace(lamp, position=turned @ lamp.position, direction=turned @ lamp.direction)
        for lamp in light.lamps
    ]
    return Room(plan.to_world(merged(parts)), lamps, draws("room.theme"))


def _face(plan: Plan, camera: Camera) -> FloatArray:
    """About where the first person's face is, in the room's frame: what the camera looks at."""
    away = float(np.linalg.norm(plan.people[0, :2] - plan.camera))
    level = max(float(np.linalg.norm(camera.forward[:2])), 0.2)
    height = float(camera.position[2] + camera.forward[2] / level * away)
    return np.array([*plan.people[0, :2], float(np.clip(height + 0.15, 0.8, 1.7))])


def _shell(draws: Draws, plan: Plan, style: Style, ceiling: float) -> list[Part]:
    """Floor, walls, ceiling and skirting boards in the room's frame."""
    rng = draws.rng
    tint = colour_of(rng, draws("room.palette"))
    wall = WALL_FINISHES[draws("room.wall")](rng, tint)
    floor_tint = colour_of(rng, style.pick("warm", "grey", "grey", "dark", "white")) * 0.85
    floor = FLOOR_FINISHES[draws("room.floor")](rng, floor_tint)
    (x0, y0), (x1, y1) = plan.low, plan.high
    size = plan.high - plan.low
    walls, boards = [], []
    high = 0.0 if rng.random() < 0.15 else float(rng.uniform(0.06, 0.14))
    for name in ("far", "right", "left", "near"):
        middle, yaw, length = plan.wall(name)
        panel = quad([-length / 2, 0, 0], [length, 0, 0], [0, 0, ceiling])
        pieces = placed([wall.part(f"{name} wall", panel)], list(middle), yaw)
        walls += pieces
        if high:
            strip = box([length, 0.015, high], [0, -0.0075, high / 2])
            boards += placed([style.white.part("skirting", strip)], list(middle), yaw)
    across, along = np.array([float(size[0]), 0.0, 0.0]), np.array([0.0, size[1], 0.0])
    ground = quad([x0, y0, 0.0], across, along)
    if rng.random() < 0.5:
        ground = quad([x1, y0, 0.0], along, -across)
    roof = quad([x0, y1, ceiling], across, -along)
    return [
        *_walls_in_two_colours(draws, walls),
        *boards,
        floor.part("floor", ground),
        _ceiling(draws).part("ceiling", roof),
    ]


def _walls_in_two_colours(draws: Draws, walls: list[Part]) -> list[Part]:
    """In a third of the rooms the far wall has a finish of its own."""
    if draws.rng.random() > 0.3 or draws("room.theme") in ("studio", "stage"):
        return walls
    rng = draws.rng
    other = WALL_FINISHES[str(rng.choice(["plaster", "plaster", "wallpaper", "wood", "brick"]))]
    finish = other(rng, colour_of(rng, str(rng.choice(["warm", "cool", "green", "dark", "grey"]))))
    first = walls[0].mesh
    length = float(np.linalg.norm(first.vertices[1] - first.vertices[0]))
    height = float(np.linalg.norm(first.vertices[2] - first.vertices[0]))
    panel = quad([-length / 2, 0, 0], [length, 0, 0], [0, 0, height])
    shift = (first.vertices[0] + first.vertices[1]) / 2
    return [*placed([finish.part("far wall", panel)], list(shift)), *walls[1:]]


def _ceiling(draws: Draws) -> Finish:
    """White, or dark in dark places; it sheds the light that comes from all around."""
    theme, fill = draws("room.theme"), draws("room.fill")
    tone = 0.03 if theme == "stage" else draws.rng.choice([0.9, 0.85, 0.8])
    finish = painted((tone, tone, tone), 0.9)
    return Finish(finish.texture, 1.0, Surface(roughness=0.9, specular=0.1, emission=fill))


def _paper(draws: Draws, plan: Plan, style: Style) -> list[Part]:
    """A seamless paper backdrop on a bar between two stands."""
    rng, top = draws.rng, 2.75
    behind = float((plan.people[:, 1] + plan.people[:, 2]).max()) + 0.5
    behind = min(behind + rng.uniform(0, 0.8), float(plan.high[1]) - 0.25)
    front = float((plan.people[:, 1] - plan.people[:, 2]).min()) - rng.uniform(0.3, 1.5)
    width = max(2.72, float(np.ptp(plan.people[:, 0])) + 2.4)
    middle = float(plan.people[:, 0].mean())
    angle, bend = np.linspace(0, np.pi / 2, 9), 0.45
    arc = np.stack([behind - bend + bend * np.sin(angle), 0.003 + bend * (1 - np.cos(angle))], 1)
    profile = np.vstack([[max(front, plan.low[1] + 0.05), 0.003], arc, [behind, top]])
    points = np.empty((len(profile), 2, 3))
    points[:, 0, 0], points[:, 1, 0] = middle - width / 2, middle + width / 2
    points[..., 1:] = profile[:, None]
    colour = colour_of(rng, str(rng.choice(["white", "grey", "grey", "warm", "cool", "dark"])))
    ends = np.array([middle - width / 2 - 0.12, middle + width / 2 + 0.12])
    roll = tube([[ends[0], behind, top], [ends[1], behind, top]], 0.05, 12)
    stands = [tube([[x, behind, 0], [x, behind, top + 0.1]], 0.018, 8) for x in ends]
    plan.taken.append(np.array([ends[0], front, 0, ends[1], behind + 0.15, top]))
    return [
        painted(colour, 0.85).part("paper", sheet(points)),
        style.dark.part("stands", *stands, roll),
    ]


def _curtains(plan: Plan, rng: np.random.Generator, ceiling: float) -> list[Part]:
    """Dark curtains before the far wall and at the sides of a stage."""
    parts = []
    colours = np.array([[0.02, 0.02, 0.02], [0.25, 0.02, 0.03], [0.03, 0.04, 0.15]])
    velvet = cloth(rng, rng.choice(colours))
    for name in ("far", "left", "right"):
        middle, yaw, length = plan.wall(name)
        parts += placed([curtain_wall(velvet, rng, length, ceiling)], list(middle), yaw)
    return parts


def _furnish(draws: Draws, plan: Plan, style: Style, theme: Theme) -> list[Part]:
    """Furniture, things on walls, and groups in the room, densest behind the people."""
    rng, parts = draws.rng, []
    for name in ("far", "left", "right"):
        _, _, length = plan.wall(name)
        seen = plan.seen_on(name, plan.view)
        count = visible_count(length, draws("room.furnishing"))
        for kinds, table, wish in (
            (theme.furniture, PIECES, count),
            (theme.hangings, HANGINGS, count + 1),
        ):
            chosen = list(rng.permutation(kinds))[:wish]
            for kind in chosen:
                parts += _try_on_wall(plan, table[str(kind)](style), name, seen, rng)
    for kind in list(rng.permutation(theme.free))[: 1 + int(3 * draws("room.furnishing"))]:
        parts += _try_in_room(plan, GROUPS[str(kind)](style), rng)
    if theme.rug and rng.random() < 0.5:
        parts += _rug(plan, rng)
    return parts


def _try_on_wall(
    plan: Plan, piece: Piece, name: str, seen: float | None, rng: np.random.Generator
) -> list[Part]:
    """Near what the camera sees of the wall, else anywhere on it, else nowhere."""
    _, _, length = plan.wall(name)
    limit = max(length / 2 - piece.width / 2 - 0.03, 0.0)
    for attempt in range(7):
        if seen is not None and attempt < 4:
            place = seen + rng.normal(0, 0.4 + 0.4 * attempt)
        else:
            place = rng.uniform(-limit, limit)
        parts = plan.hang(piece, name, float(np.clip(place, -limit, limit)))
        if parts is not None:
            return parts
    return []


def _try_in_room(plan: Plan, group: list[Part], rng: np.random.Generator) -> list[Part]:
    """Somewhere behind or beside the first person, else nowhere."""
    view = plan.view
    side = np.array([view[1], -view[0]])
    for _ in range(8):
        ahead, across = rng.uniform(0.5, 4.0), rng.normal(0, 1.4)
        at = plan.people[0, :2] + normalize(view) * ahead + side * across
        parts = plan.stand(group, at, float(rng.choice([0, 90, 180, 270]) + rng.normal(0, 6)))
        if parts is not None:
            return parts
    return []


def _rug(plan: Plan, rng: np.random.Generator) -> list[Part]:
    """A rug somewhere under the people."""
    width, depth = rng.uniform(1.2, 2.2), rng.uniform(1.4, 2.8)
    x, y = plan.people[0, :2] + rng.normal(0, 0.4, 2) - [width / 2, depth / 2]
    low, high = plan.low + 0.05, plan.high - 0.05
    start = np.maximum([x, y], low)
    size = np.minimum([x + width, y + depth], high) - start
    if (size < 0.5).any():
        return []
    return [rug(rng).part("rug", quad([*start, 0.004], [size[0], 0, 0], [0, size[1], 0], fit=True))]
