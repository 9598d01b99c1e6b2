import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from scan_layouts import (
    HEIGHT,
    HI4D_BALL,
    HI4D_DISTORTION,
    HI4D_INTRINSICS,
    WIDTH,
    ball,
    hi4d_extrinsics,
    picture_bytes,
    write_hi4d,
)

from david_hf.data.check import check_dataset, check_sample
from david_hf.data.sources.hi4d import Hi4D
from david_hf.data.sources.registry import open_source


def test_frames_are_those_of_the_evaluated_pairs_in_order(tmp_path: Path) -> None:
    write_hi4d(tmp_path, 28, "talk", (12, 11))
    write_hi4d(tmp_path, 28, "backhug", (130,))
    write_hi4d(tmp_path, 32, "dance", (7,))
    write_hi4d(tmp_path, 10, "dance", (7,))

    source = open_source("hi4d", tmp_path)

    assert [source.row(i)["id"] for i in range(len(source))] == [
        "pair28/backhug28/000130",
        "pair28/talk28/000011",
        "pair28/talk28/000012",
        "pair32/dance32/000007",
    ]


@pytest.mark.parametrize("key", ["intirnsics", "intrinsics"])
def test_labels_are_what_the_distorted_camera_sees_of_the_mesh(tmp_path: Path, key: str) -> None:
    write_hi4d(tmp_path, key=key)
    (x, y, z), radii = HI4D_BALL
    extrinsics = hi4d_extrinsics()
    rotation, translation = extrinsics[:, :3], extrinsics[:, 3]
    front = rotation @ [x, y, z - radii[2]] + translation  # the point at its front, in the camera

    sample = Hi4D(tmp_path)[0]

    # OpenCV says where that point is seen.
    (seen,), _ = cv2.projectPoints(
        np.array([[x, y, z - radii[2]]]),
        cv2.Rodrigues(rotation)[0],
        translation,
        HI4D_INTRINSICS,
        HI4D_DISTORTION,
    )
    column, row = np.round(seen[0]).astype(int)
    assert sample.depth_m is not None
    assert sample.normals is not None
    assert sample.size == (HEIGHT, WIDTH)
    assert sample.valid[row, column]
    assert sample.depth_m[row, column] == pytest.approx(front[2], abs=0.02)
    outwards = rotation @ [0, 0, -1.0] * [1, -1, -1]
    np.testing.assert_allclose(sample.normals[row, column], outwards, atol=0.1)
    assert 0.05 < sample.valid.mean() < 0.6


def test_the_outline_is_where_opencv_projects_the_vertices(tmp_path: Path) -> None:
    write_hi4d(tmp_path)
    extrinsics = hi4d_extrinsics()

    sample = Hi4D(tmp_path)[0]

    seen, _ = cv2.projectPoints(
        ball(*HI4D_BALL)[0],
        cv2.Rodrigues(extrinsics[:, :3])[0],
        extrinsics[:, 3],
        HI4D_INTRINSICS,
        HI4D_DISTORTION,
    )
    low, high = seen.reshape(-1, 2).min(0), seen.reshape(-1, 2).max(0)
    rows, columns = np.nonzero(sample.valid)
    # Pixel centres count from zero, as OpenCV has it.
    assert columns.min() - 1 <= low[0] <= columns.min()
    assert columns.max() <= high[0] <= columns.max() + 1
    assert rows.min() - 1 <= low[1] <= rows.min()
    assert rows.max() <= high[1] <= rows.max() + 1


def test_a_sample_has_the_principal_point_half_a_pixel_further(tmp_path: Path) -> None:
    write_hi4d(tmp_path)

    intrinsics = Hi4D(tmp_path)[0].intrinsics

    expected = HI4D_INTRINSICS + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    np.testing.assert_allclose(intrinsics, expected)


def test_pictures_are_passed_on_byte_for_byte(tmp_path: Path) -> None:
    folder = write_hi4d(tmp_path)

    row = Hi4D(tmp_path).row(0)

    assert row["image"]["bytes"] == (folder / "images" / "4" / "000011.jpg").read_bytes()
    assert row["source"] == "hi4d"


def test_frames_without_a_picture_or_a_mesh_are_left_out(tmp_path: Path) -> None:
    folder = write_hi4d(tmp_path, frames=(11, 12, 13))
    (folder / "images" / "4" / "000012.jpg").unlink()
    (folder / "frames" / "mesh-f00013.obj").unlink()

    source = Hi4D(tmp_path)

    assert [source.row(i)["id"] for i in range(len(source))] == ["pair28/talk28/000011"]


def test_another_camera_and_other_pairs_can_be_asked_for(tmp_path: Path) -> None:
    write_hi4d(tmp_path, pair=10, frames=(3,))

    near = Hi4D(tmp_path, pairs=[10])[0]
    far = Hi4D(tmp_path, pairs=[10], camera=16)

    assert near.valid.any()
    assert len(far) == 1
    assert far.row(0)["depth"] != Hi4D(tmp_path, pairs=[10]).row(0)["depth"]


def test_actions_may_lie_one_folder_deeper(tmp_path: Path) -> None:
    write_hi4d(tmp_path / "pair28", frames=(11,))

    assert Hi4D(tmp_path).row(0)["id"] == "pair28/pair28/talk28/000011"


def test_pictures_can_be_made_smaller_with_their_cameras(tmp_path: Path) -> None:
    write_hi4d(tmp_path)

    small, full = Hi4D(tmp_path, max_side=16)[0], Hi4D(tmp_path)[0]

    assert small.size == (16, 12)
    assert small.image.shape == (16, 12, 3)
    assert small.intrinsics is not None
    assert full.intrinsics is not None
    np.testing.assert_allclose(small.intrinsics[:2], full.intrinsics[:2] / 2)
    assert small.alpha is not None
    assert full.alpha is not None
    blocks = full.alpha.reshape(16, 2, 12, 2).mean((1, 3))
    np.testing.assert_allclose(small.alpha, blocks, atol=0.25)
    assert np.abs(small.alpha - blocks).mean() < 0.01


def test_the_check_tells_that_frames_are_missing(tmp_path: Path) -> None:
    write_hi4d(tmp_path)

    (report,) = check_dataset("hi4d", tmp_path)

    assert report.problems == ["expected 1,195 samples, found 2: some are missing"]
    assert report.checked == 2


def test_no_frames_at_all_say_what_is_expected_and_where_to_get_it(tmp_path: Path) -> None:
    write_hi4d(tmp_path, pair=10)

    with pytest.raises(ValueError, match=r"expected frames of pair28, pair32.*hi4d\.ait\.ethz\.ch"):
        Hi4D(tmp_path)


def test_another_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hi4d: expected a split out of test, got 'train'"):
        Hi4D(tmp_path, "train")


def test_damage_names_the_file(tmp_path: Path) -> None:
    folder = write_hi4d(tmp_path, frames=(11, 12, 13))
    (folder / "frames" / "mesh-f00011.obj").write_bytes(b"v 1 2\n")
    (folder / "images" / "4" / "000012.jpg").write_bytes(b"no picture")
    (folder / "images" / "4" / "000013.jpg").write_bytes(
        picture_bytes(HEIGHT, WIDTH, "JPEG")[:-200]
    )
    source = Hi4D(tmp_path)

    problems = [check_sample(source, i)[0] for i in range(3)]

    assert "mesh-f00011.obj: not a readable OBJ" in problems[0]
    assert "000012.jpg: not a readable picture" in problems[1]
    assert "sample pair28/talk28/000013: image: not a readable picture" in problems[2]


def test_a_calibration_with_pickles_or_without_the_camera_is_refused(tmp_path: Path) -> None:
    folder = write_hi4d(tmp_path)
    cameras = folder / "cameras" / "rgb_cameras.npz"
    other = Hi4D(tmp_path, camera=16)
    with np.load(cameras) as file:
        contents = dict(file)

    np.savez(cameras, **contents | {"ids": contents["ids"] + 1})
    with pytest.raises(ValueError, match=r"expected a camera out of \[5, 17.*got 16"):
        other.row(0)
    np.savez(cameras, **contents | {"ids": np.array([{"camera": 4}], object)})
    with pytest.raises(ValueError, match=re.escape("rgb_cameras.npz: expected ids, intirnsics")):
        other.row(0)
    np.savez(cameras, ids=contents["ids"])
    with pytest.raises(ValueError, match=re.escape("rgb_cameras.npz: expected ids, intirnsics")):
        other.row(0)


def test_a_source_pickles(tmp_path: Path) -> None:
    write_hi4d(tmp_path)
    source = Hi4D(tmp_path)

    assert pickle.loads(pickle.dumps(source)).row(1) == source.row(1)
