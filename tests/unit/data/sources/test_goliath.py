import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scan_layouts import (
    GOLIATH_DISTANCE_MM,
    GOLIATH_INTRINSICS,
    GOLIATH_RADIUS_MM,
    NARROW,
    TALL,
    goliath_pose,
    write_goliath_capture,
)

from david_hf.data.check import check_dataset, check_sample
from david_hf.data.sources.goliath import CAMERAS, FRAMES, GOLIATH, SUBJECTS, Goliath

HEAD = "m--20230306--0707--AXE977--pilot--ProjectGoliath--Head"
BODY = "s--20230306--1300--AXE977--pilot--ProjectGoliath--ClothedBody"
FACE_CAMERAS = (401650, 401645)


def write_head(root: Path, **options: object) -> Path:
    frames = FRAMES["face"]["AXE977"]
    return write_goliath_capture(root, HEAD, frames, FACE_CAMERAS, **options)  # type: ignore[arg-type]


def test_the_table_has_the_numbers_of_the_paper() -> None:
    for split in Goliath.splits:
        assert len(set(CAMERAS[split])) == 12
        for subject in SUBJECTS:
            frames = FRAMES[split][subject]
            assert len(set(frames)) == 16
            assert list(frames) == sorted(frames)
    full = dict.fromkeys(Goliath.splits, 12 * 4 * 16)
    assert full | GOLIATH.counts == {"face": 768 - 32, "upper_body": 768, "full_body": 768}


def test_samples_go_by_subject_frame_and_camera(tmp_path: Path) -> None:
    write_head(tmp_path)

    source = Goliath(tmp_path, "face")

    assert len(source) == 32
    ids = [source.row(i)["id"] for i in (0, 1, 2, 31)]
    assert ids == [
        "AXE977/401650/002858",
        "AXE977/401645/002858",
        "AXE977/401650/013148",
        "AXE977/401645/140317",
    ]


@pytest.mark.parametrize(("split", "camera"), [("upper_body", 401541), ("full_body", 401156)])
def test_upper_and_full_bodies_are_of_one_capture(tmp_path: Path, split: str, camera: int) -> None:
    cameras = (401541, 401156)
    write_goliath_capture(tmp_path, BODY, FRAMES["full_body"]["AXE977"], cameras)

    source = Goliath(tmp_path, split)

    assert len(source) == 16
    assert source.row(0)["id"] == f"AXE977/{camera}/000202"
    assert source.row(0)["category"] == split


def test_labels_are_metres_in_the_frame_of_the_transposed_camera(tmp_path: Path) -> None:
    write_head(tmp_path)
    scale = TALL / 4096
    # In the camera, the world's origin is at the translation; (0, 0) is the first pixel's centre.
    centre = goliath_pose()[:3, 3]
    column, row = (GOLIATH_INTRINSICS @ centre / centre[2])[:2] * scale

    sample = Goliath(tmp_path, "face")[0]

    assert sample.depth_m is not None
    assert sample.normals is not None
    assert sample.size == (TALL, NARROW)
    middle = int(row), int(column)
    nearest = (GOLIATH_DISTANCE_MM - GOLIATH_RADIUS_MM) / 1000
    assert sample.depth_m[middle] == pytest.approx(nearest, abs=0.01)
    np.testing.assert_allclose(sample.normals[middle], [0, 0, 1], atol=0.15)
    rows, columns = np.nonzero(sample.valid)
    assert rows.mean() == pytest.approx(row, abs=0.6)
    assert columns.mean() == pytest.approx(column, abs=0.6)
    assert check_sample(Goliath(tmp_path, "face"), 0, GOLIATH.labels) == []


@pytest.mark.parametrize("size", [(TALL, NARROW), (2 * TALL, 2 * NARROW)])
def test_the_matrix_is_scaled_from_the_sensor_to_the_picture(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    write_head(tmp_path, size=size)

    intrinsics = Goliath(tmp_path, "face")[0].intrinsics

    with_corner = GOLIATH_INTRINSICS + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    scale = np.array([[size[1] / 2668], [size[0] / 4096], [1]])
    np.testing.assert_allclose(intrinsics, with_corner * scale, rtol=1e-9)


def test_another_shape_of_pictures_is_refused(tmp_path: Path) -> None:
    write_head(tmp_path, size=(NARROW, TALL))

    with pytest.raises(ValueError, match=r"expected pictures of 4096 x 2668 .* got 30 x 46"):
        Goliath(tmp_path, "face").row(0)


def test_files_in_metres_are_noticed(tmp_path: Path) -> None:
    write_head(tmp_path, metres=True)

    (problem,) = check_sample(Goliath(tmp_path, "face"), 0, GOLIATH.labels)

    assert "another unit" in problem


def test_avif_is_decoded_and_passed_on_byte_for_byte(tmp_path: Path) -> None:
    folder = write_head(tmp_path)
    with zipfile.ZipFile(folder / "image" / "cam401650.zip") as archive:
        content = archive.read("cam401650/002858.avif")
    source = Goliath(tmp_path, "face")

    assert source.row(0)["image"]["bytes"] == content
    assert content[4:12] == b"ftypavif"
    assert source[0].image.std() > 0.1


def test_a_camera_without_pictures_is_left_out_and_counted(tmp_path: Path) -> None:
    folder = write_head(tmp_path)
    (folder / "image" / "cam401645.zip").unlink()

    report = check_dataset("goliath", tmp_path, "face", limit=1)[0]

    assert report.found == 16
    assert report.problems == ["expected 736 samples, found 16: some are missing"]


def test_pictures_can_be_made_smaller_with_their_cameras(tmp_path: Path) -> None:
    write_head(tmp_path)

    small, full = Goliath(tmp_path, "face", max_side=23)[0], Goliath(tmp_path, "face")[0]

    assert small.size == (23, 15)
    assert small.image.shape == (23, 15, 3)
    assert small.intrinsics is not None
    assert full.intrinsics is not None
    np.testing.assert_allclose(small.intrinsics[:2], full.intrinsics[:2] / 2)
    assert small.depth_m is not None
    assert full.depth_m is not None
    near = small.depth_m[small.valid].min(), full.depth_m[full.valid].min()
    assert near[0] == pytest.approx(near[1], abs=0.02)


@pytest.mark.parametrize("split", Goliath.splits)
def test_no_capture_at_all_says_what_is_expected(tmp_path: Path, split: str) -> None:
    with pytest.raises(ValueError, match=r"expected captures .*cam40.*facebookresearch/goliath"):
        Goliath(tmp_path, split)


def test_two_captures_of_a_subject_are_refused(tmp_path: Path) -> None:
    write_head(tmp_path)
    write_goliath_capture(tmp_path, HEAD.replace("0707", "0808"), (2858,), FACE_CAMERAS)

    with pytest.raises(ValueError, match="expected one capture of AXE977, found m--"):
        Goliath(tmp_path, "face")


def test_another_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a split out of face, upper_body, full_body"):
        Goliath(tmp_path, "test")


def test_damage_names_the_archive_and_the_member(tmp_path: Path) -> None:
    folder = write_head(tmp_path)
    with zipfile.ZipFile(folder / "scan_mesh" / "scan_mesh.zip") as archive:
        scan = archive.read("002858.ply")
    with zipfile.ZipFile(folder / "scan_mesh" / "scan_mesh.zip", "w") as archive:
        archive.writestr("002858.ply", scan[:-7])
    with zipfile.ZipFile(folder / "image" / "cam401645.zip", "w") as archive:
        archive.writestr("cam401645/002858.avif", b"no picture")
    source = Goliath(tmp_path, "face")

    problems = [check_sample(source, i)[0] for i in range(3)]

    assert "scan_mesh.zip: member 002858.ply: not a readable PLY file" in problems[0]
    assert "cam401645.zip: 002858.avif: not a readable picture" in problems[1]
    assert "scan_mesh.zip: expected a member 013148.ply" in problems[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", 'expected a list "KRT" of cameras'),
        ("{}", 'expected a list "KRT" of cameras'),
        ('{"KRT": []}', "expected camera 401650"),
        ('{"KRT": [{"cameraId": 401650}]}', "camera 401650: KeyError"),
        ('{"KRT": [{"cameraId": 401650, "K": [[1]], "T": [[1]]}]}', "camera 401650: "),
    ],
)
def test_a_damaged_calibration_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    folder = write_head(tmp_path)
    (folder / "camera_calibration.json").write_text(text)

    with pytest.raises(ValueError, match=rf"camera_calibration\.json: {message}"):
        Goliath(tmp_path, "face").row(0)


@pytest.mark.parametrize(
    ("name", "message"), [("T", "expected a transposed pose"), ("K", "are they transposed")]
)
def test_a_matrix_that_was_not_transposed_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    folder = write_head(tmp_path)
    path = folder / "camera_calibration.json"
    krt = json.loads(path.read_text())["KRT"]
    for entry in krt:
        entry[name] = np.array(entry[name]).T.tolist()
    path.write_text(json.dumps({"KRT": krt}))

    with pytest.raises(ValueError, match=f"camera 401650: .*{message}"):
        Goliath(tmp_path, "face").row(0)


def test_a_source_pickles(tmp_path: Path) -> None:
    write_head(tmp_path)
    source = Goliath(tmp_path, "face")

    assert pickle.loads(pickle.dumps(source)).row(1) == source.row(1)
