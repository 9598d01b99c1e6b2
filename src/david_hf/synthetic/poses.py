"""Poses: a library of hand and foot targets, solved by two-bone kinematics, and noise.

Targets say where a hand or a foot is, in lengths of its own limb, seen from its own shoulder or hip
in the frame of the torso: (outward, forward, up). That keeps a pose the same on a tall and on a
short body, and the hinge of elbow and knee always bends the right way.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from .bodies import BodyModel, PosedBody, RestBody
from .mesh import FloatArray, normalize

Triple = tuple[float, float, float]
Rotations = dict[str, FloatArray]
MAX_PENETRATION = 0.02


@dataclass(frozen=True)
class LimbTarget:
    """Where a limb ends and where its elbow or knee points: both (outward, forward, up)."""

    end: Triple
    pole: Triple


ARMS = {
    "hanging": LimbTarget((0.16, 0.06, -0.96), (0.4, -1.0, 0.0)),
    "loose": LimbTarget((0.25, 0.18, -0.90), (0.5, -1.0, 0.0)),
    "on_hip": LimbTarget((0.10, 0.10, -0.70), (1.0, -0.6, -0.1)),
    "in_pocket": LimbTarget((0.14, 0.12, -0.84), (0.6, -1.0, 0.0)),
    "crossed": LimbTarget((-0.40, 0.50, -0.42), (0.6, 0.1, -0.9)),
    "clasped": LimbTarget((-0.22, 0.45, -0.62), (0.7, -0.5, -0.3)),
    "at_chin": LimbTarget((-0.22, 0.48, 0.06), (0.4, 0.2, -1.0)),
    "at_ear": LimbTarget((0.02, 0.22, 0.34), (0.9, 0.3, -0.7)),
    "holding_up": LimbTarget((-0.12, 0.60, -0.18), (0.4, -0.2, -1.0)),
    "waving": LimbTarget((0.35, 0.30, 0.42), (0.7, 0.0, -0.9)),
    "pointing": LimbTarget((0.10, 0.95, 0.02), (0.3, 0.0, -1.0)),
    "offering": LimbTarget((0.18, 0.58, -0.42), (0.5, -0.5, -0.8)),
    "raised": LimbTarget((0.25, 0.10, 0.90), (0.8, 0.6, 0.0)),
    "spread": LimbTarget((0.88, 0.12, -0.20), (0.2, -0.8, -0.6)),
    "swung_front": LimbTarget((0.10, 0.40, -0.85), (0.2, -1.0, -0.2)),
    "swung_back": LimbTarget((0.16, -0.34, -0.86), (0.3, -1.0, 0.1)),
    "on_thigh": LimbTarget((0.00, 0.62, -0.55), (0.7, -0.3, -0.5)),
}

LEGS = {
    "straight": LimbTarget((0.06, -0.02, -0.985), (0.1, 1.0, 0.0)),
    "relaxed": LimbTarget((0.14, 0.10, -0.96), (0.25, 1.0, 0.0)),
    "apart": LimbTarget((0.24, 0.0, -0.95), (0.3, 1.0, 0.0)),
    "step_front": LimbTarget((0.03, 0.36, -0.90), (0.05, 1.0, 0.0)),
    "step_back": LimbTarget((0.03, -0.38, -0.86), (0.05, 1.0, 0.0)),
    "seated": LimbTarget((0.14, 0.50, -0.50), (0.15, 1.0, 1.0)),
    "seated_wide": LimbTarget((0.26, 0.44, -0.52), (0.4, 1.0, 1.0)),
    "seated_far": LimbTarget((0.10, 0.74, -0.52), (0.1, 0.6, 1.0)),
}

# (arm, other arm, leg, other leg, forward lean of the spine in radians, how often)
WHOLE_BODY: dict[str, tuple[str, str, str, str, float, float]] = {
    "standing": ("hanging", "hanging", "straight", "straight", 0.0, 5),
    "standing_loose": ("loose", "hanging", "straight", "relaxed", 0.02, 4),
    "contrapposto": ("on_hip", "hanging", "relaxed", "straight", 0.0, 2),
    "hands_on_hips": ("on_hip", "on_hip", "apart", "apart", 0.0, 1.5),
    "hands_in_pockets": ("in_pocket", "in_pocket", "relaxed", "straight", 0.03, 2),
    "arms_crossed": ("crossed", "crossed", "straight", "relaxed", 0.0, 2),
    "hands_clasped": ("clasped", "clasped", "straight", "straight", 0.02, 2),
    "thinking": ("at_chin", "crossed", "relaxed", "straight", 0.06, 1),
    "phone_call": ("at_ear", "in_pocket", "relaxed", "straight", 0.02, 1),
    "reading": ("holding_up", "hanging", "relaxed", "straight", 0.10, 1),
    "holding": ("holding_up", "holding_up", "straight", "straight", 0.06, 1),
    "waving": ("waving", "hanging", "relaxed", "straight", 0.0, 1),
    "pointing": ("pointing", "hanging", "apart", "straight", 0.05, 0.7),
    "explaining": ("offering", "offering", "relaxed", "straight", 0.03, 1.5),
    "cheering": ("raised", "raised", "apart", "apart", -0.05, 0.5),
    "reaching_up": ("raised", "hanging", "step_front", "straight", 0.0, 0.4),
    "arms_spread": ("spread", "spread", "apart", "apart", 0.0, 0.6),
    "walking": ("swung_front", "swung_back", "step_back", "step_front", 0.06, 2),
    "striding": ("swung_back", "swung_front", "step_front", "step_back", 0.10, 1),
    "seated": ("on_thigh", "on_thigh", "seated", "seated", 0.05, 1.5),
    "seated_leaning": ("on_thigh", "on_thigh", "seated_wide", "seated_wide", 0.45, 1),
    "seated_thinking": ("at_chin", "on_thigh", "seated", "seated_far", 0.25, 0.7),
    "seated_crossed": ("crossed", "crossed", "seated_far", "seated", -0.05, 0.7),
    "leaning_forward": ("loose", "on_thigh", "relaxed", "apart", 0.55, 0.7),
}


def rotation(axes: str, *angles: float) -> FloatArray:
    """Matrix (3, 3) of extrinsic rotations about the named axes, radians, in order."""
    return np.asarray(Rotation.from_euler(axes, angles).as_matrix()).reshape(3, 3)


def sample_pose(
    rng: np.random.Generator, model: BodyModel, rest: RestBody, close_up: bool
) -> tuple[str, PosedBody]:
    """A posed body in which no limb enters the body, and the name of its pose.

    Args:
        rng: Source of randomness.
        model: The body model.
        rest: The body to pose.
        close_up: For pictures of the face: arms mostly hang, few are lost in the frame's edge.
    """
    names = list(WHOLE_BODY)
    weights = np.array([WHOLE_BODY[name][5] for name in names])
    if close_up:
        weights[3:] *= 0.3
    for _ in range(8):
        name = str(rng.choice(names, p=weights / weights.sum()))
        body = model.pose(rest, solve_pose(rng, model, rest, name))
        if model.penetration(body) < MAX_PENETRATION:
            return name, body
    return "standing", model.pose(rest, solve_pose(rng, model, rest, "standing"))


def solve_pose(rng: np.random.Generator, model: BodyModel, rest: RestBody, name: str) -> Rotations:
    """Bone rotations of a named pose, mirrored at random, with noise on every joint."""
    first_arm, second_arm, first_leg, second_leg, lean, _ = WHOLE_BODY[name]
    pose = _spine_and_head(rng, lean)
    sides = (("L", 1.0), ("R", -1.0)) if rng.random() < 0.5 else (("R", -1.0), ("L", 1.0))
    for (side, sign), arm, leg in zip(
        sides, (first_arm, second_arm), (first_leg, second_leg), strict=True
    ):
        pose |= _solve_arm(rng, model, rest, ARMS[arm], side, sign)
        pose |= _solve_leg(rng, model, rest, LEGS[leg], side, sign)
        pose |= _hand(rng, side, sign)
    gaze = rotation("zx", _noise(rng, 0.12, 0.25), _noise(rng, 0.05, 0.1))
    return pose | {"eye.L": gaze, "eye.R": gaze}


def _noise(rng: np.random.Generator, sigma: float, limit: float) -> float:
    return float(np.clip(rng.normal(0, sigma), -limit, limit))


def _spine_and_head(rng: np.random.Generator, lean: float) -> Rotations:
    turn, nod, tilt = _noise(rng, 0.25, 0.6), _noise(rng, 0.12, 0.3), _noise(rng, 0.09, 0.22)
    # A leaning person looks ahead, not at the floor: the head takes part of the lean back.
    nod -= 0.6 * lean
    pose = {
        bone: rotation("yzx", tilt * share, turn * share, nod * share)
        for bone, share in (("neck01", 0.25), ("neck03", 0.3), ("head", 0.45))
    }
    bend = lean + rng.normal(0.02, 0.04)
    twist, side = _noise(rng, 0.12, 0.3), _noise(rng, 0.06, 0.15)
    for bone in ("spine01", "spine02", "spine03", "spine04"):
        pose[bone] = rotation("yzx", side / 4, twist / 4, bend / 4)
    return pose


def _solve_arm(
    rng: np.random.Generator,
    model: BodyModel,
    rest: RestBody,
    target: LimbTarget,
    side: str,
    sign: float,
) -> Rotations:
    chain = [f"upperarm01.{side}", f"lowerarm01.{side}", f"wrist.{side}"]
    upper, lower = _two_bones(rng, model, rest, chain, target, sign, jitter=0.05)
    shrug = 0.25 * max(0.0, target.end[2] + 0.2)
    wrist = rotation("xy", _noise(rng, 0.15, 0.35), _noise(rng, 0.15, 0.3))
    return {
        f"clavicle.{side}": rotation("y", -sign * shrug),
        f"upperarm01.{side}": rotation("y", sign * shrug) @ upper,
        f"lowerarm01.{side}": lower,
        f"wrist.{side}": wrist,
    }


def _solve_leg(
    rng: np.random.Generator,
    model: BodyModel,
    rest: RestBody,
    target: LimbTarget,
    side: str,
    sign: float,
) -> Rotations:
    chain = [f"upperleg01.{side}", f"lowerleg01.{side}", f"foot.{side}"]
    upper, lower = _two_bones(rng, model, rest, chain, target, sign, jitter=0.02)
    yaw = rotation("z", sign * _noise(rng, 0.12, 0.3))
    return {
        f"upperleg01.{side}": upper,
        f"lowerleg01.{side}": lower,
        # Undo what thigh and shin did: the sole stays level.
        f"foot.{side}": (upper @ lower).T @ yaw,
    }


def _two_bones(
    rng: np.random.Generator,
    model: BodyModel,
    rest: RestBody,
    chain: list[str],
    target: LimbTarget,
    sign: float,
    jitter: float,
) -> tuple[FloatArray, FloatArray]:
    """Rotations of the two bones of a limb that bring its end to the target (law of cosines)."""
    start, hinge, end = (rest.joints[model.bone(name)] for name in chain)
    rest_upper, rest_lower = hinge - start, end - hinge
    length_upper, length_lower = np.linalg.norm(rest_upper), np.linalg.norm(rest_lower)
    reach = length_upper + length_lower
    goal = _to_model_axes(np.array(target.end) + rng.normal(0, jitter, 3), sign) * reach
    pole = _to_model_axes(np.array(target.pole) + rng.normal(0, 0.15, 3), sign)
    distance = np.clip(np.linalg.norm(goal), 0.35 * reach, 0.995 * reach)
    along = normalize(goal)
    cosine = (length_upper**2 + distance**2 - length_lower**2) / (2 * length_upper * distance)
    aside = normalize(pole - along * (pole @ along))
    upper = length_upper * (cosine * along + np.sqrt(max(1 - cosine**2, 0.0)) * aside)
    lower = along * distance - upper
    turn_upper = _frame(upper, lower) @ _frame(rest_upper, rest_lower).T
    turn_lower = _frame(lower, upper) @ _frame(rest_lower, rest_upper).T
    return turn_upper, turn_upper.T @ turn_lower


def _to_model_axes(outward_forward_up: FloatArray, sign: float) -> FloatArray:
    """(outward, forward, up) of the left (+1) or right (-1) side to the model's x, y, z."""
    outward, forward, up = outward_forward_up
    return np.array([sign * outward, -forward, up])


def _frame(along: FloatArray, other: FloatArray) -> FloatArray:
    """Orthonormal axes as columns: along a bone, the hinge's axis, and the third."""
    first = normalize(along)
    hinge = normalize(np.cross(along, other))
    return np.stack([first, hinge, np.cross(first, hinge)], 1)


def _hand(rng: np.random.Generator, side: str, sign: float) -> Rotations:
    """Fingers curled together, more towards the little finger, as a relaxed hand does."""
    curl = rng.uniform(0, 0.8)
    return {
        f"finger{finger}-{joint}.{side}": rotation(
            "y", sign * (curl * (0.5 + 0.1 * finger) + _noise(rng, 0.08, 0.15))
        )
        for finger in range(2, 6)
        for joint in (1, 2, 3)
    }
