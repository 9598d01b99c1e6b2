import numpy as np
import pytest

from david_hf.synthetic.factors import Draws, load_distributions
from david_hf.synthetic.mesh import FloatArray
from david_hf.synthetic.scene import Light
from david_hf.synthetic.stage.camera_rig import Camera, look_from
from david_hf.synthetic.stage.lights import colour_of_temperature, lamp_towards, sample_light

TREE = load_distributions()
FACE = np.array([0.0, -0.1, 1.6])
FACING = np.array([0.0, -1.0, 0.0])


def camera_from(direction: FloatArray) -> Camera:
    right, up, forward = look_from(direction, 0.0)
    return Camera(FACE + 2 * direction, right, up, forward, 0.6, 64, 48)


def sample(seed: int, **factors: object) -> Light:
    draws = Draws(np.random.default_rng(seed), TREE, "stage")
    for name, value in factors.items():
        draws.put(f"light.{name}", value)
    return sample_light(draws, ["b.exr", "a.exr"], FACE, FACING, camera_from(FACING))


def test_hot_bodies_are_blue_and_cool_ones_red() -> None:
    candle, day, sky = (colour_of_temperature(kelvin) for kelvin in (1900, 6504, 12000))
    assert candle[0] == 1 and candle[2] < 0.05 < candle[1] < 0.4
    assert day == pytest.approx((1, 1, 1), abs=0.06)  # D65 lies a little off the black body
    assert sky[2] == 1 and sky[0] < 0.7


def test_a_lamp_shines_at_its_target_and_makes_up_for_its_distance() -> None:
    near, far = (
        lamp_towards(FACE, np.array([0.0, -1.0, 1.0]), distance, 0.5, 1.0, 5000)
        for distance in (1.0, 3.0)
    )
    assert np.linalg.norm(near.position - FACE) == pytest.approx(1.0)
    assert near.direction == pytest.approx((FACE - near.position) / 1.0)
    assert far.power == pytest.approx(9 * near.power)


@pytest.mark.parametrize("seed", range(20))
def test_the_key_stands_on_the_side_the_face_is_seen_from(seed: int) -> None:
    light = sample(seed, setup="key")
    (key,) = light.lamps
    towards = (key.position - FACE) / np.linalg.norm(key.position - FACE)
    assert towards @ FACING > 0.1


def test_the_rim_stands_behind() -> None:
    (rim,) = sample(1, setup="rim").lamps
    assert (rim.position - FACE) @ FACING < 0


def test_nights_have_one_lamp_and_hardly_any_sky() -> None:
    light = sample(2, setup="night")
    assert len(light.lamps) == 1
    assert 0 < light.gain < 0.1


def test_the_same_seed_gives_the_same_light() -> None:
    first, second = sample(3, setup="three"), sample(3, setup="three")
    assert (first.panorama, first.rotation_deg, first.gain) == (
        second.panorama,
        second.rotation_deg,
        second.gain,
    )
    assert [lamp.power for lamp in first.lamps] == [lamp.power for lamp in second.lamps]
    assert len(first.lamps) == 3


def test_no_panoramas_are_refused() -> None:
    draws = Draws(np.random.default_rng(0), TREE, "stage")
    with pytest.raises(ValueError, match="at least one panorama"):
        sample_light(draws, [], FACE, FACING, camera_from(FACING))
