"""Fetch SynthHuman from its publisher.

Names, number and sizes of the archives: README and download script of
https://github.com/microsoft/DAViD, read in public copies. Exact sizes and checksums are not
published, so an archive is judged by what the server announced and by its table of contents.
None of the addresses was tried when this was written.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from david_hf.downloads import DownloadRecords, check_space, mirror_url
from david_hf.resumable import (
    DownloadError,
    PartialFile,
    RemoteFile,
    fetch,
    sha256_of,
)

from .download_threads import DownloadThreads
from .unpacking import ArchiveError, check_archive, unpack_archive, verify_archive

__all__ = [
    "BASE_URL",
    "NUM_PARTS",
    "RECORDS_NAME",
    "FailedPartsError",
    "download_synthhuman",
    "select_parts",
]

_logger = logging.getLogger(__name__)

BASE_URL = "https://facesyntheticspubwedata.z6.web.core.windows.net/iccv-2025/data"
NUM_PARTS = 60
# Name of the file that records what was fetched.
RECORDS_NAME = "downloads.json"

_SAMPLE_NAME = "SynthHuman_sample.zip"
# Published are 8.75 GB at most and 330 GB in all. These hold if GiB are meant.
_MAX_BYTES = 9_400_000_000
_TOTAL_BYTES = 355_000_000_000
_SAMPLE_BYTES = 100_000_000  # one sample; its size is not published

Report = Callable[[str, int, int], None]


class FailedPartsError(DownloadError):
    """Some archives were not fetched or unpacked.

    Attributes:
        failures: One line each.
    """

    def __init__(self, failures: list[str]) -> None:
        more = f" (and {len(failures) - 1} more failures)" if len(failures) > 1 else ""
        super().__init__(failures[0] + more)
        self.failures = failures


def select_parts(parts: str) -> list[str]:
    """Name the archives that hold some parts of SynthHuman.

    Args:
        parts: "all", "sample" for the archive of one sample, or numbers as "0-3,7".

    Raises:
        DownloadError: If it is something else, or if there is no such part.
    """
    if parts == "sample":
        return [_SAMPLE_NAME]
    numbers: set[int] = set()
    for span in (f"0-{NUM_PARTS - 1}" if parts == "all" else parts).split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", span, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not first <= last < NUM_PARTS:
            raise DownloadError(
                f"expected parts as 0-3,7 out of 0 to {NUM_PARTS - 1}, or all, got {parts!r}"
            )
        numbers |= set(range(first, last + 1))
    return [f"SynthHuman_{number:04d}.zip" for number in sorted(numbers)]


def download_synthhuman(
    names: Iterable[str],
    folder: Path | str,
    *,
    mirror: str | None = None,
    jobs: int = 4,
    unpack: bool = False,
    remove_zips: bool = False,
    verify: bool = False,
    on_progress: Report | None = None,
) -> None:
    """Fetch archives of SynthHuman into a folder; what is there and complete is not fetched again.

    What breaks off goes on in the next call. `downloads.json` in the folder records url, size,
    SHA-256 and date of each archive, and which samples were unpacked. An archive that this function
    did not put there is taken over if it is complete (its url is then null), and nothing is ever
    written over. If one archive fails, the others are fetched all the same; when any would fail,
    all stop.

    Args:
        names: What `select_parts` returned.
        folder: Where they go; made if missing.
        mirror: Base address to use instead of the publisher's: MIRROR/NAME is fetched.
        jobs: Archives to work on at a time.
        unpack: Unpack them into the folder.
        remove_zips: Remove them when they are unpacked.
        verify: Compare every member with its checksum, also of archives that are there already.
        on_progress: Called, from several threads, with what is being done, the bytes that are done
            and the bytes there are.

    Raises:
        FailedPartsError: If an archive cannot be fetched, is not what was expected, or cannot be
            unpacked.
        DownloadError: If the mirror is no address, or if the disk is too small or not writable.
        ValueError: If `jobs` is less than 1.
    """
    if jobs < 1:
        raise ValueError(f"expected at least 1 job, got {jobs}")
    base_url = BASE_URL if mirror is None else mirror
    work = _Download(
        folder=Path(folder),
        urls={name: mirror_url(base_url, name) for name in names},
        unpack=unpack,
        remove_zips=remove_zips,
        verify=verify,
        on_progress=on_progress,
    )
    try:
        work.prepare()
    except OSError as error:
        raise DownloadError(f"cannot write {folder}: {error.strerror or error}") from error
    failures = work.threads.run(work.urls, min(jobs, len(work.urls)))
    if failures:
        raise FailedPartsError(failures)


@dataclass
class _Download:
    """One call of `download_synthhuman`; `complete` runs in several threads."""

    folder: Path
    urls: Mapping[str, str]
    unpack: bool
    remove_zips: bool
    verify: bool
    on_progress: Report | None

    def __post_init__(self) -> None:
        self.records = DownloadRecords(self.folder / RECORDS_NAME)
        self.threads = DownloadThreads(self._complete)

    def prepare(self) -> None:
        """Make the folder and look at the disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        records = self.records.read()
        known = unknown = 0
        for name in self.urls:
            if (self.folder / name).exists() or self._is_unpacked(records.get(name, {})):
                continue
            partial = self._partial(name)
            origin = partial.origin()
            if origin is not None:
                known += origin.size - partial.size()
            else:
                unknown += _SAMPLE_BYTES if name == _SAMPLE_NAME else _MAX_BYTES
        to_come = known + min(unknown, _TOTAL_BYTES)
        # Pictures do not grow much when they are unpacked: they are compressed themselves.
        check_space(self.folder, to_come * (2 if self.unpack and not self.remove_zips else 1))

    def _complete(self, name: str) -> None:
        """Fetch, check and unpack one archive, as far as this has not been done."""
        record = self.records.read().get(name, {})
        path = self.folder / name
        if not self._is_unpacked(record):
            if path.exists():
                self._check(path, record)
            else:
                self._fetch(name, path)
            if self.unpack:
                self._unpack(path)
        if self.remove_zips:
            path.unlink(missing_ok=True)

    def _check(self, path: Path, record: Mapping[str, Any]) -> None:
        """Check an archive that was there, and record it if it is not recorded."""
        if not path.is_file():
            raise DownloadError(f"{path}: expected a file or nothing, it is a folder; move it away")
        size = path.stat().st_size
        if record and record.get("size") != size:
            raise DownloadError(
                f"{path}: has changed since {RECORDS_NAME} recorded it (now {size:,} bytes); "
                "delete it to fetch it again"
            )
        try:
            self._judge(path, path.name, is_known=bool(record))
        except ArchiveError as error:
            raise DownloadError(f"{path}: {error}; move it away to fetch it again") from error
        if not record:
            self.records.add(path.name, url=None, size=size, sha256=sha256_of(path))

    def _fetch(self, name: str, path: Path) -> None:
        url, partial = self.urls[name], self._partial(name)
        remote = RemoteFile(url, range(1, _MAX_BYTES + 1), _begins_like_zip, "a zip archive")
        sha256 = fetch(remote, partial, lambda *counts: self._report(name, *counts))
        size = partial.size()
        try:
            self._judge(partial.path, name)
        except ArchiveError as error:
            partial.discard()
            raise DownloadError(
                f"{url}: what came, {size:,} bytes, {error}; it is removed: run again, or use a "
                "mirror"
            ) from error
        partial.finish(path)
        self.records.add(name, url=url, size=size, sha256=sha256)

    def _judge(self, path: Path, name: str, is_known: bool = False) -> None:
        """Refuse what is no archive of SynthHuman, unless that is known not to be so."""
        others = [] if is_known else check_archive(path)
        if others:
            _logger.warning(
                "%s holds %d files that belong to no sample and are not read, as %r",
                name,
                len(others),
                others[0],
            )
        if self.verify:
            verify_archive(path, lambda *counts: self._report(f"{name}: checking", *counts))

    def _unpack(self, path: Path) -> None:
        try:
            samples = unpack_archive(
                path,
                self.folder,
                lambda *counts: self._report(f"{path.name}: unpacking", *counts),
            )
        except ArchiveError as error:
            raise DownloadError(f"{path}: {error}; delete it to fetch it again") from error
        self.records.note(path.name, unpacked=samples)

    def _report(self, label: str, done: int, total: int) -> None:
        self.threads.check()
        if self.on_progress is not None:
            self.on_progress(label, done, total)

    def _partial(self, name: str) -> PartialFile:
        return PartialFile(self.folder / f"{name}.partial")

    def _is_unpacked(self, record: Mapping[str, Any]) -> bool:
        """Tell whether samples were unpacked and are still there, judged by the first and last."""
        numbers = record.get("unpacked", ())
        paths = [self.folder / f"cam_{number}.txt" for number in numbers]
        return bool(paths) and all(path.is_file() for path in paths)


def _begins_like_zip(head: bytes) -> bool:
    return head.startswith(b"PK\3\4")
