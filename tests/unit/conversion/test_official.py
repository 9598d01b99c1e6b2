"""Downloads from a server on this machine that breaks off, lies or has changed its mind."""

import hashlib
import json
import logging
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import file_server
import numpy as np
import onnx
import pytest
import yaml
from file_server import FileServer
from typer.testing import CliRunner

from david_cli.main import app
from david_hf import resumable
from david_hf.conversion import official
from david_hf.conversion.official import (
    OFFICIAL_FILES,
    DownloadError,
    OfficialFile,
    download,
    find_official,
    select_official,
)

CARDS = Path(__file__).parents[3] / "model_cards"
NAME = "depth-model-vitb16_384.onnx"


def onnx_bytes(seed: int = 0) -> bytes:
    """A model of 200 kB as the onnx package writes it."""
    weights = np.random.default_rng(seed).random(50_000, dtype=np.float32)
    value = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [50_000])
    node = onnx.helper.make_node("Identity", ["weights"], ["y"])
    initializers = [onnx.numpy_helper.from_array(weights, "weights")]
    graph = onnx.helper.make_graph([node], "graph", [], [value], initializers)
    return onnx.helper.make_model(graph, producer_name="test").SerializeToString()


MODEL = onnx_bytes()
PUBLISHED = OfficialFile(
    NAME,
    f"http://publisher.invalid/{NAME}",
    len(MODEL) / 2**20,
    "depth",
    "base",
    "david-depth-base",
)


@dataclass(frozen=True)
class Answer(file_server.Answer):
    """By default, the model."""

    content: bytes = MODEL


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(Answer()) as running:
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a download would have waited."""
    return file_server.skip_waits(monkeypatch)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def records(folder: Path) -> dict[str, dict[str, object]]:
    return json.loads((folder / "official.json").read_text())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def leave_partial(server: FileServer, folder: Path, num_bytes: int) -> None:
    """Let a download break off for good."""
    server.answers = [Answer(break_at=num_bytes), *[Answer(status=503)] * 4]
    with pytest.raises(DownloadError, match="run again to go on"):
        download([PUBLISHED], folder, server.url)
    assert (folder / f"{NAME}.partial").read_bytes() == MODEL[:num_bytes]
    server.requests.clear()


# What is published


def test_names_checkpoints_and_sizes_are_those_of_the_model_cards() -> None:
    checkpoints = yaml.safe_load((CARDS / "checkpoints.yaml").read_text())
    tables = yaml.safe_load((CARDS / "published.yaml").read_text())["tables"]
    sizes = {row: float(figures[0]) for row, figures in tables["card_size"]["rows"].items()}
    expected = {
        entry["onnx"]: (
            entry["name"],
            entry["size"],
            entry["tasks"] if len(entry["tasks"]) == 1 else ["multi"],
            sizes[entry["size_row"]],
        )
        for entry in checkpoints
        if "onnx" in entry
    }

    found = {f.name: (f.checkpoint, f.size, [f.task], f.size_mib) for f in OFFICIAL_FILES}

    assert len(found) == 7
    assert found == expected
    assert all(file.url == f"{official.BASE_URL}/{file.name}" for file in OFFICIAL_FILES)


def test_a_published_size_stands_for_the_bytes_that_round_to_it() -> None:
    # 449,231,953 bytes: the length of this file as a public port records it.
    sizes = next(file for file in OFFICIAL_FILES if file.name == NAME).sizes_in_bytes

    assert 449_231_953 in sizes
    assert 449_231_953 + 2**15 not in sizes
    assert len(sizes) == pytest.approx(0.02 * 2**20, abs=2)


@pytest.mark.parametrize(
    ("tasks", "sizes", "expected"),
    [
        (None, None, [file.checkpoint for file in OFFICIAL_FILES]),
        (["multi"], None, ["david-large"]),
        (["normals", "depth"], ["base"], ["david-depth-base", "david-normal-base"]),
        (None, ["base"], ["david-depth-base", "david-normal-base", "david-foreground-base"]),
    ],
)
def test_files_are_chosen_by_task_and_size(
    tasks: list[str] | None, sizes: list[str] | None, expected: list[str]
) -> None:
    assert [file.checkpoint for file in select_official(tasks, sizes)] == expected


@pytest.mark.parametrize(
    ("tasks", "sizes", "message"),
    [
        (["deep"], None, "expected a task out of depth, normals, alpha, multi, got 'deep'"),
        ([], None, "expected a task out of .*, got none"),
        (None, ["huge"], "expected a size out of base, large, got 'huge'"),
        (["depth", "multi"], ["base"], "the task multi is not published in the size base"),
    ],
)
def test_words_that_choose_nothing_are_refused(
    tasks: list[str] | None, sizes: list[str] | None, message: str
) -> None:
    with pytest.raises(DownloadError, match=message):
        select_official(tasks, sizes)


# A download that works


def test_a_file_arrives_and_is_recorded(server: FileServer, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"

    paths = download([PUBLISHED], folder, server.url)

    assert paths == [folder / NAME]
    assert paths[0].read_bytes() == MODEL
    assert names(folder) == [NAME, "official.json"]
    record = records(folder)[NAME]
    assert datetime.fromisoformat(str(record.pop("date"))).tzinfo is not None
    url = f"{server.url}/{NAME}"
    assert record == {"url": url, "size": len(MODEL), "sha256": sha256(MODEL)}


def test_without_a_mirror_the_published_address_is_asked(
    server: FileServer, tmp_path: Path
) -> None:
    download([replace(PUBLISHED, url=f"{server.url}/there/{NAME}")], tmp_path)

    assert [request["path"] for request in server.requests] == [f"/models/there/{NAME}"]


def test_no_credentials_are_sent(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    download([PUBLISHED], tmp_path / "out", server.url)

    sent = set(server.requests[0]) - {"path"}
    assert sent == {"accept-encoding", "connection", "host", "user-agent"}
    assert "secret" not in str(server.requests)


def test_progress_begins_with_the_first_bytes_and_ends_with_all(
    server: FileServer, tmp_path: Path
) -> None:
    seen: list[tuple[OfficialFile, int, int]] = []

    download([PUBLISHED], tmp_path, server.url, lambda *report: seen.append(report))

    done = [report[1] for report in seen]
    assert done == sorted(done)
    assert (done[0] < len(MODEL), done[-1]) == (True, len(MODEL))
    assert {(file, total) for file, _, total in seen} == {(PUBLISHED, len(MODEL))}


def test_complete_files_are_not_fetched_again(server: FileServer, tmp_path: Path) -> None:
    other = replace(PUBLISHED, name="other.onnx")
    download([PUBLISHED], tmp_path, server.url)

    paths = download([PUBLISHED, other, other], tmp_path, server.url)

    assert paths == [tmp_path / NAME, tmp_path / "other.onnx"]
    asked = [request["path"] for request in server.requests]
    assert asked == [f"/models/{NAME}", "/models/other.onnx"]
    assert set(records(tmp_path)) == {NAME, "other.onnx"}


def test_a_redirect_within_the_scheme_is_followed(server: FileServer, tmp_path: Path) -> None:
    server.answers = [Answer(status=302, content=b"", location="/elsewhere"), Answer()]

    download([PUBLISHED], tmp_path, server.url)

    assert server.requests[1]["path"] == "/elsewhere"
    assert (tmp_path / NAME).read_bytes() == MODEL


# Connections that break off


@pytest.mark.parametrize("reset", [False, True])
def test_a_broken_connection_is_taken_up_where_it_broke(
    reset: bool, server: FileServer, tmp_path: Path, waits: list[float]
) -> None:
    server.answers = [
        Answer(break_at=70_000),
        Answer(break_at=10, reset=reset),
        Answer(break_at=50_000),
        Answer(),
    ]

    download([PUBLISHED], tmp_path, server.url)

    assert (tmp_path / NAME).read_bytes() == MODEL
    assert records(tmp_path)[NAME]["sha256"] == sha256(MODEL)
    assert server.ranges()[:2] == [None, "bytes=70000-"]
    assert [request.get("if-range") for request in server.requests] == [None, *['"one"'] * 3]
    assert waits == [1.0, 2.0, 4.0]


def test_what_came_is_kept_and_the_next_call_goes_on(
    server: FileServer, tmp_path: Path, waits: list[float]
) -> None:
    server.answers = [Answer(break_at=70_000), *[Answer(break_at=0)] * 4]
    with pytest.raises(
        DownloadError,
        match=r"broke off after 70,000 of 2\d\d,\d\d\d bytes, in 5 attempts; .*\.partial keeps "
        "70,000 bytes; run again to go on$",
    ):
        download([PUBLISHED], tmp_path, server.url)
    assert names(tmp_path) == [f"{NAME}.partial", f"{NAME}.partial.json"]
    assert waits == [1.0, 2.0, 4.0, 8.0]
    server.answers = [Answer()]

    download([PUBLISHED], tmp_path, server.url)

    assert server.ranges()[-1] == "bytes=70000-"
    assert (tmp_path / NAME).read_bytes() == MODEL
    assert records(tmp_path)[NAME]["sha256"] == sha256(MODEL)
    assert names(tmp_path) == [NAME, "official.json"]


def test_attempts_count_anew_after_progress(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setattr(resumable, "_PROGRESS_BYTES", 20_000)
    server.answers = [*[Answer(break_at=20_000)] * 9, Answer()]

    download([PUBLISHED], tmp_path, server.url)

    assert (tmp_path / NAME).read_bytes() == MODEL
    assert waits == [1.0] * 9


def test_a_part_that_is_already_all_needs_no_server(server: FileServer, tmp_path: Path) -> None:
    leave_partial(server, tmp_path, 70_000)
    (tmp_path / f"{NAME}.partial").write_bytes(MODEL)

    download([PUBLISHED], tmp_path, server.url)

    assert server.requests == []
    assert records(tmp_path)[NAME]["sha256"] == sha256(MODEL)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(content=onnx_bytes(seed=1), etag='"two"'),
        # Sends a part of the new file, though asked not to.
        Answer(content=onnx_bytes(seed=1), etag='"two"', if_range=False),
        Answer(content=onnx_bytes(seed=1), ranges=False),
        Answer(content=onnx_bytes(seed=1), content_range="bytes 5-9/10"),
        Answer(content=onnx_bytes(seed=1), content_range="nonsense"),
    ],
    ids=["changed", "changed, part sent", "ranges ignored", "another part", "nonsense"],
)
def test_parts_of_different_files_are_never_joined(
    answer: Answer, server: FileServer, tmp_path: Path
) -> None:
    leave_partial(server, tmp_path, 70_000)
    server.answers = [answer]

    download([PUBLISHED], tmp_path, server.url)

    assert server.ranges()[0] == "bytes=70000-"
    assert (tmp_path / NAME).read_bytes() == onnx_bytes(seed=1)
    assert records(tmp_path)[NAME]["sha256"] == sha256(onnx_bytes(seed=1))


@pytest.mark.parametrize("etag", ['W/"weak"', None])
def test_a_file_that_cannot_be_told_from_others_begins_anew(
    etag: str | None, server: FileServer, tmp_path: Path
) -> None:
    server.answers = [Answer(break_at=70_000, etag=etag), Answer(etag=etag)]

    download([PUBLISHED], tmp_path, server.url)

    assert server.ranges() == [None, None]
    assert (tmp_path / NAME).read_bytes() == MODEL


@pytest.mark.parametrize("notes", [None, "no json", "[]", '{"url": 1}', '{"size": "many"}'])
def test_a_part_of_unknown_origin_is_not_used(
    notes: str | None, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / f"{NAME}.partial").write_bytes(b"x" * 1000)
    if notes is not None:
        (tmp_path / f"{NAME}.partial.json").write_text(notes)

    download([PUBLISHED], tmp_path, server.url)

    assert server.ranges() == [None]
    assert (tmp_path / NAME).read_bytes() == MODEL


def test_a_part_from_another_address_is_not_used(server: FileServer, tmp_path: Path) -> None:
    leave_partial(server, tmp_path, 70_000)
    server.answers = [Answer()]

    download([PUBLISHED], tmp_path, f"{server.url}/other/")

    assert [request["path"] for request in server.requests] == [f"/models/other/{NAME}"]
    assert server.ranges() == [None]


def test_a_busy_server_is_asked_again(
    server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = [Answer(status=503), Answer(status=429), Answer()]

    download([PUBLISHED], tmp_path, server.url)

    assert (tmp_path / NAME).read_bytes() == MODEL
    said = [record.getMessage() for record in caplog.records]
    assert [message.split(": ")[-1] for message in said] == [
        "the server answered with status 503; trying again in 1 s",
        "the server answered with status 429; trying again in 2 s",
    ]


# Servers that send something else

HTML = b"<!DOCTYPE html><title>Sign in</title>".ljust(len(MODEL))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            Answer(content=HTML, content_type="text/html; charset=utf-8"),
            "an ONNX model, got a page",
        ),
        (Answer(content=HTML), "begins with b'<!DOCTYPE html><'"),
        (Answer(content=b"PK\3\4".ljust(len(MODEL))), "begins with b'PK"),
        (Answer(content=b"\x08\x08<p>".ljust(len(MODEL))), "expected an ONNX model"),
        (Answer(content=b""), "the server announces 0; use a mirror"),
        (Answer(announced=""), "does not say how long the file is"),
        (Answer(announced="many"), "does not say how long the file is"),
        (Answer(content=MODEL[:150_000]), "bytes, as published; the server announces 150,000;"),
        (Answer(announced=300_000), "bytes, as published; the server announces 300,000;"),
        (Answer(encoding="gzip"), "expected the file as it is, got it as gzip"),
        (Answer(status=404), r"status 404 \(Not Found\); check the address, or use a mirror"),
        (Answer(status=403), r"status 403 \(Forbidden\)"),
        (Answer(status=203), "expected status 200, got 203"),
        (Answer(status=206, content_range="bytes 0-5/6"), "another part than it was asked for"),
        (Answer(status=302, location="https://127.0.0.1/x"), "redirects to https://127.0.0.1/x"),
        (Answer(status=307, location="file:///etc/passwd"), "redirects to file:///etc/passwd"),
        (Answer(status=302), "redirects to nowhere"),
    ],
)
def test_what_is_not_the_published_file_is_refused(
    answer: Answer, message: str, server: FileServer, tmp_path: Path
) -> None:
    server.answers = [answer]

    with pytest.raises(DownloadError, match=message) as caught:
        download([PUBLISHED], tmp_path, server.url)

    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_an_error_page_does_not_cost_what_came_earlier(server: FileServer, tmp_path: Path) -> None:
    leave_partial(server, tmp_path, 70_000)
    server.answers = [Answer(content=HTML, content_type="text/html", ranges=False)]
    with pytest.raises(DownloadError, match="got a page"):
        download([PUBLISHED], tmp_path, server.url)
    server.answers = [Answer()]

    download([PUBLISHED], tmp_path, server.url)

    assert server.ranges() == ["bytes=70000-"] * 2
    assert (tmp_path / NAME).read_bytes() == MODEL


def test_a_length_that_is_too_short_is_found_out(server: FileServer, tmp_path: Path) -> None:
    # Near enough to the published size to pass for it.
    server.answers = [Answer(announced=len(MODEL) - 5000)]

    with pytest.raises(DownloadError, match="that the server announced are no complete ONNX model"):
        download([PUBLISHED], tmp_path, server.url)

    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("ranges", "message"),
    [(True, "announced more than the .* bytes that it sent"), (False, "broke off after .* in 5")],
)
def test_a_length_that_is_too_long_is_found_out(
    ranges: bool, message: str, server: FileServer, tmp_path: Path
) -> None:
    server.answers = [Answer(announced=len(MODEL) + 5000, ranges=ranges)]

    with pytest.raises(DownloadError, match=message):
        download([PUBLISHED], tmp_path, server.url)

    assert not (tmp_path / NAME).exists()
    assert not (tmp_path / "official.json").exists()


@pytest.mark.parametrize("change", ["cut at a field", "garbage behind", "another wire type"])
def test_bytes_that_are_no_complete_model_are_refused(
    change: str, server: FileServer, tmp_path: Path
) -> None:
    # The operator sets are the last field: without them the rest is still well-formed protobuf.
    operator_sets = MODEL.rindex(b"\x42")
    content = {
        "cut at a field": MODEL[:operator_sets],
        "garbage behind": MODEL + b"\x42\x7f",
        "another wire type": MODEL + b"\x0b",
    }[change]
    server.answers = [Answer(content=content)]

    with pytest.raises(DownloadError, match="no complete ONNX model"):
        download([PUBLISHED], tmp_path, server.url)

    assert names(tmp_path) == []


def test_another_checksum_than_others_report_is_said_and_kept(
    server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = replace(PUBLISHED, sha256="ab" * 32)

    download([known], tmp_path, server.url)

    assert (tmp_path / NAME).is_file()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    expected = f"{NAME}: SHA-256 is {sha256(MODEL)}, others report {'ab' * 32}"
    assert caplog.records[0].getMessage().startswith(expected)


def test_the_checksum_that_others_report_is_worth_no_word(
    server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    download([replace(PUBLISHED, sha256=sha256(MODEL))], tmp_path, server.url)

    assert caplog.records == []


# Folders


def test_a_file_put_there_by_hand_is_taken_over(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(MODEL)

    download([PUBLISHED], tmp_path, server.url)

    assert server.requests == []
    record = records(tmp_path)[NAME]
    assert (record["url"], record["sha256"]) == (None, sha256(MODEL))


@pytest.mark.parametrize("content", [b"mine", MODEL[:-5000], b"x" * len(MODEL)])
def test_another_file_of_that_name_is_never_written_over(
    content: bytes, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(content)

    with pytest.raises(DownloadError, match=r"is not the published file .* move it away"):
        download([PUBLISHED], tmp_path, server.url)

    assert (tmp_path / NAME).read_bytes() == content
    assert server.requests == []


def test_a_file_that_changed_since_it_was_recorded_is_reported(
    server: FileServer, tmp_path: Path
) -> None:
    download([PUBLISHED], tmp_path, server.url)
    (tmp_path / NAME).write_bytes(onnx_bytes(seed=1))

    with pytest.raises(DownloadError, match=r"has changed since official\.json recorded it"):
        download([PUBLISHED], tmp_path, server.url)


def test_a_folder_in_the_place_of_a_file_is_reported(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()

    with pytest.raises(DownloadError, match="expected a file or nothing, it is a folder"):
        download([PUBLISHED], tmp_path, server.url)


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', "\xff"])
def test_records_that_cannot_be_read_stop_the_download(
    content: str, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / "official.json").write_text(content, encoding="latin-1")
    (tmp_path / NAME).write_bytes(MODEL)

    with pytest.raises(DownloadError, match="expected a JSON object per file; delete it"):
        download([PUBLISHED], tmp_path, server.url)

    assert (tmp_path / "official.json").read_text(encoding="latin-1") == content


def test_a_file_in_the_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(DownloadError, match=r"cannot write .*taken"):
        download([PUBLISHED], tmp_path / "taken", "http://127.0.0.1:9")


def test_the_disk_is_looked_at_first(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [replace(PUBLISHED, name=f"{i}.onnx", size_mib=1000.0) for i in range(3)]
    free = SimpleNamespace(free=2999 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)

    with pytest.raises(DownloadError, match="3,000 MiB are still to come, the disk has 2,999 MiB"):
        download(files, tmp_path, server.url)

    assert server.requests == []


def test_what_came_earlier_needs_no_space(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_partial(server, tmp_path, 70_000)
    server.answers = [Answer()]
    free = SimpleNamespace(free=PUBLISHED.sizes_in_bytes[-1] - 70_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)

    download([PUBLISHED], tmp_path, server.url)

    assert (tmp_path / NAME).read_bytes() == MODEL


def test_finished_files_are_found_by_name(tmp_path: Path) -> None:
    large, base = OFFICIAL_FILES[1], OFFICIAL_FILES[0]
    for name in (large.name, base.name, f"{OFFICIAL_FILES[2].name}.partial", "other.onnx"):
        (tmp_path / name).write_bytes(b"")

    assert list(find_official(str(tmp_path)).items()) == [
        (base, tmp_path / base.name),
        (large, tmp_path / large.name),
    ]
    assert find_official(tmp_path / "absent") == {}


# Addresses and the command


@pytest.mark.parametrize(
    "mirror",
    [
        "",
        "host/folder",
        "file:///models",
        "ftp://host/models",
        "https://",
        "https://host:port/",
        "https://[::1/",
        "https://me:secret@host/",
        "https://host/?signature=1",
        "https://host/#part",
        "https://host/a b",
        "https://host/ä",
        "https://host/\r\nX: 1",
    ],
)
def test_addresses_that_are_no_mirror_are_refused(mirror: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=re.escape("https://HOST/FOLDER, without")):
        download([PUBLISHED], tmp_path, mirror)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """One small file in place of the seven large ones."""
    monkeypatch.setattr(official, "OFFICIAL_FILES", (replace(PUBLISHED, sha256="ab" * 32),))


def run(*arguments: str | Path) -> tuple[int, str, list[str]]:
    """Exit code, standard output and lines of standard error of the command."""
    result = CliRunner().invoke(app, ["download-official", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr.splitlines()


@pytest.mark.usefixtures("published")
def test_the_command_says_what_it_does_and_what_is_odd(server: FileServer, tmp_path: Path) -> None:
    server.answers = [Answer(status=503), Answer()]
    arguments = ["--tasks", "depth", "--sizes", "base, large", "--mirror", server.url]

    code, out, errors = run(*arguments, "-o", tmp_path)

    assert code == 0
    assert (tmp_path / NAME).read_bytes() == MODEL
    assert out == f"1 file is in {tmp_path}, described in {tmp_path / 'official.json'}\n"
    assert len(errors) == 3
    assert errors[0] == f"1 file, 0 MiB in all, to {tmp_path}"
    assert errors[1].endswith("the server answered with status 503; trying again in 1 s")
    assert errors[2].startswith(f"david: {NAME}: SHA-256 is {sha256(MODEL)}, others report abab")


@pytest.mark.usefixtures("published")
def test_offline_the_command_fails_at_once_in_one_line(tmp_path: Path, waits: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        port = unused.getsockname()[1]
        code, out, errors = run("-o", tmp_path, "--mirror", f"http://127.0.0.1:{port}")

    assert (code, out, waits) == (1, "", [])
    assert len(errors) == 2
    assert errors[1].startswith(f"david: cannot reach 127.0.0.1:{port} (")
    assert errors[1].endswith("): check the network, or use a mirror")
    assert names(tmp_path) == []


def test_the_command_refuses_unknown_words(tmp_path: Path) -> None:
    code, out, errors = run("--tasks", "depth,colour", "-o", tmp_path / "out")

    assert (code, out) == (1, "")
    expected = "david: expected a task out of depth, normals, alpha, multi, got 'colour'"
    assert errors == [expected]
    assert not (tmp_path / "out").exists()
