"""Photos of every kind in, map files out."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from david_hf import image_io
from david_hf.image_io import ImageReadError, load_image, to_rgb8, write_png

COLOURS = np.array([[(250, 20, 10), (20, 240, 30)], [(10, 30, 230), (90, 90, 90)]], np.uint8)


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone(orientation: int, tmp_path: Path) -> None:
    # What the sensor stored, for a scene that EXIF says to turn this way (EXIF 2.32, tag 274).
    stored = {
        1: COLOURS,
        2: COLOURS[:, ::-1],
        3: COLOURS[::-1, ::-1],
        4: COLOURS[::-1],
        5: COLOURS.transpose(1, 0, 2),
        6: np.rot90(COLOURS, 1),
        7: COLOURS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(COLOURS, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    path = save(Image.fromarray(np.ascontiguousarray(stored)), tmp_path / "a.png", exif=exif)

    np.testing.assert_array_equal(np.asarray(load_image(path)), COLOURS)


def test_a_photo_with_damaged_exif_data_is_still_a_photo(tmp_path: Path) -> None:
    path = save(Image.fromarray(COLOURS), tmp_path / "a.png", exif=b"Exif\x00\x00nonsense")

    np.testing.assert_array_equal(np.asarray(load_image(path)), COLOURS)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = save(Image.new("CMYK", (8, 8), (51, 153, 204, 0)), tmp_path / "a.jpg", quality=100)

    image = load_image(path)

    assert image.mode == "RGB"
    np.testing.assert_allclose(np.asarray(image)[4, 4], (204, 102, 51), atol=3)


def test_a_palette_with_transparency_keeps_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS).quantize(4)
    path = save(image, tmp_path / "a.png", transparency=b"\x00\x80\xff\x00")

    np.testing.assert_array_equal(np.asarray(load_image(path)), np.asarray(image.convert("RGB")))


def test_transparency_is_dropped_and_the_colours_under_it_stay(tmp_path: Path) -> None:
    alpha = np.array([[0, 128], [255, 0]], np.uint8)
    path = save(Image.fromarray(np.dstack([COLOURS, alpha])), tmp_path / "a.png")

    np.testing.assert_array_equal(np.asarray(load_image(path)), COLOURS)


def test_16_bit_grey_keeps_its_16_bits(tmp_path: Path) -> None:
    values = np.array([[0, 257, 514], [30000, 65535, 13107]], np.uint16)
    path = save(Image.fromarray(values), tmp_path / "a.png")

    image = load_image(path)

    assert image.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(image), values)
    assert to_rgb8(image)[..., 1].tolist() == [[0, 1, 2], [117, 255, 51]]


def test_16_bit_colour_is_read_at_8_bits(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", COLOURS.astype(np.uint16) * 257)

    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.png")), COLOURS)


def test_32_bit_grey_counts_as_16_bit(tmp_path: Path) -> None:
    values = np.array([[0, 70000], [-5, 13107]], np.int32)
    path = save(Image.fromarray(values), tmp_path / "a.tif")

    assert np.asarray(load_image(path)).tolist() == [[0, 65535], [0, 13107]]


def test_float_images_stay_float(tmp_path: Path) -> None:
    path = save(Image.fromarray(np.array([[0.2, 1.5]], np.float32)), tmp_path / "a.tif")

    image = load_image(path)

    assert image.mode == "F"
    assert to_rgb8(image)[..., 0].tolist() == [[51, 255]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_a_truncated_file_is_one_clear_error(kind: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    path = tmp_path / "half.jpg"
    path.write_bytes(buffer.getvalue()[: buffer.tell() // 2])

    with pytest.raises(ImageReadError) as caught:
        load_image(path)

    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message) > len(f"{path}: ")
    assert "\n" not in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_float_image_that_is_not_finite_is_refused(value: float, tmp_path: Path) -> None:
    pixels = np.full((4, 5), 0.5, np.float32)
    pixels[1, 2] = value
    Image.fromarray(pixels).save(tmp_path / "photo.tif")

    with pytest.raises(ImageReadError, match=r"photo\.tif: expected pixels that are finite, got"):
        load_image(tmp_path / "photo.tif")


def test_files_that_are_no_images_are_named(tmp_path: Path) -> None:
    text, empty = tmp_path / "text.jpg", tmp_path / "empty.png"
    text.write_text("no picture at all")
    empty.touch()

    for path in (text, empty):
        with pytest.raises(ImageReadError, match=f"{path.name}: not an image, or of a format"):
            load_image(path)
    with pytest.raises(ImageReadError, match=r"missing\.png: no such file"):
        load_image(tmp_path / "missing.png")


def test_an_image_beyond_the_limit_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(Image.new("1", (11_000, 11_000)), tmp_path / "bomb.png")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("unpacked"))

    with pytest.raises(ImageReadError, match=r"11000 x 11000 pixels are more than the limit of"):
        load_image(path)


def test_an_image_that_pillow_would_warn_of_is_read(tmp_path: Path) -> None:
    path = save(Image.new("1", (9_500, 9_500)), tmp_path / "large.png")
    assert (Image.MAX_IMAGE_PIXELS or 0) < 9_500**2

    assert load_image(path).size == (9_500, 9_500)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (7, 1, 3), (300, 5, 3), (4, 6)])
def test_16_bit_png_files_hold_what_was_written(shape: tuple[int, ...], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)

    write_png(tmp_path / "a.png", pixels)

    read = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read[..., ::-1] if read.ndim == 3 else read, pixels)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (5, 4, 4)])
def test_8_bit_png_files_hold_what_was_written(shape: tuple[int, ...], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    write_png(tmp_path / "a.png", pixels)

    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)


def test_smooth_maps_are_compressed(tmp_path: Path) -> None:
    ramp = np.arange(200, dtype=np.uint16)[:, None] * np.ones(300, np.uint16)

    write_png(tmp_path / "a.png", np.dstack([ramp] * 3))

    assert (tmp_path / "a.png").stat().st_size < ramp.nbytes * 3 / 20


def test_the_limit_leaves_room_for_the_photos_of_today() -> None:
    assert image_io.MAX_PIXELS >= 108_000_000
