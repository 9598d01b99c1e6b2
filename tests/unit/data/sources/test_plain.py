from pathlib import Path

import numpy as np
import pytest
from layouts import DISTANCE_M, HEIGHT, WIDTH, matte, photo, plain_depth, save, write_plain
from layouts import plain_normals as normals

from david_hf.data.check import check_dataset
from david_hf.data.codecs import decode_exr, encode_exr
from david_hf.data.rows import UNKNOWN_DEPTH
from david_hf.data.sources.plain import PlainFolder
from david_hf.image_io import write_png

PERSON = matte() == 255


def replace(root: Path, folder: str, suffix: str, content: bytes | np.ndarray) -> None:
    """Put another file in the place of the first sample's label."""
    (root / folder / "anna.npy").unlink()
    path = root / folder / f"anna{suffix}"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif suffix == ".npy":
        np.save(path, content)
    else:
        save(path, content)


def test_all_labels_of_a_sample_are_read(tmp_path: Path) -> None:
    write_plain(tmp_path)

    sample = PlainFolder(tmp_path)[0]

    assert (sample.identifier, sample.source, sample.size) == ("anna", "folder", (HEIGHT, WIDTH))
    np.testing.assert_array_equal(sample.alpha, matte() / np.float32(255))
    np.testing.assert_array_equal(sample.depth_m, plain_depth())
    np.testing.assert_allclose(sample.normals, normals(), atol=1e-6)
    np.testing.assert_array_equal(sample.valid, PERSON)
    assert sample.intrinsics is not None
    assert sample.intrinsics.tolist() == [[30, 0, 12], [0, 30, 16], [0, 0, 1]]


def test_labels_may_be_missing(tmp_path: Path) -> None:
    write_plain(tmp_path)

    sample = PlainFolder(tmp_path)[1]

    assert sample.identifier == "ben"
    assert sample.alpha is sample.depth_m is sample.normals is sample.intrinsics is None
    assert not sample.valid.any()
    np.testing.assert_array_equal(np.rint(sample.image * 255), photo(1))


def test_pictures_alone_are_enough(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.webp", photo())

    assert len(PlainFolder(tmp_path)) == 1


def test_masks_are_alphas_by_another_name(tmp_path: Path) -> None:
    write_plain(tmp_path)
    (tmp_path / "alphas").rename(tmp_path / "masks")

    np.testing.assert_array_equal(PlainFolder(tmp_path)[0].alpha, matte() / np.float32(255))


@pytest.mark.parametrize("unknown", [0, -1, np.nan, np.inf, -np.inf])
def test_depth_is_unknown_where_it_cannot_be(tmp_path: Path, unknown: float) -> None:
    write_plain(tmp_path)
    depth = np.full((HEIGHT, WIDTH), 1.5)
    depth[20, 10] = unknown
    replace(tmp_path, "depths", ".npy", depth)
    (tmp_path / "normals" / "anna.npy").unlink()
    (tmp_path / "normals").rmdir()

    source = PlainFolder(tmp_path)
    sample, cell = source[0], source.row(0)["depth"]

    expected = np.full((HEIGHT, WIDTH), 1.5, np.float32)
    expected[20, 10] = 0
    np.testing.assert_array_equal(sample.depth_m, expected)
    assert np.argwhere(~sample.valid).tolist() == [[20, 10]]
    assert cell is not None
    assert decode_exr(cell["exr"], "Y")[20, 10] == UNKNOWN_DEPTH


@pytest.mark.parametrize(
    ("suffix", "unit"), [(".npy", 0.01), (".exr", 0.01), (".png", 0.001), (".npy", None)]
)
def test_depth_is_given_in_metres_whatever_unit_the_files_have(
    tmp_path: Path, suffix: str, unit: float | None
) -> None:
    write_plain(tmp_path)
    stored = plain_depth() / (unit or 1)
    content = {
        ".npy": stored,
        ".exr": encode_exr(stored[..., None], "Y"),
        ".png": np.rint(stored).astype(np.uint16),
    }[suffix]
    replace(tmp_path, "depths", suffix, content)

    sample = PlainFolder(tmp_path, depth_unit=unit)[0]

    assert sample.depth_m is not None
    np.testing.assert_allclose(sample.depth_m[PERSON], DISTANCE_M, rtol=1e-6)
    assert not sample.depth_m[~PERSON].any()


def test_every_step_of_a_depth_png_is_kept(tmp_path: Path) -> None:
    write_plain(tmp_path)
    steps = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) + 60_000
    replace(tmp_path, "depths", ".png", steps)
    np.save(tmp_path / "normals" / "anna.npy", np.tile(np.float32([0, 0, 1]), (HEIGHT, WIDTH, 1)))

    sample = PlainFolder(tmp_path, depth_unit=0.0001)[0]

    assert sample.depth_m is not None
    np.testing.assert_array_equal(np.rint(sample.depth_m * 10_000), steps)


def test_exr_files_are_passed_on_as_they_are(tmp_path: Path) -> None:
    write_plain(tmp_path)
    depth, vectors = encode_exr(plain_depth()[..., None], "Y"), encode_exr(normals(), "BGR")
    replace(tmp_path, "depths", ".exr", depth)
    replace(tmp_path, "normals", ".exr", vectors)

    row = PlainFolder(tmp_path).row(0)

    assert row["depth"] == {"exr": depth, "metres_per_unit": 1.0}
    assert row["normals"] == vectors
    np.testing.assert_allclose(PlainFolder(tmp_path)[0].normals, normals(), atol=1e-6)


def test_a_depth_png_needs_a_unit(tmp_path: Path) -> None:
    write_plain(tmp_path)
    replace(tmp_path, "depths", ".png", np.full((HEIGHT, WIDTH), 2000, np.uint16))

    with pytest.raises(ValueError, match=r"anna\.png: expected `depth_unit`, .* such as 0\.001"):
        PlainFolder(tmp_path)[0]


@pytest.mark.parametrize("unit", [0, -1.0, float("nan"), float("inf")])
def test_a_unit_that_is_no_length_is_refused(tmp_path: Path, unit: float) -> None:
    with pytest.raises(ValueError, match="expected a depth_unit in metres above 0, got"):
        PlainFolder(tmp_path, depth_unit=unit)


def test_a_depth_png_of_8_bits_is_refused(tmp_path: Path) -> None:
    write_plain(tmp_path)
    replace(tmp_path, "depths", ".png", matte())

    with pytest.raises(ValueError, match="PNG, grey with 16 bits per channel, got 8 bits"):
        PlainFolder(tmp_path, depth_unit=0.01)[0]


@pytest.mark.parametrize("nobody", [0, 128, 255])
def test_normals_as_pictures_are_unknown_where_they_are_plain(tmp_path: Path, nobody: int) -> None:
    write_plain(tmp_path)
    pixels = np.rint((normals() + 1) * 127.5).astype(np.uint8)
    replace(tmp_path, "normals", ".png", np.where(PERSON[..., None], pixels, np.uint8(nobody)))
    np.save(tmp_path / "depths" / "anna.npy", np.ones((HEIGHT, WIDTH), np.float32))

    sample = PlainFolder(tmp_path)[0]

    np.testing.assert_array_equal(sample.valid, PERSON)
    np.testing.assert_allclose(sample.normals, normals(), atol=0.01)


def test_normals_as_pictures_of_16_bits_are_refused(tmp_path: Path) -> None:
    write_plain(tmp_path)
    (tmp_path / "normals" / "anna.npy").unlink()
    path = tmp_path / "normals" / "anna.png"
    write_png(path, np.full((HEIGHT, WIDTH, 3), 40_000, np.uint16))

    with pytest.raises(ValueError, match="PNG, RGB with 8 bits per channel, got 16 bits"):
        PlainFolder(tmp_path)[0]


@pytest.mark.parametrize("folder", ["depths", "normals"])
def test_a_png_that_is_none_is_named(tmp_path: Path, folder: str) -> None:
    write_plain(tmp_path)
    replace(tmp_path, folder, ".png", b"no picture")

    with pytest.raises(ValueError, match=r"anna\.png: expected a PNG, .* got another format"):
        PlainFolder(tmp_path, depth_unit=1)[0]


@pytest.mark.parametrize("folder", ["depths", "normals"])
def test_a_cut_off_png_is_named(tmp_path: Path, folder: str) -> None:
    write_plain(tmp_path)
    pixels = photo() if folder == "normals" else photo()[..., 0].astype(np.uint16)
    replace(tmp_path, folder, ".png", pixels)
    path = tmp_path / folder / "anna.png"
    path.write_bytes(path.read_bytes()[:60])

    with pytest.raises(ValueError, match=r"anna\.png: not a readable picture"):
        PlainFolder(tmp_path, depth_unit=1)[0]


@pytest.mark.parametrize("suffix", [".npy", ".exr"])
def test_normals_of_another_frame_are_refused(tmp_path: Path, suffix: str) -> None:
    write_plain(tmp_path)
    away = normals() * np.float32([1, -1, -1])  # Y down, Z away from the camera, as OpenCV has it
    replace(tmp_path, "normals", suffix, away if suffix == ".npy" else encode_exr(away, "BGR"))

    with pytest.raises(ValueError, match="anna: expected normals X right, Y up, Z to the camera"):
        PlainFolder(tmp_path)[0]


@pytest.mark.parametrize(
    ("folder", "array", "complaint"),
    [
        ("depths", np.zeros((HEIGHT, WIDTH, 1)), r"numbers \(H, W\), got float64 \(32, 24, 1\)"),
        ("depths", np.zeros((HEIGHT, WIDTH), complex), r"numbers \(H, W\), got complex128"),
        ("normals", np.zeros((3, HEIGHT, WIDTH)), r"numbers \(H, W, 3\), got float64 \(3, 32, 24"),
    ],
)
def test_arrays_of_another_form_are_refused(
    tmp_path: Path, folder: str, array: np.ndarray, complaint: str
) -> None:
    write_plain(tmp_path)
    replace(tmp_path, folder, ".npy", array)

    with pytest.raises(ValueError, match=rf"anna\.npy: expected an array of {complaint}"):
        PlainFolder(tmp_path)[0]


def test_an_array_that_would_run_code_is_refused(tmp_path: Path) -> None:
    write_plain(tmp_path)
    np.save(tmp_path / "depths" / "anna.npy", np.array([print], object), allow_pickle=True)

    with pytest.raises(ValueError, match=r"anna\.npy: not a readable \.npy file: .*allow_pickle"):
        PlainFolder(tmp_path)[0]


def test_a_cut_off_array_is_named(tmp_path: Path) -> None:
    write_plain(tmp_path)
    path = tmp_path / "depths" / "anna.npy"
    path.write_bytes(path.read_bytes()[:500])

    with pytest.raises(ValueError, match=r"anna\.npy: not a readable \.npy file"):
        PlainFolder(tmp_path)[0]


def test_an_archive_of_arrays_is_no_array(tmp_path: Path) -> None:
    write_plain(tmp_path)
    np.savez(tmp_path / "depths" / "anna.npz", plain_depth())
    (tmp_path / "depths" / "anna.npz").replace(tmp_path / "depths" / "anna.npy")

    with pytest.raises(ValueError, match=r"anna\.npy: expected an array .* got an archive"):
        PlainFolder(tmp_path)[0]


@pytest.mark.parametrize("text", ["1 2 3", "1 0 0 0 1 0 0 0 one", ""])
def test_intrinsics_of_another_form_are_named(tmp_path: Path, text: str) -> None:
    write_plain(tmp_path)
    (tmp_path / "cameras" / "anna.txt").write_text(text)

    with pytest.raises(ValueError, match=r"anna\.txt: expected a 3x3 matrix, got"):
        PlainFolder(tmp_path)[0]


@pytest.mark.parametrize("folder", ["alphas", "depths", "normals", "cameras"])
def test_a_label_without_picture_is_named(tmp_path: Path, folder: str) -> None:
    write_plain(tmp_path)
    path = next((tmp_path / folder).iterdir())
    path.rename(path.with_stem("ana"))

    with pytest.raises(ValueError, match=rf"{folder}/ana.*: has no picture in .*images"):
        PlainFolder(tmp_path)


def test_a_folder_of_maps_of_other_formats_is_refused(tmp_path: Path) -> None:
    write_plain(tmp_path)
    path = tmp_path / "depths" / "anna.npy"
    path.rename(path.with_suffix(".pfm"))

    with pytest.raises(ValueError, match=r"depths: expected files \(\.npy, \.exr, \.png\), found"):
        PlainFolder(tmp_path)


def test_maps_of_another_size_are_named(tmp_path: Path) -> None:
    write_plain(tmp_path)
    replace(tmp_path, "depths", ".npy", np.ones((HEIGHT, WIDTH + 1)))

    with pytest.raises(ValueError, match=r"anna: the maps differ in size .* depth 32 x 25"):
        PlainFolder(tmp_path)[0]


def test_train_and_validation_share_out_the_samples(tmp_path: Path) -> None:
    for number in range(60):
        save(tmp_path / "images" / f"{number:03d}.png", photo(height=2, width=2))

    parts = {split: PlainFolder(tmp_path, split).stems for split in PlainFolder.splits}

    assert 0 < len(parts["validation"]) < 10
    assert sorted(parts["train"] + parts["validation"]) == parts["all"]
    assert len(parts["all"]) == 60


def test_a_split_without_samples_is_told(tmp_path: Path) -> None:
    write_plain(tmp_path)

    with pytest.raises(ValueError, match="none of the 2 pictures falls to validation"):
        PlainFolder(tmp_path, "validation")


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="out of all, train, validation, got 'test'"):
        PlainFolder(tmp_path, "test")


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images: no such folder"):
        PlainFolder(tmp_path)


def test_the_check_finds_nothing_wrong_with_a_sound_folder(tmp_path: Path) -> None:
    write_plain(tmp_path)

    [report] = check_dataset("folder", tmp_path)

    assert (report.split, report.found, report.checked, report.problems) == ("all", 2, 2, [])


def test_the_check_finds_a_forgotten_unit(tmp_path: Path) -> None:
    write_plain(tmp_path)
    replace(tmp_path, "depths", ".npy", plain_depth() * 1000)

    [report] = check_dataset("folder", tmp_path)

    assert "got 2000 to 2000 m: another unit" in report.problems[0]
    assert not check_dataset("folder", tmp_path, depth_unit=0.001)[0].problems
