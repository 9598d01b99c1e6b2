"""Draws every number of a pose: an entry of the library, blended, mirrored and varied."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from david_hf.synthetic.factors import Draws
from david_hf.synthetic.mesh import FloatArray

from .hands import jitter_shape
from .kinematics import side_sign
from .pose_library import ArmTarget, LegTarget, PoseEntry, PoseLibrary, Triple
from .pose_solver import PosePlan

AXES = {
    "pelvis": ("lean", "side", "twist"),
    "spine": ("lean", "side", "twist"),
    "head": ("nod", "tilt", "turn"),
}
# Angles that change their sign with the side.
SIDED = ("side", "twist", "tilt", "turn", "yaw")
# A head takes this share of the drawn lean of the spine back: people look ahead.
COUNTER_NOD = 0.5


def draw_plan(draws: Draws, library: PoseLibrary) -> tuple[PoseEntry, PosePlan, dict[str, str]]:
    """Draw a pose.

    Returns:
        The entry of the library, the plan, and what each hand holds by side, empty ones left out.
    """
    name, first = draws("name"), "R" if draws("mirrored") else "L"
    sides = (first, "LR".replace(first, ""))
    entry, share = library.poses[name], draws("blend")
    partner = _partner(draws, library, name) if share > 0 else name
    blended = blend(entry, library.poses[partner], share)
    holds, hands = {}, {}
    for order, side, arm, other in zip(
        ("first", "second"), sides, entry.arms, library.poses[partner].arms, strict=True
    ):
        draws.put(f"{order}.grip", arm.grip or "none")
        prop = draws(f"{order}.prop")
        if prop != "none":
            holds[side] = prop
        hands[side] = _hand(draws, library, arm, other, prop)
    scale, rng = draws("jitter"), draws.rng
    plan = PosePlan(
        arms={s: _jitter_arm(rng, a, scale) for s, a in zip(sides, blended.arms, strict=True)},
        legs={
            side: _jitter_leg(rng, library, leg, scale)
            for side, leg in zip(sides, blended.legs, strict=True)
        },
        hands=hands,
        angles=_angles(draws, library, blended, side_sign(first)),
        height=blended.height,
    )
    return entry, plan, holds


def _partner(draws: Draws, library: PoseLibrary, name: str) -> str:
    """A pose with the same support to blend with."""
    entry = library.poses[name]
    names = [
        other
        for other, candidate in library.poses.items()
        if candidate.support == entry.support
        and isinstance(candidate.height, str) == isinstance(entry.height, str)
    ]
    return str(draws.put("partner", str(draws.rng.choice(names))))


def blend(first: PoseEntry, second: PoseEntry, share: float) -> PoseEntry:
    """`first` moved towards `second` by a share in [0, 1].

    Limbs that touch something, and those that are not given alike in both, stay as in `first`.
    """
    height = first.height
    if isinstance(first.height, float) and isinstance(second.height, float):
        height = _mix(first.height, second.height, share)
    arms = [_blend_arm(*pair, share) for pair in zip(first.arms, second.arms, strict=True)]
    legs = [_blend_leg(*pair, share) for pair in zip(first.legs, second.legs, strict=True)]
    return replace(
        first,
        arms=(arms[0], arms[1]),
        legs=(legs[0], legs[1]),
        height=height,
        pelvis=_blend_angles(first.pelvis, second.pelvis, share),
        spine=_blend_angles(first.spine, second.spine, share),
        head=_blend_angles(first.head, second.head, share),
    )


def _mix(first: float, second: float, share: float) -> float:
    return first + share * (second - first)


def _mix_triples(first: Triple, second: Triple, share: float) -> Triple:
    x, y, z = (_mix(a, b, share) for a, b in zip(first, second, strict=True))
    return x, y, z


def _blend_angles(
    first: Mapping[str, float], second: Mapping[str, float], share: float
) -> dict[str, float]:
    return {
        name: _mix(first.get(name, 0.0), second.get(name, 0.0), share)
        for name in {**first, **second}
    }


def _blend_arm(first: ArmTarget, second: ArmTarget, share: float) -> ArmTarget:
    if first.reach is None or second.reach is None or first.palm is None or second.palm is None:
        return first
    if first.ground or second.ground or first.frame != second.frame:
        return first
    return replace(
        first,
        reach=_mix_triples(first.reach, second.reach, share),
        elbow=_mix_triples(first.elbow, second.elbow, share),
        palm=_mix_triples(first.palm, second.palm, share),
        fingers=_mix_triples(first.fingers, second.fingers, share),
        shrug=_mix(first.shrug, second.shrug, share),
    )


def _blend_leg(first: LegTarget, second: LegTarget, share: float) -> LegTarget:
    if first.foot is None or second.foot is None or first.start != second.start:
        return first
    if first.planted != second.planted:
        return first
    return replace(
        first,
        foot=_mix_triples(first.foot, second.foot, share),
        knee=_mix_triples(first.knee, second.knee, share),
        toe_out=_mix(first.toe_out, second.toe_out, share),
        heel=_mix(first.heel, second.heel, share),
    )


def _hand(
    draws: Draws, library: PoseLibrary, arm: ArmTarget, other: ArmTarget, prop: str
) -> FloatArray:
    """Shape (17,) of a hand: that of the prop, or of the pose, more or less relaxed."""
    if prop != "none":
        shape = library.hands[library.prop_hands[prop]]
        return jitter_shape(draws.rng, shape, 0.4 * draws("jitter"))
    shape = library.hands[arm.hand]
    if arm.touch is None:
        shape = _mix_arrays(shape, library.hands[other.hand], 0.5 * draws("blend"))
    shape = _mix_arrays(shape, library.hands["relaxed"], draws("hand.relaxation"))
    return jitter_shape(draws.rng, shape, draws("jitter"))


def _mix_arrays(first: FloatArray, second: FloatArray, share: float) -> FloatArray:
    return np.asarray(first + share * (second - first))


def _jitter(rng: np.random.Generator, triple: Triple, scale: float) -> Triple:
    x, y, z = np.asarray(triple) + rng.normal(0, scale, 3)
    return float(x), float(y), float(z)


def _jitter_arm(rng: np.random.Generator, arm: ArmTarget, scale: float) -> ArmTarget:
    """Free hands vary by 2-3 cm, touching ones by half a centimetre, palms by about 6 degrees."""
    return replace(
        arm,
        reach=None if arm.reach is None else _jitter(rng, arm.reach, 0.04 * scale),
        shift=_jitter(rng, arm.shift, 0.005 * scale),
        elbow=_jitter(rng, arm.elbow, 0.12 * scale),
        palm=None if arm.palm is None else _jitter(rng, arm.palm, 0.1 * scale),
        fingers=_jitter(rng, arm.fingers, 0.08 * scale),
    )


def _jitter_leg(
    rng: np.random.Generator, library: PoseLibrary, leg: LegTarget, scale: float
) -> LegTarget:
    """Feet vary by 2 cm, knees and toes by a few degrees; what stands on the floor stays there."""
    foot = leg.foot
    if foot is not None:
        out, ahead, up = _jitter(rng, foot, 0.02 * scale)
        foot = (out, ahead, foot[2] if leg.start == "floor" else up)
    return replace(
        leg,
        foot=foot,
        knee=_jitter(rng, leg.knee, 0.06 * scale),
        toe_out=library.clamp("toe_out", leg.toe_out + rng.normal(0, 4 * scale)),
    )


def _angles(draws: Draws, library: PoseLibrary, entry: PoseEntry, sign: float) -> dict[str, float]:
    """Angles of pelvis, spine, head and eyes in degrees, positive to the left."""
    angles: dict[str, float] = {}
    for group, axes in AXES.items():
        written: Mapping[str, float] = getattr(entry, group)
        for axis in axes:
            angle = written.get(axis, 0.0)
            if group == "pelvis":
                angle += draws.rng.normal(0, 1.0 * draws("jitter"))
            else:
                angle += entry.freedom * draws(f"{group}.{axis}")
            if group == "head" and axis == "nod":
                angle -= COUNTER_NOD * entry.freedom * draws("spine.lean")
            limited = library.clamp(f"{group}_{axis}", angle)
            angles[f"{group}_{axis}"] = limited * (sign if axis in SIDED else 1.0)
    return angles
