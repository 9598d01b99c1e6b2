"""The seven ONNX files that Microsoft published with the paper, and how to fetch them.

Where the facts come from:

- names and addresses: README of https://github.com/microsoft/DAViD, read in a public copy;
- sizes: the official model cards, printed in MiB with two digits;
- SHA-256, of three files: second-hand, from download scripts of public ports. The publisher prints
  none. A file that differs is therefore reported, not refused.

None of the addresses was tried when this was written.
"""

import logging
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from david_hf.downloads import DownloadRecords, check_space, mirror_url
from david_hf.resumable import DownloadError, PartialFile, RemoteFile, fetch, sha256_of

__all__ = [
    "BASE_URL",
    "OFFICIAL_FILES",
    "RECORDS_NAME",
    "SIZES",
    "TASKS",
    "DownloadError",
    "OfficialFile",
    "download",
    "find_official",
    "select_official",
]

_logger = logging.getLogger(__name__)

BASE_URL = "https://facesyntheticspubwedata.z6.web.core.windows.net/iccv-2025/models"
TASKS = ("depth", "normals", "alpha", "multi")
SIZES = ("base", "large")
# Name of the file that records what was fetched.
RECORDS_NAME = "official.json"

_MIB = 1 << 20
# The cards print two digits, and one digit more or less may be rounding.
_SIZE_TOLERANCE_MIB = 0.01


@dataclass(frozen=True)
class OfficialFile:
    """One published ONNX file.

    Attributes:
        name: File name.
        url: Where it is published.
        size_mib: Published size, MiB, two digits.
        task: "depth", "normals", "alpha", or "multi" for all three in one pass.
        size: "base" (ViT-B/16) or "large" (ViT-L/16).
        checkpoint: What this package calls the converted model.
        sha256: Checksum that others report, if any do.
    """

    name: str
    url: str
    size_mib: float
    task: str
    size: str
    checkpoint: str
    sha256: str | None = None

    @property
    def sizes_in_bytes(self) -> range:
        """Bytes that the file may have, given that `size_mib` is rounded."""
        smallest = (self.size_mib - _SIZE_TOLERANCE_MIB) * _MIB
        largest = (self.size_mib + _SIZE_TOLERANCE_MIB) * _MIB
        # Never 0: an empty file is none.
        return range(max(1, math.ceil(smallest)), math.floor(largest) + 1)


def _official(
    prefix: str, task: str, size: str, size_mib: float, checkpoint: str, sha256: str | None = None
) -> OfficialFile:
    name = f"{prefix}-model-vit{size[0]}16_384.onnx"
    return OfficialFile(name, f"{BASE_URL}/{name}", size_mib, task, size, checkpoint, sha256)


OFFICIAL_FILES: tuple[OfficialFile, ...] = (
    _official(
        "depth",
        "depth",
        "base",
        428.42,
        "david-depth-base",
        "c8dc49821c95f7ab56a30150e58eba989b1d67ce988d11f083dc7350c54b883b",
    ),
    _official("depth", "depth", "large", 1314.13, "david-depth-large"),
    _official("normal", "normals", "base", 428.42, "david-normal-base"),
    _official("normal", "normals", "large", 1314.13, "david-normal-large"),
    _official("foreground-segmentation", "alpha", "base", 428.42, "david-foreground-base"),
    _official(
        "foreground-segmentation",
        "alpha",
        "large",
        1314.13,
        "david-foreground-large",
        "ff003d3c0dff61a19af4d3721716c4e7eeba3830e70e2b6abc53d6ecde8683bf",
    ),
    _official(
        "multi-task",
        "multi",
        "large",
        1316.66,
        "david-large",
        "cf993e33ac7d6acac642c59b1512bdf97cd576975e93fe5c9697f3425023b6c1",
    ),
)


def select_official(
    tasks: Collection[str] | None = None, sizes: Collection[str] | None = None
) -> list[OfficialFile]:
    """Choose files by task and size.

    Args:
        tasks: Some of `TASKS`; None for all.
        sizes: Some of `SIZES`; None for all.

    Raises:
        DownloadError: If a word is unknown, or a task that was asked for has no file of that size.
    """
    _check_words("task", tasks, TASKS)
    _check_words("size", sizes, SIZES)
    chosen = [
        file
        for file in OFFICIAL_FILES
        if (tasks is None or file.task in tasks) and (sizes is None or file.size in sizes)
    ]
    absent = set(tasks or ()) - {file.task for file in chosen}
    if absent:
        raise DownloadError(
            f"the task {_listed(absent)} is not published in the size {_listed(sizes or ())}; "
            "ask for large, too"
        )
    return chosen


def download(
    files: Iterable[OfficialFile],
    folder: Path | str,
    mirror: str | None = None,
    on_progress: Callable[[OfficialFile, int, int], None] | None = None,
) -> list[Path]:
    """Fetch files into a folder; what is there and complete is not fetched again.

    A download that breaks off goes on in the next call, from NAME.partial. `official.json` in the
    folder records url, size, SHA-256 and date of each file. A file that this function did not put
    there is taken over if it is complete (its url is then null), and never written over.

    Args:
        files: Some of `OFFICIAL_FILES`.
        folder: Where they go; made if missing.
        mirror: Base address to use instead of the publisher's: MIRROR/NAME is fetched.
        on_progress: Called with the file, the bytes that are there and the bytes it will have.

    Returns:
        The files' paths, in order.

    Raises:
        DownloadError: If a file cannot be fetched or is not what was published, if a file of that
            name is there and is something else, or if the disk is too small or not writable.
    """
    folder = Path(folder)
    urls = {file: file.url if mirror is None else mirror_url(mirror, file.name) for file in files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [file for file in urls if not _is_complete(file, folder)]
        _check_space(missing, folder)
        for file in missing:
            _download_one(file, urls[file], folder, on_progress)
    except OSError as error:
        raise DownloadError(f"cannot write {folder}: {error.strerror or error}") from error
    return [folder / file.name for file in urls]


def find_official(folder: Path | str) -> dict[OfficialFile, Path]:
    """Find the published files that are in a folder, by name, in the order of `OFFICIAL_FILES`.

    A file that `download` has not finished has another name and is not found.
    """
    paths = {file: Path(folder) / file.name for file in OFFICIAL_FILES}
    return {file: path for file, path in paths.items() if path.is_file()}


def _check_words(what: str, words: Collection[str] | None, known: tuple[str, ...]) -> None:
    if words is None:
        return
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        got = ", ".join(map(repr, unknown)) or "none"
        raise DownloadError(f"expected a {what} out of {', '.join(known)}, got {got}")


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _is_complete(file: OfficialFile, folder: Path) -> bool:
    """Tell whether a file is there, and refuse to go on if something else has its name."""
    path = folder / file.name
    if not path.exists():
        return False
    if not path.is_file():
        raise DownloadError(f"{path}: expected a file or nothing, it is a folder; move it away")
    size, sha256 = path.stat().st_size, sha256_of(path)
    records = _records(folder)
    record = records.read().get(file.name)
    if record is not None and (record.get("size"), record.get("sha256")) != (size, sha256):
        raise DownloadError(
            f"{path}: has changed since {RECORDS_NAME} recorded it ({size:,} bytes, SHA-256 "
            f"{sha256}); delete it to fetch it again"
        )
    if record is None:
        if size not in file.sizes_in_bytes or not _is_onnx(path):
            raise DownloadError(
                f"{path}: is not the published file ({size:,} bytes, expected an ONNX model of "
                f"{file.size_mib} MiB); move it away to fetch that"
            )
        _warn_of_checksum(file, sha256)
        records.add(file.name, url=None, size=size, sha256=sha256)
    return True


def _check_space(files: list[OfficialFile], folder: Path) -> None:
    sizes = [file.sizes_in_bytes[-1] - _partial(file, folder).size() for file in files]
    check_space(folder, sum(max(0, size) for size in sizes))


def _download_one(
    file: OfficialFile,
    url: str,
    folder: Path,
    on_progress: Callable[[OfficialFile, int, int], None] | None,
) -> None:
    def report(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(file, done, total)

    partial = _partial(file, folder)
    remote = RemoteFile(url, file.sizes_in_bytes, _begins_like_onnx, "an ONNX model")
    sha256 = fetch(remote, partial, report)
    size = partial.size()
    if not _is_onnx(partial.path):
        partial.discard()
        raise DownloadError(
            f"{url}: the {size:,} bytes that the server announced are no complete ONNX model; "
            "they are removed: run again, or use a mirror"
        )
    _warn_of_checksum(file, sha256)
    partial.finish(folder / file.name)
    _records(folder).add(file.name, url=url, size=size, sha256=sha256)


def _partial(file: OfficialFile, folder: Path) -> PartialFile:
    return PartialFile(folder / f"{file.name}.partial")


def _warn_of_checksum(file: OfficialFile, sha256: str) -> None:
    if file.sha256 is not None and sha256 != file.sha256:
        _logger.warning(
            "%s: SHA-256 is %s, others report %s; it is kept, as the publisher prints none",
            file.name,
            sha256,
            file.sha256,
        )


def _records(folder: Path) -> DownloadRecords:
    return DownloadRecords(folder / RECORDS_NAME)


# Keys of the fields of ONNX's ModelProto (onnx.proto): field number * 8 + wire type, which is 0 for
# a number and 2 for something with its length in front.
_IR_VERSION, _GRAPH, _OPERATOR_SETS = 1 * 8, 7 * 8 + 2, 8 * 8 + 2
# Producer, its version, domain, model version, description, graph, operator sets.
_AFTER_IR_VERSION = (0x12, 0x1A, 0x22, 0x28, 0x32, _GRAPH, _OPERATOR_SETS)
# Outermost fields of a model: a dozen. Something else of a gigabyte may pass for as many as bytes.
_MAX_FIELDS = 10_000


def _begins_like_onnx(head: bytes) -> bool:
    """Tell an ONNX model, which begins with its IR version, from pages and archives."""
    if len(head) < 3:
        return False
    return head[0] == _IR_VERSION and head[1] < 0x80 and head[2] in _AFTER_IR_VERSION


def _is_onnx(path: Path) -> bool:
    """Walk over the outermost fields: they must end where the file ends, none of three missing.

    That finds a file that was cut off or has something behind it, whatever the server announced.
    """
    keys, num_fields, size = set(), 0, path.stat().st_size
    with path.open("rb") as file:
        try:
            while file.tell() < size and num_fields < _MAX_FIELDS:
                key = _read_varint(file)
                keys.add(key)
                _skip_value(file, wire_type=key & 7)
                num_fields += 1
        except ValueError:
            return False
        return file.tell() == size and {_IR_VERSION, _GRAPH, _OPERATOR_SETS} <= keys


def _skip_value(file: IO[bytes], wire_type: int) -> None:
    if wire_type == 0:
        _read_varint(file)
    elif wire_type == 2:
        length = _read_varint(file)
        file.seek(length, 1)
    else:
        raise ValueError(f"expected wire type 0 or 2, got {wire_type}")


def _read_varint(file: IO[bytes]) -> int:
    """Read protobuf's variable-length integer: 7 bits a byte, the lowest first."""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("expected a variable-length integer, got something else")
