"""`david convert`: one file, or all official ones of a folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from derived_network import Variant, build
from onnx_exports import export_onnx
from typer.testing import CliRunner

from david_cli.main import app
from david_hf import DavidConfig

MULTI = "multi-task-model-vitl16_384.onnx"
FOREGROUND = "foreground-segmentation-model-vitb16_384.onnx"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files with official names, the foreground without a telling activation, and a third."""
    folder = tmp_path_factory.mktemp("downloads")
    export_onnx(build(Variant()), folder / MULTI, (48, 48))
    alone = Variant(tasks=("alpha",), alpha_end="none")
    export_onnx(build(alone), folder / FOREGROUND, (48, 48))
    (folder / "unrelated.onnx").write_text("not looked at")
    return folder


def test_one_file_is_converted_and_what_was_measured_printed(
    downloads: Path, tmp_path: Path
) -> None:
    result = run(downloads / MULTI, "-o", tmp_path / "david")

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"wrote {tmp_path / 'david'}"
    assert lines[1] == (
        "depth, normals, alpha: ViT of 4 blocks, width 16, decoded blocks 0, 1, 2, 3"
    )
    assert len(lines) == 2 + 3 * 2
    assert lines[2].startswith("depth: differs by ")
    assert lines[2].endswith("of its range) on noise, seed 0")
    assert lines[7].endswith(" on astronaut.jpg")


def test_options_say_what_the_file_does_not(downloads: Path, tmp_path: Path) -> None:
    options = ["--tasks", "depth", "--depth-grows-farther", "--channel-order", "rgb"]

    result = run(downloads / FOREGROUND, "-o", tmp_path / "david", *options)

    assert result.exit_code == 0, result.output
    config = DavidConfig.from_pretrained(tmp_path / "david")
    assert (config.tasks, config.depth_is_inverse) == (["depth"], False)
    processor = json.loads((tmp_path / "david" / "preprocessor_config.json").read_text())
    assert processor["channel_order"] == "rgb"


def test_all_official_files_of_a_folder_are_converted_once(downloads: Path, tmp_path: Path) -> None:
    first = run("--all", downloads, "-o", tmp_path / "checkpoints")
    second = run("--all", downloads, "-o", tmp_path / "checkpoints")

    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    made = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert made == ["david-foreground-base", "david-large"]
    alpha = DavidConfig.from_pretrained(tmp_path / "checkpoints" / "david-foreground-base")
    assert alpha.architectures == ["DavidForImageMatting"]
    assert "not in" in first.stdout.splitlines()[-1]
    assert "depth-model-vitb16_384.onnx" in first.stdout.splitlines()[-1]
    assert second.stdout.splitlines()[:2] == [
        f"{tmp_path / 'checkpoints' / name} is there already" for name in made
    ]


def test_a_file_that_fails_does_not_stop_the_others(downloads: Path, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "depth-model-vitb16_384.onnx").write_bytes(b"<html>")
    (folder / MULTI).write_bytes((downloads / MULTI).read_bytes())

    result = run("--all", folder, "-o", tmp_path / "checkpoints")

    assert result.exit_code == 1
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["david-large"]
    assert "depth-model-vitb16_384.onnx: not an ONNX file" in result.stderr
    assert result.stderr.splitlines()[-1] == "david: 1 of 2 files failed"


def test_a_folder_without_official_files_is_refused(tmp_path: Path) -> None:
    result = run("--all", tmp_path, "-o", tmp_path / "checkpoints")

    assert result.exit_code == 1
    assert "expected official files, found none of depth-model-vitb16_384.onnx" in result.stderr
    assert "david download-official fetches them" in result.stderr


def test_options_for_one_file_do_not_go_with_all(downloads: Path, tmp_path: Path) -> None:
    result = run("--all", downloads, "-o", tmp_path / "out", "--tasks", "depth")

    assert result.exit_code == 2
    assert "leave the other options out" in result.stderr


@pytest.mark.parametrize("option", [[], ["--all"]])
def test_a_missing_package_is_named(option: list[str], tmp_path: Path) -> None:
    arguments = ["convert", *option, str(tmp_path), "-o", str(tmp_path / "out")]
    code = (
        "import sys; sys.modules['onnx'] = None; from david_cli.main import app; "
        f"app({arguments!r})"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr == "david: onnx is not installed: pip install 'david-hf[onnx]'\n"
