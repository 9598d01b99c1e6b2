"""The driver, with a stand-in for Blender that answers the same protocol without rendering."""

import json
import stat
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from unit.synthetic.test_labels import scene, write_cycles_exr, write_panorama

from david_hf.synthetic import generate
from david_hf.synthetic.generate import BlenderProcess, GenerateConfig, RenderError
from david_hf.synthetic.mesh import Mesh
from david_hf.synthetic.person import Part, Strands
from david_hf.synthetic.scene import Scene

STAND_IN = """#!{python}
import json, os, shutil, sys
for line in sys.stdin:
    job = json.loads(line)
    name = os.path.basename(job["scene"])
    if name in {crashes}:
        sys.exit(3)
    if name in {fails}:
        print(json.dumps({{"error": "RuntimeError: no such material"}}), flush=True)
        continue
    assert os.path.getsize(job["scene"]) > 0
    shutil.copy({exr!r}, job["output"])
    print(json.dumps({{"output": job["output"]}}), flush=True)
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GenerateConfig:
    write_cycles_exr(tmp_path / "render.exr", opacity=0.9)
    (tmp_path / "hdri").mkdir()
    write_panorama(tmp_path / "hdri" / "sky.exr", 0.3)
    monkeypatch.setattr(generate, "BodyModel", lambda _: None)
    monkeypatch.setattr(generate.SceneSampler, "sample", lambda _, seed: scene(seed=seed))
    return GenerateConfig(
        tmp_path / "out", 5, str(stand_in(tmp_path)), tmp_path / "hdri", workers=2
    )


def stand_in(folder: Path, crashes: tuple[str, ...] = (), fails: tuple[str, ...] = ()) -> Path:
    path = folder / "renderer"
    exr = str(folder / "render.exr")
    path.write_text(STAND_IN.format(python=sys.executable, crashes=crashes, fails=fails, exr=exr))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_all_samples_are_made_and_made_once(config: GenerateConfig) -> None:
    done: list[int] = []

    assert generate.generate(config, done.append) == {}
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert generate.generate(config, done.append) == {}
    assert len(done) == 5


def test_an_interrupted_run_makes_what_is_missing(config: GenerateConfig) -> None:
    generate.generate(config)
    (config.output / "cam_0000002.txt").unlink()
    done: list[int] = []

    generate.generate(config, done.append)

    assert done == [2]


def test_one_bad_scene_is_reported_and_the_others_go_on(
    config: GenerateConfig, tmp_path: Path
) -> None:
    stand_in(tmp_path, fails=("0000003.npz",))

    failed = generate.generate(config)

    assert failed == {3: "RuntimeError: no such material"}
    assert len(list(config.output.glob("cam_*.txt"))) == 4


def test_a_crash_is_survived(config: GenerateConfig, tmp_path: Path) -> None:
    stand_in(tmp_path, crashes=("0000004.npz",))

    failed = generate.generate(config)

    assert list(failed) == [4]
    assert "ended with status 3" in failed[4]


def test_a_renderer_that_never_works_ends_the_run(config: GenerateConfig, tmp_path: Path) -> None:
    stand_in(tmp_path, crashes=tuple(f"{index:07d}.npz" for index in range(5)))

    with pytest.raises(RenderError, match="does this Python import bpy"):
        generate.generate(config)


def test_ctrl_c_ends_the_workers_and_keeps_what_is_done(
    config: GenerateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object, seed: int) -> Scene:
        if seed == 3:
            raise KeyboardInterrupt
        return scene(seed=seed)

    monkeypatch.setattr(generate.SceneSampler, "sample", interrupted)

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        generate.generate(config)

    assert threading.active_count() == threads
    assert config.missing() == [3, 4]


def test_a_sample_that_cannot_be_written_ends_the_run(
    config: GenerateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generate, "write_sample", full_disk)

    with pytest.raises(OSError, match="No space left on device"):
        generate.generate(config)


def test_a_background_folder_without_photos_is_refused(
    config: GenerateConfig, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"expected \.jpg or \.png photos"):
        generate.generate(replace(config, backgrounds_dir=tmp_path / "hdri"))


def test_a_missing_blender_is_named() -> None:
    with pytest.raises(RenderError, match="cannot start /no/such/blender"):
        BlenderProcess("/no/such/blender")


def test_a_folder_without_panoramas_is_refused(tmp_path: Path) -> None:
    config = GenerateConfig(tmp_path / "out", 1, "blender", tmp_path)

    with pytest.raises(ValueError, match="expected panoramas"):
        generate.generate(config)
    assert not (tmp_path / "out").exists()


def test_a_saved_scene_holds_no_pickles(tmp_path: Path) -> None:
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]), np.zeros((3, 2)), np.array([[0, 1, 2]]))
    part = Part("card", mesh, np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))
    strands = Strands(np.zeros((2, 3, 3), np.float32), np.zeros((6, 3), np.float32))
    person: Scene = scene(parts=[part], strands=[strands])

    person.save(tmp_path / "scene.npz")

    with np.load(tmp_path / "scene.npz", allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
        assert file["part0/uv"].shape == (1, 3, 2)
        assert file["strands0/points"].shape == (2, 3, 3)
    assert header["kinds"] == ["card"]
    assert header["camera"]["forward"] == [0.0, 1.0, 0.0]
