import dataclasses
from typing import Any

import numpy as np
import pytest

from david_hf.data.augmentations import (
    PhotometricAugmentations,
    _add_iso_noise,
    _hue_rotation,
)

OFF = {
    item.name: 0.0
    for item in dataclasses.fields(PhotometricAugmentations)
    if item.name.endswith("_probability")
}


def only(name: str, **options: object) -> PhotometricAugmentations:
    return PhotometricAugmentations(**{**OFF, f"{name}_probability": 1.0, **options})  # type: ignore[arg-type]


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).random((24, 32, 3), np.float32)


def test_nothing_changes_when_everything_is_off(picture: np.ndarray) -> None:
    still = PhotometricAugmentations(**OFF)

    np.testing.assert_allclose(still.apply(picture, np.random.default_rng(1)), picture, atol=1e-6)


def test_the_same_seed_gives_the_same_picture(picture: np.ndarray) -> None:
    augmentations = PhotometricAugmentations()

    first = augmentations.apply(picture, np.random.default_rng(3))
    again = augmentations.apply(picture, np.random.default_rng(3))
    other = augmentations.apply(picture, np.random.default_rng(4))

    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


@pytest.mark.parametrize("seed", range(20))
def test_results_are_pictures_and_the_source_is_untouched(picture: np.ndarray, seed: int) -> None:
    before = picture.copy()
    result = PhotometricAugmentations().apply(picture, np.random.default_rng(seed))

    assert result.shape == picture.shape
    assert result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("name", sorted(name.removesuffix("_probability") for name in OFF))
def test_each_augmentation_alone_changes_the_picture(picture: np.ndarray, name: str) -> None:
    big = np.kron(picture, np.ones((12, 12, 1), np.float32))  # blur is a share of the side

    changed = only(name).apply(big, np.random.default_rng(5))

    assert np.abs(changed - big).max() > 0.01


def test_a_range_may_be_one_number(picture: np.ndarray) -> None:
    assert only("jpeg", jpeg=(90, 90)).apply(picture, np.random.default_rng(0)).shape == (24, 32, 3)


def test_brightness_is_an_offset() -> None:
    grey = np.full((4, 4, 3), 0.5, np.float32)

    result = only("brightness", brightness=0.2).apply(grey, np.random.default_rng(1))

    assert np.ptp(result) < 1e-6
    assert 0.01 < abs(float(result[0, 0, 0]) - 0.5) <= 0.2


def test_contrast_keeps_middle_grey_and_stretches_the_rest() -> None:
    steps = np.linspace(0.3, 0.7, 5, dtype=np.float32)[None, :, None].repeat(3, -1)

    result = only("contrast", contrast=2.0).apply(steps, np.random.default_rng(1))

    factor = (result[0, 4, 0] - 0.5) / 0.2
    assert 0.5 <= factor <= 2.0
    assert factor != pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(result, (steps - 0.5) * factor + 0.5, atol=1e-5)


def test_grey_has_equal_channels_and_keeps_the_luminance(picture: np.ndarray) -> None:
    result = only("grey").apply(picture, np.random.default_rng(0))

    np.testing.assert_allclose(result[..., 0], result[..., 2], atol=1e-6)
    np.testing.assert_allclose(result[..., 0], picture @ [0.2126, 0.7152, 0.0722], atol=1e-5)


def test_a_hue_rotation_keeps_grey_and_turns_back() -> None:
    turn = _hue_rotation(0.7)

    np.testing.assert_allclose(turn @ np.ones(3), np.ones(3), atol=1e-6)
    np.testing.assert_allclose(turn @ _hue_rotation(-0.7), np.eye(3), atol=1e-6)


def test_blur_grows_with_the_size_of_the_picture() -> None:
    def spread(side: int) -> float:
        picture = np.zeros((side, side, 3), np.float32)
        picture[side // 2, side // 2] = 1
        blurred = only("blur", blur=0.02).apply(picture, np.random.default_rng(2))[..., 0]
        return float(np.sqrt((blurred * (np.arange(side) - side // 2) ** 2).sum()))

    assert spread(192) == pytest.approx(3 * spread(64), rel=0.1)


def test_photon_noise_grows_with_the_signal() -> None:
    rng = np.random.default_rng(0)
    dark = _add_iso_noise(np.full((64, 64, 3), 0.0, np.float32), 0.1, rng).std()
    bright = _add_iso_noise(np.full((64, 64, 3), 1.0, np.float32), 0.1, rng).std()

    assert dark == pytest.approx(0.05, rel=0.05)
    assert bright == pytest.approx(np.hypot(0.1, 0.05), rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blur_probability": 1.5}, "blur_probability: expected a number within 0 to 1, got 1.5"),
        ({"noise": -0.1}, "noise: expected a number within 0 to 1, got -0.1"),
        ({"noise": float("nan")}, "noise: expected a number"),
        ({"noise": (0.1, 0.2)}, "noise: expected a number"),
        ({"jpeg": (95, 25)}, r"jpeg: expected a range \[low, high\] .*, got \(95, 25\)"),
        ({"jpeg": (50, 500)}, "jpeg: expected a range .* within 1 to 100"),
        ({"contrast": 0}, "contrast: expected a number within 1 to 10"),
        ({"dark": 1.5}, "dark: expected a range"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PhotometricAugmentations(**options)


def test_probabilities_hold(picture: np.ndarray) -> None:
    often = only("grey", grey_probability=0.3)

    greys = [
        np.ptp(often.apply(picture, np.random.default_rng([7, i])), axis=-1).max() < 1e-5
        for i in range(600)
    ]

    assert np.mean(greys) == pytest.approx(0.3, abs=0.06)
