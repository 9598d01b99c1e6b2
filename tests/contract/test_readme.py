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


@pytest.mark.parametrize("index", range(len(PYTHON_BLOCKS)))
def test_a_python_example_runs(index: int) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PYTHON_BLOCKS[index]],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )

    assert result.returncode == 0, result.stderr


def test_the_files_it_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", TEXT)

    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing
