import re
from pathlib import Path

import numpy as np
import pytest
from figures import DISTANCE_M, FOCAL_PX, HEIGHT, WIDTH, half_sphere, write_person

from david_hf.data.synthhuman import SynthHumanFolder
from david_hf.synthetic.rendering.sample_files import write_exr


def test_a_sample_has_metres_unit_normals_and_a_mask(tmp_path: Path) -> None:
    write_person(tmp_path, 7)
    alpha, depth_m, normals = half_sphere()

    sample = SynthHumanFolder(tmp_path)[0]

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

    normals = SynthHumanFolder(tmp_path)[0].normals

    assert normals[22, 26, 0] > 0.5 > -0.5 > normals[22, 9, 0]
    assert normals[14, 18, 1] > 0.5 > -0.5 > normals[30, 18, 1]


def test_a_file_with_xyz_in_rgb_order_is_refused(tmp_path: Path) -> None:
    write_person(tmp_path, 0)
    x, y, z = np.moveaxis(half_sphere()[2], -1, 0)
    write_exr(tmp_path / "normal_0000000.exr", R=x, G=y, B=z)

    with pytest.raises(ValueError, match="Z > 0 on average"):
        SynthHumanFolder(tmp_path)[0]


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected SynthHuman files .*david synthesize"):
        SynthHumanFolder(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_person(tmp_path, 3)
    (tmp_path / "depth_0000003.exr").unlink()

    with pytest.raises(ValueError, match=re.escape("depth_0000003.exr: missing")):
        SynthHumanFolder(tmp_path)[0]


def test_maps_of_different_sizes_are_refused(tmp_path: Path) -> None:
    write_person(tmp_path, 0)
    write_exr(tmp_path / "depth_0000000.exr", Y=np.ones((5, 5)))

    with pytest.raises(ValueError, match=r"differ in size: .*depth \(5, 5\)"):
        SynthHumanFolder(tmp_path)[0]


def test_the_split_is_disjoint_complete_and_stable_when_samples_are_added(tmp_path: Path) -> None:
    for index in range(40):
        (tmp_path / f"cam_{index:07d}.txt").touch()
    before = SynthHumanFolder(tmp_path)
    validation = {before.indices[p] for p in before.split("validation", 0.3)}
    train = {before.indices[p] for p in before.split("train", 0.3)}
    (tmp_path / "cam_0009999.txt").touch()
    after = SynthHumanFolder(tmp_path)

    assert validation | train == set(range(40))
    assert not validation & train
    assert 4 <= len(validation) <= 20
    assert validation <= {after.indices[p] for p in after.split("validation", 0.3)}
    with pytest.raises(ValueError, match="'train' or 'validation', got 'test'"):
        after.split("test")
