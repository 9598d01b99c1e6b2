"""Check and unpack zip archives of SynthHuman.

An archive may come from anywhere: nothing but files of samples is written, and nothing outside of
the folder.
"""

import re
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from david_hf.downloads import check_space
from david_hf.load_errors import in_one_line
from david_hf.resumable import DownloadError, SharedDownloadError

from .sources.archives import DAMAGE, MAX_MEMBER_BYTES

__all__ = ["ArchiveError", "check_archive", "unpack_archive", "verify_archive"]

# Folders may lead to a file, but none that is hidden, "..", a drive or the root.
_MEMBER = re.compile(
    r"(?:\w[\w.-]*/)*"
    r"((?:rgb|alpha)_\d{7}\.png|(?:depth|normal)_\d{7}\.exr|cam_\d{7}\.txt)?",
    re.ASCII,
)


class ArchiveError(ValueError):
    """What is wrong with an archive: the end of a sentence that begins with its name."""


def check_archive(path: Path) -> list[str]:
    """Check that an archive is complete, by its table of contents, and holds samples.

    Returns:
        Names of members that are no files of samples, which are not read by anything.

    Raises:
        ArchiveError: If it is cut off, or something else.
    """
    with _open(path) as archive:
        members, others = _list_members(archive)
    if not any(name.startswith("cam") for name in members):
        raise ArchiveError("holds no sample of SynthHuman (cam_0000000.txt, rgb_0000000.png, ...)")
    return others


def verify_archive(path: Path, on_progress: Callable[[int, int], None]) -> None:
    """Read every sample of an archive and compare it with its checksum.

    Args:
        path: The archive.
        on_progress: Called with the bytes that were read and the bytes there are, unpacked.

    Raises:
        ArchiveError: If a member is damaged or suspiciously large.
    """
    with _open(path) as archive:
        members, _ = _list_members(archive)
        done, total = 0, sum(info.file_size for info in members.values())
        for info in members.values():
            done += len(_read(archive, info))
            on_progress(done, total)


def unpack_archive(
    path: Path, folder: Path, on_progress: Callable[[int, int], None]
) -> tuple[str, str]:
    """Unpack an archive; what is there already is compared and not unpacked again.

    Files appear whole, and the `cam_*.txt` that marks a sample as complete after the rest of it.

    Args:
        path: The archive.
        folder: Where the files go, whatever folders they are in inside.
        on_progress: Called with the bytes that are done and the bytes there are, unpacked.

    Returns:
        Numbers of the first and of the last sample, with seven digits.

    Raises:
        ArchiveError: If a member is no file of a sample, and then nothing is written; or if one is
            suspiciously large or damaged.
        DownloadError: If another file has the name of a member.
        SharedDownloadError: If the disk is too small or not writable.
    """
    with _open(path) as archive:
        members, others = _list_members(archive)
        if others:
            raise ArchiveError(
                f"holds {others[0]!r}, which is no file of a sample; nothing is unpacked"
            )
        missing = [info for name, info in members.items() if not (folder / name).exists()]
        check_space(folder, sum(info.file_size for info in missing))
        done, total = 0, sum(info.file_size for info in members.values())
        for name in sorted(members, key=_sample_by_sample):
            target, info = folder / name, members[name]
            if target.exists():
                _check_same(target, info)
            else:
                _write(target, _read(archive, info), prefix=path.stem)
            done += info.file_size
            on_progress(done, total)
    numbers = sorted(_number(name) for name in members)
    return numbers[0], numbers[-1]


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except DAMAGE as error:
        raise ArchiveError(f"is no complete zip archive ({in_one_line(error)})") from error


def _list_members(archive: zipfile.ZipFile) -> tuple[dict[str, zipfile.ZipInfo], list[str]]:
    """Files of samples by the last part of their names, and the names of what is none."""
    members: dict[str, zipfile.ZipInfo] = {}
    others = []
    for info in archive.infolist():
        match = _MEMBER.fullmatch(info.filename)
        if match is None or not _is_plain(info) or match[1] in members:
            others.append(info.filename)
        elif match[1] is not None:
            members[match[1]] = info
    return members, others


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """Tell a file or a folder from a link or a device; archives from Windows say nothing."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG)


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > MAX_MEMBER_BYTES:
        raise ArchiveError(
            f"holds {info.filename!r}, which would unpack to {info.file_size:,} bytes, more than "
            f"the limit of {MAX_MEMBER_BYTES:,}"
        )
    try:
        return archive.read(info)
    except DAMAGE as error:
        raise ArchiveError(f"holds a damaged {info.filename!r} ({in_one_line(error)})") from error


def _number(name: str) -> str:
    return name[-len("0000000.txt") : -len(".txt")]


def _sample_by_sample(name: str) -> tuple[str, bool]:
    return _number(name), name.startswith("cam")


def _check_same(path: Path, info: zipfile.ZipInfo) -> None:
    is_same = path.stat().st_size == info.file_size and zlib.crc32(path.read_bytes()) == info.CRC
    if not is_same:
        raise DownloadError(f"{path}: is there and differs from the archive's; move it away")


def _write(path: Path, content: bytes, prefix: str) -> None:
    temporary = path.with_name(f".{prefix}-{path.name}.partial")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise SharedDownloadError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
