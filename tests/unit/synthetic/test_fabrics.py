import numpy as np
import pytest

from david_hf.synthetic.humans.fabrics import (
    MATERIALS,
    PATTERNS,
    TONES,
    colour_of,
    emblem,
    weave_fabric,
)

RED, BLUE = np.array([0.8, 0.1, 0.1]), np.array([0.1, 0.1, 0.8])


@pytest.mark.parametrize("pattern", [name for name in PATTERNS if name != "plain"])
def test_every_pattern_shows_the_second_colour(pattern: str) -> None:
    plain = weave_fabric(np.random.default_rng(0), "silk", "plain", RED, BLUE, 128)

    figured = weave_fabric(np.random.default_rng(0), "silk", pattern, RED, BLUE, 128)

    blue = [fabric.texture[..., 2].astype(float).mean() for fabric in (plain, figured)]
    assert blue[1] > blue[0] + 2


@pytest.mark.parametrize("material", list(MATERIALS))
@pytest.mark.parametrize("pattern", ["plain", "plaid", "dots", "camouflage", "herringbone"])
def test_a_tile_repeats_without_a_seam(material: str, pattern: str) -> None:
    tile = weave_fabric(np.random.default_rng(1), material, pattern, RED, BLUE, 128).texture
    tile = tile.astype(float).mean(2)

    across = [np.abs(tile[:, 0] - tile[:, -1]).mean(), np.abs(tile[0] - tile[-1]).mean()]
    inside = [
        np.abs(np.diff(tile, axis=1)).mean(0).max(),
        np.abs(np.diff(tile, axis=0)).mean(1).max(),
    ]

    assert across[0] <= 1.3 * inside[0] + 2
    assert across[1] <= 1.3 * inside[1] + 2


def test_the_same_seed_weaves_the_same_cloth() -> None:
    first, second = (
        weave_fabric(np.random.default_rng(3), "wool", "plaid", RED, BLUE, 64) for _ in range(2)
    )

    np.testing.assert_array_equal(first.texture, second.texture)


def test_tones_are_as_dark_or_light_as_their_names() -> None:
    rng = np.random.default_rng(0)
    mean = {tone: np.mean([colour_of(tone, rng).mean() for _ in range(40)]) for tone in TONES}

    assert mean["black"] < mean["dark"] < mean["grey"] < mean["white"]
    assert mean["navy"] < 0.3 < mean["pastel"]


def test_a_print_shows_ground_and_ink() -> None:
    for seed in range(8):
        picture = emblem(np.random.default_rng(seed), RED, BLUE)

        is_ink = picture[..., 2] > picture[..., 0]
        assert 0.03 < is_ink.mean() < 0.97
