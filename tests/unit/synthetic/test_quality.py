from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from unit.synthetic.stand_ins import (
    CAMERA,
    HEIGHT,
    WIDTH,
    SphereSampler,
    trace_sphere,
    write_sphere,
)

from david_hf.synthetic.production.quality import check, normal_agreement, normals_from_depth
from david_hf.synthetic.rendering.labels import Render, read_render
from david_hf.synthetic.rendering.sample_files import Sample
from david_hf.synthetic.scene import Scene


@pytest.fixture
def scene() -> Scene:
    return SphereSampler().sample(0, 0)


@pytest.fixture
def render(scene: Scene, tmp_path: Path) -> Render:
    write_sphere(tmp_path / "render.exr")
    return read_render(tmp_path / "render.exr", scene)


@pytest.fixture
def sample(scene: Scene, render: Render) -> Sample:
    """A well exposed sphere that fills a quarter of the picture."""
    return Sample(
        rgb=np.full((HEIGHT, WIDTH, 3), 120, np.uint8),
        alpha=render.alpha,
        depth_cm=np.minimum(render.depth_m * 100, 65504),
        normals=render.normals,
        foreground=np.zeros((HEIGHT, WIDTH, 4)),
        intrinsics=scene.camera.intrinsics(),
        factors={},
    )


def words(sample: Sample, scene: Scene, render: Render) -> list[str]:
    return [reason.split()[0] for reason in check(sample, scene, render)]


def test_a_good_sample_is_accepted(sample: Sample, scene: Scene, render: Render) -> None:
    assert check(sample, scene, render) == []


def turned(normals: np.ndarray, degrees: float) -> np.ndarray:
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return normals @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


@pytest.mark.parametrize(
    ("field", "change", "word"),
    [
        ("alpha", lambda alpha: alpha * 0, "small"),
        ("alpha", lambda alpha: alpha * 0 + 1, "fills"),
        ("alpha", lambda alpha: alpha * 0.9, "thin"),
        ("depth_cm", lambda depth: np.where(np.arange(WIDTH) == 18, 65504, depth), "no-depth"),
        ("depth_cm", lambda depth: np.where(np.arange(WIDTH) == 18, np.nan, depth), "no-depth"),
        ("depth_cm", lambda depth: depth / 20, "depth-range"),
        ("depth_cm", lambda depth: depth * 20, "depth-range"),
        ("normals", lambda normals: normals * 0.9, "normal-length"),
        ("normals", lambda normals: normals * np.nan, "normal-length"),
        ("normals", lambda normals: normals * [1, 1, -1], "normals-away"),
        ("normals", lambda normals: normals * [1, -1, 1], "normals-disagree"),
        ("normals", lambda normals: turned(normals, 14), "normals-disagree"),
        ("rgb", lambda rgb: rgb * 0 + 255, "burnt"),
        ("rgb", lambda rgb: rgb * 0, "black"),
        ("rgb", lambda rgb: rgb * 0 + 3, "exposure"),
    ],
)
def test_each_defect_has_its_word(
    sample: Sample, scene: Scene, render: Render, field: str, change, word: str
) -> None:
    broken = replace(sample, **{field: change(getattr(sample, field))})

    assert word in words(broken, scene, render)


def test_a_face_out_of_the_frame_is_a_reason_for_faces_only(
    sample: Sample, scene: Scene, render: Render
) -> None:
    scene.faces[0].position[2] += 2

    assert words(sample, scene, render) == ["face-outside"]
    body = replace(scene, factors={"category": "full_body"})
    assert words(sample, body, render) == []


def test_nights_may_be_black(sample: Sample, scene: Scene, render: Render) -> None:
    rgb = np.where(np.arange(WIDTH)[:, None] < 21, 0, sample.rgb).astype(np.uint8)
    dark = replace(sample, rgb=rgb)

    assert "black" in words(dark, replace(scene, factors={"category": "face"}), render)
    night = replace(scene, factors={"category": "face", "night": True})
    assert "black" not in words(dark, night, render)


def test_hair_is_not_held_against_its_proxy_normals(
    sample: Sample, scene: Scene, render: Render
) -> None:
    rough = replace(sample, normals=turned(sample.normals, 30))

    assert words(rough, scene, render) == ["normals-disagree"]
    assert words(rough, scene, replace(render, strands=render.alpha)) == []


def test_the_normals_of_a_plane_are_exact() -> None:
    normal = np.array([0.3, -0.4, 0.866])
    normal /= np.linalg.norm(normal)
    rays = CAMERA.to_camera_frame(CAMERA.rays())
    distance = -2 * normal[2] / (rays @ normal)  # the plane cuts the axis 2 m away
    depth = -(rays * distance[..., None])[..., 2]

    found = normals_from_depth(depth, CAMERA.intrinsics())

    np.testing.assert_allclose(found[1:-1, 1:-1], np.broadcast_to(normal, (46, 34, 3)), atol=1e-9)
    assert not found[0].any() and not found[:, -1].any()


def test_normals_of_a_sphere_agree_with_its_depth_but_not_across_a_step(render: Render) -> None:
    intrinsics = CAMERA.intrinsics()
    hit, _, _ = trace_sphere()

    angles = normal_agreement(render.depth_m, render.normals, render.alpha, intrinsics)
    stepped = render.depth_m + (np.arange(WIDTH) > 18)  # a metre behind, as another body
    apart = normal_agreement(stepped, render.normals, render.alpha, intrinsics)

    assert 200 < len(apart) < len(angles) < hit.sum()
    assert np.median(angles) < 2
    assert np.percentile(apart, 99) < 15
