"""Forward and inverse kinematics of the body's skeleton.

Rotations are those of `BodyModel.pose`: about the model axes at rest, each carried by its parents.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from david_hf.synthetic.mesh import FloatArray, IntArray, normalize

from .bodies import RestBody, skin

Rotations = dict[str, FloatArray]
# Shares of a twist that each bone of a limb takes, so that skin turns along the whole limb.
UPPER_ARM_TWIST = (0.35, 0.65)
FOREARM_TWIST = (0.2, 0.55, 0.25)
THIGH_TWIST = (0.5, 0.5)
# Distances of a limb's ends in lengths of the limb: elbows and knees bend by 150 degrees at most
# and are never quite straight.
NEAREST, FARTHEST = 0.26, 0.997
SWIVELS = np.radians([0, -12, 12, -24, 24, -36, 36, -48, 48, -60, 60])


class Skeleton(Protocol):
    """What kinematics asks of a `BodyModel`."""

    bones: list[str]
    parents: list[int]
    skin_weights: NDArray[np.float32]

    def bone(self, name: str) -> int:
        """Index of a bone."""


class Figure:
    """A body while it is being posed: posed joints and points of what was turned so far.

    Attributes:
        rotations: By bone, as `BodyModel.pose` takes them.
    """

    def __init__(self, model: Skeleton, rest: RestBody) -> None:
        self.model = model
        self.rest = rest
        self.rotations: Rotations = {}
        self._transforms: dict[int, FloatArray] = {}

    def rest_joint(self, bone: str) -> FloatArray:
        """Joint (3,) of the unposed body."""
        joint: FloatArray = self.rest.joints[self.model.bone(bone)]
        return joint

    def transform(self, index: int) -> FloatArray:
        """Transform (4, 4) of a bone from rest to posed space."""
        if index in self._transforms:
            return self._transforms[index]
        local = np.eye(4)
        turned = self.rotations.get(self.model.bones[index])
        if turned is not None:
            joint = self.rest.joints[index]
            local[:3, :3] = turned
            local[:3, 3] = joint - turned @ joint
        parent = self.model.parents[index]
        result = local if parent < 0 else self.transform(parent) @ local
        self._transforms[index] = result
        return result

    def turn(self, bone: str) -> FloatArray:
        """World rotation (3, 3) of a bone."""
        return self.transform(self.model.bone(bone))[:3, :3]

    def joint(self, bone: str) -> FloatArray:
        """Posed joint (3,) of a bone."""
        index = self.model.bone(bone)
        matrix = self.transform(index)
        position: FloatArray = matrix[:3, :3] @ self.rest.joints[index] + matrix[:3, 3]
        return position

    def rotate(self, rotations: Rotations) -> None:
        """Set local rotations of bones."""
        self.rotations |= rotations
        self._transforms.clear()

    def aim(self, bone: str, turn: FloatArray) -> None:
        """Give a bone the world rotation `turn` (3, 3)."""
        parent = self.model.parents[self.model.bone(bone)]
        self.rotate({bone: self.transform(parent)[:3, :3].T @ turn})

    def points(self, vertices: IntArray) -> FloatArray:
        """Posed positions (N, 3) of some base vertices."""
        weights = self.model.skin_weights[vertices]
        used = np.flatnonzero(weights.any(0))
        transforms = np.stack([self.transform(int(index)) for index in used])
        return skin(self.rest.vertices[vertices], weights[:, used], transforms)

    def direction(self, vertex: int, at_rest: FloatArray) -> FloatArray:
        """A direction (3,) at a vertex of the rest body, posed."""
        weights = self.model.skin_weights[vertex]
        turn = sum(weights[k] * self.transform(int(k))[:3, :3] for k in np.flatnonzero(weights))
        return normalize(np.asarray(turn @ at_rest))


@dataclass(frozen=True)
class HandAxes:
    """Unit axes (3,) of a hand at rest.

    Attributes:
        across: Towards the thumb.
        along: Towards the fingers.
        out: Out of the palm.
    """

    across: FloatArray
    along: FloatArray
    out: FloatArray

    @property
    def matrix(self) -> FloatArray:
        """The axes as columns (3, 3); a mirrored frame for the left hand."""
        return np.stack([self.across, self.along, self.out], 1)

    @property
    def flexion(self) -> FloatArray:
        """Axis about which the hand turns towards its palm."""
        return np.asarray(np.cross(self.along, self.out))

    @property
    def deviation(self) -> FloatArray:
        """Axis about which the hand turns towards its thumb."""
        return np.asarray(np.cross(self.along, self.across))


def side_sign(side: str) -> float:
    """+1 for "L", -1 for "R"."""
    return 1.0 if side == "L" else -1.0


def hand_axes(model: Skeleton, rest: RestBody, side: str) -> HandAxes:
    """Axes of the hand of the side "L" or "R" at rest."""
    wrist, index, middle, little = (
        rest.joints[model.bone(f"{name}.{side}")]
        for name in ("wrist", "finger2-1", "finger3-1", "finger5-1")
    )
    along = normalize(middle - wrist)
    across = index - little
    across = normalize(across - along * (across @ along))
    return HandAxes(across, along, side_sign(side) * np.cross(along, across))


def rotation(axes: str, *angles: float) -> FloatArray:
    """Matrix (3, 3) of extrinsic rotations about the named axes, degrees, in order."""
    return np.asarray(Rotation.from_euler(axes, angles, degrees=True).as_matrix()).reshape(3, 3)


def turn_about(axis: FloatArray, angle: float) -> FloatArray:
    """Matrix (3, 3) of a rotation about a unit axis, radians."""
    return np.asarray(Rotation.from_rotvec(axis * angle).as_matrix())


def twist_angle(turn: FloatArray, axis: FloatArray) -> float:
    """Angle in radians, in [-pi, pi], by which `turn` (3, 3) twists about a unit axis."""
    *vector, scalar = Rotation.from_matrix(turn).as_quat()
    angle = 2 * np.arctan2(np.asarray(vector) @ axis, scalar)
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def two_bones(
    rest: FloatArray, rest_hinge: FloatArray, start: FloatArray, goal: FloatArray, pole: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """World rotations of the two bones of a limb that bring its end to `goal` (law of cosines).

    Args:
        rest: Joints (3, 3) of the limb at rest: start, hinge, end.
        rest_hinge: Axis (3,) of elbow or knee at rest.
        start: Posed start (3,) of the limb.
        goal: Where its end shall be (3,); pulled in to what the limb can reach.
        pole: Direction (3,) in which elbow or knee points.
    """
    rest_upper, rest_lower = rest[1] - rest[0], rest[2] - rest[1]
    upper_length, lower_length = np.linalg.norm(rest_upper), np.linalg.norm(rest_lower)
    reach = upper_length + lower_length
    offset = goal - start
    distance = np.clip(np.linalg.norm(offset), NEAREST * reach, FARTHEST * reach)
    along = normalize(offset)
    cosine = (upper_length**2 + distance**2 - lower_length**2) / (2 * upper_length * distance)
    cosine = np.clip(cosine, -1.0, 1.0)
    aside = normalize(pole - along * (pole @ along))
    upper = upper_length * (cosine * along + np.sqrt(1 - cosine**2) * aside)
    lower = along * distance - upper
    hinge = np.cross(upper, lower)
    return (
        _frame(upper, hinge) @ _frame(rest_upper, rest_hinge).T,
        _frame(lower, hinge) @ _frame(rest_lower, rest_hinge).T,
    )


def _frame(along: FloatArray, hinge: FloatArray) -> FloatArray:
    first = normalize(along)
    second = normalize(hinge - first * (hinge @ first))
    return np.stack([first, second, np.cross(first, second)], 1)


@dataclass(frozen=True)
class HandGoal:
    """Where a hand shall be.

    Attributes:
        point: World point (3,) that the touching part of the hand shall reach.
        turn: World rotation (3, 3) of the hand.
        offset: From the wrist to the touching part (3,), at rest.
        pole: Direction (3,) in which the elbow rather points.
    """

    point: FloatArray
    turn: FloatArray
    offset: FloatArray
    pole: FloatArray


@dataclass(frozen=True)
class ArmLimits:
    """Limits of wrist and forearm: (low, high) in degrees.

    Attributes:
        wrist_flexion: Towards the palm.
        wrist_deviation: Towards the thumb.
        pronation: From thumb up; palm down is positive.
    """

    wrist_flexion: tuple[float, float]
    wrist_deviation: tuple[float, float]
    pronation: tuple[float, float]


def solve_arm(figure: Figure, side: str, goal: HandGoal, limits: ArmLimits) -> None:
    """Turn the bones of an arm so that its hand comes to `goal`.

    The elbow swivels about the line from shoulder to hand to where wrist and forearm are least
    strained; what is left beyond the limits is cut, and the hand gives way.
    """
    solver = _ArmSolver(figure, side, limits)
    turn = goal.turn
    for _ in range(2):  # again after the limits have changed the hand's rotation
        solution = solver.best(goal.point - turn @ goal.offset, turn, goal.pole)
        turn = solution.hand
    solver.apply(solution)


@dataclass(frozen=True)
class _ArmSolution:
    cost: float
    upper: FloatArray
    lower: FloatArray
    twist: float
    swing: FloatArray

    @property
    def hand(self) -> FloatArray:
        return self.lower @ self.swing


class _ArmSolver:
    def __init__(self, figure: Figure, side: str, limits: ArmLimits) -> None:
        self.figure, self.side, self.sign, self.limits = figure, side, side_sign(side), limits
        self.hand = hand_axes(figure.model, figure.rest, side)
        self.rest = np.stack(
            [figure.rest_joint(f"{name}.{side}") for name in ("upperarm01", "lowerarm01", "wrist")]
        )
        upper, lower = self.rest[1] - self.rest[0], self.rest[2] - self.rest[1]
        self.hinge = normalize(np.cross(upper, lower))
        self.axis = normalize(lower)
        inwards = self.sign * self.hinge
        self.rest_pronation = self.sign * np.arctan2(
            self.hand.out @ np.cross(self.axis, inwards), self.hand.out @ inwards
        )

    def best(self, wrist: FloatArray, turn: FloatArray, pole: FloatArray) -> _ArmSolution:
        """The least strained of several swivels of the elbow."""
        axis = normalize(wrist - self.figure.joint(f"upperarm01.{self.side}"))
        solutions = (
            self._solve(wrist, turn, turn_about(axis, swivel) @ pole, swivel) for swivel in SWIVELS
        )
        return min(solutions, key=lambda solution: solution.cost)

    def _solve(
        self, wrist: FloatArray, turn: FloatArray, pole: FloatArray, swivel: float
    ) -> _ArmSolution:
        start = self.figure.joint(f"upperarm01.{self.side}")
        upper, lower = two_bones(self.rest, self.hinge, start, wrist, pole)
        relative = lower.T @ turn
        twist = twist_angle(relative, self.axis)
        bend = Rotation.from_matrix(turn_about(self.axis, -twist) @ relative).as_rotvec()
        wanted = np.degrees(
            [
                bend @ self.hand.flexion,
                bend @ self.hand.deviation,
                self.rest_pronation + self.sign * twist,
            ]
        )
        ranges = (self.limits.wrist_flexion, self.limits.wrist_deviation, self.limits.pronation)
        allowed = np.array([np.clip(x, *limit) for x, limit in zip(wanted, ranges, strict=True)])
        cut = self.sign * (np.radians(allowed[2]) - self.rest_pronation)
        bend = np.radians(allowed[0]) * self.hand.flexion
        bend = bend + np.radians(allowed[1]) * self.hand.deviation
        swing = turn_about(self.axis, float(cut)) @ Rotation.from_rotvec(bend).as_matrix()
        strain = np.abs(wanted - allowed).sum() / 20 + np.square(wanted / (60, 25, 80)).sum() / 8
        return _ArmSolution(float(strain + swivel**2), upper, lower, float(cut), swing)

    def apply(self, solution: _ArmSolution) -> None:
        """Spread the twists over the bones of the arm."""
        side, figure = self.side, self.figure
        _turn_with_twist(
            figure,
            (f"upperarm01.{side}", f"upperarm02.{side}"),
            normalize(self.rest[1] - self.rest[0]),
            solution.upper,
            UPPER_ARM_TWIST[0],
        )
        first, second, _ = FOREARM_TWIST
        figure.aim(
            f"lowerarm01.{side}", solution.lower @ turn_about(self.axis, first * solution.twist)
        )
        figure.rotate({f"lowerarm02.{side}": turn_about(self.axis, second * solution.twist)})
        figure.aim(f"wrist.{side}", solution.hand)


def _turn_with_twist(
    figure: Figure, bones: tuple[str, str], axis: FloatArray, turn: FloatArray, share: float
) -> None:
    """Give the second of two bones the world rotation `turn`, the first a share of its twist."""
    parent = figure.model.bones[figure.model.parents[figure.model.bone(bones[0])]]
    local = figure.turn(parent).T @ turn
    late = (1 - share) * twist_angle(local, axis)
    figure.rotate({bones[0]: local @ turn_about(axis, -late), bones[1]: turn_about(axis, late)})


def solve_leg(figure: Figure, side: str, ankle: FloatArray, pole: FloatArray) -> None:
    """Turn thigh and shin: the ankle comes to a world point (3,), the knee points to `pole`."""
    names = [f"{name}.{side}" for name in ("upperleg01", "lowerleg01", "foot")]
    rest = np.stack([figure.rest_joint(name) for name in names])
    upper, lower = two_bones(rest, np.array([1.0, 0, 0]), figure.joint(names[0]), ankle, pole)
    bones = (names[0], f"upperleg02.{side}")
    _turn_with_twist(figure, bones, normalize(rest[1] - rest[0]), upper, THIGH_TWIST[0])
    figure.aim(names[1], lower)
