import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from figures import write_person
from PIL import Image
from typer.testing import CliRunner, Result

from david_cli.main import app
from david_hf.data.sources.registry import DATASETS
from david_hf.data.sources.synthhuman import SynthHuman
from david_hf.data.stream import ShardStream
from david_hf.synthetic.rendering.sample_files import write_exr


def david_data(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for index in range(4):
        write_person(tmp_path / "people", index)
    return tmp_path / "people"


def test_the_list_names_every_data_set_with_its_licence_and_its_source() -> None:
    result = david_data("list")

    words = " ".join(result.stdout.split())
    assert result.exit_code == 0
    for name, info in DATASETS.items():
        assert f"{name}: {info.title}" in words
        assert info.licence in words
        assert info.how_to_get.replace("`", "") in words


def test_a_complete_folder_is_fine(people: Path) -> None:
    result = david_data("check", "generated", people)

    assert result.exit_code == 0
    assert "all: 4 samples, 4 checked: fine" in result.stdout


def test_some_parts_of_what_comes_in_parts_are_fine(people: Path) -> None:
    result = david_data("check", "synthhuman", people)

    assert result.exit_code == 0
    assert "all: 4 of 298,008 samples, 4 checked: fine" in result.stdout


def test_an_incomplete_download_says_what_is_missing_and_where_it_is_obtained(
    people: Path,
) -> None:
    (people / "alpha_0000002.png").unlink()

    result = david_data("check", "synthhuman", people, "--limit", "4")

    assert result.exit_code == 1
    assert "all: 4 of 298,008 samples, 4 checked: 1 problem\n" in result.stdout
    assert "alpha_0000002.png: missing" in result.stdout
    assert "SynthHuman is obtained from: `david data download synthhuman" in result.stdout
    assert "CDLA-Permissive-2.0" in result.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["depth_m"] * 100, "another unit"),
        (lambda d: d["depth_m"] * 0, "depth is known nowhere"),
    ],
)
def test_implausible_depth_is_a_problem(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    write_person(tmp_path, 0)
    sample = SynthHuman(tmp_path)[0]
    depth = change({"depth_m": sample.depth_m})
    write_exr(
        tmp_path / "depth_0000000.exr", Y=np.where(depth > 0, np.minimum(depth * 100, 65000), 65504)
    )

    result = david_data("check", "generated", tmp_path)

    assert result.exit_code == 1
    assert message in result.stdout


def test_nobody_to_be_seen_and_an_odd_camera_are_problems(tmp_path: Path) -> None:
    write_person(tmp_path, 0)
    Image.new("L", (36, 48)).save(tmp_path / "alpha_0000000.png")
    np.savetxt(tmp_path / "cam_0000000.txt", np.diag([0.06, 0.06, 1]))

    result = david_data("check", "generated", tmp_path)

    assert "nobody is seen" in result.stdout
    assert "does not fit a side of 48" in result.stdout


def test_a_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    result = david_data("check", "p3m-10k", tmp_path / "missing")

    assert result.exit_code == 1
    assert result.stdout.count("missing: no such folder") == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nothing", "."], "unknown data set 'nothing'; known are synthhuman"),
        (["check", "generated", ".", "--split", "test"], "expected a split out of train,"),
        (["show", "generated", "missing", "sheet.jpg"], "missing: no such folder"),
        (["shard", "generated", "missing", "out"], "missing: no such folder"),
        (["show", "folder", ".", "a.jpg", "--option", "x"], "expected --option KEY=VALUE, got 'x'"),
        (
            ["show", "folder", ".", "a.jpg", "--option", "x=1"],
            "folder: takes no option x; it takes",
        ),
        (["shard", "p3m-10k", ".", "out", "--option", "a=1"], "no option a; it takes none"),
        (["shard", "generated", ".", "out", "--option", "a=1"], "no option a; it takes categories"),
    ],
)
def test_bad_input_is_told_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = david_data(*arguments)

    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed_is_named() -> None:
    script = "import sys; sys.modules['cv2'] = None; from david_cli.main import app; app()"

    run = subprocess.run(
        [sys.executable, "-c", script, "data", "list"], capture_output=True, text=True, check=False
    )

    assert run.returncode == 1
    assert run.stderr == "david: cv2 is not installed: pip install 'david-hf[data]'\n"


def test_options_reach_the_data_set(tmp_path: Path) -> None:
    for folder in ("images", "depths"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(tmp_path / "set/images/a.png")
    np.save(tmp_path / "set/depths/a.npy", np.full((6, 8), 3000))

    wrong = david_data("check", "folder", tmp_path / "set")
    right = david_data("check", "folder", tmp_path / "set", "--option", "depth_unit=0.001")

    assert "another unit" in wrong.stdout
    assert "fine" in right.stdout


@pytest.mark.parametrize("augmented", [[], ["--augmented", 64]])
def test_a_sheet_shows_samples(people: Path, tmp_path: Path, augmented: list[object]) -> None:
    result = david_data("show", "generated", people, tmp_path / "sheet.png", *augmented)

    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert np.asarray(sheet).std() > 20


@pytest.mark.parametrize("suffix", ["xyz", "psd"])
def test_a_sheet_of_an_unknown_format_is_refused(people: Path, tmp_path: Path, suffix: str) -> None:
    result = david_data("show", "generated", people, tmp_path / f"sheet.{suffix}")

    assert result.exit_code == 1
    assert "expected a picture such as sheet.jpg" in result.stderr


@pytest.mark.parametrize("shard_format", ["parquet", "webdataset"])
def test_shards_are_written_and_streamed(people: Path, tmp_path: Path, shard_format: str) -> None:
    out = tmp_path / "shards"
    arguments = ["shard", "generated", people, out, "--split", "all", "--format", shard_format]

    result = david_data(*arguments, "--samples-per-shard", 3)

    assert result.exit_code == 0, result.output
    assert f"4 samples of generated, all: 2 files in {out}" in result.stdout
    assert len(list(ShardStream(out, "all", endless=False))) == 4
