"""What a folder of downloaded files needs besides them: addresses, space, and records."""

import json
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .atomic import write_text
from .resumable import DownloadError, SharedDownloadError

__all__ = ["DownloadRecords", "check_space", "mirror_url"]

_MIB = 1 << 20


class DownloadRecords:
    """A JSON file that says of each file in its folder what it is and where it came from.

    Args:
        path: The JSON file; made when the first file is recorded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the records by file name; none if there is no such file.

        Raises:
            DownloadError: If the file is something else.
        """
        if not self.path.exists():
            return {}
        try:
            records = json.loads(self.path.read_text(encoding="utf-8"))
        except ValueError:
            records = None
        if not isinstance(records, dict) or not all(isinstance(r, dict) for r in records.values()):
            raise DownloadError(
                f"{self.path}: expected a JSON object per file; delete it, then run again"
            )
        return records

    def add(self, name: str, url: str | None, size: int, sha256: str) -> None:
        """Record a file, in place of what was recorded of that name; url is None if unknown."""
        date = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(name, {"url": url, "size": size, "sha256": sha256, "date": date})

    def note(self, name: str, **facts: Any) -> None:
        """Add to what is recorded of a file."""
        self._write(name, self.read().get(name, {}) | facts)

    def _write(self, name: str, entry: dict[str, Any]) -> None:
        """Replace one record; the file appears whole or not at all."""
        with self._lock:
            # Read again: another process may have added its own in the meantime.
            records = self.read() | {name: entry}
            write_text(self.path, json.dumps(records, indent=2) + "\n")


def mirror_url(mirror: str, name: str) -> str:
    """Return the address of a file on a mirror.

    Raises:
        DownloadError: If the mirror is no plain http or https address.
    """
    try:
        parts = urlsplit(mirror)
        is_base = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        is_base = False
    else:
        # A password or a signature would end up in the records.
        is_base = is_base and not (parts.query or parts.fragment or "@" in parts.netloc)
    if not is_base or not mirror.isascii() or not mirror.isprintable() or " " in mirror:
        raise DownloadError(
            f"expected a mirror as https://HOST/FOLDER, without password or query, got {mirror!r}"
        )
    return f"{mirror.rstrip('/')}/{name}"


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        folder: Where it is to be written.
        needed: Bytes.

    Raises:
        SharedDownloadError: If the disk has less left.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SharedDownloadError(
            f"{folder}: {needed / _MIB:,.0f} MiB are still to come, the disk has "
            f"{free / _MIB:,.0f} MiB left; free some, or ask for fewer files"
        )
