import numpy as np
import pytest

from david_hf.data.augmentations import Augmentations, _add_iso_noise, _hue_rotation

NONE = Augmentations(
    brightness=0,
    contrast=0,
    saturation=0,
    hue=0,
    dark_probability=0,
    grey_probability=0,
    blur_probability=0,
    noise_probability=0,
    jpeg_probability=0,
)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).random((24, 32, 3), np.float32)


def test_nothing_changes_when_everything_is_off(picture: np.ndarray) -> None:
    np.testing.assert_allclose(NONE.apply(picture, np.random.default_rng(1)), picture, atol=1e-6)


def test_the_same_seed_gives_the_same_picture(picture: np.ndarray) -> None:
    augmentations = Augmentations()

    first = augmentations.apply(picture, np.random.default_rng(3))
    again = augmentations.apply(picture, np.random.default_rng(3))
    other = augmentations.apply(picture, np.random.default_rng(4))

    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


@pytest.mark.parametrize("seed", range(20))
def test_results_are_pictures(picture: np.ndarray, seed: int) -> None:
    result = Augmentations().apply(picture, np.random.default_rng(seed))

    assert result.shape == picture.shape
    assert result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1


def test_grey_has_equal_channels(picture: np.ndarray) -> None:
    grey = Augmentations(**{**vars(NONE), "grey_probability": 1.0})

    result = grey.apply(picture, np.random.default_rng(0))

    np.testing.assert_allclose(result[..., 0], result[..., 2], atol=1e-6)


def test_a_hue_rotation_keeps_grey_and_turns_back() -> None:
    turn = _hue_rotation(0.7)

    np.testing.assert_allclose(turn @ np.ones(3), np.ones(3), atol=1e-6)
    np.testing.assert_allclose(turn @ _hue_rotation(-0.7), np.eye(3), atol=1e-6)


def test_photon_noise_grows_with_the_signal() -> None:
    rng = np.random.default_rng(0)
    dark = _add_iso_noise(np.full((64, 64, 3), 0.0, np.float32), 0.1, rng).std()
    bright = _add_iso_noise(np.full((64, 64, 3), 1.0, np.float32), 0.1, rng).std()

    assert dark == pytest.approx(0.05, rel=0.05)
    assert bright == pytest.approx(np.hypot(0.1, 0.05), rel=0.05)
