"""The real generator: anny samples, Blender renders. `make test-synthetic` runs this."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from david_hf.data.composition import load_figure
from david_hf.data.sources.synthhuman import SynthHuman
from david_hf.synthetic.factors import load_distributions
from david_hf.synthetic.humans.person import make_person
from david_hf.synthetic.production.quality import normal_agreement
from david_hf.synthetic.rendering.blender import RENDER_SCRIPT, BlenderProcess, find_blender
from david_hf.synthetic.rendering.labels import Render, read_render
from david_hf.synthetic.sampler import DETAIL, SceneSampler, make_sampler
from david_hf.synthetic.scene import Scene

pytestmark = pytest.mark.blender
COUNT = 6
QUICK = ("--size", "96", "72", "--strands", "2000", "--texture-size", "128")
QUICK += ("--samples-per-pixel", "4")
# No room, no second person: what hangs on them is tested without rendering.
ALONE = "scene: {people: 1, occluder: false, backdrop: panorama, camera: {f_number: 0}}\n"


def command(output: Path, *options: object) -> list[str]:
    david = Path(sys.executable).with_name("david")
    return [str(word) for word in (david, "synthesize", output, "--count", COUNT, *QUICK, *options)]


def files(folder: Path) -> dict[str, bytes]:
    """Contents of the samples of a folder, without what tells how and when it was made."""
    names = ("rgb", "alpha", "depth", "normal", "cam", "foreground", "factors")
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith(names)
    }


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of each category, of procedural assets alone, by two workers."""
    output = tmp_path_factory.mktemp("synthesize") / "out"
    subprocess.run(command(output, "--workers", 2), check=True)
    return output


def test_the_labels_are_complete_and_agree(samples: Path) -> None:
    folder = SynthHuman(samples)

    categories = [folder.factors(i)["category"] for i in range(COUNT)]
    assert sorted(set(categories)) == ["face", "full_body", "upper_body"]
    for sample in folder:  # reading checks sizes and the frame of the normals
        solid = sample.foreground
        assert 0.02 < solid.mean() < 0.98
        assert 0.1 < sample.depth_m[solid].min() < sample.depth_m[solid].max() < 30
        # What the camera sees faces it, but for a few pixels on rims.
        assert (sample.normals[solid][:, 2] > -0.1).mean() > 0.97


def test_the_index_and_the_sheet_hold_every_sample(samples: Path) -> None:
    table = pq.read_table(samples / "index.parquet")

    assert table["index"].to_pylist() == list(range(COUNT))
    assert {"seed", "category", "person.age", "pose.name", "versions.blender"} <= set(
        table.column_names
    )
    assert (samples / "contact_sheet.jpg").stat().st_size > 10_000


def test_the_same_seed_makes_the_same_bytes_with_any_number_of_workers(
    samples: Path, tmp_path: Path
) -> None:
    subprocess.run(command(tmp_path / "again", "--workers", 1), check=True)

    assert files(tmp_path / "again") == files(samples)


def test_a_run_that_is_killed_goes_on_and_leaves_no_half_samples(
    samples: Path, tmp_path: Path
) -> None:
    output = tmp_path / "killed"
    process = subprocess.Popen(command(output, "--workers", 1), start_new_session=True)
    for _ in range(1200):
        if output.is_dir() and list(output.glob("cam_*.txt")):
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    begun = set(files(output))
    assert 0 < len(begun) < len(files(samples))

    subprocess.run(command(output, "--workers", 1), check=True)

    assert files(output) == files(samples)
    assert not list(output.glob(".partial*"))


def test_figures_can_be_composed_anew(samples: Path) -> None:
    folder = SynthHuman(samples)
    free = [i for i in range(COUNT) if not folder.factors(i)["occluded"]]

    assert free
    for position in free:
        assert load_figure(folder, position).layers[3].max() > 0.99


def test_another_folder_of_settings_is_refused(samples: Path) -> None:
    made = subprocess.run(command(samples, "--seed", 5), capture_output=True, text=True)

    assert made.returncode == 1
    assert len(made.stderr.strip().splitlines()) == 1
    assert "seed" in made.stderr


@pytest.fixture(scope="module")
def sampler() -> SceneSampler:
    return make_sampler(["studio.exr"], (192, 144), load_distributions(), 4000, 128)


def with_factors(sampler: SceneSampler, folder: Path, text: str) -> SceneSampler:
    (folder / "factors.yaml").write_text(text)
    tree = load_distributions(folder / "factors.yaml")
    return replace(sampler, studio=replace(sampler.studio, tree=tree))


@pytest.fixture(scope="module")
def alone(sampler: SceneSampler, tmp_path_factory: pytest.TempPathFactory) -> SceneSampler:
    return with_factors(sampler, tmp_path_factory.mktemp("factors"), ALONE)


@pytest.fixture(scope="module")
def blender() -> BlenderProcess:
    with BlenderProcess(find_blender(os.environ.get("DAVID_BLENDER"))) as process:
        yield process


def render(blender: BlenderProcess, scene: Scene, folder: Path, samples: int = 16) -> Render:
    scene.save(folder / "scene.npz")
    assert blender.panoramas is not None
    job = {"scene": str(folder / "scene.npz"), "output": str(folder / "out.exr")}
    panorama = blender.panoramas / "studio.exr"
    blender.render(job | {"panorama": str(panorama), "samples": samples})
    return read_render(folder / "out.exr", scene)


@pytest.mark.parametrize("index", [0, 1, 2, 5, 11])
def test_scenes_depend_on_their_numbers_alone(sampler: SceneSampler, index: int) -> None:
    first = sampler.sample(3, index)
    sampler.sample(3, index + 1)
    again, retried = sampler.sample(3, index), sampler.sample(3, index, attempt=1)

    assert json.dumps(first.factors, default=str) == json.dumps(again.factors, default=str)
    for one, other in zip(first.parts, again.parts, strict=True):
        np.testing.assert_array_equal(one.mesh.vertices, other.mesh.vertices)
        np.testing.assert_array_equal(one.texture, other.texture)
    for one, other in zip(first.strands, again.strands, strict=True):
        np.testing.assert_array_equal(one.points, other.points)
    assert json.dumps(first.factors, default=str) != json.dumps(retried.factors, default=str)


@pytest.mark.parametrize("pose", ["seated_upright", "seated_leaning_back", "leaning_on_table"])
def test_what_bears_a_person_is_where_the_body_touches_it(
    sampler: SceneSampler, tmp_path: Path, pose: str
) -> None:
    borne = with_factors(sampler, tmp_path, f"{ALONE}pose: {{name: {pose}}}\n")
    scene = borne.sample(0, 2)
    person = make_person(borne.studio, [0, 2, 0, 2, 0], "full_body", DETAIL["full_body"])
    assert person.pose.contact is not None
    contact = person.pose.contact + person.shift

    things = [p.mesh.vertices[p.mesh.faces].reshape(-1, 3) for p in scene.parts if not p.is_human]
    points = np.concatenate(things)
    near = points[np.linalg.norm(points[:, :2] - contact[:2], axis=1) < 0.35]
    assert np.abs(near[:, 2] - contact[2]).min() < 0.03


def test_groups_do_not_stand_in_each_other(sampler: SceneSampler, tmp_path: Path) -> None:
    group = with_factors(sampler, tmp_path, "scene: {people: 3, backdrop: panorama}\n")

    apart = [
        np.linalg.norm((a.position - b.position)[:2])
        for index in range(4)
        for a, b in combinations(group.sample(4, index).faces, 2)
    ]
    assert len(apart) > 3
    assert min(apart) > 0.3


def test_factors_say_what_was_made(sampler: SceneSampler, tmp_path: Path) -> None:
    worn = """
person: {sex: female}
scene: {people: 1, backdrop: panorama, occluder: false}
pose: {name: standing_even}
clothes:
  makehuman: true
  bottom: {kind: dress}
  top: {tie: true}
  jacket: {kind: denim}
  headwear: {kind: head_scarf}
  extras: {earrings: hoops}
hair: {style: ponytail}
"""
    factors = with_factors(sampler, tmp_path, worn).sample(0, 2).factors

    (person,) = factors["people"]
    found = {
        name: person[f"clothes.{name}"]
        for name in ("makehuman", "top.kind", "top.tie", "jacket.kind", "extras.earrings")
    }
    assert found == {
        **{"makehuman": False, "top.kind": "dress_top", "top.tie": False},
        **{"jacket.kind": "none", "extras.earrings": "none"},
    }
    assert person["hair.style"] == "loose"


def test_a_thing_outside_of_the_picture_hides_nobody(sampler: SceneSampler, tmp_path: Path) -> None:
    on_stool = """
scene: {people: 1, occluder: false}
pose: {name: seated_hands_in_lap, first: {prop: none}, second: {prop: none}}
stage: {seat: {kind: stool}}
"""
    seated = with_factors(sampler, tmp_path, on_stool)

    found = {index % 3: seated.sample(0, index).factors["occluded"] for index in (0, 2)}

    assert found == {0: False, 2: True}


def test_normals_are_the_slope_of_the_depth(
    alone: SceneSampler, blender: BlenderProcess, tmp_path: Path
) -> None:
    medians = []
    for index in range(6):
        scene = alone.sample(0, index)
        made = render(blender, scene, tmp_path)
        angles = normal_agreement(
            made.depth_m, made.normals, made.alpha, scene.camera.intrinsics(), made.strands
        )
        medians.append(np.median(angles))

    assert np.median(medians) < 3


def test_alpha_is_close_to_that_of_many_samples(
    alone: SceneSampler, blender: BlenderProcess, tmp_path: Path
) -> None:
    scene = alone.sample(0, 1)
    few, many = render(blender, scene, tmp_path, 16), render(blender, scene, tmp_path, 64)

    assert np.abs(few.alpha - many.alpha).mean() < 0.01


def test_a_renderer_ends_with_who_asked_it_in_the_midst_of_a_render(
    alone: SceneSampler, blender: BlenderProcess, tmp_path: Path
) -> None:
    alone.sample(0, 1).save(tmp_path / "scene.npz")
    assert blender.panoramas is not None
    job = {
        "scene": str(tmp_path / "scene.npz"),
        "output": str(tmp_path / "out.exr"),
        "panorama": str(blender.panoramas / "studio.exr"),
        **{"samples": 100_000, "adaptive": False},
    }
    script = [find_blender(os.environ.get("DAVID_BLENDER")), str(RENDER_SCRIPT), "1"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(script, text=True, **pipes) as asked:
        asked.stdout.readline()
        asked.stdin.write(json.dumps(job) + "\n")
        asked.stdin.flush()
        time.sleep(5)  # it renders by now, and would for an hour
        assert asked.poll() is None

        asked.stdin.close()

        try:
            assert asked.wait(20) == 0
        finally:
            asked.kill()
    assert not (tmp_path / "out.exr").exists()


def test_labels_look_through_lenses_or_show_them(blender: BlenderProcess, tmp_path: Path) -> None:
    from unit.synthetic.scenes import scene

    from david_hf.synthetic.scene import Part, Surface
    from david_hf.synthetic.shapes import quad
    from david_hf.synthetic.stage.camera_rig import Camera
    from david_hf.synthetic.textures import flat

    def wall(y: float, half: float, tone: float, kind: str) -> Part:
        mesh = quad((-half, y, -half), (2 * half, 0, 0), (0, 0, 2 * half))
        return Part(kind, mesh, flat([tone] * 3), Surface(kind), is_human=True)

    eye = np.array([0.0, -3, 0])
    axes = np.array([1.0, 0, 0]), np.array([0.0, 0, 1]), np.array([0.0, 1, 0])
    camera = Camera(eye, *axes, 0.6, 32, 32)
    # The darkest glass, too, must not end the labels of what is behind.
    parts = [wall(0.0, 2.0, 0.5, "plain"), wall(-1.0, 0.2, 0.01, "lens")]
    through = scene(camera=camera, parts=parts)
    seen = render(blender, through, tmp_path)
    kept = render(blender, replace(through, lens_labels=True), tmp_path)

    np.testing.assert_allclose(seen.alpha, 1, atol=1e-3)
    np.testing.assert_allclose(seen.depth_m, 3, atol=1e-2)
    assert kept.depth_m[16, 16] == pytest.approx(2, abs=0.02)
    assert kept.depth_m[2, 2] == pytest.approx(3, abs=0.01)


def test_things_hide_people_and_have_no_labels(blender: BlenderProcess, tmp_path: Path) -> None:
    from unit.synthetic.scenes import scene

    from david_hf.synthetic.scene import Part, Surface
    from david_hf.synthetic.shapes import box
    from david_hf.synthetic.stage.camera_rig import Camera
    from david_hf.synthetic.textures import flat

    eye = np.array([0.0, -3, 0])
    axes = np.array([1.0, 0, 0]), np.array([0.0, 0, 1]), np.array([0.0, 1, 0])
    camera = Camera(eye, *axes, 0.6, 32, 32)
    person = Part("person", box((4, 1, 4), (0, 0.5, 0)), flat([0.5] * 3), Surface(), is_human=True)
    thing = Part("thing", box((2, 0.2, 2), (1.0, -1, 0)), flat([0.5] * 3), Surface())

    made = render(blender, scene(camera=camera, parts=[person, thing]), tmp_path)

    assert made.cover.min() > 0.99
    np.testing.assert_allclose(made.alpha[:, :14], 1, atol=1e-3)
    np.testing.assert_allclose(made.alpha[:, 18:], 0, atol=1e-3)
    assert np.isinf(made.depth_m[:, 18:]).all()
