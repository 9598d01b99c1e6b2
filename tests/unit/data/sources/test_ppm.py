from pathlib import Path

import numpy as np
import pytest
from layouts import matte, save, write_ppm

from david_hf.data.codecs import decode_alpha
from david_hf.data.sources.ppm import PPM100
from david_hf.data.trimaps import make_trimap

FIRST, SECOND = "6146816_eb7b2a2b61_o", "7253492_b8d5b8a4a4_o"


@pytest.mark.parametrize("level", ["", "val", "PPM-100", "PPM-100/val"])
@pytest.mark.parametrize("folders", [("image", "matte"), ("fg", "alpha")])
def test_every_known_repack_is_read(tmp_path: Path, level: str, folders: tuple[str, str]) -> None:
    write_ppm(tmp_path / level, *folders)

    source = PPM100(tmp_path)

    assert [sample.identifier for sample in source] == [FIRST, SECOND]
    assert source[0].size == (32, 24)
    # JPEG: near the matte, and hardly anywhere the same.
    np.testing.assert_allclose(source[0].alpha, matte() / 255, atol=0.15)
    assert (source[0].alpha != matte() / np.float32(255)).any()


def test_mattes_are_passed_on_as_they_are(tmp_path: Path) -> None:
    write_ppm(tmp_path)

    row = PPM100(tmp_path).row(0)

    assert row["alpha"] is not None
    assert row["alpha"]["bytes"] == (tmp_path / "matte" / f"{FIRST}.jpg").read_bytes()


def test_alpha_near_its_ends_is_snapped_on_demand(tmp_path: Path) -> None:
    write_ppm(tmp_path)
    steps = np.array([[0, 3, 4, 100, 251, 252, 255]], np.uint8)
    save(tmp_path / "matte" / f"{FIRST}.png", steps)
    (tmp_path / "matte" / f"{FIRST}.jpg").unlink()

    row = PPM100(tmp_path, matte_snap=3).row(0)

    assert row["alpha"] is not None
    snapped = decode_alpha(row["alpha"]["bytes"]) * 255
    np.testing.assert_allclose(snapped, [[0, 0, 4, 100, 251, 255, 255]], atol=1e-4)


@pytest.mark.parametrize("matte_snap", [-1, 128])
def test_a_snap_beyond_the_middle_is_refused(tmp_path: Path, matte_snap: int) -> None:
    write_ppm(tmp_path)

    with pytest.raises(ValueError, match=f"expected a matte_snap of 0 to 127, got {matte_snap}"):
        PPM100(tmp_path, matte_snap=matte_snap)


def test_a_trimap_on_disk_comes_first(tmp_path: Path) -> None:
    write_ppm(tmp_path)
    trimap = np.full((32, 24), 128, np.uint8)
    save(tmp_path / "trimap" / f"{FIRST}.png", trimap)

    np.testing.assert_array_equal(PPM100(tmp_path).trimap(0), trimap)


def test_a_missing_trimap_is_made_from_alpha(tmp_path: Path) -> None:
    write_ppm(tmp_path)
    source = PPM100(tmp_path, matte_snap=40)
    alpha = source[1].alpha

    assert alpha is not None
    assert set(np.unique(source.trimap(1))) <= {0, 128, 255}
    np.testing.assert_array_equal(source.trimap(1), make_trimap(alpha))


@pytest.mark.parametrize(
    ("folder", "complaint"), [("matte", "has no matte in"), ("image", "has no picture in")]
)
def test_a_file_without_counterpart_is_named(tmp_path: Path, folder: str, complaint: str) -> None:
    write_ppm(tmp_path)
    (tmp_path / folder / f"{SECOND}.jpg").unlink()

    with pytest.raises(ValueError, match=rf"{SECOND}\.jpg: {complaint}"):
        PPM100(tmp_path)


@pytest.mark.parametrize("matte_snap", [0, 2])
def test_a_damaged_matte_is_named(tmp_path: Path, matte_snap: int) -> None:
    write_ppm(tmp_path)
    (tmp_path / "matte" / f"{FIRST}.jpg").write_bytes(b"no picture")

    with pytest.raises(ValueError, match=rf"{FIRST}.*: not a picture"):
        PPM100(tmp_path, matte_snap=matte_snap)[0]
    with pytest.raises(ValueError, match=rf"{FIRST}\.jpg: not a picture"):
        PPM100(tmp_path, matte_snap=matte_snap).trimap(0)


def test_a_matte_of_another_size_is_named(tmp_path: Path) -> None:
    write_ppm(tmp_path)
    save(tmp_path / "matte" / f"{FIRST}.jpg", matte(width=30))

    with pytest.raises(ValueError, match=f"{FIRST}: the maps differ in size"):
        PPM100(tmp_path)[0]


def test_a_folder_of_something_else_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected PPM-100 with image/ and matte/"):
        PPM100(tmp_path)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a split out of test, got 'train'"):
        PPM100(tmp_path, "train")
