from types import SimpleNamespace

import numpy as np
import pytest

from david_hf.synthetic.humans.bodies import BodyModel, RestBody, skin
from david_hf.synthetic.humans.poses import ARMS, LEGS, WHOLE_BODY, LimbTarget, _two_bones, rotation

BONES = ["upperarm01.L", "lowerarm01.L", "wrist.L"]
REST = RestBody(
    np.zeros((1, 3)), np.array([[0.19, -0.02, 0.64], [0.38, -0.03, 0.43], [0.51, -0.21, 0.30]])
)
MODEL = SimpleNamespace(bone=BONES.index)


class Still:
    """A generator without noise."""

    def normal(self, mean: float, sigma: float, size: int) -> np.ndarray:
        return np.zeros(size)


@pytest.mark.parametrize("name", ARMS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_wrist_reaches_its_target(name: str, sign: float) -> None:
    rest = RestBody(REST.vertices, REST.joints * [sign, 1, 1])

    upper, lower = _two_bones(Still(), MODEL, rest, BONES, ARMS[name], sign, 0.0)  # type: ignore[arg-type]

    shoulder, elbow, wrist = rest.joints
    reached = upper @ (elbow - shoulder) + upper @ lower @ (wrist - elbow)
    reach = np.linalg.norm(elbow - shoulder) + np.linalg.norm(wrist - elbow)
    outward, forward, up = ARMS[name].end
    wanted = np.array([sign * outward, -forward, up]) * reach
    length = np.clip(np.linalg.norm(wanted), 0.35 * reach, 0.995 * reach)
    np.testing.assert_allclose(reached, wanted / np.linalg.norm(wanted) * length, atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(upper), 1)


def test_the_elbow_points_towards_its_pole() -> None:
    target = LimbTarget((0.0, 0.6, 0.0), (0.0, 0.0, -1.0))

    upper, _ = _two_bones(Still(), MODEL, REST, BONES, target, 1.0, 0.0)  # type: ignore[arg-type]

    elbow = upper @ (REST.joints[1] - REST.joints[0])
    assert elbow[2] < -0.1
    assert abs(elbow[0]) < 1e-9


def test_every_pose_names_known_limbs() -> None:
    for first_arm, second_arm, first_leg, second_leg, _, weight in WHOLE_BODY.values():
        assert {first_arm, second_arm} <= set(ARMS)
        assert {first_leg, second_leg} <= set(LEGS)
        assert weight > 0


def test_rotations_compose_in_the_order_of_their_axes() -> None:
    np.testing.assert_allclose(
        rotation("zx", 0.3, 0.5), rotation("x", 0.5) @ rotation("z", 0.3), atol=1e-12
    )


def test_a_child_bone_is_carried_by_its_parent() -> None:
    model = BodyModel.__new__(BodyModel)
    model.bones, model.parents = ["shoulder", "elbow"], [-1, 0]
    model.skin_weights = np.array([[1.0, 0], [0, 1.0]], np.float32)
    model.surface = SimpleNamespace(faces=np.array([[0, 1, 2]]))  # type: ignore[assignment]
    model.skin_weights = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    rest = RestBody(
        np.array([[0.5, 0, 0], [1.5, 0, 0], [2.0, 0, 0]]), np.array([[0.0, 0, 0], [1, 0, 0]])
    )

    posed = model.pose(
        rest, {"shoulder": rotation("z", np.pi / 2), "elbow": rotation("z", np.pi / 2)}
    )

    np.testing.assert_allclose(posed.vertices, [[0, 0.5, 0], [-0.5, 1, 0], [-1, 1, 0]], atol=1e-9)


def test_skinning_blends_transforms() -> None:
    shifted = np.stack([np.eye(4), np.eye(4)])
    shifted[1, :3, 3] = [2, 0, 0]

    moved = skin(np.zeros((1, 3)), np.array([[0.25, 0.75]]), shifted)

    np.testing.assert_allclose(moved, [[1.5, 0, 0]])
