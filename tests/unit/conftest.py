"""Fixtures for tests of prediction and of the command line."""

from pathlib import Path

import pytest
from photos import save_checkpoint, save_photos

from david_hf.model import DavidForDensePrediction, DavidForDepthEstimation


@pytest.fixture(scope="session")
def dense_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three tasks."""
    return save_checkpoint(DavidForDensePrediction, tmp_path_factory.mktemp("dense"))


@pytest.fixture(scope="session")
def depth_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Depth alone."""
    return save_checkpoint(DavidForDepthEstimation, tmp_path_factory.mktemp("depth"))


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Seven photos that can be read and two files that cannot."""
    folder = tmp_path / "photos"
    folder.mkdir()
    save_photos(folder)
    return folder
