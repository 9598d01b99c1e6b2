import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from figures import half_sphere, write_person
from PIL import Image

from david_hf.data.codecs import (
    decode_alpha,
    decode_exr,
    decode_image,
    encode_exr,
    encode_png,
    without_orientation,
)
from david_hf.data.rows import DepthCell, decode_depth, decode_row, encode_sample
from david_hf.data.sample import HumanSample
from david_hf.data.sources.synthhuman import SynthHuman


@pytest.fixture
def person(tmp_path: Path) -> HumanSample:
    write_person(tmp_path, 0)
    return SynthHuman(tmp_path)[0]


def test_a_sample_survives_encoding(person: HumanSample) -> None:
    again = decode_row(encode_sample(person))

    for name in ("alpha", "depth_m", "normals", "valid", "intrinsics", "image"):
        np.testing.assert_allclose(
            getattr(again, name), getattr(person, name), atol=2e-7, err_msg=name
        )
    np.testing.assert_array_equal(again.depth_m, person.depth_m)
    assert (again.identifier, again.source) == (person.identifier, person.source)


def test_labels_that_are_unknown_stay_unknown(person: HumanSample) -> None:
    bare = replace(person, alpha=None, depth_m=None, normals=None, intrinsics=None)

    again = decode_row(encode_sample(bare))

    assert again.alpha is again.depth_m is again.normals is again.intrinsics is None
    assert not again.valid.any()


def test_normals_alone_are_valid_where_they_have_a_length(person: HumanSample) -> None:
    again = decode_row(encode_sample(replace(person, depth_m=None)))

    np.testing.assert_array_equal(again.valid, half_sphere()[0] > 0)


def test_the_unit_of_depth_is_told_and_unknown_depth_is_zero() -> None:
    stored = np.array([[150.0, 65504.0, 0.0, np.nan, np.inf, -3.0]], np.float32)

    depth, valid = decode_depth(
        DepthCell(exr=encode_exr(stored[..., None], "Y"), metres_per_unit=0.01)
    )

    np.testing.assert_array_equal(depth, np.float32([[1.5, 0, 0, 0, 0, 0]]))
    np.testing.assert_array_equal(valid, [[True, False, False, False, False, False]])


def test_maps_are_half_floats_only_where_that_is_exact() -> None:
    halves = np.float32([[0.5, 2.25, 65504.0]])[..., None]
    others = np.float32([[0.1, 70000.0, np.pi]])[..., None]

    for maps in (halves, others):
        np.testing.assert_array_equal(decode_exr(encode_exr(maps, "Y"), "Y"), maps)
    assert len(encode_exr(halves, "Y")) < len(encode_exr(others, "Y"))


def test_channels_come_in_the_order_asked_for_and_missing_ones_are_named() -> None:
    maps = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    content = encode_exr(maps, "BGR")

    np.testing.assert_array_equal(decode_exr(content, "RGB"), maps[..., ::-1])
    with pytest.raises(ValueError, match=r"expected EXR channels \['Y'\], found"):
        decode_exr(content, "Y")


@pytest.mark.parametrize("damage", [lambda data: data[:-10], lambda data: data[:4], lambda _: b""])
def test_damaged_files_are_refused_in_one_line(damage) -> None:  # type: ignore[no-untyped-def]
    exr = encode_exr(np.random.default_rng(0).random((40, 30, 3), np.float32), "BGR")
    png = encode_png(np.random.default_rng(0).random((40, 30, 3), np.float32))

    with pytest.raises(ValueError, match="not a readable EXR file") as info:
        decode_exr(damage(exr), "BGR")
    assert "\n" not in str(info.value)
    if len(damage(png)) < len(png) - 12:  # Pillow needs no end marker
        with pytest.raises(ValueError, match="not a"):
            decode_image(damage(png))


def test_a_picture_that_unpacks_to_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("david_hf.data.codecs.MAX_PIXELS", 100)

    with pytest.raises(ValueError, match="20 x 10 pixels are more than the limit of 100"):
        decode_image(encode_png(np.zeros((10, 20, 3), np.float32)))


def test_mattes_of_any_kind_are_read() -> None:
    grey = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)

    plain = decode_alpha(encode_png(grey))
    three = decode_alpha(encode_png(np.repeat(grey[..., None], 3, -1)))

    np.testing.assert_allclose(plain, grey, atol=0.5 / 255)
    np.testing.assert_array_equal(plain, three)


def file_of(pixels: np.ndarray, suffix: str, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, suffix)
    return buffer.getvalue()


def test_of_a_cut_out_the_alpha_channel_is_the_matte() -> None:
    pixels = np.zeros((4, 5, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 10, np.arange(5) * 50

    decoded = decode_alpha(file_of(pixels, "PNG"))

    np.testing.assert_allclose(decoded[0] * 255, [0, 50, 100, 150, 200])


def test_mattes_of_many_bits_keep_their_scale() -> None:
    ramp = np.linspace(0, 1, 20).reshape(4, 5)

    sixteen = decode_alpha(file_of((ramp * 65535).astype(np.uint16), "PNG"))
    swapped = decode_alpha(file_of((ramp * 65535).astype(">u2"), "TIFF"))
    floats = decode_alpha(file_of(ramp.astype(np.float32), "TIFF"))

    for decoded in (sixteen, swapped, floats):
        np.testing.assert_allclose(decoded, ramp, atol=2e-5)
    with pytest.raises(ValueError, match=r"floats in \[0, 1\]"):
        decode_alpha(file_of((ramp * 2).astype(np.float32), "TIFF"))


def test_grey_pictures_of_16_bits_are_not_cut_off() -> None:
    ramp = (np.linspace(0, 1, 20).reshape(4, 5) * 65535).astype(np.uint16)

    decoded = decode_image(file_of(ramp, "PNG"))

    np.testing.assert_allclose(decoded[..., 1] * 65535, ramp, atol=0.5)


def test_a_huge_exr_file_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode_exr(np.zeros((20, 10, 1), np.float32), "Y")
    monkeypatch.setattr("david_hf.data.codecs.MAX_PIXELS", 100)

    with pytest.raises(ValueError, match="more pixels than the limit of 100"):
        decode_exr(content, "Y")


def test_only_turned_pictures_are_written_anew() -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    plain = file_of(pixels, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)

    assert without_orientation(plain) is plain
    kept = decode_image(without_orientation(buffer.getvalue()))
    turned = decode_image(without_orientation(buffer.getvalue(), turn=True))
    np.testing.assert_array_equal(kept * 255, pixels)
    np.testing.assert_array_equal(turned * 255, np.rot90(pixels, -1))
