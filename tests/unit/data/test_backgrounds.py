from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from david_hf.data.backgrounds import (
    Backgrounds,
    draw_thing,
    hang_cloth,
    made_up_room,
    make_counter,
    make_thing,
)
from david_hf.data.sample import Array

Maker = Callable[[np.random.Generator, tuple[int, int]], tuple[Array, Array]]


def test_backgrounds_come_from_the_folder_or_are_made_up(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (255, 0, 0)).save(tmp_path / "red.jpg")
    rng = np.random.default_rng(0)

    nothing = {"cloth_share": 0.0, "thing_share": 0.0, "plain_share": 0.0}
    photos = Backgrounds(tmp_path, photo_share=1.0, **nothing).sample(rng, (16, 24))

    assert photos.shape == (16, 24, 3)
    assert photos[..., 0].min() > 10 * photos[..., 1].max()
    assert Backgrounds(None).sample(rng, (16, 24)).shape == (16, 24, 3)
    assert made_up_room(rng, (16, 24)).min() >= 0


def test_plain_backgrounds_are_one_colour_or_a_gradient_of_it() -> None:
    walls = Backgrounds(None, plain_share=1.0, thing_share=1.0, cloth_share=1.0)
    pictures = [walls.sample(np.random.default_rng(seed), (16, 24)) for seed in range(40)]

    for picture in pictures:
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert abs(np.diff(picture, 2, axis=0)).max() < 1e-5
        assert abs(np.diff(picture, 2, axis=1)).max() < 1e-5
    spreads = [float(np.ptp(picture)) for picture in pictures]
    assert 5 < sum(spread == 0 for spread in spreads) < 35
    assert {0.0, 1.0} <= {float(picture.max()) for picture in pictures}


def test_hung_cloth_covers_part_of_a_background() -> None:
    covered = []
    for seed in range(20):
        background = np.full((48, 64, 3), -1.0, np.float32)
        hang_cloth(background, np.random.default_rng(seed))
        is_covered = background[..., 0] != -1
        assert background[is_covered].size == 0 or background[is_covered].min() >= 0
        covered.append(is_covered.mean())

    assert 0 < np.mean(covered) < 0.6
    assert len(set(covered)) > 10


def test_a_background_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected .jpg or .png photos"):
        Backgrounds(tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_damaged_photo_is_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:400])

    with pytest.raises(ValueError, match=f"photo.{suffix}: "):
        Backgrounds(tmp_path)


def test_a_thing_is_where_it_was_put() -> None:
    rng = np.random.default_rng(0)

    colour, coverage = draw_thing(rng, (40, 60), (0.25, 0.5), (0.1, 0.05), 0.0)

    rows, columns = np.nonzero(coverage > 0.5)
    assert colour.shape == (40, 60, 3)
    assert colour.min() >= 0
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((15, 20), abs=0.1)
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == pytest.approx((12, 6), abs=1)
    assert set(np.unique(coverage)) > {0.0, 1.0}


def test_a_turned_thing_is_turned() -> None:
    _, coverage = draw_thing(np.random.default_rng(0), (60, 60), (0.5, 0.5), (0.3, 0.05), np.pi / 2)

    rows, columns = np.nonzero(coverage > 0.5)
    assert np.ptp(rows) > 4 * np.ptp(columns)


@pytest.mark.parametrize("make", [make_thing, make_counter])
def test_things_cover_part_of_a_frame(make: Maker) -> None:
    shares = [make(np.random.default_rng(seed), (48, 64))[1].mean() for seed in range(40)]

    assert 0.01 < np.mean(shares) < 0.5
    assert len({round(float(share), 4) for share in shares}) > 15


def test_counters_rise_from_the_lower_edge() -> None:
    for seed in range(20):
        _, coverage = make_counter(np.random.default_rng(seed), (48, 64))
        assert coverage[:16].max() == 0
        assert coverage[-1].max() > 0.9
