import json
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from figures import DISTANCE_M, FOCAL_PX, HEIGHT, WIDTH, half_sphere, write_person

from david_hf.data.sources.synthhuman import MAX_OPEN_ARCHIVES, GeneratedHumans, SynthHuman
from david_hf.synthetic.rendering.sample_files import write_exr


def test_a_sample_has_metres_unit_normals_and_a_mask(tmp_path: Path) -> None:
    write_person(tmp_path, 7)
    alpha, depth_m, normals = half_sphere()

    sample = SynthHuman(tmp_path)[0]

    assert sample.identifier == "0000007"
    assert sample.image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(sample.valid, alpha > 0)
    np.testing.assert_allclose(sample.depth_m[sample.valid], depth_m[alpha > 0], atol=2e-3)
    np.testing.assert_allclose(sample.normals[sample.valid], normals[alpha > 0], atol=2e-3)
    assert sample.depth_m[~sample.valid].max() == 0
    assert sample.depth_m[sample.valid].max() <= DISTANCE_M + 1e-3
    assert sample.intrinsics[1, 1] == FOCAL_PX


def test_x_of_the_normals_grows_to_the_right_and_y_upwards(tmp_path: Path) -> None:
    write_person(tmp_path, 0)

    normals = SynthHuman(tmp_path)[0].normals

    assert normals[22, 26, 0] > 0.5 > -0.5 > normals[22, 9, 0]
    assert normals[14, 18, 1] > 0.5 > -0.5 > normals[30, 18, 1]


def test_a_file_with_xyz_in_rgb_order_is_refused(tmp_path: Path) -> None:
    write_person(tmp_path, 0)
    x, y, z = np.moveaxis(half_sphere()[2], -1, 0)
    write_exr(tmp_path / "normal_0000000.exr", R=x, G=y, B=z)

    with pytest.raises(ValueError, match="Z > 0 on average"):
        SynthHuman(tmp_path)[0]


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected SynthHuman files .*david synthesize"):
        SynthHuman(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_person(tmp_path, 3)
    (tmp_path / "depth_0000003.exr").unlink()

    with pytest.raises(ValueError, match=re.escape("depth_0000003.exr: missing")):
        SynthHuman(tmp_path)[0]


def test_maps_of_different_sizes_are_refused(tmp_path: Path) -> None:
    write_person(tmp_path, 0)
    write_exr(tmp_path / "depth_0000000.exr", Y=np.ones((5, 5)))

    with pytest.raises(ValueError, match=r"differ in size .*depth 5 x 5"):
        SynthHuman(tmp_path)[0]


@pytest.mark.parametrize("kind", ["rgb", "alpha", "depth", "normal"])
def test_a_damaged_file_is_named(tmp_path: Path, kind: str) -> None:
    write_person(tmp_path, 0)
    (path,) = tmp_path.glob(f"{kind}_*")
    path.write_bytes(path.read_bytes()[:60])
    part = {"rgb": "image", "normal": "normals"}.get(kind, kind)

    with pytest.raises(ValueError, match=rf"sample 0000000: {part}: not a"):
        SynthHuman(tmp_path)[0]


def test_intrinsics_that_are_no_matrix_are_refused(tmp_path: Path) -> None:
    write_person(tmp_path, 0)
    (tmp_path / "cam_0000000.txt").write_text("1 2 3")

    with pytest.raises(ValueError, match=r"cam_0000000\.txt: expected a 3x3 matrix, got '1 2 3'"):
        SynthHuman(tmp_path)[0]


def zip_of(folder: Path, path: Path, prefix: str = "") -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{prefix}{file.name}")


def test_zip_archives_are_read_without_unpacking(tmp_path: Path) -> None:
    for index in range(6):
        write_person(tmp_path / f"part{index // 2}", index, with_foreground=False)
    archives = tmp_path / "archives"
    archives.mkdir()
    zip_of(tmp_path / "part0", archives / "SynthHuman_0000.zip")
    zip_of(tmp_path / "part1", archives / "SynthHuman_0001.zip", "SynthHuman/")
    for file in (tmp_path / "part2").iterdir():
        file.rename(archives / file.name)  # a folder may hold both

    zipped = SynthHuman(archives)

    assert zipped.indices.tolist() == list(range(6))
    for index in (0, 3):
        plain = SynthHuman(tmp_path / f"part{index // 2}")
        assert zipped.row(index) == plain.row(index % 2)
    before = sorted(path.name for path in archives.iterdir())
    again = pickle.loads(pickle.dumps(zipped))
    assert again.row(5) == zipped.row(5)
    assert again.row(1) == zipped.row(1)
    assert sorted(path.name for path in archives.iterdir()) == before


def test_many_archives_are_not_all_kept_open(tmp_path: Path) -> None:
    for index in range(12):
        write_person(tmp_path / "person", index, with_foreground=False)
        zip_of(tmp_path / "person", tmp_path / f"part{index:02d}.zip")
        shutil.rmtree(tmp_path / "person")
    source = SynthHuman(tmp_path)

    rows = [source.row(position) for position in [*range(12), 0]]

    assert rows[0] == rows[-1]
    assert sum(tree._opened is not None for tree in source._trees[1:]) <= MAX_OPEN_ARCHIVES


def test_a_sample_that_is_unpacked_and_in_archives_counts_once(tmp_path: Path) -> None:
    write_person(tmp_path / "person", 4)
    zip_of(tmp_path / "person", tmp_path / "a.zip")
    zip_of(tmp_path / "person", tmp_path / "b.zip")
    unpacked = SynthHuman(tmp_path / "person").row(0)
    (tmp_path / "a.zip").rename(tmp_path / "person/a.zip")
    (tmp_path / "b.zip").rename(tmp_path / "person/b.zip")

    people = SynthHuman(tmp_path / "person")
    (tmp_path / "person/a.zip").write_bytes(b"PK\5\6" + bytes(18))  # an archive of nothing

    assert people.indices.tolist() == [4]
    assert people.row(0) == unpacked


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    write_person(tmp_path / "person", 0)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (tmp_path / "person").iterdir():
            archive.write(file, file.name)
        start = archive.getinfo("depth_0000000.exr").header_offset + 60
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[start : start + 20] = bytes(range(20))
    (tmp_path / "a.zip").write_bytes(data)

    with pytest.raises(ValueError, match=r"member depth_0000000\.exr cannot be read"):
        SynthHuman(tmp_path).row(0)


def test_a_file_that_is_no_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "SynthHuman_0000.zip").write_bytes(b"<html>not found</html>")

    with pytest.raises(ValueError, match=r"SynthHuman_0000\.zip: not a readable zip archive"):
        SynthHuman(tmp_path)


def test_a_member_that_would_unpack_to_much_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_person(tmp_path / "person", 0)
    zip_of(tmp_path / "person", tmp_path / "a.zip")
    monkeypatch.setattr("david_hf.data.sources.archives.MAX_MEMBER_BYTES", 100)

    with pytest.raises(ValueError, match=r"rgb_0000000\.png would unpack to"):
        SynthHuman(tmp_path).row(0)


def test_the_split_is_disjoint_complete_and_stable_when_samples_are_added(tmp_path: Path) -> None:
    for index in range(400):
        (tmp_path / f"cam_{index:07d}.txt").touch()
    validation = set(SynthHuman(tmp_path, "validation").indices.tolist())
    train = set(SynthHuman(tmp_path, "train").indices.tolist())
    (tmp_path / "cam_0009999.txt").touch()

    assert validation | train == set(range(400))
    assert not validation & train
    assert 8 <= len(validation) <= 36
    assert validation <= set(SynthHuman(tmp_path, "validation").indices.tolist())
    with pytest.raises(ValueError, match="train, validation, all, got 'test'"):
        SynthHuman(tmp_path, "test")


def test_each_official_category_is_split_alike(tmp_path: Path) -> None:
    for first in (0, 98_040, 198_016):
        for index in range(first, first + 1000):
            (tmp_path / f"cam_{index:07d}.txt").touch()

    held_out = SynthHuman(tmp_path, "validation").categories()

    assert set(held_out) == {"face", "full_body", "upper_body"}
    assert all(30 <= count <= 70 for count in held_out.values())


def test_our_own_samples_say_their_category(tmp_path: Path) -> None:
    write_person(tmp_path, 0)
    (tmp_path / "factors_0000000.json").write_text('{"category": "upper_body"}')
    write_person(tmp_path, 1)

    assert GeneratedHumans(tmp_path, "all")[0].category == "upper_body"
    assert GeneratedHumans(tmp_path, "all").row(0)["source"] == "generated"
    assert SynthHuman(tmp_path)[1].category == "face"


def test_positions_are_those_of_a_sequence(tmp_path: Path) -> None:
    for index in (2, 5, 9):
        write_person(tmp_path, index)
    people = SynthHuman(tmp_path)

    assert [sample.identifier for sample in people] == ["0000002", "0000005", "0000009"]
    assert people[-1].identifier == "0000009"
    assert [sample.identifier for sample in people[1:]] == ["0000005", "0000009"]
    with pytest.raises(IndexError, match="position 3 of 3"):
        people[3]


def test_samples_of_some_categories(tmp_path: Path) -> None:
    for index, category in ((1, "face"), (2, "upper_body"), (3, "face"), (100_000, "")):
        write_person(tmp_path, index)
        if category:  # ours; without factors, the index of the official data set says it
            factors = json.dumps({"category": category})
            (tmp_path / f"factors_{index:07d}.json").write_text(factors)

    faces = SynthHuman(tmp_path, categories=["face"])
    bodies = SynthHuman(tmp_path, categories=["upper_body", "full_body"])

    assert faces.indices.tolist() == [1, 3]
    assert [sample.category for sample in faces] == ["face", "face"]
    assert faces[1].identifier == "0000003"
    assert bodies.indices.tolist() == [2, 100_000]
    with pytest.raises(ValueError, match="expected a list out of face, full_body, upper_body"):
        SynthHuman(tmp_path, categories=["head"])
    with pytest.raises(ValueError, match="expected a list out of face, full_body, upper_body"):
        SynthHuman(tmp_path, categories="face")
    (tmp_path / "cam_0100000.txt").unlink()
    with pytest.raises(ValueError, match="all has no sample of full_body"):
        SynthHuman(tmp_path, categories=["full_body"])
