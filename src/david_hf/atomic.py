"""Files and folders that appear whole or not at all."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["check_is_free", "new_folder", "whole_file", "write_text"]


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing such that it appears whole or, after an error, not at all."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write a text file as UTF-8, in place of one that is there, and return its path."""
    with whole_file(path) as file:
        file.write(text.encode())
    return path


def check_is_free(target: Path) -> None:
    """Refuse a name that is taken, before any work is done for it.

    Raises:
        ValueError: If `target` is there already and not an empty folder.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target}: exists already; name a folder that is to be made")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Fill a folder that appears whole or not at all.

    Yields:
        An empty folder to fill, which gets the name `target` in the end.

    Raises:
        ValueError: As `check_is_free`.
    """
    check_is_free(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as partial:
        staged = Path(partial) / target.name
        staged.mkdir()
        yield staged
        staged.replace(target)
