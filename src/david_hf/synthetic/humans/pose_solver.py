"""Turns a planned pose into rotations of the bones of a particular body."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from david_hf.synthetic.mesh import FloatArray, normalize, vertex_normals

from .bodies import BodyModel, RestBody
from .hands import finger_rotations
from .kinematics import (
    FARTHEST,
    ArmLimits,
    Figure,
    HandGoal,
    hand_axes,
    rotation,
    side_sign,
    solve_arm,
    solve_leg,
)
from .pose_library import ArmTarget, LegTarget, PoseLibrary

SPINE_SHARES = {"spine05": 0.12, "spine04": 0.2, "spine03": 0.24, "spine02": 0.24, "spine01": 0.2}
NECK_SHARES = {"neck01": 0.2, "neck02": 0.15, "neck03": 0.2, "head": 0.45}
HEAD_BONES = ("head", "neck")
LEG_BONES = ("pelvis", "upperleg", "lowerleg", "foot", "toe", "root")
OTHER = {"L": "R", "R": "L"}
# Lowest part of the buttocks below the hip joints, in lengths of the leg, before it is measured.
BUTTOCKS_BELOW_HIPS = 0.13


@dataclass(frozen=True)
class PosePlan:
    """A pose with every number decided, for any body.

    Attributes:
        arms: By side "L" or "R", in the order they are solved.
        legs: By side.
        hands: Shapes (17,) of the hands by side.
        angles: Of pelvis, spine and head in degrees, such as `spine_lean`; forward or to the left.
        height: Of the hips above the floor in lengths of the leg, "stand" or "floor".
    """

    arms: Mapping[str, ArmTarget]
    legs: Mapping[str, LegTarget]
    hands: Mapping[str, FloatArray]
    angles: Mapping[str, float]
    height: float | str


@dataclass(frozen=True)
class Pushes:
    """Corrections that keep limbs out of the body.

    Attributes:
        hands: Shift (3,) of the hand in metres by side.
        elbows: Added to the direction (3,) of the elbow by side.
        feet: Shift (3,) of the ankle in metres by side.
    """

    hands: dict[str, FloatArray] = field(default_factory=dict)
    elbows: dict[str, FloatArray] = field(default_factory=dict)
    feet: dict[str, FloatArray] = field(default_factory=dict)


class PoseSolver:
    """Solves plans for one body.

    Args:
        model: The body model.
        rest: The body.
        library: Names landmarks and limits.
    """

    def __init__(self, model: BodyModel, rest: RestBody, library: PoseLibrary) -> None:
        self.model, self.rest, self.library = model, rest, library
        self.normals = vertex_normals(rest.vertices, model.surface.faces)
        bone = model.bone_of[model.surface_vertices]
        self._soles = {
            side: [
                model.surface_vertices[np.char.startswith(bone, part) & _of_side(bone, side)]
                for part in ("foot", "toe")
            ]
            for side in "LR"
        }
        buttocks = ["root", "pelvis.L", "pelvis.R", "upperleg01.L", "upperleg01.R"]
        self.buttocks = model.surface_vertices[np.isin(bone, buttocks)]
        names = ("upperleg01.L", "lowerleg01.L", "foot.L")
        hip, knee, ankle = (rest.joints[model.bone(name)] for name in names)
        self.leg_length = float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
        self._limits = ArmLimits(
            *(library.limits[name] for name in ("wrist_flexion", "wrist_deviation", "pronation"))
        )

    def solve(self, plan: PosePlan, pushes: Pushes) -> Figure:
        """The posed figure; it stands on no floor yet."""
        figure = Figure(self.model, self.rest)
        self._torso(figure, plan.angles)
        floor = self._legs(figure, plan, pushes)
        for side, target in plan.arms.items():
            figure.rotate(finger_rotations(self.model, self.rest, side, plan.hands[side]))
            self._arm(figure, side, target, floor, pushes)
        return figure

    def _torso(self, figure: Figure, angles: Mapping[str, float]) -> None:
        figure.rotate({"root": _lean_side_twist(angles, "pelvis", 1.0)})
        for bone, share in SPINE_SHARES.items():
            figure.rotate({bone: _lean_side_twist(angles, "spine", share)})
        tilt, turn, nod = (angles[f"head_{name}"] for name in ("tilt", "turn", "nod"))
        for bone, share in NECK_SHARES.items():
            figure.rotate({bone: rotation("xyz", nod * share, tilt * share, turn * share)})

    def _legs(self, figure: Figure, plan: PosePlan, pushes: Pushes) -> float:
        """Pose the legs; the height of the floor."""
        if plan.height != "floor":
            floor = self._floor(figure, plan)
            self._pose_legs(figure, plan, floor, pushes)
            return floor
        floor = self._hips(figure) - BUTTOCKS_BELOW_HIPS * self.leg_length
        for _ in range(2):
            self._pose_legs(figure, plan, floor, pushes)
            floor = float(figure.points(self.buttocks)[:, 2].min())
        return floor

    def _hips(self, figure: Figure) -> float:
        return float(np.mean([figure.joint(f"upperleg01.{side}")[2] for side in "LR"]))

    def _floor(self, figure: Figure, plan: PosePlan) -> float:
        if not isinstance(plan.height, str):
            return self._hips(figure) - plan.height * self.leg_length
        floors = []
        for side, leg in plan.legs.items():
            if leg.planted:
                stretch = (leg.extension or FARTHEST) * self.leg_length
                hip = figure.joint(f"upperleg01.{side}")
                offset = hip - self._ankle(figure, side, leg, 0.0)
                drop = np.sqrt(max(stretch**2 - np.square(offset[:2]).sum(), 0.0))
                floors.append(offset[2] - drop)
        return float(max(floors))

    def _pose_legs(self, figure: Figure, plan: PosePlan, floor: float, pushes: Pushes) -> None:
        # Legs that touch the other one come after it.
        for side in sorted(plan.legs, key=lambda s: plan.legs[s].touch is not None):
            leg = plan.legs[side]
            ankle = self._ankle(figure, side, leg, floor) + pushes.feet.get(side, 0.0)
            solve_leg(figure, side, ankle, _world(leg.knee, side))
            if leg.ankle is None:
                figure.aim(f"foot.{side}", _foot_turn(side, leg))
                toes = _toe_turn(side, leg)
                for toe in range(1, 6):
                    figure.aim(f"toe{toe}-1.{side}", toes)
            else:
                figure.rotate({f"foot.{side}": rotation("x", leg.ankle)})

    def _ankle(self, figure: Figure, side: str, leg: LegTarget, floor: float) -> FloatArray:
        """World position (3,) of the ankle."""
        if leg.touch is not None:
            return self._touched(
                figure, leg.touch, OTHER[side] if leg.of == "other" else side, leg.lift
            ) + _world(leg.shift, side)
        assert leg.foot is not None
        offset = _world(leg.foot, side) * self.leg_length
        hip = figure.joint(f"upperleg01.{side}")
        if leg.start == "hip":
            return np.asarray(hip + offset)
        return np.array([*(hip + offset)[:2], floor + offset[2] + self._sole_depth(side, leg)])

    def _sole_depth(self, side: str, leg: LegTarget) -> float:
        """How far the ankle is above the lowest point of the foot."""
        turn = _foot_turn(side, leg)
        ankle = self.rest.joints[self.model.bone(f"foot.{side}")]
        foot, toes = (self.rest.vertices[part] for part in self._soles[side])
        lowest = ((foot - ankle) @ turn.T)[:, 2].min()
        joint = self.rest.joints[self.model.bone(f"toe3-1.{side}")]
        on_toes = (turn @ (joint - ankle))[2]
        on_toes += ((toes - joint) @ _toe_turn(side, leg).T)[:, 2].min()
        return float(-min(lowest, on_toes))

    def _touched(self, figure: Figure, landmark: str, side: str, lift: float) -> FloatArray:
        vertex = self.library.landmark(landmark, side)
        normal = figure.direction(vertex, self.normals[vertex])
        return np.asarray(figure.points(np.array([vertex]))[0] + lift * normal)

    def _arm(
        self, figure: Figure, side: str, target: ArmTarget, floor: float, pushes: Pushes
    ) -> None:
        self._girdle(figure, side, target)
        frame = self._frame(figure, target)
        place = self._place(figure, side, target, frame, floor)
        goal = HandGoal(
            place + pushes.hands.get(side, 0.0),
            self._hand_turn(
                side, self._palm(figure, side, target, frame), frame @ _world(target.fingers, side)
            ),
            self._part_of_hand(figure, side, target.part),
            frame @ normalize(_world(target.elbow, side)) + pushes.elbows.get(side, 0.0),
        )
        solve_arm(figure, side, goal, self._limits)

    def _girdle(self, figure: Figure, side: str, target: ArmTarget) -> None:
        """Clavicle and shoulder blade follow the arm."""
        raised, forward = target.shrug, 4.0
        if target.reach is not None:
            out, ahead, up = target.reach
            raised += 26 * np.clip((up + 0.25) / 1.25, 0, 1)
            forward += 14 * np.clip(ahead - 0.3, 0, 1) + 10 * np.clip(-out, 0, 1)
            forward -= 25 * np.clip(-ahead, 0, 0.6)
        elif target.touch is not None and self._is_on(target, HEAD_BONES):
            raised += 12
        raised, sign = self.library.clamp("shrug", raised), side_sign(side)
        for bone, share in (("clavicle", 0.65), ("shoulder01", 0.35)):
            turn = rotation("yz", -sign * raised * share, -sign * forward * share)
            figure.rotate({f"{bone}.{side}": turn})

    def _is_on(self, target: ArmTarget, bones: tuple[str, ...]) -> bool:
        if target.touch is None:
            return False
        vertex = self.library.landmark(target.touch, "L")
        return str(self.model.bone_of[vertex]).startswith(bones)

    def _frame(self, figure: Figure, target: ArmTarget) -> FloatArray:
        """World rotation (3, 3) of the frame that a target is given in."""
        if target.frame == "world":
            return np.eye(3)
        if self._is_on(target, HEAD_BONES):
            return figure.turn("head")
        return figure.turn("root" if self._is_on(target, LEG_BONES) else "spine01")

    def _touched_side(self, side: str, target: ArmTarget) -> str:
        return OTHER[side] if target.of == "other" else side

    def _place(
        self, figure: Figure, side: str, target: ArmTarget, frame: FloatArray, floor: float
    ) -> FloatArray:
        """World position (3,) for the touching part of the hand."""
        if target.touch is not None:
            point = self._touched(
                figure, target.touch, self._touched_side(side, target), target.lift
            )
            return np.asarray(point + frame @ _world(target.shift, side))
        assert target.reach is not None
        names = ("upperarm01", "lowerarm01", "wrist")
        shoulder, elbow, wrist = (figure.rest_joint(f"{name}.{side}") for name in names)
        length = np.linalg.norm(elbow - shoulder) + np.linalg.norm(wrist - elbow)
        start = figure.joint(f"upperarm01.{side}")
        place = np.asarray(start + frame @ _world(target.reach, side) * length)
        if target.ground == "floor":
            place[2] = floor + 0.01
        return place

    def _palm(self, figure: Figure, side: str, target: ArmTarget, frame: FloatArray) -> FloatArray:
        """World direction (3,) the palm faces: the given one, or towards the skin it touches."""
        if target.palm is not None:
            return np.asarray(frame @ _world(target.palm, side))
        assert target.touch is not None
        vertex = self.library.landmark(target.touch, self._touched_side(side, target))
        return np.asarray(-figure.direction(vertex, self.normals[vertex]))

    def _hand_turn(self, side: str, palm: FloatArray, fingers: FloatArray) -> FloatArray:
        """World rotation (3, 3) of a hand by where palm and fingers point."""
        out = normalize(palm)
        along = normalize(fingers - out * (fingers @ out))
        across = -side_sign(side) * np.cross(along, out)
        turned = np.stack([across, along, out], 1)
        return np.asarray(turned @ hand_axes(self.model, self.rest, side).matrix.T)

    def _part_of_hand(self, figure: Figure, side: str, part: str) -> FloatArray:
        """From the wrist to a landmark (3,) of the hand at rest, fingers bent as they are."""
        hand = Figure(self.model, self.rest)
        hand.rotate({k: v for k, v in figure.rotations.items() if k.startswith("finger")})
        point = hand.points(np.array([self.library.landmark(part, side)]))[0]
        return np.asarray(point - self.rest.joints[self.model.bone(f"wrist.{side}")])


def _lean_side_twist(angles: Mapping[str, float], name: str, share: float) -> FloatArray:
    lean, side, twist = (angles[f"{name}_{axis}"] * share for axis in ("lean", "side", "twist"))
    return rotation("xyz", lean, side, twist)


def _world(outward_forward_up: tuple[float, float, float], side: str) -> FloatArray:
    """(outward, forward, up) of a side to the model's x, y, z."""
    outward, forward, up = outward_forward_up
    return np.array([side_sign(side) * outward, -forward, up])


def _foot_turn(side: str, leg: LegTarget) -> FloatArray:
    return rotation("xz", leg.heel, side_sign(side) * leg.toe_out)


def _toe_turn(side: str, leg: LegTarget) -> FloatArray:
    """World rotation (3, 3) of the toes: flat on the floor below a lifted heel."""
    if not 0 < leg.heel < 90:
        return _foot_turn(side, leg)
    return rotation("xz", max(leg.heel - 45, 0.0), side_sign(side) * leg.toe_out)


def _of_side(names: NDArray[np.str_], side: str) -> NDArray[np.bool_]:
    return np.char.endswith(names, f".{side}")
