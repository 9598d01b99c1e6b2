"""The library of named poses in `pose_library.yaml`, checked and typed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml

from david_hf.synthetic.mesh import FloatArray

from .hands import shape_angles

Triple = tuple[float, float, float]
Range = tuple[float, float]
SUPPORTS = ("feet", "seat", "floor", "wall", "table")


@dataclass(frozen=True)
class ArmTarget:
    """Where a hand goes; places and directions are (outward, forward, up).

    Attributes:
        elbow: Direction the elbow rather points in.
        fingers: Direction of the fingers.
        hand: Name of the hand's shape.
        palm: Direction the palm faces; None: the skin it touches.
        reach: The palm from the own shoulder, in lengths of the arm, or None.
        frame: Of `reach` and the directions: "chest" or "world".
        ground: What is under the palm: "floor", whatever the height of `reach`, or "table", which
            is where the palm is; None in the air.
        touch: Landmark that `part` of the hand comes to, or None.
        of: Whose side the landmark is on: "own" or "other".
        part: Landmark of the hand.
        lift: Distance from the skin, metres.
        shift: Added to the landmark, metres.
        shrug: How far the shoulder is raised, degrees.
        grip: Which kind of grip the hand offers to a prop, or None.
    """

    elbow: Triple
    fingers: Triple
    hand: str
    palm: Triple | None = None
    reach: Triple | None = None
    frame: str = "chest"
    ground: str | None = None
    touch: str | None = None
    of: str = "own"
    part: str = "palm"
    lift: float = 0.0
    shift: Triple = (0.0, 0.0, 0.0)
    shrug: float = 0.0
    grip: str | None = None


@dataclass(frozen=True)
class LegTarget:
    """Where a foot goes; places and directions are (outward, forward, up).

    Attributes:
        knee: Direction the knee points in.
        foot: The ankle from the own hip in lengths of the leg, its height that of the sole above
            the floor, or of the ankle with `start` "hip"; None with `touch`.
        start: "floor" or "hip".
        toe_out: Turn of the toes outwards, degrees.
        heel: Lift of the heel, degrees; toes up is negative.
        extension: Share of its length that a carrying leg is stretched to at most where the
            legs say how high the body stands; None: all of it.
        planted: Whether the foot carries.
        touch: Landmark that the ankle comes to, or None.
        of: "own" or "other" side of the landmark.
        lift: Distance of the ankle from the skin, metres.
        shift: Added to the landmark, metres.
        step: Whether something must be put under the raised foot.
        ankle: Turn of a free foot against its shin, degrees, toes down; None: the sole is level.
    """

    knee: Triple
    foot: Triple | None = None
    start: str = "floor"
    toe_out: float = 0.0
    heel: float = 0.0
    extension: float | None = None
    planted: bool = True
    touch: str | None = None
    of: str = "own"
    lift: float = 0.0
    shift: Triple = (0.0, 0.0, 0.0)
    step: bool = False
    ankle: float | None = None


@dataclass(frozen=True)
class PoseEntry:
    """A pose of the library.

    Attributes:
        arms: Of the first and the second side.
        legs: Of the first and the second side.
        support: What carries the body, one of `SUPPORTS`.
        height: Of the hips above the floor in lengths of the leg, "stand" or "floor".
        pelvis: lean, side, twist in degrees, of the whole body.
        spine: lean, side, twist in degrees.
        head: nod, tilt, turn in degrees, against the chest.
        wall: Where the wall is: "side" (the first) or "back"; None without one.
        freedom: Factor on the spread of head and spine.
    """

    arms: tuple[ArmTarget, ArmTarget]
    legs: tuple[LegTarget, LegTarget]
    support: str = "feet"
    height: float | str = "stand"
    pelvis: Mapping[str, float] = field(default_factory=dict)
    spine: Mapping[str, float] = field(default_factory=dict)
    head: Mapping[str, float] = field(default_factory=dict)
    wall: str | None = None
    freedom: float = 1.0


@dataclass(frozen=True)
class PoseLibrary:
    """Everything that `pose_library.yaml` holds.

    Attributes:
        landmarks: Base vertices (left, right) by name.
        limits: Lowest and highest angle of joints by name, degrees.
        hands: Shapes of hands (17,) as `hands.finger_rotations` takes them.
        prop_hands: Shape of the hand that holds a prop, by the kind of prop.
        arms: Targets of arms by name.
        legs: Targets of legs by name.
        poses: By name.
    """

    landmarks: Mapping[str, tuple[int, int]]
    limits: Mapping[str, Range]
    hands: Mapping[str, FloatArray]
    prop_hands: Mapping[str, str]
    arms: Mapping[str, ArmTarget]
    legs: Mapping[str, LegTarget]
    poses: Mapping[str, PoseEntry]

    def clamp(self, name: str, angle: float) -> float:
        """`angle` in degrees within the limits of a joint."""
        return float(np.clip(angle, *self.limits[name]))

    def landmark(self, name: str, side: str) -> int:
        """Base vertex of a landmark on the side "L" or "R"."""
        return self.landmarks[name]["LR".index(side)]


@cache
def pose_library() -> PoseLibrary:
    """The library, read once."""
    text = resources.files(__package__).joinpath("pose_library.yaml").read_text("utf-8")
    tree = yaml.safe_load(text)
    arms = {name: ArmTarget(**_tuples(entry)) for name, entry in tree["arms"].items()}
    legs = {name: _leg(entry) for name, entry in tree["legs"].items()}
    return PoseLibrary(
        landmarks={name: (left, right) for name, (left, right) in tree["landmarks"].items()},
        limits={name: (low, high) for name, (low, high) in tree["limits"].items()},
        hands={name: shape_angles(shape) for name, shape in tree["hands"].items()},
        prop_hands=tree["prop_hands"],
        arms=arms,
        legs=legs,
        poses={name: _pose(entry, arms, legs) for name, entry in tree["poses"].items()},
    )


def _tuples(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}


def _leg(entry: Mapping[str, Any]) -> LegTarget:
    values = _tuples(entry)
    return LegTarget(start=values.pop("from", "floor"), **values)


def _pose(
    entry: Mapping[str, Any], arms: Mapping[str, ArmTarget], legs: Mapping[str, LegTarget]
) -> PoseEntry:
    values = dict(entry)
    first_arm, second_arm = (arms[name] for name in values.pop("arms"))
    first_leg, second_leg = (legs[name] for name in values.pop("legs"))
    return PoseEntry((first_arm, second_arm), (first_leg, second_leg), **values)
