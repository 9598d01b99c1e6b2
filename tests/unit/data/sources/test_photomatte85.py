import hashlib
from pathlib import Path

import numpy as np
import pytest
from layouts import HEIGHT, WIDTH, matte, photo, save, write_backgrounds, write_cut_outs

from david_hf.data.check import check_dataset
from david_hf.data.sources.photomatte85 import PhotoMatte85, compose
from david_hf.data.trimaps import make_trimap

NOBODY = (0, 0)  # a pixel where alpha is 0


def photomatte(root: Path, layout: str = "", backgrounds: int = 3, **options: int) -> PhotoMatte85:
    write_cut_outs(root / "set" / layout)
    write_backgrounds(root / "backgrounds", backgrounds)
    return PhotoMatte85(root / "set", backgrounds=root / "backgrounds", **options)


def greys_behind(source: PhotoMatte85) -> list[int]:
    return [round(float(sample.image[NOBODY][0]) * 255) for sample in source]


@pytest.mark.parametrize("layout", ["", "rgba_image", "PhotoMatte85", "PhotoMatte85/rgba_image"])
def test_every_published_layout_is_read(tmp_path: Path, layout: str) -> None:
    source = photomatte(tmp_path, layout)

    assert [sample.identifier[-4:] for sample in source] == ["0000", "0001", "0002"]
    np.testing.assert_array_equal(source[2].alpha, matte() / np.float32(255))


def test_opaque_and_clear_pixels_are_those_of_person_and_background(tmp_path: Path) -> None:
    source = photomatte(tmp_path)

    image = np.rint(source[1].image * 255)

    assert (image[matte() == 255] == 100).all()
    assert (image[matte() == 0] == 40).all()


def test_the_composite_is_cut_not_rounded() -> None:
    colour = np.full((1, 1, 3), 200 / 255, np.float32)
    background = np.full((1, 1, 3), 50, np.uint8)

    image = compose(colour, np.array([[100]], np.uint8), background)

    # 200 * 100/255 + 50 * 155/255 = 108.82
    assert image.dtype == np.uint8
    assert image.tolist() == [[[108, 108, 108]]]


def test_the_left_part_of_the_background_is_seen() -> None:
    background = np.full((20, 30, 3), 200, np.uint8)
    background[:, :15] = 10  # 20 * 24 / 32
    clear = np.zeros((HEIGHT, WIDTH), np.uint8)

    image = compose(np.zeros((HEIGHT, WIDTH, 3), np.float32), clear, background)

    assert (image == 10).all()


def test_a_background_too_narrow_is_stretched() -> None:
    background = np.full((20, 4, 3), 10, np.uint8)
    background[:, 2:] = 200
    clear = np.zeros((HEIGHT, WIDTH), np.uint8)

    image = compose(np.zeros((HEIGHT, WIDTH, 3), np.float32), clear, background)

    assert (image[:, 0] == 10).all()
    assert (image[:, -1] == 200).all()


def test_the_background_is_resized_between_centres_of_pixels() -> None:
    background = np.zeros((2, 2, 3), np.uint8)
    background[:, 1] = 100

    image = compose(np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), background)

    np.testing.assert_array_equal(image[..., 0], np.tile([0, 25, 75, 100], (4, 1)))


def test_backgrounds_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    assert greys_behind(photomatte(tmp_path)) == [20, 40, 60]


def test_too_few_backgrounds_start_over(tmp_path: Path) -> None:
    assert greys_behind(photomatte(tmp_path, backgrounds=2)) == [20, 40, 20]


def test_a_seed_shuffles_the_backgrounds(tmp_path: Path) -> None:
    source = photomatte(tmp_path, backgrounds=8, seed=3)

    order = np.random.default_rng(3).permutation(8)

    assert greys_behind(source) == [20 * (number + 1) for number in order[:3]]
    assert [path.name for path in source.backgrounds] == [f"background_{i}.png" for i in order[:3]]


def test_the_digest_tells_names_contents_and_order_of_what_is_used(tmp_path: Path) -> None:
    source = photomatte(tmp_path, backgrounds=5)
    lines = [
        f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in sorted((tmp_path / "backgrounds").iterdir())[:3]
    ]

    assert source.backgrounds_sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert photomatte(tmp_path, backgrounds=5, seed=1).backgrounds_sha256 != (
        source.backgrounds_sha256
    )


def test_the_last_position_is_the_same_counted_from_either_end(tmp_path: Path) -> None:
    source = photomatte(tmp_path, backgrounds=2)

    assert source.row(-1) == source.row(2)


def test_a_trimap_on_disk_comes_first(tmp_path: Path) -> None:
    source = photomatte(tmp_path, "rgba_image")
    trimap = np.full((HEIGHT, WIDTH), 128, np.uint8)
    save(tmp_path / "set" / "trimap" / "0051115Q_000001_0001.png", trimap)

    np.testing.assert_array_equal(source.trimap(1), trimap)


def test_a_missing_trimap_is_made_from_alpha(tmp_path: Path) -> None:
    source = photomatte(tmp_path)
    alpha = source[0].alpha

    assert alpha is not None
    np.testing.assert_array_equal(source.trimap(0), make_trimap(alpha))


def test_without_backgrounds_the_error_says_what_to_do(tmp_path: Path) -> None:
    write_cut_outs(tmp_path)

    with pytest.raises(ValueError, match=r"`backgrounds`, a folder .* --option backgrounds=FOLDER"):
        PhotoMatte85(tmp_path)


def test_an_empty_folder_of_backgrounds_is_refused(tmp_path: Path) -> None:
    write_cut_outs(tmp_path / "set")
    (tmp_path / "backgrounds").mkdir()

    with pytest.raises(ValueError, match="backgrounds: expected pictures, found none"):
        PhotoMatte85(tmp_path / "set", backgrounds=tmp_path / "backgrounds")


def test_a_picture_without_alpha_is_named(tmp_path: Path) -> None:
    source = photomatte(tmp_path)
    save(tmp_path / "set" / "0051115Q_000001_0000.png", photo())

    with pytest.raises(ValueError, match=r"_0000\.png: expected a picture with alpha .* got RGB"):
        source[0]


def test_a_cut_off_picture_is_named(tmp_path: Path) -> None:
    source = photomatte(tmp_path)
    path = tmp_path / "set" / "0051115Q_000001_0000.png"
    path.write_bytes(path.read_bytes()[:60])

    with pytest.raises(ValueError, match=r"_0000\.png: not a readable picture"):
        source[0]


def test_a_damaged_background_is_named(tmp_path: Path) -> None:
    source = photomatte(tmp_path)
    (tmp_path / "backgrounds" / "background_1.png").write_bytes(b"no picture")

    with pytest.raises(ValueError, match=r"background_1\.png: not an image"):
        source[1]


def test_a_background_is_turned_upright(tmp_path: Path) -> None:
    from PIL import Image

    write_cut_outs(tmp_path / "set", 1)
    stored = np.zeros((20, 30, 3), np.uint8)
    stored[10:] = 255  # the lower half as stored, the left one when turned clockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "backgrounds" / "turned.png", stored, exif=exif)

    source = PhotoMatte85(tmp_path / "set", backgrounds=tmp_path / "backgrounds")

    assert round(float(source[0].image[NOBODY][0]) * 255) == 255


def test_a_folder_without_cut_outs_is_refused(tmp_path: Path) -> None:
    write_backgrounds(tmp_path / "backgrounds")

    with pytest.raises(ValueError, match=r"expected files \(\.png\), found none"):
        PhotoMatte85(tmp_path, backgrounds=tmp_path / "backgrounds")


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a split out of test, got 'train'"):
        PhotoMatte85(tmp_path, "train", backgrounds=tmp_path)


def test_the_check_takes_backgrounds(tmp_path: Path) -> None:
    photomatte(tmp_path)

    [without] = check_dataset("photomatte85", tmp_path / "set")
    [with_them] = check_dataset(
        "photomatte85", tmp_path / "set", backgrounds=tmp_path / "backgrounds"
    )

    assert "--option backgrounds=FOLDER" in without.problems[0]
    assert with_them.problems == ["expected 85 samples, found 3: some are missing"]
    assert with_them.checked == 3


def test_the_check_refuses_options_of_other_data_sets(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ppm-100: takes no option backgrounds"):
        check_dataset("ppm-100", tmp_path, backgrounds=tmp_path)
