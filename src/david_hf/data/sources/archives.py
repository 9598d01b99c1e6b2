"""Files of a data set, in a folder or in zip archives that need no unpacking."""

import os
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from .base import read_bytes

MAX_MEMBER_BYTES = 256 << 20  # a member of a few kilobytes may unpack to gigabytes
# What zipfile raises: RuntimeError is a password or an unknown compression.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


class FileTree(Protocol):
    """Files by name, the part behind the last slash."""

    def names(self) -> Iterator[str]:
        """Every name."""

    def __contains__(self, name: str) -> bool: ...

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            ValueError: If it is missing or damaged.
        """


class FolderFiles:
    """Files that lie in a folder, not below it.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> Iterator[str]:
        """Every name, in no order."""
        with os.scandir(self.folder) as entries:
            for entry in entries:
                yield entry.name

    def __contains__(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            ValueError: If it is missing.
        """
        return read_bytes(self.folder / name)


class ZipFiles:
    """Files of one zip archive, whatever folder they are in inside; nothing is written anywhere.

    Opened when first read, and again in every process that reads: open files do not survive a fork.

    Args:
        path: The archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._opened: tuple[int, zipfile.ZipFile, dict[str, zipfile.ZipInfo]] | None = None

    def __getstate__(self) -> dict[str, Path]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def names(self) -> Iterator[str]:
        """Every name, in the archive's order."""
        return iter(self._open()[1])

    def __contains__(self, name: str) -> bool:
        return name in self._open()[1]

    def read(self, name: str) -> bytes:
        """Content of a member.

        Raises:
            ValueError: If it is missing, damaged or suspiciously large.
        """
        archive, members = self._open()
        member = members.get(name)
        if member is None:
            raise ValueError(f"{self.path}: expected a member {name}; download the archive again")
        if member.file_size > MAX_MEMBER_BYTES:
            raise ValueError(
                f"{self.path}: member {name} would unpack to {member.file_size:,} bytes, more than "
                f"the limit of {MAX_MEMBER_BYTES:,}"
            )
        try:
            with self._lock:
                return archive.read(member)
        except DAMAGE as error:
            raise ValueError(f"{self.path}: member {name} cannot be read ({error})") from error

    def close(self) -> None:
        """Let go of the archive; it opens again when needed. Who reads it now may finish."""
        self._opened = None

    def _open(self) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                archive = zipfile.ZipFile(self.path)
            except (zipfile.BadZipFile, OSError) as error:
                raise ValueError(
                    f"{self.path}: not a readable zip archive ({error}); download it again"
                ) from error
            members = {
                info.filename.rpartition("/")[2]: info
                for info in archive.infolist()
                if not info.is_dir()
            }
            self._opened = (os.getpid(), archive, members)
        return self._opened[1:]
