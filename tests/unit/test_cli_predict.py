"""The `david` command."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from huggingface_hub.utils import logging as hub_logging
from transformers.utils import logging as transformers_logging
from typer.testing import CliRunner

from david_cli.main import app

GOOD_PHOTOS, FILES_PER_PHOTO = 7, 8


@pytest.fixture(autouse=True)
def _libraries_speak_again() -> Iterator[None]:
    """The command silences libraries for its whole process, which is that of other tests here."""
    levels = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    yield
    transformers_logging.set_verbosity(levels[0])
    hub_logging.set_verbosity(levels[1])


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, run in this process."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def test_a_photo_is_predicted_and_the_output_is_named(
    photo_folder: Path, dense_checkpoint: Path, tmp_path: Path
) -> None:
    maps = tmp_path / "maps"

    code, stdout, stderr = run(
        "predict", photo_folder / "good.jpg", "-o", maps, "--model", dense_checkpoint
    )

    assert (code, stderr) == (0, "")
    assert stdout == f"wrote 8 files for 1 photo to {maps}\n"
    assert len(list(maps.iterdir())) == FILES_PER_PHOTO


def test_bad_photos_are_one_line_each_and_fail_the_command_after_the_good_ones(
    photo_folder: Path, dense_checkpoint: Path, tmp_path: Path
) -> None:
    maps = tmp_path / "maps"

    code, stdout, stderr = run("predict", photo_folder, "-o", maps, "--model", dense_checkpoint)

    assert code == 1
    assert stdout == f"wrote {GOOD_PHOTOS * FILES_PER_PHOTO} files for 7 photos to {maps}\n"
    text, truncated, summary = stderr.splitlines()
    assert text.startswith(f"david: {photo_folder / 'text.jpg'}: not an image")
    assert truncated.startswith(f"david: {photo_folder / 'truncated.jpg'}: image file is truncated")
    assert summary == "david: 2 photos failed"


def test_the_installed_command_does_the_same_without_a_traceback(
    photo_folder: Path, dense_checkpoint: Path, tmp_path: Path
) -> None:
    command = Path(sysconfig.get_path("scripts")) / "david"
    arguments = ["predict", photo_folder, "-o", "maps", "--model", dense_checkpoint]

    result = subprocess.run(
        [command, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"},
    )

    assert result.returncode == 1, result.stderr
    assert result.stdout == "wrote 56 files for 7 photos to maps\n"
    assert len(result.stderr.splitlines()) == 3
    assert "Traceback" not in result.stderr
    assert len(list((tmp_path / "maps").iterdir())) == GOOD_PHOTOS * FILES_PER_PHOTO


def test_tasks_are_chosen_by_name(
    photo_folder: Path, dense_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ["predict", photo_folder / "good.jpg", "-o", tmp_path / "maps"]

    code, _, _ = run(*arguments, "--model", dense_checkpoint, "--tasks", "depth, alpha")

    assert code == 0
    kinds = {path.stem.removeprefix("good_") for path in (tmp_path / "maps").iterdir()}
    assert kinds == {"depth", "depth_color", "alpha", "cutout", "overview"}


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("nowhere.jpg", [], "nowhere.jpg: no such file or folder"),
        ("empty", [], "no image in this folder"),
        ("photos", ["--model", "no/where/at/all"], "cannot load no/where/at/all: no such folder"),
        ("photos", ["--model", "nobody/nothing"], "cannot load nobody/nothing: "),
        ("photos", ["--tasks", "depth,colour"], "predicts depth, normals, alpha, not colour"),
        ("photos", ["--device", "toaster"], "cannot run on toaster: "),
        ("photos", ["--output", "photos"], "maps would mix with the photos"),
    ],
)
@pytest.mark.usefixtures("photo_folder")
def test_wrong_arguments_are_one_line_and_exit_code_1(
    source: str,
    options: list[str],
    message: str,
    dense_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()

    code, stdout, stderr = run(
        "predict", source, "--output", "maps", "--model", dense_checkpoint, *options
    )

    assert (code, stdout) == (1, "")
    assert len(stderr.splitlines()) == 1
    assert stderr.startswith("david: ")
    assert message in stderr


def test_version_and_help() -> None:
    assert run("--version")[:2] == (0, f"david {version('david-hf')}\n")
    assert "predict" in run("--help")[1]
    assert "PHOTO_OR_FOLDER" in run("predict", "--help")[1]


def test_help_waits_for_nothing_heavy() -> None:
    script = (
        "import sys, david_cli.main;"
        "heavy = {'torch', 'transformers', 'numpy', 'PIL', 'david_hf'} & set(sys.modules);"
        "sys.exit(f'imported {sorted(heavy)}' if heavy else 0)"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
