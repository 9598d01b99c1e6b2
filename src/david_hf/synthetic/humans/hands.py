"""Hands: shapes of the fingers, the frame of the palm, and where a prop sits in it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from david_hf.synthetic.mesh import FloatArray, normalize

from .bodies import BodyModel, PosedBody, RestBody
from .kinematics import HandAxes, Rotations, Skeleton, hand_axes, turn_about

FINGERS = {"index": 2, "middle": 3, "ring": 4, "little": 5}
# How far each finger leaves the middle one when the hand is spread, towards the thumb.
SPREAD = {"index": 1.0, "middle": 0.1, "ring": -0.7, "little": -1.6}
LIMITS_DEG = {"mcp": (-20.0, 95.0), "pip": (0.0, 110.0), "dip": (0.0, 85.0), "thumb": (-25.0, 75.0)}
PALM = {"L": 10_318, "R": 3_650}
REST_TIP_FLEXION_DEG = 8.0


def finger_rotations(model: Skeleton, rest: RestBody, side: str, shape: FloatArray) -> Rotations:
    """Local rotations of all finger bones of one hand.

    Args:
        model: The skeleton.
        rest: The unposed body.
        side: "L" or "R".
        shape: Angles (17,) in degrees as `shape_angles` returns them.
    """
    axes = hand_axes(model, rest, side)
    rotations: Rotations = {}
    for row, (name, finger) in enumerate(FINGERS.items()):
        bones = [f"finger{finger}-{joint}.{side}" for joint in (1, 2, 3)]
        joints = [rest.joints[model.bone(bone)] for bone in bones]
        first, second = normalize(joints[1] - joints[0]), normalize(joints[2] - joints[1])
        hinge = normalize(np.cross(first, axes.out))
        at_rest = np.array(
            [_angle(axes.along, first, hinge), _angle(first, second, hinge), REST_TIP_FLEXION_DEG]
        )
        wanted = np.radians(shape[3 * row : 3 * row + 3] - at_rest)
        for bone, angle in zip(bones, wanted, strict=True):
            rotations[bone] = turn_about(hinge, float(angle))
        spread = np.radians(shape[12]) * SPREAD[name]
        rotations[bones[0]] = turn_about(axes.deviation, float(spread)) @ rotations[bones[0]]
    return rotations | _thumb(model, rest, side, axes, np.radians(shape[13:]))


def _thumb(
    model: Skeleton, rest: RestBody, side: str, axes: HandAxes, angles: FloatArray
) -> Rotations:
    """Rotations of the thumb by its opposition, adduction and two flexions, radians."""
    oppose, adduct, middle, tip = (float(angle) for angle in angles)
    bones = [f"finger1-{joint}.{side}" for joint in (1, 2, 3)]
    joints = [rest.joints[model.bone(bone)] for bone in bones]
    segment = normalize(joints[2] - joints[1])
    hinge = normalize(np.cross(segment, axes.along * 0.2 + axes.out * 0.5 - axes.across))
    base = turn_about(np.cross(axes.across, axes.along), adduct) @ turn_about(
        np.cross(axes.across, axes.out), oppose
    )
    return {
        bones[0]: base,
        bones[1]: turn_about(hinge, middle),
        bones[2]: turn_about(hinge, tip),
    }


def _angle(start: FloatArray, end: FloatArray, axis: FloatArray) -> float:
    """Angle in degrees from `start` to `end` about `axis`, all unit."""
    return float(np.degrees(np.arctan2(np.cross(start, end) @ axis, start @ end)))


def shape_angles(shape: Mapping[str, Any]) -> FloatArray:
    """Angles (17,) in degrees of a shape of the pose library.

    They are flexions of knuckle, middle and end joint of index, middle, ring and little finger
    (12), the spread (1), and opposition, adduction and two flexions of the thumb (4).
    """
    common = shape["fingers"]
    fingers = [angle for name in FINGERS for angle in shape.get(name, common)]
    return np.array([*fingers, shape.get("spread", 0.0), *shape["thumb"]], float)


def jitter_shape(rng: np.random.Generator, shape: FloatArray, scale: float) -> FloatArray:
    """A shape (17,) with every finger bent a little more or less, within `LIMITS_DEG`."""
    bends = rng.normal(0, 5 * scale, (4, 1)) + rng.normal(0, 2.5 * scale, (4, 3))
    changed = shape + np.concatenate([bends.ravel(), rng.normal(0, 2 * scale, 5)])
    low, high = np.array([LIMITS_DEG[name] for name in ("mcp", "pip", "dip")] * 4).T
    changed[:12] = np.clip(changed[:12], low, high)
    changed[13:] = np.clip(changed[13:], *LIMITS_DEG["thumb"])
    return changed


def grip_frame(model: BodyModel, body: PosedBody, side: str) -> tuple[FloatArray, FloatArray]:
    """Where a prop sits in a hand.

    Args:
        model: The body model.
        body: The posed body.
        side: "L" or "R".

    Returns:
        Axes (3, 3) and origin (3,): the columns point across the palm towards the thumb, along it
        towards the fingers, and out of it; the origin is the centre of the palm's skin. Both hands
        have these axes, so those of the left one are a mirrored frame (determinant -1).
    """
    turn = body.transforms[model.bone(f"wrist.{side}"), :3, :3]
    return turn @ hand_axes(model, body.rest, side).matrix, body.vertices[PALM[side]]
