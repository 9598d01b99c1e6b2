"""Fixtures all tests share, and a process without network, progress bars and thread contention."""

import logging
import os
from collections.abc import Iterator

# Read when huggingface_hub is imported, hence in front of every other import.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import pytest
import torch
from transformers.utils import logging as transformers_logging

import david_hf  # noqa: F401 - registers the classes

transformers_logging.disable_progress_bar()
# The tensors are tiny: threads cost more than they give.
torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    """Seeded source of random test data."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def _seeded_weights() -> Iterator[None]:
    """Fresh models draw from the global generator; seed it, and leave it as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def transformers_log() -> Iterator[list[str]]:
    """Warnings and errors that transformers logs while the test runs."""
    handler = _Records()
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.WARNING)  # commands that ran in this process left it at errors
    logger.addHandler(handler)
    yield handler.messages
    logger.setLevel(level)
    logger.removeHandler(handler)
