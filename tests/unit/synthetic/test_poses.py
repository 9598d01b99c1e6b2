from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from david_hf.synthetic.humans.bodies import BodyModel, PosedBody, RestBody, skin
from david_hf.synthetic.humans.contact import find_contacts, penetration
from david_hf.synthetic.humans.kinematics import (
    Figure,
    rotation,
    turn_about,
    twist_angle,
    two_bones,
)
from david_hf.synthetic.humans.pose_library import pose_library
from david_hf.synthetic.humans.pose_plan import blend

ARM = np.array([[0.19, -0.02, 0.64], [0.38, -0.03, 0.43], [0.51, -0.21, 0.30]])
HINGE = np.cross(ARM[1] - ARM[0], ARM[2] - ARM[1])


def bend(goal: np.ndarray, pole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elbow and wrist after solving from the shoulder at the origin."""
    upper, lower = two_bones(ARM, HINGE, np.zeros(3), goal, pole)
    elbow = upper @ (ARM[1] - ARM[0])
    return elbow, elbow + lower @ (ARM[2] - ARM[1])


@pytest.mark.parametrize("goal", [(0.1, -0.3, -0.2), (-0.2, -0.3, 0.25), (0.3, 0.1, -0.3)])
def test_the_wrist_reaches_what_the_arm_can_reach(goal: tuple[float, float, float]) -> None:
    _, wrist = bend(np.array(goal), np.array([0, 1.0, 0.3]))

    np.testing.assert_allclose(wrist, goal, atol=1e-9)


def test_an_arm_points_at_what_is_too_far() -> None:
    _, wrist = bend(np.array([0, -3.0, 0]), np.array([0, 0, -1.0]))

    np.testing.assert_allclose(wrist / np.linalg.norm(wrist), [0, -1, 0], atol=1e-9)


def test_the_elbow_points_towards_its_pole() -> None:
    elbow, _ = bend(np.array([0, -0.3, 0]), np.array([0, 0, -1.0]))

    assert elbow[2] < -0.1
    assert abs(elbow[0]) < 1e-9


def test_a_twist_is_found_beneath_a_swing() -> None:
    axis = np.array([0, 0, 1.0])

    turned = turn_about(np.array([1.0, 0, 0]), 0.7) @ turn_about(axis, -0.4)

    assert twist_angle(turned, axis) == pytest.approx(-0.4)


def two_bone_model() -> BodyModel:
    model = BodyModel.__new__(BodyModel)
    model.bones, model.parents = ["shoulder", "elbow"], [-1, 0]
    model.skin_weights = np.array([[1, 0], [0.5, 0.5], [0, 1]], np.float32)
    model.surface = SimpleNamespace(faces=np.array([[0, 1, 2]]))  # type: ignore[assignment]
    return model


REST = RestBody(
    np.array([[0.5, 0, 0], [1.5, 0, 0], [2.0, 0, 0]]), np.array([[0.0, 0, 0], [1, 0, 0]])
)
QUARTERS = {"shoulder": rotation("z", 90), "elbow": rotation("z", 90)}


def test_a_child_bone_is_carried_by_its_parent() -> None:
    posed = two_bone_model().pose(REST, QUARTERS)

    expected = np.array([[0, 0.5, 0], [-1, 1, 0]])
    np.testing.assert_allclose(posed.vertices[[0, 2]], expected, atol=1e-9)


def test_a_figure_is_where_the_model_poses_it() -> None:
    model = two_bone_model()
    figure = Figure(model, REST)

    figure.rotate(QUARTERS)

    posed = model.pose(REST, QUARTERS)
    np.testing.assert_allclose(figure.points(np.arange(3)), posed.vertices, atol=1e-9)
    np.testing.assert_allclose(figure.joint("elbow"), [0, 1, 0], atol=1e-9)


def test_a_bone_aims_where_it_is_told_whatever_its_parent_does() -> None:
    figure = Figure(two_bone_model(), REST)
    figure.rotate({"shoulder": rotation("z", 50)})

    figure.aim("elbow", rotation("x", 30))

    np.testing.assert_allclose(figure.turn("elbow"), rotation("x", 30), atol=1e-9)


def test_skinning_blends_transforms() -> None:
    shifted = np.stack([np.eye(4), np.eye(4)])
    shifted[1, :3, 3] = [2, 0, 0]

    moved = skin(np.zeros((1, 3)), np.array([[0.25, 0.75]]), shifted)

    np.testing.assert_allclose(moved, [[1.5, 0, 0]])


def trunk_and_hand(distance: float) -> tuple[BodyModel, PosedBody]:
    """A round trunk of radius 0.2 m, and a small hand whose tip is `distance` from its axis."""
    angles, heights = np.meshgrid(np.linspace(0, 2 * np.pi, 72), np.linspace(-0.2, 0.2, 21))
    normals = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], -1).reshape(-1, 3)
    trunk = 0.2 * normals + np.stack([0 * heights, 0 * heights, heights], -1).reshape(-1, 3)
    hand = np.array([[distance + 0.01 * k, 0.001, 0.001] for k in range(6)])
    model = BodyModel.__new__(BodyModel)
    model.bones = ["spine01", "wrist.L"]
    for bone in ("upperarm02", "lowerarm01", "upperleg02"):
        model.bones += [f"{bone}.L", f"{bone}.R"]
    model.surface_vertices = np.arange(len(trunk) + len(hand))
    model.bone_of = np.array(["spine01"] * len(trunk) + ["wrist.L"] * len(hand))
    model.skin_weights = np.zeros((len(model.surface_vertices), len(model.bones)), np.float32)
    vertices = np.concatenate([trunk, hand])
    rest = RestBody(vertices, np.zeros((1, 3)))
    all_normals = np.concatenate([normals, np.zeros_like(hand)])
    return model, PosedBody(rest, np.eye(4)[None], vertices, all_normals)


def test_a_hand_in_the_trunk_is_as_deep_as_it_is_and_pushed_outwards() -> None:
    model, body = trunk_and_hand(0.17)

    (contact,) = find_contacts(model, body)

    assert (contact.limb, contact.side, contact.entered) == ("arm", "L", "spine01")
    assert contact.depth == pytest.approx(0.03, abs=0.002)
    assert contact.push[0] > 0.99


def test_a_hand_beside_the_trunk_enters_nothing() -> None:
    assert penetration(*trunk_and_hand(0.205)) == 0


def test_a_blend_moves_free_limbs_and_leaves_touching_ones() -> None:
    poses = pose_library().poses
    first = replace(
        poses["arms_spread"], arms=(poses["arms_spread"].arms[0], poses["standing"].arms[1])
    )
    touching = poses["hand_on_hip"]

    half = blend(first, poses["arms_raised"], 0.5)
    kept = blend(touching, poses["arms_raised"], 0.5)

    ends = first.arms[0].reach, poses["arms_raised"].arms[0].reach
    np.testing.assert_allclose(np.array(half.arms[0].reach), np.mean(np.array(ends), 0))
    assert half.arms[1] == first.arms[1]
    assert kept.arms[0] == touching.arms[0]
