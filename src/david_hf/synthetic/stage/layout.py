"""Floor plans: where things may stand so that they touch no person and hide none."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from david_hf.synthetic.mesh import FloatArray, normalize
from david_hf.synthetic.scene import Part
from david_hf.synthetic.shapes import turn

from .camera_rig import Camera
from .storage import Piece
from .things import placed

Person = tuple[float, float, float]  # x, y and radius of the circle that holds him, metres
CAMERA_RADIUS = 0.4
CLEARANCE = 0.1
WALL_GAP = 0.02
WALLS = {"far": 0.0, "right": -90.0, "left": 90.0, "near": 180.0}  # turns of their frames


@dataclass
class Plan:
    """A rectangular floor in its own frame: x to the right, y away from the camera.

    Attributes:
        rotation: (3, 3) from the room's frame to the world.
        low: Corner (2,) with the smallest x and y, metres.
        high: The opposite corner.
        camera: Place of the camera (2,) in the room's frame.
        people: (N, 3) x, y, radius in the room's frame.
        taken: Boxes (x0, y0, z0, x1, y1, z1) of what already stands or hangs there.
        lamps: Places (2,) of the lamps that light the first person.
    """

    rotation: FloatArray
    low: FloatArray
    high: FloatArray
    camera: FloatArray
    people: FloatArray
    taken: list[FloatArray] = field(default_factory=list)
    lamps: list[FloatArray] = field(default_factory=list)

    @property
    def centre(self) -> FloatArray:
        """Middle of the floor (2,)."""
        return (self.low + self.high) / 2

    def wall(self, name: str) -> tuple[FloatArray, float, float]:
        """Middle of a wall's foot (3,), the turn of its frame in degrees, and its length."""
        middle = np.array([*self.centre, 0.0])
        axis = 1 if name in ("far", "near") else 0
        middle[axis] = (self.high if name in ("far", "right") else self.low)[axis]
        return middle, WALLS[name], float((self.high - self.low)[1 - axis])

    def seen_on(self, name: str, along: FloatArray) -> float | None:
        """Where on a wall a ray from the first person along (2,) ends, metres from its middle."""
        middle, yaw, length = self.wall(name)
        outward = (turn(yaw) @ [0.0, 1.0, 0.0])[:2]
        across = (turn(yaw) @ [1.0, 0.0, 0.0])[:2]
        start = self.people[0, :2]
        speed = float(along @ outward)
        if speed < 1e-3:
            return None
        end = start + along * float((middle[:2] - start) @ outward) / speed
        place = float((end - middle[:2]) @ across)
        return place if abs(place) <= length / 2 else None

    @property
    def view(self) -> FloatArray:
        """Level direction (2,) from the camera to the first person."""
        return normalize(self.people[0, :2] - self.camera)

    def is_clear(self, box: FloatArray) -> bool:
        """Whether a box (6,) overlaps nothing, nears no person and hides none.

        Flat things on walls above the floor are near nobody: people keep off the walls.
        """
        overlap = [
            bool((box[:3] < other[3:]).all() and (other[:3] < box[3:]).all())
            for other in self.taken
        ]
        return not any(overlap) and self.is_out_of_the_way(box)

    def is_out_of_the_way(self, box: FloatArray) -> bool:
        """Whether a box (6,) nears neither people nor the camera nor what is between them.

        What is as high as a chest keeps out of the lamps' way to the first person, too.
        """
        near_camera = np.clip(self.camera, box[[0, 1]], box[[3, 4]])
        if np.linalg.norm(near_camera - self.camera) < CAMERA_RADIUS:
            return False
        if any(_crosses(box, self.camera, person) for person in self.people):
            return False
        return box[5] < 1.1 or not any(_crosses(box, at, self.people[0]) for at in self.lamps)

    def hang(self, piece: Piece, name: str, along: float) -> list[Part] | None:
        """Put a piece on a wall, `along` metres from its middle; None if it is in the way.

        The parts are in the room's frame.
        """
        middle, yaw, length = self.wall(name)
        if abs(along) + piece.width / 2 > length / 2 - 0.02:
            return None
        rotation = turn(yaw)
        corners = np.array(
            [[along - piece.width / 2, -piece.depth, 0], [along + piece.width / 2, 0, 0]]
        )
        ends = corners @ rotation.T + middle
        box = np.concatenate([ends.min(0), ends.max(0)])
        box[2], box[5] = piece.low, piece.high
        if not self.is_clear(box):
            return None
        self.taken.append(box)
        return placed(piece.parts, rotation @ [along, 0, 0] + middle, yaw)

    def stand(self, parts: list[Part], at: FloatArray, yaw_deg: float) -> list[Part] | None:
        """Put parts on the floor at (2,) in the room's frame; None if they are in the way."""
        moved = placed(parts, [*at, 0.0], yaw_deg)
        points = np.concatenate([part.mesh.vertices for part in moved])
        box = np.concatenate([points.min(0), points.max(0)])
        inside = (box[:2] > self.low + 0.05).all() and (box[3:5] < self.high - 0.05).all()
        if not inside or not self.is_clear(box):
            return None
        self.taken.append(box)
        return moved

    def make_way(self, parts: Iterable[Part]) -> None:
        """Widen the floor for things in the world that already stand there, and keep off them."""
        for part in parts:
            points = part.mesh.vertices @ self.rotation
            box = np.concatenate([points.min(0), points.max(0)])
            self.low = np.minimum(self.low, box[:2] - WALL_GAP)
            self.high = np.maximum(self.high, box[3:5] + WALL_GAP)
            self.taken.append(box)

    def to_world(self, parts: list[Part]) -> list[Part]:
        """Parts from the room's frame in the world's."""
        return [part.moved(self.rotation, np.zeros(3)) for part in parts]


def _crosses(box: FloatArray, start: FloatArray, person: FloatArray) -> bool:
    """Whether a box (6,) enters the wedge from a point (2,) to a person's circle (3,)."""
    share = np.linspace(0, 1, 24)[:, None]
    path = start + share * (person[:2] - start)
    radius = 0.25 + share[:, 0] * (person[2] + CLEARANCE - 0.25)
    nearest = np.clip(path, box[[0, 1]], box[[3, 4]])
    return bool((np.linalg.norm(path - nearest, axis=1) < radius).any())


def lay_out(
    people: list[Person],
    camera: Camera,
    turn_deg: float,
    margins: tuple[float, float, float, float],
) -> Plan:
    """A floor that holds the people and the camera.

    Args:
        people: At least one; the first is the one the camera frames.
        camera: Its place and direction.
        turn_deg: Angle between the far wall and the picture plane.
        margins: Metres beyond what is needed to the left, right, far and near.

    Raises:
        ValueError: If there are no people.
    """
    if not people:
        raise ValueError("expected at least one person in the room")
    circles, eye = np.array(people, float), np.asarray(camera.position, float)[:2]
    level = np.asarray(camera.forward, float)[:2]
    if np.linalg.norm(level) < 0.2:
        level = circles[0, :2] - eye
    heading = float(np.rad2deg(np.arctan2(level[1], level[0]))) - 90 + turn_deg
    rotation = turn(heading)
    flat = rotation[:2, :2]
    local = np.column_stack([circles[:, :2] @ flat, circles[:, 2]])
    place = eye @ flat
    reach = local[:, 2:] + CLEARANCE
    low = np.minimum((local[:, :2] - reach).min(0), place - CAMERA_RADIUS - 0.05)
    high = np.maximum((local[:, :2] + reach).max(0), place + CAMERA_RADIUS + 0.05)
    left, right, far, near = margins
    low, high = low - np.array([left, near]), high + np.array([right, far])
    return Plan(rotation, low, high, place, local)
