"""Maps to pictures."""

import numpy as np
import pytest

from david_hf import visualization
from david_hf.visualization import (
    alpha_to_grey,
    checkerboard,
    colorize_depth,
    colorize_normals,
    composite,
    depth_lookup_table,
    overview,
)


def lightness(colours: np.ndarray) -> np.ndarray:
    """CIE lightness L* (0..100) of sRGB colours, uint8."""
    unit = colours / 255.0
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return 116 * np.cbrt(luminance) - 16


def test_the_depth_colours_grow_evenly_lighter_towards_the_camera() -> None:
    steps = np.diff(lightness(depth_lookup_table()))

    assert steps.min() > 0
    assert steps.max() < 2 * steps.mean()


def test_near_is_bright() -> None:
    depth = np.linspace(-3.0, 5.0, 50, dtype=np.float32)[None]

    shown = lightness(colorize_depth(depth))[0]

    assert (np.diff(shown) >= 0).all()
    assert shown[0] < 25
    assert shown[-1] > 90


def test_depth_colours_do_not_depend_on_scale_and_shift() -> None:
    depth = np.random.default_rng(0).random((20, 30), dtype=np.float32)

    one, other = colorize_depth(depth).astype(int), colorize_depth(depth * 7 - 2).astype(int)

    assert np.abs(one - other).max() <= 3


def test_a_flat_depth_map_has_one_colour() -> None:
    picture = colorize_depth(np.full((4, 5), 2.5, np.float32))

    assert (picture == depth_lookup_table()[0]).all()


def test_the_foreground_alone_sets_the_range_of_depth_colours() -> None:
    depth = np.linspace(0, 1, 100, dtype=np.float32)[None].repeat(4, 0)
    alpha = np.ones_like(depth)
    far_background, alpha_there = np.full((4, 50), -90.0, np.float32), np.zeros((4, 50), np.float32)

    picture = colorize_depth(np.hstack([far_background, depth]), np.hstack([alpha_there, alpha]))

    person = lightness(picture[:, 50:])
    assert person.min() < 25
    assert person.max() > 90
    assert len(np.unique(picture[:, :50].reshape(-1, 3), axis=0)) == 1
    assert lightness(picture[:, :50]).max() < person.min()


def test_without_any_foreground_depth_spans_the_whole_map() -> None:
    depth = np.linspace(0, 1, 10, dtype=np.float32)[None]

    assert visualization.depth_range(depth, np.zeros_like(depth)) == (0.0, 1.0)


def test_normals_are_shown_as_right_red_up_green_near_blue() -> None:
    axes = np.eye(3, dtype=np.float32)
    normals = np.concatenate([axes, -axes], axis=1)[:, None]

    picture = colorize_normals(normals)[0]

    half = 128
    assert picture.tolist() == [
        [255, half, half],
        [half, 255, half],
        [half, half, 255],
        [0, half, half],
        [half, 0, half],
        [half, half, 0],
    ]


def test_pictures_made_in_blocks_equal_those_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    depth, alpha = generator.random((2, 31, 9), dtype=np.float32)
    normals = generator.standard_normal((3, 31, 9), dtype=np.float32)
    whole = colorize_depth(depth, alpha), colorize_normals(normals, alpha)

    monkeypatch.setattr(visualization, "_ROWS_PER_BLOCK", 7)

    np.testing.assert_array_equal(colorize_depth(depth, alpha), whole[0])
    np.testing.assert_array_equal(colorize_normals(normals, alpha), whole[1])


def test_alpha_is_white_on_the_foreground() -> None:
    assert alpha_to_grey(np.array([0.0, 0.5, 1.0, 1.2])).tolist() == [0, 128, 255, 255]


def test_a_composite_blends_by_alpha() -> None:
    image, background = np.full((1, 3, 3), 200, np.uint8), np.full((1, 3, 3), 100, np.uint8)

    blended = composite(image, np.array([[0.0, 0.25, 1.0]]), background)

    assert blended[0, :, 0].tolist() == [100, 125, 200]


def test_a_checkerboard_alternates() -> None:
    board = checkerboard(3, 4, square=1)

    assert board[..., 0].tolist() == [[255, 204] * 2, [204, 255] * 2, [255, 204] * 2]


def test_an_overview_puts_pictures_in_a_row_below_their_labels() -> None:
    red, blue = np.zeros((2, 30, 40, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255

    strip = overview([("one", red), ("two", blue)], gutter=4)

    assert strip.shape == (52, 84, 3)
    np.testing.assert_array_equal(strip[22:, :40], red)
    np.testing.assert_array_equal(strip[22:, 44:], blue)
    assert (strip[22:, 40:44] == 255).all()
    assert (strip[:22, :40] < 100).any(), "a label is written"


def test_an_overview_leaves_out_labels_that_do_not_fit() -> None:
    strip = overview([("foreground", np.zeros((5, 10, 3), np.uint8))] * 2)

    assert (strip[:22] == 255).all()


def test_an_overview_of_different_shapes_is_refused() -> None:
    pictures = [("a", np.zeros((5, 5, 3), np.uint8)), ("b", np.zeros((5, 6, 3), np.uint8))]

    with pytest.raises(ValueError, match="needs pictures of one shape, got"):
        overview(pictures)
    with pytest.raises(ValueError, match="needs pictures of one shape"):
        overview([])
