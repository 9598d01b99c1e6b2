import pickle
from pathlib import Path

import numpy as np
import pytest
from layouts import matte, photo, save, write_p3m

from david_hf.data.check import check_dataset
from david_hf.data.sources.p3m import P3M10k


@pytest.mark.parametrize("split", P3M10k.splits)
@pytest.mark.parametrize("levels", ["validation", ""])
@pytest.mark.parametrize("above", ["", "P3M-10k"])
def test_both_published_roots_and_the_folder_above_are_read(
    tmp_path: Path, split: str, levels: str, above: str
) -> None:
    write_p3m(tmp_path / above, split, levels)

    source = P3M10k(tmp_path, split)

    assert len(source) == 2
    assert [sample.identifier for sample in source] == ["p_0a1b2c3d", "p_4e5f6071"]
    assert source[0].source == "p3m-10k"
    np.testing.assert_array_equal(source[1].alpha, matte() / np.float32(255))


def test_files_are_passed_on_as_they_are(tmp_path: Path) -> None:
    folder = write_p3m(tmp_path, "P3M-500-NP")

    row = P3M10k(tmp_path, "P3M-500-NP").row(1)

    image, mask = folder / "original_image" / "p_4e5f6071.jpg", folder / "mask" / "p_4e5f6071.png"
    assert row["image"]["bytes"] == image.read_bytes()
    assert row["alpha"] is not None
    assert row["alpha"]["bytes"] == mask.read_bytes()


def test_of_masks_with_three_channels_the_first_counts(tmp_path: Path) -> None:
    write_p3m(tmp_path, "train", channels=3)

    np.testing.assert_array_equal(P3M10k(tmp_path, "train")[0].alpha, matte() / np.float32(255))


def test_official_trimaps_are_read(tmp_path: Path) -> None:
    write_p3m(tmp_path, "P3M-500-P")

    trimap = P3M10k(tmp_path, "P3M-500-P").trimap(0)

    np.testing.assert_array_equal(trimap, np.where(matte() == 100, 128, matte()))


def test_the_training_set_has_no_trimaps(tmp_path: Path) -> None:
    write_p3m(tmp_path, "train")

    assert P3M10k(tmp_path, "train").trimap(0) is None


def test_a_picture_without_mask_is_named(tmp_path: Path) -> None:
    folder = write_p3m(tmp_path, "train")
    (folder / "mask" / "p_4e5f6071.png").unlink()

    with pytest.raises(ValueError, match=r"p_4e5f6071\.jpg: has no matte in .*mask"):
        P3M10k(tmp_path, "train")


def test_a_mask_without_picture_is_named(tmp_path: Path) -> None:
    folder = write_p3m(tmp_path, "train")
    (folder / "blurred_image" / "p_0a1b2c3d.jpg").unlink()

    with pytest.raises(ValueError, match=r"p_0a1b2c3d\.png: has no picture in .*blurred_image"):
        P3M10k(tmp_path, "train")


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = write_p3m(tmp_path, "train")
    save(folder / "blurred_image" / "p_0a1b2c3d.png", photo())

    with pytest.raises(ValueError, match=r"p_0a1b2c3d\.jpg has the same name; keep one"):
        P3M10k(tmp_path, "train")


def test_leftovers_of_archives_are_passed_over(tmp_path: Path) -> None:
    folder = write_p3m(tmp_path, "train")
    (folder / "mask" / "._p_0a1b2c3d.png").write_bytes(b"")
    (folder / "mask" / "Thumbs.db").write_bytes(b"")

    assert len(P3M10k(tmp_path, "train")) == 2


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    folder = write_p3m(tmp_path, "train")
    save(folder / "mask" / "p_0a1b2c3d.png", matte(height=40))

    with pytest.raises(ValueError, match=r"p_0a1b2c3d: the maps differ in size .* alpha 40 x 24"):
        P3M10k(tmp_path, "train")[0]


def test_a_cut_off_picture_is_named(tmp_path: Path) -> None:
    path = write_p3m(tmp_path, "train") / "blurred_image" / "p_4e5f6071.jpg"
    path.write_bytes(path.read_bytes()[:400])

    with pytest.raises(ValueError, match="p_4e5f6071: image: not a readable picture"):
        P3M10k(tmp_path, "train")[1]


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    folder = write_p3m(tmp_path, "train")
    source = P3M10k(tmp_path, "train")
    (folder / "mask" / "p_0a1b2c3d.png").unlink()

    with pytest.raises(ValueError, match=r"p_0a1b2c3d\.png: missing"):
        source[0]


def test_an_unknown_split_is_told_the_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="out of train, P3M-500-P, P3M-500-NP, got 'test'"):
        P3M10k(tmp_path, "test")


def test_a_root_without_the_split_is_told_where_it_should_be(tmp_path: Path) -> None:
    write_p3m(tmp_path, "P3M-500-P")

    with pytest.raises(
        ValueError, match="expected validation/P3M-500-NP or P3M-500-NP with original_"
    ):
        P3M10k(tmp_path, "P3M-500-NP")


def test_a_source_travels_to_other_processes(tmp_path: Path) -> None:
    write_p3m(tmp_path, "P3M-500-P")
    source = P3M10k(tmp_path, "P3M-500-P")

    assert pickle.loads(pickle.dumps(source)).row(1) == source.row(1)


def test_the_check_counts_and_names_what_is_missing(tmp_path: Path) -> None:
    write_p3m(tmp_path, "P3M-500-P")

    report = next(iter(check_dataset("p3m-10k", tmp_path, "P3M-500-P")))

    assert report.problems == ["expected 500 samples, found 2: some are missing"]
    assert report.checked == 2
