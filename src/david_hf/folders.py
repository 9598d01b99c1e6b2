"""Folders that appear whole or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["check_is_free", "new_folder"]


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
