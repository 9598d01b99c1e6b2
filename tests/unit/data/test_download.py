"""SynthHuman from a server on this machine that breaks off, lies or has changed its mind."""

import errno
import hashlib
import io
import json
import re
import shutil
import signal
import socket
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import file_server
import numpy as np
import pytest
from figures import write_person
from file_server import FileServer
from typer.testing import CliRunner

from david_cli.main import app
from david_hf.data import download as module
from david_hf.data import unpacking
from david_hf.data.download import (
    DownloadError,
    FailedPartsError,
    download_synthhuman,
    select_parts,
)
from david_hf.data.sources.registry import open_source
from david_hf.resumable import PartialFile

FIRST, SECOND, THIRD = "SynthHuman_0000.zip", "SynthHuman_0001.zip", "SynthHuman_0002.zip"


@cache
def person(index: int) -> dict[str, bytes]:
    """Files of one sample."""
    with TemporaryDirectory() as folder:
        write_person(Path(folder), index, with_foreground=False)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """An archive of these members, in this order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def zip_of_people(*indices: int, inside: str = "") -> bytes:
    people = [item for index in indices for item in person(index).items()]
    return zip_of(*((inside + name, content) for name, content in people))


ZIPS = {
    FIRST: zip_of_people(0, 1),
    SECOND: zip_of_people(5000, 5001, inside="SynthHuman/"),
    THIRD: zip_of_people(10_000),
}
ZIP = ZIPS[FIRST]
HALF = len(ZIP) // 2


@dataclass(frozen=True)
class Answer(file_server.Answer):
    """By default, the first archive."""

    content: bytes = ZIP


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(Answer(status=404)) as running:
        running.answers_by_name = {name: [Answer(content=ZIPS[name])] for name in ZIPS}
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a download would have waited."""
    return file_server.skip_waits(monkeypatch)


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A large disk; its field `free` can be set."""
    found = SimpleNamespace(free=10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: found)
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def records(folder: Path) -> dict[str, dict[str, object]]:
    return json.loads((folder / "downloads.json").read_text())


def failures(*arguments: object, **options: object) -> list[str]:
    """Lines of what failed, of a download that must fail."""
    with pytest.raises(FailedPartsError) as caught:
        download_synthhuman(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert all("\n" not in line for line in caught.value.failures)
    return caught.value.failures


def damaged(content: bytes, name: str) -> bytes:
    """An archive with one byte of a member changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        info = archive.getinfo(name)
    position = info.header_offset + 30 + len(name) + info.compress_size // 2
    return content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :]


# What is asked for


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ("sample", ["SynthHuman_sample.zip"]),
        ("0-2", [FIRST, SECOND, THIRD]),
        ("1, 0,1", [FIRST, SECOND]),
        ("59", ["SynthHuman_0059.zip"]),
        ("all", [f"SynthHuman_{number:04d}.zip" for number in range(60)]),
    ],
)
def test_parts_stand_for_archives(parts: str, expected: list[str]) -> None:
    assert select_parts(parts) == expected


@pytest.mark.parametrize("parts", ["", "60", "3-1", "1-", "-1", "a", "0,,1", "0-60", "²"])
def test_parts_that_do_not_exist_are_refused(parts: str) -> None:
    message = re.escape(f"expected parts as 0-3,7 out of 0 to 59, or all, got {parts!r}")
    with pytest.raises(DownloadError, match=message):
        select_parts(parts)


def test_a_mirror_that_is_no_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="expected a mirror as https://HOST/FOLDER"):
        download_synthhuman([FIRST], tmp_path / "out", mirror="file:///data")

    assert not (tmp_path / "out").exists()


# Downloads that work


def test_archives_arrive_and_are_recorded(server: FileServer, tmp_path: Path) -> None:
    download_synthhuman([FIRST, SECOND], tmp_path / "new" / "folder", mirror=server.url)

    folder = tmp_path / "new" / "folder"
    assert names(folder) == [FIRST, SECOND, "downloads.json"]
    assert (folder / FIRST).read_bytes() == ZIPS[FIRST]
    assert (folder / SECOND).read_bytes() == ZIPS[SECOND]
    record = records(folder)[FIRST]
    assert str(record.pop("date")).endswith("+00:00")
    sha256 = hashlib.sha256(ZIP).hexdigest()
    assert record == {"url": f"{server.url}/{FIRST}", "size": len(ZIP), "sha256": sha256}


def test_without_a_mirror_the_publisher_is_asked(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.BASE_URL.startswith("https://facesyntheticspubwedata.")
    monkeypatch.setattr(module, "BASE_URL", server.url)

    download_synthhuman([FIRST], tmp_path)

    assert [request["path"] for request in server.requests] == [f"/models/{FIRST}"]


def test_archives_arrive_side_by_side(server: FileServer, tmp_path: Path) -> None:
    both_are_under_way = threading.Barrier(2, timeout=30)
    begun: set[str] = set()

    def wait_for_the_other(name: str, done: int, total: int) -> None:
        if name not in begun:
            begun.add(name)
            both_are_under_way.wait()

    download_synthhuman(
        [FIRST, SECOND], tmp_path, mirror=server.url, jobs=2, on_progress=wait_for_the_other
    )

    assert names(tmp_path) == [FIRST, SECOND, "downloads.json"]
    assert set(records(tmp_path)) == {FIRST, SECOND}


def test_one_job_takes_one_archive_after_the_other(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    download_synthhuman(
        [SECOND, FIRST], tmp_path, mirror=server.url, jobs=1, on_progress=lambda *r: seen.append(r)
    )

    assert server.names() == [SECOND, FIRST]
    assert list(dict.fromkeys(name for name, _, _ in seen)) == [SECOND, FIRST]
    assert seen[-1] == (FIRST, len(ZIP), len(ZIP))


def test_no_job_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected at least 1 job, got 0"):
        download_synthhuman([FIRST], tmp_path, jobs=0)


# What is there already


def test_complete_archives_are_not_fetched_again(server: FileServer, tmp_path: Path) -> None:
    download_synthhuman([FIRST], tmp_path, mirror=server.url)

    download_synthhuman([FIRST, SECOND], tmp_path, mirror=server.url)

    assert server.names() == [FIRST, SECOND]


def test_an_archive_put_there_by_hand_is_taken_over(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / FIRST).write_bytes(ZIP)

    download_synthhuman([FIRST], tmp_path, mirror=server.url)

    assert server.requests == []
    record = records(tmp_path)[FIRST]
    assert (record["url"], record["sha256"]) == (None, hashlib.sha256(ZIP).hexdigest())


@pytest.mark.parametrize("content", [b"mine", ZIP[:-50], zip_of(("notes.txt", b"mine"))])
def test_another_file_of_that_name_is_never_written_over(
    content: bytes, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / FIRST).write_bytes(content)

    lines = failures([FIRST, SECOND], tmp_path, mirror=server.url)

    assert len(lines) == 1
    assert lines[0].startswith(f"{tmp_path / FIRST}: ")
    assert lines[0].endswith("; move it away to fetch it again")
    assert (tmp_path / FIRST).read_bytes() == content
    assert (tmp_path / SECOND).is_file()


def test_a_folder_in_the_place_of_an_archive_is_reported(
    server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / FIRST).mkdir()

    (line,) = failures([FIRST], tmp_path, mirror=server.url)

    assert "expected a file or nothing, it is a folder" in line


def test_an_archive_that_changed_since_it_was_recorded_is_reported(
    server: FileServer, tmp_path: Path
) -> None:
    download_synthhuman([FIRST], tmp_path, mirror=server.url)
    (tmp_path / FIRST).write_bytes(ZIP[:-10])

    (line,) = failures([FIRST], tmp_path, mirror=server.url)

    assert "has changed since downloads.json recorded it" in line


def test_records_that_cannot_be_read_stop_everything(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "downloads.json").write_text("[]")

    with pytest.raises(DownloadError, match="expected a JSON object per file; delete it"):
        download_synthhuman([FIRST], tmp_path, mirror=server.url)

    assert server.requests == []


# Connections that break off


@pytest.mark.parametrize("reset", [False, True])
def test_a_broken_connection_is_taken_up_where_it_broke(
    reset: bool, server: FileServer, tmp_path: Path, waits: list[float]
) -> None:
    server.answers_by_name[FIRST] = [
        Answer(break_at=HALF),
        Answer(break_at=1, reset=reset),
        Answer(),
    ]

    download_synthhuman([FIRST], tmp_path, mirror=server.url)

    assert (tmp_path / FIRST).read_bytes() == ZIP
    assert server.ranges()[:2] == [None, f"bytes={HALF}-"]
    assert waits == [1.0, 2.0]


def test_the_next_call_goes_on_where_the_last_one_stopped(
    server: FileServer, tmp_path: Path
) -> None:
    server.answers_by_name[FIRST] = [Answer(break_at=HALF), *[Answer(status=503)] * 4]
    (line,) = failures([FIRST, SECOND], tmp_path, mirror=server.url)
    assert line.endswith(f"keeps {HALF:,} bytes; run again to go on")
    assert names(tmp_path) == [
        f"{FIRST}.partial",
        f"{FIRST}.partial.json",
        SECOND,
        "downloads.json",
    ]
    server.answers_by_name[FIRST] = [Answer()]

    download_synthhuman([FIRST, SECOND], tmp_path, mirror=server.url)

    assert server.ranges()[-1] == f"bytes={HALF}-"
    assert (tmp_path / FIRST).read_bytes() == ZIP
    assert names(tmp_path) == [FIRST, SECOND, "downloads.json"]


def test_parts_of_different_archives_are_never_joined(server: FileServer, tmp_path: Path) -> None:
    server.answers_by_name[FIRST] = [
        Answer(break_at=HALF),
        Answer(content=ZIPS[SECOND], etag='"two"'),
    ]

    download_synthhuman([FIRST], tmp_path, mirror=server.url)

    assert server.ranges() == [None, f"bytes={HALF}-"]
    assert (tmp_path / FIRST).read_bytes() == ZIPS[SECOND]
    assert records(tmp_path)[FIRST]["sha256"] == hashlib.sha256(ZIPS[SECOND]).hexdigest()


# Servers that send something else


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(announced=len(ZIP) - 50), r"bytes, is no complete zip archive \(.*removed: run"),
        (Answer(announced=10**10), "expected 1 to 9,400,000,000 bytes, as published; the server"),
        (Answer(content=b""), "the server announces 0"),
        (Answer(content=b"<html>", content_type="text/html"), "expected a zip archive, got a page"),
        (Answer(content=b"<!DOCTYPE html>".ljust(500)), "begins with b'<!DOCTYPE html>"),
        (Answer(content=zip_of(("rgb_0000000.png", b"x"))), "holds no sample of SynthHuman"),
        (Answer(content=zip_of(("x/notes.txt", b"x"))), "holds no sample of SynthHuman"),
        (Answer(status=404), r"status 404 \(Not Found\)"),
        (Answer(status=302, location="file:///etc/passwd"), "redirects to file:///etc/passwd"),
    ],
    ids=["truncated", "large", "empty", "page", "page as file", "no cam", "other", "404", "file:"],
)
def test_what_is_no_archive_of_samples_fails_alone_and_is_not_kept(
    answer: Answer, message: str, server: FileServer, tmp_path: Path
) -> None:
    server.answers_by_name[FIRST] = [answer]

    lines = failures([FIRST, SECOND, THIRD], tmp_path, mirror=server.url, jobs=2)

    assert len(lines) == 1
    assert lines[0].startswith(f"{server.url}/{FIRST}")
    assert re.search(message, lines[0])
    assert names(tmp_path) == [SECOND, THIRD, "downloads.json"]
    assert set(records(tmp_path)) == {SECOND, THIRD}


def test_every_archive_that_fails_is_named(server: FileServer, tmp_path: Path) -> None:
    server.answers_by_name = {SECOND: [Answer(content=ZIPS[SECOND])]}

    lines = failures([FIRST, SECOND, THIRD], tmp_path, mirror=server.url)

    assert sorted(line.split(": ")[0] for line in lines) == [
        f"{server.url}/{FIRST}",
        f"{server.url}/{THIRD}",
    ]


def test_files_that_belong_to_no_sample_are_worth_a_word(
    server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = zip_of(*person(0).items(), ("LICENSE.txt", b"CDLA"))
    server.answers_by_name[FIRST] = [Answer(content=content)]

    download_synthhuman([FIRST], tmp_path, mirror=server.url)

    expected = f"{FIRST} holds 1 files that belong to no sample and are not read, as 'LICENSE.txt'"
    assert [record.getMessage() for record in caplog.records] == [expected]
    assert len(open_source("synthhuman", tmp_path)) == 1


def test_a_damaged_member_is_found_when_asked_for(server: FileServer, tmp_path: Path) -> None:
    server.answers_by_name[FIRST] = [Answer(content=damaged(ZIP, "depth_0000001.exr"))]
    download_synthhuman([FIRST], tmp_path / "unverified", mirror=server.url)

    (found_there,) = failures([FIRST], tmp_path / "unverified", mirror=server.url, verify=True)
    (fetched,) = failures([FIRST], tmp_path / "verified", mirror=server.url, verify=True)

    assert "holds a damaged 'depth_0000001.exr'" in found_there
    assert (tmp_path / "unverified" / FIRST).is_file()
    assert "holds a damaged 'depth_0000001.exr'" in fetched
    assert names(tmp_path / "verified") == []


def test_verified_archives_are_kept(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    download_synthhuman(
        [FIRST], tmp_path, mirror=server.url, verify=True, on_progress=lambda *r: seen.append(r)
    )

    size = sum(len(content) for index in (0, 1) for content in person(index).values())
    assert seen[-1] == (f"{FIRST}: checking", size, size)
    assert (tmp_path / FIRST).read_bytes() == ZIP


# What concerns every archive


def test_the_disk_is_looked_at_first(
    server: FileServer, tmp_path: Path, disk: SimpleNamespace
) -> None:
    disk.free = 2 * 9_400_000_000 - 1

    with pytest.raises(DownloadError, match="17,929 MiB are still to come, the disk has 17,929"):
        download_synthhuman([FIRST, SECOND], tmp_path, mirror=server.url)

    assert server.requests == []
    disk.free += 1
    download_synthhuman([FIRST, SECOND], tmp_path, mirror=server.url)


def test_all_archives_together_need_what_is_published(
    tmp_path: Path, disk: SimpleNamespace
) -> None:
    disk.free = 1000 * 2**20

    with pytest.raises(DownloadError, match="338,554 MiB are still to come"):
        download_synthhuman(select_parts("all"), tmp_path)


def test_what_came_earlier_needs_no_space(
    server: FileServer, tmp_path: Path, disk: SimpleNamespace
) -> None:
    (tmp_path / SECOND).write_bytes(ZIPS[SECOND])
    server.answers_by_name[FIRST] = [Answer(break_at=HALF), *[Answer(status=503)] * 4, Answer()]
    failures([FIRST], tmp_path, mirror=server.url)
    disk.free = len(ZIP) - HALF

    download_synthhuman([FIRST, SECOND], tmp_path, mirror=server.url)

    assert (tmp_path / FIRST).read_bytes() == ZIP


def test_archives_that_are_kept_beside_their_files_need_twice_the_space(
    tmp_path: Path, disk: SimpleNamespace
) -> None:
    disk.free = 9_400_000_000

    with pytest.raises(DownloadError, match="17,929 MiB are still to come"):
        download_synthhuman([FIRST], tmp_path, unpack=True)


def test_a_disk_that_cannot_be_written_stops_everything(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: PartialFile, origin: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PartialFile, "begin", refuse)

    lines = failures([FIRST, SECOND, THIRD], tmp_path, mirror=server.url, jobs=1)

    expected = f"cannot write {tmp_path / FIRST}.partial: No space left on device"
    assert lines == [expected]
    assert server.names() == [FIRST]


def test_a_file_in_the_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(DownloadError, match=r"cannot write .*taken"):
        download_synthhuman([FIRST], tmp_path / "taken")


def test_offline_one_line_is_enough(tmp_path: Path, waits: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        lines = failures([FIRST, SECOND, THIRD], tmp_path, mirror=url, jobs=1)

    assert len(lines) == 1
    assert lines[0].endswith("): check the network, or use a mirror")
    assert waits == []


def test_ctrl_c_stops_even_if_a_thread_hangs_and_keeps_what_came(
    server: FileServer, tmp_path: Path
) -> None:
    released = threading.Event()
    hanging: list[threading.Thread] = []

    def interrupt_and_hang(name: str, done: int, total: int) -> None:
        hanging.append(threading.current_thread())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        released.wait(30)

    with pytest.raises(KeyboardInterrupt):
        download_synthhuman(
            [FIRST, SECOND], tmp_path, mirror=server.url, jobs=1, on_progress=interrupt_and_hang
        )
    assert hanging[0].is_alive()
    assert hanging[0].daemon
    released.set()
    hanging[0].join(30)

    assert not hanging[0].is_alive()
    assert server.names() == [FIRST]
    assert names(tmp_path) == [f"{FIRST}.partial", f"{FIRST}.partial.json"]


def test_what_the_observer_raises_stops_the_others(server: FileServer, tmp_path: Path) -> None:
    def fail(name: str, done: int, total: int) -> None:
        raise RuntimeError("no window")

    with pytest.raises(RuntimeError, match="no window"):
        download_synthhuman([FIRST, SECOND], tmp_path, mirror=server.url, jobs=1, on_progress=fail)

    assert server.names() == [FIRST]
    assert names(tmp_path) == [f"{FIRST}.partial", f"{FIRST}.partial.json"]


# Unpacking


def test_archives_and_unpacked_files_are_read_alike(server: FileServer, tmp_path: Path) -> None:
    download_synthhuman([FIRST, SECOND], tmp_path / "zips", mirror=server.url)
    download_synthhuman([FIRST, SECOND], tmp_path / "files", mirror=server.url, unpack=True)

    zipped = open_source("synthhuman", tmp_path / "zips")
    unpacked = open_source("synthhuman", tmp_path / "files")

    assert [sample.identifier for sample in zipped] == ["0000000", "0000001", "0005000", "0005001"]
    assert len(unpacked) == 4
    for position in range(4):
        assert unpacked.row(position) == zipped.row(position)
        np.testing.assert_array_equal(unpacked[position].depth_m, zipped[position].depth_m)
        np.testing.assert_array_equal(unpacked[position].image, zipped[position].image)


def test_archives_stay_beside_what_was_unpacked_and_count_once(
    server: FileServer, tmp_path: Path
) -> None:
    download_synthhuman([FIRST], tmp_path, mirror=server.url, unpack=True)

    files = [*person(0), *person(1)]
    assert names(tmp_path) == sorted([*files, "downloads.json", FIRST])
    assert (tmp_path / FIRST).read_bytes() == ZIP
    assert len(open_source("synthhuman", tmp_path)) == 2
    assert records(tmp_path)[FIRST]["unpacked"] == ["0000000", "0000001"]


def test_archives_are_removed_only_when_asked_for(server: FileServer, tmp_path: Path) -> None:
    download_synthhuman([FIRST], tmp_path, mirror=server.url, unpack=True)

    download_synthhuman([FIRST, SECOND], tmp_path, mirror=server.url, unpack=True, remove_zips=True)

    assert not list(tmp_path.rglob("*.zip"))
    assert len(open_source("synthhuman", tmp_path)) == 4
    assert server.names() == [FIRST, SECOND]


@pytest.mark.parametrize("unpack", [False, True])
@pytest.mark.parametrize("remove_zips", [False, True])
def test_what_is_unpacked_is_not_fetched_again(
    unpack: bool, remove_zips: bool, server: FileServer, tmp_path: Path
) -> None:
    download_synthhuman([FIRST], tmp_path, mirror=server.url, unpack=True, remove_zips=remove_zips)
    before = names(tmp_path)

    download_synthhuman([FIRST], tmp_path, mirror=server.url, unpack=unpack)

    assert server.names() == [FIRST]
    assert names(tmp_path) == before


@pytest.mark.parametrize("unpack", [False, True])
@pytest.mark.parametrize("remove_zips", [False, True])
def test_files_that_were_deleted_after_unpacking_come_back(
    unpack: bool, remove_zips: bool, server: FileServer, tmp_path: Path
) -> None:
    download_synthhuman([FIRST], tmp_path, mirror=server.url, unpack=True, remove_zips=remove_zips)
    for path in [*tmp_path.glob("*.png"), *tmp_path.glob("*.exr"), *tmp_path.glob("*.txt")]:
        path.unlink()

    download_synthhuman([FIRST], tmp_path, mirror=server.url, unpack=unpack)

    assert server.names() == [FIRST] * (2 if remove_zips else 1)
    assert len(open_source("synthhuman", tmp_path)) == 2


def test_interrupted_unpacking_goes_on_where_it_stopped(server: FileServer, tmp_path: Path) -> None:
    def stop_in_the_second_sample(name: str, done: int, total: int) -> None:
        if name.endswith("unpacking") and len(list(tmp_path.glob("*_000000?.*"))) == 7:
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        download_synthhuman(
            [FIRST],
            tmp_path,
            mirror=server.url,
            unpack=True,
            remove_zips=True,
            on_progress=stop_in_the_second_sample,
        )
    # One whole sample, and of the next one not the file that marks it as complete.
    unpacked = {path: path.stat().st_ino for path in tmp_path.glob("*_000000?.*")}
    found = {path.name for path in unpacked}
    assert found > set(person(0))
    assert len(found - set(person(0))) == 2
    assert "cam_0000001.txt" not in found
    assert (tmp_path / FIRST).is_file()

    download_synthhuman([FIRST], tmp_path, mirror=server.url, unpack=True, remove_zips=True)

    assert names(tmp_path) == sorted([*person(0), *person(1), "downloads.json"])
    assert {path: path.stat().st_ino for path in unpacked} == unpacked
    assert server.names() == [FIRST]


def symlink(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


EVIL: list[tuple[str, str | zipfile.ZipInfo]] = [
    ("parent", "../rgb_0000009.png"),
    ("parent inside", "a/../../rgb_0000009.png"),
    ("absolute", "/tmp/rgb_0000009.png"),
    ("drive", "C:/rgb_0000009.png"),
    ("backslashes", "..\\rgb_0000009.png"),
    ("hidden folder", ".ssh/rgb_0000009.png"),
    ("link", symlink("rgb_0000009.png")),
    ("other file", "a/notes.txt"),
    ("other suffix", "rgb_0000009.exr"),
    ("eight digits", "rgb_00000009.png"),
    ("other digits", "rgb_000000٣.png"),
    ("line", "rgb_0000009.png\n"),
    ("twice", "again/rgb_0000000.png"),
]


@pytest.mark.parametrize("member", [member for _, member in EVIL], ids=[name for name, _ in EVIL])
def test_an_archive_with_anything_but_samples_is_not_unpacked(
    member: str | zipfile.ZipInfo, server: FileServer, tmp_path: Path
) -> None:
    content = zip_of(*person(0).items(), (member, b"/etc/passwd"))
    server.answers_by_name[FIRST] = [Answer(content=content)]
    folder = tmp_path / "folder"

    (line,) = failures([FIRST, SECOND], folder, mirror=server.url, unpack=True, remove_zips=True)

    name = member if isinstance(member, str) else member.filename
    assert line.startswith(f"{folder / FIRST}: holds {name!r}, which is no file of a sample")
    assert names(tmp_path) == ["folder"]
    assert names(folder) == sorted([FIRST, *person(5000), *person(5001), "downloads.json"])


def test_folders_in_an_archive_are_no_offence(server: FileServer, tmp_path: Path) -> None:
    content = zip_of(("SynthHuman/", b""), *((f"SynthHuman/{n}", c) for n, c in person(0).items()))
    server.answers_by_name[FIRST] = [Answer(content=content)]

    download_synthhuman([FIRST], tmp_path, mirror=server.url, unpack=True, remove_zips=True)

    assert names(tmp_path) == sorted([*person(0), "downloads.json"])


def test_a_huge_member_is_not_unpacked(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = len(person(0)["depth_0000000.exr"]) - 1
    monkeypatch.setattr(unpacking, "MAX_MEMBER_BYTES", limit)

    (line,) = failures([FIRST], tmp_path, mirror=server.url, unpack=True)

    assert f"holds 'depth_0000000.exr', which would unpack to {limit + 1:,} bytes, more" in line
    assert not (tmp_path / "depth_0000000.exr").exists()
    assert not (tmp_path / "cam_0000000.txt").exists()


def test_a_member_that_is_larger_than_it_says_is_not_unpacked(
    server: FileServer, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in person(0).items():
            archive.writestr(name, content)
        archive.writestr("rgb_0000001.png", b"\0" * 1_000_000)
        archive.getinfo("rgb_0000001.png").file_size = 10
    server.answers_by_name[FIRST] = [Answer(content=buffer.getvalue())]

    (line,) = failures([FIRST], tmp_path, mirror=server.url, unpack=True)

    assert "holds a damaged 'rgb_0000001.png'" in line
    assert not (tmp_path / "rgb_0000001.png").exists()


@pytest.mark.parametrize("name", ["depth_0000001.exr", "cam_0000001.txt", "rgb_0000001.png"])
def test_a_damaged_member_is_not_unpacked(name: str, server: FileServer, tmp_path: Path) -> None:
    server.answers_by_name[FIRST] = [Answer(content=damaged(ZIP, name))]

    (line,) = failures([FIRST], tmp_path, mirror=server.url, unpack=True, remove_zips=True)

    assert line.startswith(f"{tmp_path / FIRST}: holds a damaged {name!r} (")
    assert line.endswith("); delete it to fetch it again")
    assert not (tmp_path / name).exists()
    assert not (tmp_path / "cam_0000001.txt").exists()
    assert (tmp_path / "cam_0000000.txt").is_file()
    assert (tmp_path / FIRST).is_file()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("content", [b"mine", "as long"])
def test_other_files_in_the_folder_are_never_written_over(
    content: bytes | str, server: FileServer, tmp_path: Path
) -> None:
    size = len(person(0)["rgb_0000000.png"])
    mine = b"x" * size if isinstance(content, str) else content
    (tmp_path / "rgb_0000000.png").write_bytes(mine)

    (line,) = failures([FIRST], tmp_path, mirror=server.url, unpack=True)

    path = tmp_path / "rgb_0000000.png"
    assert line == f"{path}: is there and differs from the archive's; move it away"
    assert path.read_bytes() == mine


def test_the_disk_is_looked_at_before_unpacking(
    server: FileServer, tmp_path: Path, disk: SimpleNamespace
) -> None:
    download_synthhuman([FIRST, SECOND], tmp_path, mirror=server.url)
    disk.free = sum(map(len, person(0).values())) + sum(map(len, person(1).values())) - 1

    lines = failures([FIRST, SECOND], tmp_path, mirror=server.url, unpack=True, jobs=1)

    assert len(lines) == 1
    assert "MiB are still to come" in lines[0]
    assert names(tmp_path) == [FIRST, SECOND, "downloads.json"]
    disk.free += 1
    download_synthhuman([FIRST], tmp_path, mirror=server.url, unpack=True)


@pytest.mark.parametrize("method", ["write_bytes", "replace"])
def test_a_disk_that_is_full_while_unpacking_stops_everything(
    method: str, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    download_synthhuman([FIRST, SECOND], tmp_path, mirror=server.url)
    real = getattr(Path, method)

    def refuse(self: Path, *arguments: object) -> object:
        if "depth_" in self.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, *arguments)

    monkeypatch.setattr(Path, method, refuse)

    lines = failures([FIRST, SECOND], tmp_path, mirror=server.url, unpack=True, jobs=1)

    expected = f"cannot write {tmp_path / 'depth_0000000.exr'}: No space left on device"
    assert lines == [expected]
    assert not list(tmp_path.glob(".*"))
    assert not list(tmp_path.glob("cam_*"))
    assert {FIRST, SECOND} < set(names(tmp_path))


# The command


def run(*arguments: str | Path) -> tuple[int, str, list[str]]:
    """Exit code, standard output and lines of standard error of the command."""
    result = CliRunner().invoke(app, ["data", "download", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr.splitlines()


def test_the_command_fetches_and_unpacks(server: FileServer, tmp_path: Path) -> None:
    code, out, errors = run(
        "synthhuman", "-o", tmp_path, "--parts", "0,1", "--mirror", server.url, "--unpack"
    )

    assert (code, errors) == (0, [f"2 archives to {tmp_path}, under CDLA-Permissive-2.0"])
    assert out == f"{tmp_path}: 2 archives are in it, unpacked; see {tmp_path / 'downloads.json'}\n"
    assert len(open_source("synthhuman", tmp_path)) == 4


def test_the_command_fetches_a_sample(server: FileServer, tmp_path: Path) -> None:
    server.answers_by_name["SynthHuman_sample.zip"] = [Answer(status=503), Answer()]

    code, _, errors = run("synthhuman", "-o", tmp_path, "--sample", "--mirror", server.url)

    assert code == 0
    assert errors[1].endswith("the server answered with status 503; trying again in 1 s")
    assert names(tmp_path) == ["SynthHuman_sample.zip", "downloads.json"]


def test_the_command_names_what_failed_in_one_line_each(server: FileServer, tmp_path: Path) -> None:
    code, out, errors = run("synthhuman", "-o", tmp_path, "--parts", "2-4", "--mirror", server.url)

    assert (code, out, len(errors)) == (1, "", 3)
    assert sorted(line.split("; ")[0] for line in errors[1:]) == [
        f"david: {server.url}/SynthHuman_000{number}.zip: the server answered with status 404 "
        "(Not Found)"
        for number in (3, 4)
    ]
    assert (tmp_path / THIRD).is_file()


def test_the_command_says_how_to_get_other_data_sets() -> None:
    code, out, errors = run("generated")

    assert (code, out) == (1, "")
    assert len(errors) == 1
    assert "is not fetched by this command; how to get it: `david synthesize` (lic" in errors[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody"], "unknown data set 'nobody'; known are synthhuman, "),
        (["synthhuman", "--sample"], "expected --output FOLDER, got none"),
        (["synthhuman", "-o", "x"], "expected one of --sample, --parts 0-3,7 and --parts all"),
        (["synthhuman", "-o", "x", "--sample", "--parts", "1"], "expected one of --sample, --par"),
        (["synthhuman", "-o", "x", "--parts", "60"], "expected parts as 0-3,7 out of 0 to 59"),
        (["synthhuman", "-o", "x", "--sample", "--remove-zips"], "--remove-zips goes with --unp"),
    ],
)
def test_the_command_refuses_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    code, out, errors = run(*arguments)

    assert (code, out, len(errors)) == (1, "", 1)
    assert errors[0].startswith(f"david: {message}")
    assert names(tmp_path) == []


def test_the_command_can_be_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "download_synthhuman", interrupt)

    code, out, errors = run("synthhuman", "-o", tmp_path, "--sample")

    assert (code, out) == (130, "")
    assert errors[-1] == "david: interrupted; run the same command again"
