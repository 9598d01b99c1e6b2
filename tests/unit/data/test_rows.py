from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from figures import half_sphere, write_person

from david_hf.data.codecs import decode_alpha, decode_exr, decode_image, encode_exr, encode_png
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
