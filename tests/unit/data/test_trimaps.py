from pathlib import Path

import numpy as np
import pytest
from layouts import matte, save

from david_hf.data.trimaps import make_trimap, read_trimap

# The ellipse of OpenCV with a side of 30 pixels, anchored at (15, 15): half widths by row.
ROWS = np.arange(-15, 15)
HALF_WIDTHS = np.rint(np.sqrt(15**2 - ROWS**2)).astype(int)


def ellipse_at(y: int, x: int, height: int, width: int) -> np.ndarray:
    covered = np.zeros((height, width), bool)
    for row, half in zip(ROWS, HALF_WIDTHS, strict=True):
        for column in range(-half, min(half, 14) + 1):
            if 0 <= y + row < height and 0 <= x + column < width:
                covered[y + row, x + column] = True
    return covered


def test_one_pixel_of_hair_makes_an_ellipse_of_unknown_pixels() -> None:
    alpha = np.zeros((70, 80), np.float32)
    alpha[30, 45] = 0.01

    trimap = make_trimap(alpha)

    # A pixel is reached by those that have it below their kernel: the ellipse is mirrored.
    reached = ellipse_at(69 - 30, 79 - 45, 70, 80)[::-1, ::-1]
    np.testing.assert_array_equal(trimap, np.where(reached, 128, 0))


def test_one_pixel_that_is_not_quite_opaque_makes_a_hole_of_unknown_pixels() -> None:
    alpha = np.ones((70, 80), np.float32)
    alpha[30, 45] = 254 / 255

    trimap = make_trimap(alpha)

    reached = ellipse_at(69 - 30, 79 - 45, 70, 80)[::-1, ::-1]
    np.testing.assert_array_equal(trimap, np.where(reached, 128, 255))


def test_the_border_of_the_picture_is_no_edge() -> None:
    assert (make_trimap(np.ones((20, 20), np.float32)) == 255).all()
    assert (make_trimap(np.zeros((20, 20), np.float32)) == 0).all()


def test_the_size_of_the_ellipse_is_chosen() -> None:
    alpha = np.zeros((9, 9), np.float32)
    alpha[4, 4] = 1

    trimap = make_trimap(alpha, size=3)

    cross = [[0, 128, 0], [128, 128, 128], [0, 128, 0]]
    np.testing.assert_array_equal(trimap[3:6, 3:6], cross)
    assert (trimap != 0).sum() == 5


@pytest.mark.parametrize("alpha", [matte(), np.zeros((4, 4, 1), np.float32)])
def test_alpha_of_another_form_is_refused(alpha: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected alpha \(H, W\) as floats in \[0, 1\], got"):
        make_trimap(alpha)


def test_a_trimap_of_three_channels_is_read_from_the_first(tmp_path: Path) -> None:
    trimap = np.array([[0, 128], [255, 0]], np.uint8)
    save(tmp_path / "trimap.png", np.repeat(trimap[..., None], 3, 2))

    found = read_trimap(tmp_path / "trimap.png")

    assert found is not None
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, trimap)


def test_other_values_in_a_trimap_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "trimap.png", np.array([[0, 127, 255]], np.uint8))

    with pytest.raises(ValueError, match=r"trimap\.png: expected a trimap of 0, 128 and") as told:
        read_trimap(tmp_path / "trimap.png")
    assert "127" in str(told.value)


def test_a_damaged_trimap_is_named(tmp_path: Path) -> None:
    (tmp_path / "trimap.png").write_bytes(b"no picture")

    with pytest.raises(ValueError, match=r"trimap\.png: not a picture"):
        read_trimap(tmp_path / "trimap.png")
