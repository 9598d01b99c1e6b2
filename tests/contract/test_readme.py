"""The examples of the README run, from top to bottom."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_readme_has_examples() -> None:
    assert len(PYTHON_BLOCKS) >= 2


@pytest.fixture
def folder_like_root(tmp_path: Path) -> Path:
    """A folder with the files the examples name, for what they write to stay out of the tree."""
    for name in ("spaces", "training"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.parametrize("index", range(len(PYTHON_BLOCKS)))
def test_a_python_example_runs(index: int, folder_like_root: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PYTHON_BLOCKS[index]],
        cwd=folder_like_root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )

    assert result.returncode == 0, result.stderr
    for before, after in re.findall(r"^loss (\S+) -> (\S+)$", result.stdout, re.MULTILINE):
        assert float(after) < 0.9 * float(before)


def test_the_fine_tuning_examples_are_short_and_say_the_loss() -> None:
    examples = [block for block in PYTHON_BLOCKS if 'print(f"loss ' in block]

    assert len(examples) == 2
    assert all(len([line for line in block.splitlines() if line]) <= 20 for block in examples)


def test_the_files_it_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", TEXT)

    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing
