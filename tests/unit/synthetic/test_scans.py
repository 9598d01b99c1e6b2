import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scan_layouts import ball, obj_text, write_thuman
from typer.testing import CliRunner

from david_hf.synthetic.scans.render import ScanConfig, render_scans
from david_hf.synthetic.scans.sampler import (
    CATEGORIES,
    FRAMINGS,
    ScanSampler,
    list_scans,
    make_scan_sampler,
    read_scan,
    seen_points,
)
from david_hf.synthetic.scene import Scene

SIZE = (64, 48)
LIGHTS = ("city.exr", "forest.exr", "night.exr")


def make_sampler(root: Path) -> ScanSampler:
    return make_scan_sampler(list(LIGHTS), SIZE, {"scans": str(root)}, num_strands=0)


def facts(scene: Scene) -> str:
    camera = {name: getattr(scene.camera, name).tolist() for name in ("position", "forward")}
    return json.dumps([scene.seed, camera, scene.factors])


def test_a_scan_stands_on_the_ground_upright_and_looks_ahead(tmp_path: Path) -> None:
    write_thuman(tmp_path, 7)

    scan = read_scan(tmp_path, 7)

    vertices = scan.mesh.vertices
    np.testing.assert_allclose(vertices.min(0)[2], 0, atol=1e-6)
    np.testing.assert_allclose((vertices.min(0) + vertices.max(0))[:2], 0, atol=1e-6)
    assert scan.scale == 1.0
    assert scan.height_m == pytest.approx(1.75)
    # Its left arm is held out: who looks along -y has the left hand on the side of +x.
    arm = vertices[np.abs(vertices[:, 2] - 0.75 * 1.75) < 0.05]
    assert arm[:, 0].max() > -arm[:, 0].min()
    # The front of the texture, u = 0, is on the side of -y; its colours run up the body.
    front = scan.mesh.uv[scan.mesh.uv_faces][..., 0].mean(1) % 1
    depth = vertices[scan.mesh.faces][..., 1].mean(1)
    assert depth[(front < 0.1) | (front > 0.9)].mean() < depth[np.abs(front - 0.5) < 0.1].mean()
    assert scan.texture.shape == (64, 64, 3)
    assert scan.texture[:20, :, 0].mean() > scan.texture[-20:, :, 0].mean()


@pytest.mark.parametrize(
    ("height", "scale"), [(1.25, 1.0), (2.25, 1.0), (175.0, 0.017 / 1.75), (0.5, 3.4), (1.0, 1.7)]
)
def test_a_height_that_people_have_is_kept_and_others_are_assumed(
    tmp_path: Path, height: float, scale: float
) -> None:
    write_thuman(tmp_path, 0, height)

    scan = read_scan(tmp_path, 0)

    assert scan.scale == pytest.approx(scale, rel=1e-6)
    assert scan.height_m == pytest.approx(height * scale, rel=1e-6)
    assert make_sampler(tmp_path).sample(0, 0).factors["scale"] == scan.scale


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("number", "category"), list(enumerate(CATEGORIES)))
def test_the_picture_holds_the_part_it_is_named_after(
    tmp_path: Path, number: int, category: str, seed: int
) -> None:
    write_thuman(tmp_path, 2)

    scene = make_sampler(tmp_path).sample(seed, 3 * 2 + number)

    points = seen_points(read_scan(tmp_path, 2), FRAMINGS[category].share)
    pixels, depth = scene.camera.project(points)
    assert depth.min() > 0.3
    assert (pixels >= 0).all()
    assert (pixels <= [SIZE[1], SIZE[0]]).all()
    spans = (pixels.max(0) - pixels.min(0)) / [SIZE[1], SIZE[0]]
    assert 0.45 < spans.max() < 0.95  # it fills much of the picture, one way or the other
    assert scene.factors["category"] == category
    assert scene.factors["scan"] == 2
    assert scene.camera.position[2] > 0.15


def test_cameras_are_as_far_away_as_in_the_paper(tmp_path: Path) -> None:
    write_thuman(tmp_path, 0, 1.7)
    sampler = replace(make_sampler(tmp_path), size=(64, 64))

    for number, (category, distance) in enumerate(zip(CATEGORIES, (1.1, 1.25, 1.6), strict=True)):
        depths = [
            float((scene.faces[0].position - scene.camera.position) @ scene.camera.forward)
            for scene in (sampler.sample(seed, number) for seed in range(20))
        ]
        assert np.median(depths) == pytest.approx(distance, rel=0.25), category


def test_three_numbers_give_one_scene(tmp_path: Path) -> None:
    for number in (0, 1):
        write_thuman(tmp_path, number)
    first, other = make_sampler(tmp_path), make_sampler(tmp_path)

    scene = first.sample(3, 4)
    other.sample(3, 1)

    assert facts(other.sample(3, 4)) == facts(scene)
    others = [first.sample(4, 4), first.sample(3, 5), first.sample(3, 1), first.sample(3, 4, 1)]
    assert len({facts(each) for each in [scene, *others]}) == 5


def test_cameras_look_from_all_sides_in_many_panoramas(tmp_path: Path) -> None:
    write_thuman(tmp_path, 0)
    scenes = [make_sampler(tmp_path).sample(seed, 0) for seed in range(40)]

    azimuths = [scene.factors["camera"]["azimuth_deg"] for scene in scenes]
    assert set(np.digitize(azimuths, [90, 180, 270]).tolist()) == {0, 1, 2, 3}
    assert {scene.light.panorama for scene in scenes} == set(LIGHTS)


def test_a_scene_is_one_person_and_can_be_saved(tmp_path: Path) -> None:
    write_thuman(tmp_path, 0)

    scene = make_sampler(tmp_path).sample(0, 2)
    scene.save(tmp_path / "scene.npz")

    assert [part.is_human for part in scene.parts] == [True]
    assert scene.backdrop == "panorama"
    with np.load(tmp_path / "scene.npz") as file:
        faces, uv = file["part0/faces"], file["part0/uv"]
    assert len(uv) == len(faces)
    # Nobody knows where a scan looks: its face counts as turned away.
    face = scene.faces[0]
    assert (scene.camera.position - face.position) @ face.facing < 0


def test_the_material_file_is_not_looked_at(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "secret.png")
    (tmp_path / "outside.mtl").write_text("newmtl material0\nmap_Kd ../secret.png\n")
    folder = write_thuman(tmp_path, 0)
    expected = read_scan(tmp_path, 0).texture
    (folder / "material0.mtl").write_text("newmtl material0\nmap_Kd ../secret.png\n")
    mesh = folder / "0000.obj"
    mesh.write_text(mesh.read_text().replace("mtllib material0.mtl", "mtllib ../outside.mtl"))
    read_scan.cache_clear()

    np.testing.assert_array_equal(read_scan(tmp_path, 0).texture, expected)

    (folder / "material0.jpeg").unlink()
    read_scan.cache_clear()
    with pytest.raises(ValueError, match=r"material0\.jpeg: missing"):
        read_scan(tmp_path, 0)


def test_damage_names_the_file(tmp_path: Path) -> None:
    for number in range(4):
        write_thuman(tmp_path, number)
    vertices, faces, uv = ball((0, 0, 0), (1, 1, 1))
    (tmp_path / "0000" / "0000.obj").write_text("v 1 2\n")
    (tmp_path / "0001" / "0001.obj").write_text(obj_text(vertices, faces))
    (tmp_path / "0002" / "material0.jpeg").write_bytes(b"no picture")
    (tmp_path / "0003" / "0003.obj").write_text(obj_text(vertices * [1, 0, 1], faces, uv))

    for number, message in enumerate(
        [
            r"0000\.obj: not a readable OBJ",
            r"0001\.obj: expected texture coordinates",
            r"material0\.jpeg: not a picture",
            r"0003\.obj: expected a body",
        ]
    ):
        with pytest.raises(ValueError, match=message):
            read_scan(tmp_path, number)


def test_scans_are_found_by_their_numbers(tmp_path: Path) -> None:
    for number in (12, 3):
        write_thuman(tmp_path, number)
    (tmp_path / "0005").mkdir()
    (tmp_path / "smplx").mkdir()

    assert list_scans(tmp_path) == [3, 12]
    with pytest.raises(ValueError, match=r"expected scans \(0000/0000\.obj"):
        list_scans(tmp_path / "smplx")


def test_samples_are_numbered_by_scan_and_framing(tmp_path: Path) -> None:
    for number in (0, 3, 12):
        write_thuman(tmp_path, number)
    config = ScanConfig(tmp_path, tmp_path / "out")

    assert config.indices() == [0, 1, 2, 9, 10, 11, 36, 37, 38]
    assert replace(config, count=1).indices() == [0, 1, 2]
    assert replace(config, ids=(12,), framings=("full_body", "face")).indices() == [36, 38]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": (3,)}, "expected scan 0003, which is not there"),
        ({"framings": ("portrait",)}, "expected framings out of"),
        ({"framings": ()}, "expected framings out of"),
        ({"count": 0}, "expected a scan or more"),
        ({"height": 8}, "expected a size of 16 pixels or more"),
        ({"hdri_dir": Path("nowhere")}, "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_rendered_is_refused_before_blender_starts(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    write_thuman(tmp_path, 0)
    config = ScanConfig(tmp_path, tmp_path / "out", blender="no such blender")

    with pytest.raises(ValueError, match=message):
        render_scans(replace(config, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hi4d", "scans", "out"], "expected thuman2.0 or thuman2.1, got 'hi4d'"),
        (["thuman2.0", "nowhere", "out"], "nowhere: expected scans"),
        (["thuman2.0", "scans", "out", "--blender", "/no/blender"], "cannot start /no/blender"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    from david_cli.main import app

    write_thuman(tmp_path / "scans", 0)
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(app, ["data", "render", *arguments])

    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
