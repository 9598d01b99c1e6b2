import copy

import numpy as np
import pytest

from david_hf.synthetic.factors import Draws, load_distributions
from david_hf.synthetic.humans.bodies import BodyModel, Identity, RestBody
from david_hf.synthetic.humans.contact import TOLERANCE, penetration
from david_hf.synthetic.humans.poses import (
    HOLDING_TOLERANCE,
    Pose,
    aim_eyes,
    eye_angles,
    grip_frame,
    sample_pose,
)

pytestmark = pytest.mark.blender
TREE = load_distributions()


@pytest.fixture(scope="module")
def model() -> BodyModel:
    return BodyModel()


@pytest.fixture(scope="module")
def rest(model: BodyModel) -> RestBody:
    sliders = {"gender": 0.0, "age": 0.6, "muscle": 0.5, "weight": 0.5, "height": 0.5}
    return model.shape(Identity(sliders | {"proportions": 0.5}, {}, {}))


def pose(model: BodyModel, rest: RestBody, name: str | None = None, seed: int = 0) -> Pose:
    tree = {"pose": copy.deepcopy(TREE["pose"])}
    if name is not None:
        tree["pose"] |= {"name": name, "mirrored": False, "blend": 0.0, "jitter": 0.0}
    return sample_pose(Draws(np.random.default_rng(seed), tree, "pose"), model, rest, False)


def soles(model: BodyModel, posed: Pose) -> list[float]:
    """Lowest height of the left and the right foot."""
    return [
        float(posed.body.vertices[model.vertices_of([f"foot.{side}"]), 2].min()) for side in "LR"
    ]


@pytest.mark.parametrize("seed", range(8))
def test_a_sampled_body_stands_on_the_floor_outside_of_itself(
    model: BodyModel, rest: RestBody, seed: int
) -> None:
    posed = pose(model, rest, seed=seed)

    assert posed.body.vertices[model.surface_vertices, 2].min() == pytest.approx(0, abs=1e-9)
    assert penetration(model, posed.body) <= HOLDING_TOLERANCE


def test_a_standing_body_has_both_feet_on_the_floor(model: BodyModel, rest: RestBody) -> None:
    assert max(soles(model, pose(model, rest, "standing_even"))) < 0.006


def test_a_hand_on_the_hip_touches_it(model: BodyModel, rest: RestBody) -> None:
    posed = pose(model, rest, "hand_on_hip")

    _, palm = grip_frame(model, posed.body, "L")
    hips = posed.body.vertices[model.vertices_of(["spine03", "spine04", "spine05", "pelvis.L"])]
    assert np.linalg.norm(hips - palm, axis=1).min() < 0.035
    assert penetration(model, posed.body) <= TOLERANCE


def test_a_seat_is_as_high_as_a_chair_and_the_feet_reach_the_floor(
    model: BodyModel, rest: RestBody
) -> None:
    posed = pose(model, rest, "seated_upright")

    assert posed.contact is not None
    assert 0.38 <= posed.contact[2] <= 0.55
    assert max(soles(model, posed)) < 0.006


def test_the_palm_of_a_hanging_hand_faces_the_thigh(model: BodyModel, rest: RestBody) -> None:
    axes, _ = grip_frame(model, pose(model, rest, "standing").body, "L")

    across, along, out = axes.T
    assert out[0] < -0.8  # the left thigh is to the right of the left hand
    assert along[2] < -0.8
    assert across[1] < -0.8  # thumbs are in front


def test_eyes_turn_to_a_viewer_in_front(model: BodyModel, rest: RestBody) -> None:
    body = pose(model, rest, "standing", seed=3).body
    ahead = np.array([0.1, -1.0, 0.05])

    turned = aim_eyes(model, body, *eye_angles(model, body, ahead))

    gaze = turned.transforms[model.bone("eye.L"), :3, :3] @ [0, -1.0, 0]
    np.testing.assert_allclose(gaze, ahead / np.linalg.norm(ahead), atol=1e-6)
