"""Lamps of rooms, and the windows, shades and panels they seem to come from."""

from dataclasses import dataclass, replace

import numpy as np

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.mesh import FloatArray, normalize
from david_hf.synthetic.scene import Lamp, Part
from david_hf.synthetic.shapes import turn

from .hangings import ceiling_panel, pendant, window
from .layout import Plan
from .lights import colour_of_temperature, lamp_towards
from .storage import floor_lamp
from .style import Style
from .themes import Theme


@dataclass
class Lighting:
    """Lamps and what belongs to them, in the room's frame."""

    parts: list[Part]
    lamps: list[Lamp]


class RoomLight:
    """Lights a room so that the first person's face is seen.

    Args:
        draws: Of section "stage"; the factors are `room.light`, `room.kelvin`, `room.key_size`,
            `room.key_angle_deg` and `room.view`.
        plan: The floor.
        style: Materials.
        theme: What the room is.
        face: Where the face is about, in the room's frame (3,).
        ceiling: Height of the room, metres.
    """

    def __init__(
        self,
        draws: Draws,
        plan: Plan,
        style: Style,
        theme: Theme,
        face: FloatArray,
        ceiling: float,
    ) -> None:
        self.draws, self.plan, self.style = draws, plan, style
        self.theme, self.face, self.ceiling = theme, face, ceiling
        side = 1.0 if draws.rng.random() < 0.5 else -1.0
        angle = np.deg2rad(side * draws("room.key_angle_deg"))
        back = -plan.view
        cos, sin = np.cos(angle), np.sin(angle)
        self.key = np.array([cos * back[0] - sin * back[1], sin * back[0] + cos * back[1]])
        self.kelvin = float(draws("room.kelvin"))
        self.size = float(draws("room.key_size"))
        self.made = Lighting([], [])

    def build(self) -> Lighting:
        """Everything of the kind `room.light`."""
        kinds = {
            "day": [self.daylight],
            "lamps": [self.ceiling_lamps],
            "mixed": [self.daylight, self.ceiling_lamps],
            "dim": [self.shaded_lamp, self.weak_window],
            "lamp": [self.shaded_lamp, self.night_window],
            "screen": [self.screen_light, self.night_window],
            "softbox": [self.softboxes],
            "spot": [self.spots],
        }[self.draws("room.light")]
        for add in kinds:
            add()
        self.plan.lamps = [lamp.position[:2] for lamp in self.made.lamps[:1]]
        return self.made

    def _shine(
        self, position: FloatArray, size: float, irradiance: float, kelvin: float | None = None
    ) -> None:
        """Add a lamp that lights the face."""
        offset = np.asarray(position) - self.face
        distance = float(np.linalg.norm(offset))
        self.made.lamps.append(
            lamp_towards(
                self.face, offset / distance, distance, size, irradiance, kelvin or self.kelvin
            )
        )

    def _inside(self, point: FloatArray, margin: float = 0.15) -> FloatArray:
        """The nearest point (3,) within the room."""
        low = np.array([*(self.plan.low + margin), 0.2])
        return np.clip(point, low, [*(self.plan.high - margin), self.ceiling - 0.06])

    def _wall_of_key(self) -> tuple[str, float]:
        """The wall the main light comes from and where on it, metres from its middle."""
        for name in ("left", "right", "near", "far"):
            place = self.plan.seen_on(name, self.key)
            if place is not None:
                return name, place
        return "near", 0.0

    def _add_window(self, wall: str, place: float, view: str, emission: float) -> FloatArray:
        """A window, if it has room; its middle (3,), a hand's breadth before the wall."""
        rng = self.draws.rng
        size = (float(rng.uniform(0.9, 2.0)), float(rng.uniform(1.2, 1.6)))
        middle, yaw, length = self.plan.wall(wall)
        limit = max(length / 2 - size[0] / 2 - 0.35, 0.0)
        place = float(np.clip(place, -limit, limit))
        parts = self.plan.hang(window(self.style, view, emission, size), wall, place)
        self.made.parts += parts or []
        return middle + turn(yaw) @ [place, -0.25, 1.6]

    def daylight(self) -> None:
        """A window the key light falls through, and maybe another in view."""
        rng, view = self.draws.rng, self.draws("room.view")
        emission = rng.uniform(1.5, 4.0)
        wall, place = self._wall_of_key()
        self._shine(self._add_window(wall, place, view, emission), self.size, 1.0)
        ahead = next((n for n in ("far", "left", "right") if self._behind(n) is not None), None)
        if ahead and self.theme.windows and rng.random() < 0.45:
            spot = (self._behind(ahead) or 0.0) + rng.normal(0, 0.7)
            at = self._add_window(ahead, spot, view, emission)
            self._into_room(at, ahead, rng.uniform(0.2, 0.7))

    def _behind(self, wall: str) -> float | None:
        return self.plan.seen_on(wall, self.plan.view)

    def _into_room(self, at: FloatArray, wall: str, radiance: float) -> None:
        """A lamp before a window that shines straight into the room."""
        inward = turn(self.plan.wall(wall)[1]) @ [0.0, -1.0, -0.25]
        power = radiance * np.pi**2 * 4.0
        colour = colour_of_temperature(self.kelvin)
        self.made.lamps.append(Lamp(at, normalize(inward), 1.2, float(power), colour))

    def ceiling_lamps(self) -> None:
        """Panels or a pendant overhead; the light comes from before the face."""
        rng = self.draws.rng
        share = 0.7 if self.made.lamps else 1.0
        reach = min(float(rng.uniform(0.8, 1.6)), self.ceiling - self.face[2])
        front = self.face + np.array([*(self.key * max(reach, 0.6)), self.ceiling])
        self._shine(self._inside(front, 0.5), self.size, share)
        behind = self.face + np.array([*(self.plan.view * rng.uniform(1.0, 2.2)), 0.0])
        over = self._inside(np.array([*behind[:2], self.ceiling]), 0.6)
        colour = colour_of_temperature(self.kelvin)
        power = float(rng.uniform(0.15, 0.8) * np.pi**2 * 4)
        self.made.lamps.append(Lamp(over, np.array([0, 0, -1.0]), 1.2, power, colour))
        if self.theme.ceiling == "panels":
            for step in (-1.8, 0.0, 1.8):
                at = self._inside(over + np.array([step, 0, 0]), 0.7)
                self.made.parts += ceiling_panel(
                    (1.2, 0.3), np.array([at[0], at[1], self.ceiling - 0.02]), 3.0
                )
        elif self.theme.ceiling == "pendant" and rng.random() < 0.7:
            self._hang_pendant(over)

    def _hang_pendant(self, over: FloatArray) -> None:
        at = np.array([over[0], over[1], max(self.ceiling - 0.75, 1.75)])
        box = np.concatenate([at - 0.28, at + 0.28])
        if self.plan.is_out_of_the_way(box):
            self.made.parts += pendant(self.style, at, self.ceiling)

    def shaded_lamp(self) -> None:
        """One lamp of the room, beside the person."""
        rng = self.draws.rng
        piece = floor_lamp(self.style)
        away = 1.3
        for distance in (1.1, 1.4, 1.8, 2.3):
            at = self.face[:2] + self.key * distance
            parts = self.plan.stand(placed_at_origin(piece.parts), at, 0.0)
            if parts:
                self.made.parts += parts
                away = distance - 0.3  # before the shade, which would hide it
                break
        level = self.face[:2] + self.key * away
        lamp_at = self._inside(np.array([*level, self.face[2] + 0.25]))
        self._shine(lamp_at, self.size, 1.0)
        behind = next((n for n in ("far", "left", "right") if self._behind(n) is not None), "far")
        parts = self.plan.hang(
            piece, behind, (self._behind(behind) or 0.0) + rng.choice([-0.7, 0.7])
        )
        if parts:
            self.made.parts += parts
            top = np.concatenate([part.mesh.vertices for part in parts]).mean(0)
            colour, power = colour_of_temperature(self.kelvin), float(rng.uniform(2, 8))
            down = np.array([0, 0, -1.0])
            self.made.lamps.append(Lamp(np.array([*top[:2], 1.3]), down, 0.4, power, colour))

    def weak_window(self) -> None:
        """A window at dusk in view."""
        self._dark_window(self.draws.rng.uniform(0.1, 0.4), "sky")

    def night_window(self) -> None:
        """Lit windows across the street."""
        self._dark_window(self.draws.rng.uniform(0.1, 0.5), "night")

    def _dark_window(self, emission: float, view: str) -> None:
        for wall in ("far", "left", "right"):
            place = self._behind(wall)
            if place is not None and self.draws.rng.random() < 0.5:
                self._add_window(wall, place + self.draws.rng.normal(0, 0.8), view, emission)

    def screen_light(self) -> None:
        """The glow of a screen the person looks at, and a lamp far behind."""
        rng = self.draws.rng
        at = self.face + np.array([*(self.key * rng.uniform(0.6, 1.2)), -0.2])
        self._shine(self._inside(at), self.size, 1.0)
        behind = self.face + np.array([*(self.plan.view * 1.5), 0.6])
        self._shine(self._inside(behind), 0.4, rng.uniform(0.05, 0.4), rng.uniform(2000, 3500))

    def softboxes(self) -> None:
        """A studio's key, and on other days a fill, a rim and a lamp on the paper."""
        rng = self.draws.rng
        key = self.face + np.array([*(self.key * 1.8), rng.uniform(0.2, 1.0)])
        self._shine(self._inside(key), self.size, 1.0)
        if rng.random() < 0.5:
            back = -self.plan.view
            mirrored = 2 * (self.key @ back) * back - self.key
            fill = self.face + np.array([*(mirrored * 2.0), 0.3])
            self._shine(self._inside(fill), 1.6, rng.uniform(0.1, 0.5))
        if rng.random() < 0.4:
            side = np.array([self.plan.view[1], -self.plan.view[0]]) * rng.choice([-1.0, 1.0])
            rim = self.face + np.array([*(self.plan.view * 0.8 + side * 1.5), 0.6])
            self._shine(self._inside(rim), 0.5, rng.uniform(0.5, 1.5))
        high = np.array([*(self.face[:2] - self.plan.view * 0.5), self.ceiling - 0.1])
        colour = colour_of_temperature(self.kelvin)
        aim = normalize(np.array([*(self.plan.view * 1.2), -1.0]))
        power = float(rng.choice([2.0, 20.0, 60.0]))
        self.made.lamps.append(Lamp(self._inside(high), aim, 1.5, power, colour))

    def spots(self) -> None:
        """A follow spot from the front and coloured light from behind."""
        rng = self.draws.rng
        key = self.face + np.array([*(self.key * 2.2), rng.uniform(1.0, 2.2)])
        self._shine(self._inside(key), self.size, 1.0)
        for side in (-1.0, 1.0):
            across = np.array([self.plan.view[1], -self.plan.view[0]]) * side
            at = self._inside(self.face + np.array([*(self.plan.view * 1.5 + across * 1.5), 1.5]))
            self._shine(at, 0.5, rng.uniform(0.2, 1.2))
            hue = rng.dirichlet([0.6, 0.6, 0.8])
            tint = hue / hue.max()
            colour = (float(tint[0]), float(tint[1]), float(tint[2]))
            self.made.lamps[-1] = replace(self.made.lamps[-1], colour=colour)


def placed_at_origin(parts: list[Part]) -> list[Part]:
    """The parts of a piece with their middle over the origin."""
    points = np.concatenate([part.mesh.vertices for part in parts])
    middle = (points.min(0) + points.max(0)) / 2 * [1, 1, 0]
    return [part.moved(np.eye(3), -middle) for part in parts]
