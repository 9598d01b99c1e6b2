"""What goes wrong is one line and an exit code, whatever the command."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from david_cli.common import errors_in_one_line
from david_cli.main import app

TOO_LONG = "a" * 300  # no file system takes such a name: Python raises OSError even for is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", TOO_LONG, "-o", "maps"],
        ["convert", TOO_LONG, "-o", "checkpoint"],
        ["convert", "--all", TOO_LONG, "-o", "checkpoints"],
        ["export", f"./{TOO_LONG}", "-o", "model.onnx"],
        ["demo", "--model", f"./{TOO_LONG}"],
        ["publish", TOO_LONG, "owner/name"],
    ],
    ids=lambda arguments: " ".join(arguments[:2])[:13],
)
def test_a_path_that_no_system_call_takes_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(app, arguments)

    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("david: ")
    assert "File name too long" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "/photos/a.jpg"), "/photos/a.jpg: Permission"),
        (ValueError("two\n  lines"), "two lines"),
        (RuntimeError(), "RuntimeError"),
        (ModuleNotFoundError("No module named 'x'", name="x"), "x is not installed: pip install x"),
        (ImportError("x is broken"), "x is broken"),
    ],
)
def test_errors_say_what_there_is_to_say(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, errors_in_one_line():
        raise error

    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.startswith(f"david: {line}")


def test_an_interruption_ends_as_shells_expect(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, errors_in_one_line():
        raise KeyboardInterrupt

    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "david: interrupted; run the same command again\n"


@pytest.mark.parametrize("option", [["--public"], ["--dry-run"], ["--message", "New weights"]])
def test_publishing_to_a_folder_takes_no_options_of_sending(
    option: list[str], dense_checkpoint: Path, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    arguments = ["publish", str(dense_checkpoint), "owner/name", "-o", str(release), *option]

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 2
    assert "--output sends nothing" in result.stderr
    assert not release.exists()
