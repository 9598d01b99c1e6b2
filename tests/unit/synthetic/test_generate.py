"""Runs of the generator with stand-ins for anny and Blender (`stand_ins.py`)."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from unit.synthetic.stand_ins import make_config, plan, renders

from david_hf.data.sources.synthhuman import SynthHuman
from david_hf.synthetic.production import worker
from david_hf.synthetic.production.config import GenerateConfig, GenerateError
from david_hf.synthetic.production.folder import (
    claim,
    complete_indices,
    missing_indices,
    read_settings,
)
from david_hf.synthetic.production.generate import Report, generate, prepare
from david_hf.synthetic.production.worker import Outcome, SampleMaker
from david_hf.synthetic.rendering.blender import BlenderStartError
from david_hf.synthetic.rendering.sample_files import write_exr

PICKY = "unit.synthetic.stand_ins:make_picky_sampler"


@pytest.fixture
def config(tmp_path: Path) -> GenerateConfig:
    made = make_config(tmp_path)
    made.output.mkdir()
    return made


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[GenerateConfig, Report]:
    """A run of five samples by two workers, two of whose first scenes are rejected."""
    made = replace(make_config(tmp_path_factory.mktemp("finished")), sampler_factory=PICKY)
    return made, generate(made)


@contextlib.contextmanager
def maker_of(config: GenerateConfig) -> Iterator[SampleMaker]:
    with contextlib.closing(SampleMaker(prepare(config))) as maker:
        yield maker


def test_a_run_makes_every_sample_and_leaves_nothing_else(
    finished: tuple[GenerateConfig, Report],
) -> None:
    config, report = finished

    folder = SynthHuman(config.output)

    assert folder.indices.tolist() == [0, 1, 2, 3, 4]
    assert (report.made, report.failed, report.interrupted) == (5, {}, False)
    others = {path.name for path in config.output.iterdir()} - {
        path.name for path in config.output.glob("*_000000?.*")
    }
    assert others == {"generator.json", "index.parquet", "contact_sheet.jpg"}
    assert len(folder[0].alpha) == config.height


def test_rejected_scenes_are_drawn_again_and_counted(
    finished: tuple[GenerateConfig, Report],
) -> None:
    config, report = finished

    folder = SynthHuman(config.output)

    assert report.rejected == Counter({"face-outside": 1, "sampling": 1})
    assert folder.factors(1)["rejected"][0].startswith("face-outside ")
    assert folder.factors(2)["rejected"] == ["sampling ValueError: no such pose"]
    assert [folder.factors(i)["attempt"] for i in range(5)] == [0, 1, 1, 0, 0]


def test_a_contact_sheet_shows_picture_alpha_depth_and_normals(
    finished: tuple[GenerateConfig, Report],
) -> None:
    with Image.open(finished[0].output / "contact_sheet.jpg") as sheet:
        assert sheet.size == (3 * (4 * 120 + 8), 2 * (160 + 4) + 4)
        left, top = 4, 4
        sphere = [sheet.getpixel((left + k * 120 + 60, top + 80)) for k in range(4)]
        corner = [sheet.getpixel((left + k * 120 + 5, top + 5)) for k in range(4)]
    assert min(sphere[1]) > 240
    assert min(sphere[2]) > 200  # near is bright
    assert max(corner[1] + corner[2]) < 15
    assert sphere[3][2] > 240  # faces the camera
    assert sphere[3][0] == pytest.approx(128, abs=12)


def test_nothing_is_made_twice(finished: tuple[GenerateConfig, Report]) -> None:
    config, _ = finished

    report = generate(replace(config, workers=1))

    assert report.missing == 0


def test_a_sample_without_one_of_its_files_is_made_again_with_the_same_bytes(
    config: GenerateConfig,
) -> None:
    with maker_of(config) as maker:
        maker.make(3)
        names = sorted(path.name for path in config.output.iterdir())
        before = [(config.output / name).read_bytes() for name in names]
        (config.output / "alpha_0000003.png").unlink()
        assert missing_indices(config) == [0, 1, 2, 3, 4]
        maker.make(0)  # what was made in between does not matter
        maker.make(3)

    assert [(config.output / name).read_bytes() for name in names] == before
    assert missing_indices(config) == [1, 2, 4]


def test_a_sample_depends_on_the_seed(config: GenerateConfig) -> None:
    for seed in (0, 1):
        with maker_of(replace(config, seed=seed, output=config.output / str(seed))) as maker:
            (config.output / str(seed)).mkdir()
            maker.make(0)

    first, second = ((config.output / name / "rgb_0000000.png").read_bytes() for name in "01")
    assert first != second


def test_a_crash_is_tried_again_then_reported_and_the_next_sample_made(
    config: GenerateConfig, tmp_path: Path
) -> None:
    plan(tmp_path, crash=[0])

    with maker_of(config) as maker:
        assert maker.make(0).error == "it ended with status 3 (Error: out of ideas)"
        assert maker.make(1) == Outcome(1)


def test_a_refused_scene_is_reported(config: GenerateConfig, tmp_path: Path) -> None:
    plan(tmp_path, fail=[20])

    with maker_of(config) as maker:
        assert maker.make(2).error == "RuntimeError: no such material"


def test_a_blender_that_is_gone_ends_the_run(config: GenerateConfig, tmp_path: Path) -> None:
    plan(tmp_path, crash=[0])

    with maker_of(config) as maker:
        plan(tmp_path, mute="License expired")
        with pytest.raises(BlenderStartError, match="License expired"):
            maker.make(0)


def test_a_sample_that_is_rejected_every_time_fails_with_its_reasons(
    config: GenerateConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(worker, "check", lambda *_: ["burnt 0.90"])

    with maker_of(config) as maker:
        outcome = maker.make(0)

    assert outcome.rejected == ("burnt 0.90",) * 8
    assert outcome.error == "rejected 8 times: burnt 0.90"
    assert renders(tmp_path) == list(range(8))
    assert not list(config.output.iterdir())


def test_a_full_disk_ends_the_run_in_one_line_and_leaves_no_half(
    config: GenerateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(folder: Path, *_: object) -> None:
        (folder / "rgb_0000000.png").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker, "write_sample", full_disk)

    with (
        maker_of(config) as maker,
        pytest.raises(GenerateError, match=r"cannot write sample 0: .*No space left on device"),
    ):
        maker.make(0)
    assert not list(config.output.iterdir())


def test_one_process_at_a_time_loads_anny_until_its_cache_is_built(
    config: GenerateConfig, tmp_path: Path
) -> None:
    fcntl = pytest.importorskip("fcntl")
    cache = tmp_path / "anny"
    config = replace(config, anny_cache_dir=cache)

    def is_locked() -> bool:
        with (cache / ".david-lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    with contextlib.suppress(ValueError), worker.first_alone(config):
        assert is_locked()
        (cache / "v14").mkdir()
        raise ValueError("the build fails")
    with worker.first_alone(config):
        assert is_locked()
        assert not (cache / "v14").exists()  # half of it cannot be read
        (cache / "v14").mkdir()
        (cache / "v14" / "blend_shapes.safetensors").touch()
    with worker.first_alone(config):
        assert not is_locked()
    shutil.rmtree(cache / "v14")  # as `rm -rf cache/*` does, which leaves hidden files
    with worker.first_alone(config):
        assert is_locked()


def test_scratch_of_killed_workers_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    for name, age_s in (("david_scene_old", 7200), ("david_scene_new", 60), ("other", 7200)):
        (tmp_path / name).mkdir()
        then = time.time() - age_s
        os.utime(tmp_path / name, (then, then))

    worker.remove_stale_scratch()

    assert {path.name for path in tmp_path.iterdir()} == {"david_scene_new", "other"}


def test_paths_for_other_folders_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = GenerateConfig(output=Path("people"), count=3, hdri_dir=Path("light"))

    found = config.resolved()

    assert (found.output, found.hdri_dir) == (tmp_path / "people", tmp_path / "light")
    assert replace(found, output=config.output, hdri_dir=config.hdri_dir) == config


def test_a_damaged_background_is_named_before_the_work(
    config: GenerateConfig, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "street.jpg").write_bytes(b"nonsense")

    with pytest.raises(ValueError, match=r"street\.jpg: "):
        generate(replace(config, backgrounds_dir=tmp_path / "photos"))
    assert not list(config.output.glob("*"))


def test_first_samples_that_all_fail_end_the_run() -> None:
    report = Report()
    report.add(Outcome(0, "no light"))
    report.add(Outcome(1, "no light"))

    with pytest.raises(GenerateError, match="the first 3 samples failed: no light"):
        report.add(Outcome(2, "no light"))


def test_the_last_samples_may_all_fail() -> None:
    report = Report(is_first=False)

    for index in range(5):
        report.add(Outcome(index, "no light"))

    assert len(report.failed) == 5


def test_a_run_killed_after_its_last_sample_gets_its_index_later(
    finished: tuple[GenerateConfig, Report],
) -> None:
    config, _ = finished
    index = config.output / "index.parquet"
    whole = index.read_bytes()
    index.unlink()

    generate(config)

    assert index.read_bytes() == whole
    # That of a run before it, which made less.
    parquet.write_table(parquet.read_table(index)[:2], index)
    generate(config)
    assert index.read_bytes() == whole
    index.write_bytes(b"damaged")
    generate(config)
    assert index.read_bytes() == whole


def test_a_distribution_that_does_not_fit_ends_the_run(
    config: GenerateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: object) -> None:
        raise KeyError("sex is femal, of which no case is among ['male', 'female']")

    with maker_of(config) as maker:
        monkeypatch.setattr(maker._sampler, "sample", draw)
        with pytest.raises(GenerateError, match=r"sample 3 cannot be drawn: .*sex is femal"):
            maker.make(3)


def test_a_machine_with_other_versions_is_refused(config: GenerateConfig) -> None:
    recipe = prepare(config)
    for name in recipe.versions:
        other = replace(recipe, versions=recipe.versions | {name: "0.0"})
        with pytest.raises(GenerateError, match=f"has {name} .*, the run began with 0.0"):
            SampleMaker(other)


def test_settings_may_change_while_there_is_no_sample(config: GenerateConfig) -> None:
    claim(config.output, {"seed": 1})
    claim(config.output, {"seed": 2})

    assert read_settings(config.output) == {"seed": 2}


def test_a_folder_made_with_other_settings_is_refused(
    finished: tuple[GenerateConfig, Report], tmp_path: Path
) -> None:
    config, _ = finished

    with pytest.raises(GenerateError, match=r"other settings: seed was 0, is 3; width was 36, is "):
        generate(replace(config, seed=3, width=40))
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "wall.png")
    with pytest.raises(GenerateError, match=r"assets.backgrounds was null, is"):
        generate(replace(config, backgrounds_dir=tmp_path / "photos"))


def test_a_folder_with_samples_of_others_is_refused(config: GenerateConfig) -> None:
    (config.output / "cam_0000000.txt").write_text("of the official data")

    with pytest.raises(GenerateError, match=r"samples without generator\.json"):
        generate(config)


def test_wrong_inputs_are_refused_before_any_work(config: GenerateConfig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.yaml").write_text("no.such.factor: 3")

    with pytest.raises(ValueError, match="nowhere: no such folder"):
        generate(replace(config, makehuman_dir=tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="a size of 16 pixels or more, got 8 36"):
        generate(replace(config, height=8))
    with pytest.raises(ValueError, match="no panoramas"):
        generate(replace(config, hdri_dir=tmp_path / "empty"))
    with pytest.raises(ValueError, match=r"expected \.jpg or \.png photos"):
        generate(replace(config, backgrounds_dir=tmp_path / "empty"))
    with pytest.raises(ValueError, match=r"no factor is called no\.such\.factor"):
        generate(replace(config, factors=tmp_path / "wrong.yaml"))
    assert not list(config.output.iterdir())


def test_what_a_kill_left_is_removed_but_not_what_others_are_at(
    finished: tuple[GenerateConfig, Report],
) -> None:
    config, _ = finished
    ours, theirs = (config.output / f".partial-{index:07d}-0123abcd" for index in (2, 9))
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / f"rgb_{folder.name[9:16]}.png").write_bytes(b"half")

    generate(config)

    assert not ours.exists()
    assert theirs.exists()


def test_ctrl_c_ends_the_workers_and_sums_up_what_is_done(
    config: GenerateConfig, tmp_path: Path
) -> None:
    plan(tmp_path, delay=0.2)

    def interrupt(report: Report, outcome: Outcome | None) -> None:
        if outcome is not None:
            raise KeyboardInterrupt

    report = generate(config, interrupt)

    assert report.interrupted
    assert report.made == 1
    assert not multiprocessing.active_children()
    assert (config.output / "index.parquet").is_file()
    assert not list(config.output.glob(".partial-*"))


@pytest.mark.slow
def test_a_killed_worker_is_replaced(config: GenerateConfig, tmp_path: Path) -> None:
    plan(tmp_path, delay=0.2)

    def kill_first(report: Report, outcome: Outcome | None) -> None:
        if report.made == 1 and outcome is not None:
            os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)

    report = generate(config, kill_first)

    assert report.failed == {}
    assert complete_indices(config.output, foreground=True) == [0, 1, 2, 3, 4]


RUN = """
import sys
import tempfile
from pathlib import Path
from david_hf.synthetic.production.config import GenerateConfig
from david_hf.synthetic.production.generate import generate
if __name__ == "__main__":
    root = Path(sys.argv[1])
    generate(GenerateConfig(root / "out", 12, height=48, width=36, workers=2,
        blender=str(root / "renderer"), hdri_dir=root / "hdri",
        sampler_factory="unit.synthetic.stand_ins:make_sphere_sampler"))
"""


@pytest.mark.slow
def test_a_killed_run_leaves_no_process_and_no_half_sample(
    config: GenerateConfig, tmp_path: Path
) -> None:
    plan(tmp_path, delay=0.3)
    (tmp_path / "run.py").write_text(RUN)
    tests = str(Path(__file__).parents[2])
    run = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": tests},
    )
    while len(renders(tmp_path)) < 4 and run.poll() is None:
        time.sleep(0.05)

    processes = _descendants(run.pid)
    assert len(processes) >= 4  # two workers, two renderers
    run.kill()
    run.wait()

    end = time.monotonic() + 10
    while processes & _parents().keys() and time.monotonic() < end:
        time.sleep(0.05)
    assert not processes & _parents().keys()
    complete = complete_indices(config.output, foreground=True)
    assert 2 <= len(complete) < 12
    assert len(list(config.output.glob("cam_*.txt"))) == len(complete)
    plan(tmp_path)
    assert generate(replace(config, count=12)).made == 12 - len(complete)
    assert not list(config.output.glob(".partial-*"))


def _parents() -> dict[int, int]:
    """Parents of all live processes."""
    command = ["ps", "-eo", "pid=,ppid=,stat="]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in said.splitlines()]
    return {int(pid): int(parent) for pid, parent, state in rows if state[0] != "Z"}


def _descendants(pid: int) -> set[int]:
    parents, found = _parents(), {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def test_the_settings_of_a_folder_are_written_down(
    finished: tuple[GenerateConfig, Report],
) -> None:
    settings = json.loads((finished[0].output / "generator.json").read_text())

    assert settings["versions"]["blender"] == "9.9"
    assert settings["lights"] == ["sky.exr"]
    assert settings["assets"]["hdri"]["files"] == 1
    assert "workers" not in settings


def test_blenders_panoramas_can_be_left_out(tmp_path: Path) -> None:
    own, blenders = tmp_path / "own", tmp_path / "blenders"
    for folder, names in ((own, ("venice", "night")), (blenders, ("night", "city"))):
        folder.mkdir()
        for name in names:
            grey = np.ones((2, 4))
            write_exr(folder / f"{name}.exr", R=grey, G=grey, B=grey)
    config = GenerateConfig(tmp_path, 1, hdri_dir=own)

    assert list(config.panoramas(blenders)) == ["city.exr", "night.exr", "venice.exr"]
    assert config.panoramas(blenders)["night.exr"] == own / "night.exr"
    assert list(replace(config, blender_hdri=False).panoramas(blenders)) == [
        "night.exr",
        "venice.exr",
    ]
    (blenders / "city.exr").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"city.exr: expected a panorama in OpenEXR"):
        config.panoramas(blenders)
