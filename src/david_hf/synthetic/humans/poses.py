"""Poses of people: an entry of the library, varied, fitted to a body and kept out of itself."""

from dataclasses import dataclass, replace

import numpy as np

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.mesh import FloatArray

from .bodies import BodyModel, PosedBody, RestBody
from .contact import TOLERANCE, Contact, find_contacts
from .hands import grip_frame
from .kinematics import rotation, side_sign
from .pose_library import PoseEntry, pose_library
from .pose_plan import draw_plan
from .pose_solver import OTHER, PosePlan, PoseSolver, Pushes

__all__ = ["Pose", "aim_eyes", "eye_angles", "grip_frame", "sample_pose", "stand_on_floor"]

MAX_REDRAWS = 4
MAX_REPAIRS = 6
PLAIN_POSE = "standing"
# A hand that holds the other one or its arm may press in so far, in metres.
HOLDING_TOLERANCE = 0.016
# Who leans with a shoulder is turned so that the wall is behind, at +y, as for all others.
TO_WALL_DEG = 65
LOWER_BODY = ("spine", "root", "pelvis", "upperleg", "lowerleg", "foot", "toe")
TRUNK = ("spine", "root", "pelvis", "clavicle", "shoulder", "upperarm")
LIMBS = {
    "arm": ("upperarm", "lowerarm", "wrist", "metacarpal", "finger"),
    "upper_arm": ("upperarm",),
    "leg": ("upperleg", "lowerleg", "foot", "toe"),
}


@dataclass(frozen=True)
class Pose:
    """A posed body and how it is held up.

    Attributes:
        name: Entry of the library.
        body: Stands on the floor z = 0, the root of its pelvis at x = y = 0.
        support: "feet", "seat", "floor", "wall" or "table".
        contact: World point (3,) where what supports the body touches it: the top of the seat, the
            floor, the wall (a plane behind, at its y), the near edge of the table, or None on
            feet, unless a raised foot needs a step: then the point under its sole.
        holds: Kind of prop by side "L" or "R"; empty hands are left out.
    """

    name: str
    body: PosedBody
    support: str
    contact: FloatArray | None
    holds: dict[str, str]


def sample_pose(draws: Draws, model: BodyModel, rest: RestBody, close_up: bool) -> Pose:
    """Draw a pose in which no limb enters the body by more than `contact.TOLERANCE`.

    A hand that holds the other one may press in by `HOLDING_TOLERANCE`. Limbs that enter more are
    pushed out; a pose that cannot be repaired is drawn again, and in the end the body stands
    plainly. The factors `repairs` and `redraws` tell what was necessary.

    Raises:
        ValueError: If not even that can be repaired: the scene is to be drawn again.

    Args:
        draws: Of the section "pose".
        model: The body model.
        rest: The body to pose.
        close_up: For pictures of the face: arms mostly hang.
    """
    draws.put("close_up", "true" if close_up else "false")
    library = pose_library()
    solver = PoseSolver(model, rest, library)
    given = dict(draws.drawn)
    for redraws in range(MAX_REDRAWS + 1):
        draws.drawn.clear()
        draws.drawn.update(given | {"redraws": redraws})
        if redraws == MAX_REDRAWS:
            draws.put("name", PLAIN_POSE)
            draws.put("blend", 0.0)
        entry, plan, holds = draw_plan(draws, library)
        body, fits = _fit(draws, solver, plan)
        if fits:
            break
    else:
        raise ValueError(f"limbs enter each other, even {PLAIN_POSE}")
    first = "R" if draws("mirrored") else "L"
    if entry.wall == "side":
        body = turned(body, side_sign(first) * TO_WALL_DEG)
    body = stand_on_floor(model, aim_eyes(model, body, *_gaze(draws, model, body)))
    contact = support_point(solver, body, entry, first)
    return Pose(draws("name"), body, entry.support, contact, holds)


def _fit(draws: Draws, solver: PoseSolver, plan: PosePlan) -> tuple[PosedBody, bool]:
    """The posed body, its limbs pushed out of each other, and whether that succeeded."""
    pushes = Pushes()
    for repairs in range(MAX_REPAIRS + 1):
        body = solver.model.pose(solver.rest, solver.solve(plan, pushes).rotations)
        contacts = find_contacts(solver.model, body)
        draws.put("repairs", repairs)
        if all(contact.depth <= _tolerance(plan, contact) for contact in contacts):
            return body, True
        for contact in contacts:
            if contact.depth > 0.5 * TOLERANCE:
                _push(pushes, _of_follower(contact) if _is_followed(plan, contact) else contact)
    return body, False


def _tolerance(plan: PosePlan, contact: Contact) -> float:
    holds = plan.arms[contact.side].of == "other" and contact.entered.startswith(LIMBS["arm"])
    return HOLDING_TOLERANCE if holds or _is_followed(plan, contact) else TOLERANCE


def _is_followed(plan: PosePlan, contact: Contact) -> bool:
    """Whether the other limb touches this one, follows it, and shall be moved in its stead."""
    limbs = plan.legs if contact.limb == "leg" else plan.arms
    other = OTHER[contact.side]
    is_limb = contact.entered.startswith(LIMBS[contact.limb])
    return limbs[other].of == "other" and is_limb and contact.entered.endswith(f".{other}")


def _of_follower(contact: Contact) -> Contact:
    """The same contact, seen from the limb that was entered."""
    return replace(contact, side=OTHER[contact.side], push=-contact.push)


def _push(pushes: Pushes, contact: Contact) -> None:
    """Move a limb out along the normal of what it entered."""
    shift = contact.push * (contact.depth + 0.002)
    side = contact.side
    if contact.limb == "leg":
        pushes.feet[side] = pushes.feet.get(side, 0.0) + shift
        return
    if contact.limb == "upper_arm":
        pushes.elbows[side] = pushes.elbows.get(side, 0.0) + 12 * shift
        shift = 0.6 * shift
    pushes.hands[side] = pushes.hands.get(side, 0.0) + shift


def stand_on_floor(model: BodyModel, body: PosedBody) -> PosedBody:
    """The body moved so that its lowest skin is at z = 0 and its root at x = y = 0."""
    root = model.bone("root")
    x, y, _ = body.transforms[root, :3, :3] @ body.rest.joints[root] + body.transforms[root, :3, 3]
    shift = -np.array([x, y, body.vertices[model.surface_vertices, 2].min()])
    transforms = body.transforms.copy()
    transforms[:, :3, 3] += shift
    return replace(body, transforms=transforms, vertices=body.vertices + shift)


def support_point(
    solver: PoseSolver, body: PosedBody, entry: PoseEntry, first: str
) -> FloatArray | None:
    """World point (3,) where what supports the body touches it.

    Args:
        solver: Knows the model.
        body: Stands on the floor.
        entry: The pose.
        first: The side "L" or "R" of its first limbs.
    """
    sides = (first, OTHER[first])
    if entry.support in ("seat", "floor"):
        place = _underside(body.vertices[solver.buttocks])
        return place if entry.support == "seat" else place * [1, 1, 0]
    if entry.support == "wall":
        return _wall_point(solver.model, body)
    if entry.support == "table":
        palms = [s for s, arm in zip(sides, entry.arms, strict=True) if arm.ground == "table"]
        landmarks = [solver.library.landmark("palm", side) for side in palms]
        return _table_edge(solver.model, body, body.vertices[landmarks])
    for side, leg in zip(sides, entry.legs, strict=True):
        if leg.step:
            return _underside(body.vertices[solver.model.vertices_of([f"foot.{side}"])])
    return None


def _underside(vertices: FloatArray) -> FloatArray:
    """Middle (3,) of the lowest 1.5 cm, at the lowest height."""
    height = vertices[:, 2].min()
    return np.array([*vertices[vertices[:, 2] < height + 0.015].mean(0)[:2], height])


def _table_edge(model: BodyModel, body: PosedBody, palms: FloatArray) -> FloatArray:
    """Middle (3,) of the near edge of a table under the palms (N, 3), in front of hips and legs."""
    height = palms[:, 2].min()
    lower = body.vertices[model.vertices_of([b for b in model.bones if b.startswith(LOWER_BODY)])]
    front = lower[lower[:, 2] < height + 0.05, 1].min()
    return np.array([palms[:, 0].mean(), min(palms[:, 1].max() + 0.1, front - 0.01), height])


def _wall_point(model: BodyModel, body: PosedBody) -> FloatArray:
    """The point (3,) of trunk and upper arms that is farthest back."""
    trunk = [bone for bone in model.bones if bone.startswith(TRUNK)]
    vertices = body.vertices[model.vertices_of(trunk)]
    return np.asarray(vertices[vertices[:, 1].argmax()])


def turned(body: PosedBody, angle: float) -> PosedBody:
    """The body turned about the z axis by `angle` degrees, to its left."""
    turn = np.eye(4)
    turn[:3, :3] = rotation("z", angle)
    return replace(
        body,
        transforms=turn @ body.transforms,
        vertices=body.vertices @ turn[:3, :3].T,
        normals=body.normals @ turn[:3, :3].T,
    )


def _gaze(draws: Draws, model: BodyModel, body: PosedBody) -> tuple[float, float]:
    """Yaw and pitch of the eyes against the head, degrees, left and down positive."""
    target = draws("gaze.target")
    if target == "around":
        return draws("gaze.yaw"), draws("gaze.pitch")
    if target == "viewer":
        return eye_angles(model, body, np.array([0.0, -1.0, 0.0]))
    yaw, pitch = draws.rng.normal(0, 2.5, 2)
    return float(yaw), float(pitch)


def eye_angles(model: BodyModel, body: PosedBody, direction: FloatArray) -> tuple[float, float]:
    """Yaw and pitch in degrees, left and down positive, that turn the eyes along a direction (3,).

    They are against the head and may be more than eyes can turn.
    """
    ahead = body.transforms[model.bone("head"), :3, :3].T @ direction
    ahead = ahead / np.linalg.norm(ahead)
    yaw = np.degrees(np.arctan2(ahead[0], -ahead[1]))
    return float(yaw), float(-np.degrees(np.arcsin(np.clip(ahead[2], -1, 1))))


def aim_eyes(model: BodyModel, body: PosedBody, yaw: float, pitch: float) -> PosedBody:
    """The body with its eyes turned against the head, degrees, within the limits of the library.

    Args:
        model: The body model.
        body: The posed body.
        yaw: To the left.
        pitch: Down.
    """
    library = pose_library()
    turn = rotation("xz", library.clamp("gaze_pitch", pitch), library.clamp("gaze_yaw", yaw))
    transforms, vertices = body.transforms.copy(), body.vertices.copy()
    for side in "LR":
        index = model.bone(f"eye.{side}")
        local = np.eye(4)
        local[:3, :3] = turn
        local[:3, 3] = body.rest.joints[index] - turn @ body.rest.joints[index]
        transforms[index] = transforms[model.bone("head")] @ local
        moved = np.flatnonzero(model.skin_weights[:, index] > 0.5)
        vertices[moved] = (
            body.rest.vertices[moved] @ transforms[index, :3, :3].T + transforms[index, :3, 3]
        )
    return replace(body, transforms=transforms, vertices=vertices)
