import numpy as np
import pytest

from david_hf.synthetic.factors import Draws, load_distributions
from david_hf.synthetic.humans.hands import LIMITS_DEG, jitter_shape
from david_hf.synthetic.humans.pose_library import SUPPORTS, pose_library
from david_hf.synthetic.humans.pose_plan import AXES, draw_plan

LIBRARY = pose_library()
TREE = load_distributions()
ARMS = LIBRARY.arms.items()


def named_poses() -> set[str]:
    names = TREE["pose"]["name"]["of"].values()
    return {name for choice in names for name in choice["choice"]}


def pose_draws(seed: int, **given: object) -> Draws:
    draws = Draws(np.random.default_rng(seed), TREE, "pose")
    draws.put("close_up", "false")
    for name, value in given.items():
        draws.put(name, value)
    return draws


def test_the_distributions_name_every_pose_and_no_other() -> None:
    assert named_poses() == set(LIBRARY.poses)
    assert len(LIBRARY.poses) >= 45


def test_a_hand_either_reaches_out_or_touches() -> None:
    for name, arm in ARMS:
        assert (arm.reach is None) != (arm.touch is None), name
        assert arm.palm is not None or arm.touch is not None, name


def test_arms_name_what_exists() -> None:
    grips = set(TREE["pose"]["first"]["prop"]["of"])
    for name, arm in ARMS:
        assert arm.hand in LIBRARY.hands, name
        assert {arm.part, arm.touch or arm.part} <= set(LIBRARY.landmarks), name
        assert arm.grip is None or arm.grip in grips, name


def test_only_second_arms_touch_the_first() -> None:
    for name, pose in LIBRARY.poses.items():
        assert pose.arms[0].of == "own" or pose.arms[0].touch in ("heart", "chest"), name


def test_every_prop_has_a_hand_that_holds_it() -> None:
    for grip in (TREE["pose"][order]["prop"] for order in ("first", "second")):
        props = {
            prop for of in grip["of"].values() if isinstance(of, dict) for prop in of["choice"]
        }
        assert props - {"none"} <= set(LIBRARY.prop_hands)
    assert set(LIBRARY.prop_hands.values()) <= set(LIBRARY.hands)


def test_poses_are_supported_and_within_the_limits() -> None:
    for name, pose in LIBRARY.poses.items():
        assert pose.support in SUPPORTS, name
        assert any(leg.planted for leg in pose.legs) or pose.support == "floor", name
        for group, axes in AXES.items():
            written = getattr(pose, group)
            assert set(written) <= set(axes), name
            for axis, angle in written.items():
                assert LIBRARY.clamp(f"{group}_{axis}", angle) == angle, name


def test_the_same_seed_plans_the_same_pose() -> None:
    first, second = (draw_plan(pose_draws(3), LIBRARY)[1] for _ in range(2))

    assert first.arms == second.arms
    assert first.angles == second.angles
    assert first.arms != draw_plan(pose_draws(4), LIBRARY)[1].arms


def test_a_mirrored_pose_swaps_sides_and_turns_the_other_way() -> None:
    calm = {"name": "contrapposto", "blend": 0.0, "jitter": 0.0}
    left, right = (
        draw_plan(pose_draws(5, mirrored=mirrored, **calm), LIBRARY)[1]
        for mirrored in (False, True)
    )

    assert left.arms["L"] == right.arms["R"]
    assert left.legs["R"] == right.legs["L"]
    assert left.angles["spine_side"] == pytest.approx(-right.angles["spine_side"])
    assert left.angles["spine_lean"] == pytest.approx(right.angles["spine_lean"])


def test_a_hand_with_a_prop_takes_its_shape() -> None:
    draws = pose_draws(6, name="selfie", mirrored=False, blend=0.0, jitter=0.0)

    _, plan, holds = draw_plan(draws, LIBRARY)

    assert holds["L"] == "phone"
    np.testing.assert_allclose(plan.hands["L"], LIBRARY.hands["grip_flat"])


def test_fingers_stay_within_their_limits_however_they_are_jittered() -> None:
    rng = np.random.default_rng(0)

    shapes = np.stack([jitter_shape(rng, LIBRARY.hands["fist"], 5.0) for _ in range(50)])

    knuckles, middles = shapes[:, 0:12:3], shapes[:, 1:12:3]
    assert knuckles.max() == LIMITS_DEG["mcp"][1]
    assert middles.max() == LIMITS_DEG["pip"][1]
    assert shapes[:, 13:].min() >= LIMITS_DEG["thumb"][0]
