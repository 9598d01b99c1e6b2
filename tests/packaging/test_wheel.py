"""The package as users get it: built, installed into a clean environment, run from elsewhere."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "spaces" / "david" / "examples" / "astronaut.jpg"
# What a source distribution leaves behind of a working tree.
NOT_SOURCE = {".git", ".venv", "dist", "data", "runs", "demo_output"}

pytestmark = pytest.mark.package


def run(*command: str | Path, folder: Path) -> str:
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=clean_environment()
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the source distribution and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, folder=ROOT)
    return folder


@pytest.fixture(scope="session")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment that has the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, folder=folder)
    constraints = ["--constraint", ROOT / "constraints.txt"]
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install"]
    run(*pip, *constraints, next(built.glob("*.whl")), folder=folder)
    return folder / "bin"


def test_the_wheel_holds_all_of_the_package_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}

    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix()
        for package in ("david_hf", "david_cli")
        for path in (source / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == files
    assert {"david_hf/py.typed", "david_hf/checkpoints/david-nano/model.safetensors"} < names


def test_the_source_distribution_holds_what_tests_need(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}

    assert {"src", "tests", "training", "pyproject.toml", "README.md", "LICENSE"} < tops
    assert not tops & NOT_SOURCE


def test_the_installed_package_does_the_main_job(environment: Path, tmp_path: Path) -> None:
    shutil.copy(PHOTO, tmp_path / "photo.jpg")

    assert "david" in run(environment / "david", "--version", folder=tmp_path)
    said = run(environment / "david", "predict", "photo.jpg", "-o", "maps", folder=tmp_path)

    assert said == "wrote 8 files for 1 photo to maps\n"
    assert len(list((tmp_path / "maps").iterdir())) == 8


def test_what_it_requires_fits_together(environment: Path, tmp_path: Path) -> None:
    assert "No broken requirements" in run(
        environment / "python", "-m", "pip", "check", folder=tmp_path
    )


def test_types_are_found_where_it_is_installed(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(
        "from david_hf import DavidPredictor\nreveal_type(DavidPredictor.from_pretrained().tasks)\n"
    )
    python = f"--python-executable={environment / 'python'}"
    said = run(
        sys.executable, "-m", "mypy", python, "--follow-imports=silent", "user.py", folder=tmp_path
    )

    assert "tuple[str, ...]" in said


def test_a_card_is_made_from_the_template_in_the_wheel(environment: Path, tmp_path: Path) -> None:
    script = (
        "import david_hf, shutil, sys; from david_hf import hub\n"
        "shutil.copytree(david_hf.bundled_checkpoint(), 'mine')\n"
        "import os; os.remove('mine/README.md')\n"
        "hub.write_release('mine', 'owner/mine', 'release', remote_code=True)\n"
    )
    run(environment / "python", "-c", script, folder=tmp_path)

    assert "# mine" in (tmp_path / "release" / "README.md").read_text()
    assert (tmp_path / "release" / "modeling_david.py").is_file()
