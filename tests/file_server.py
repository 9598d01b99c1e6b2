"""A server of files on this machine that breaks off, lies or has changed its mind, as told."""

import socket
import struct
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from david_hf import resumable


@dataclass(frozen=True)
class Answer:
    """How the server answers one request; by default as it should."""

    status: int = 200
    content: bytes = b""
    etag: str | None = '"one"'
    content_type: str = "application/octet-stream"
    encoding: str | None = None
    announced: int | str | None = None  # another Content-Length than the true one; "" for none
    break_at: int | None = None  # bytes of the body after which the connection ends
    reset: bool = False  # end it with an error, not properly
    ranges: bool = True
    if_range: bool = True
    content_range: str | None = None  # another one than was asked for
    location: str | None = None


class FileServer:
    """Plays the answers of a file one after the other, then the last one for ever.

    Attributes:
        answers: For every file that has none of its own.
        answers_by_name: For single files, by the last part of the address.
        requests: Path and headers of what was asked, oldest first.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.answers_by_name: dict[str, list[Answer]] = {}
        self.requests: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/models"

    def next_answer(self, path: str) -> Answer:
        answers = self.answers_by_name.get(path.rpartition("/")[2], self.answers)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def ranges(self) -> list[str | None]:
        """What part each request asked for."""
        return [request.get("range") for request in self.requests]

    def names(self) -> list[str]:
        """Last part of the address of each request."""
        return [request["path"].rpartition("/")[2] for request in self.requests]

    def __enter__(self) -> "FileServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def skip_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let downloads not wait, nor use a proxy; return the seconds that they would have waited."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    waited: list[float] = []
    monkeypatch.setattr(resumable, "sleep", waited.append)
    return waited


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.requests.append({"path": self.path, **headers})
            self.answer(server.next_answer(self.path), headers)

        def answer(self, answer: Answer, headers: dict[str, str]) -> None:
            first = wanted_start(answer, headers)
            body = answer.content[first:]
            status = answer.status if first == 0 else 206 if body else 416
            self.send_response(status)
            self.send_header("Content-Type", answer.content_type)
            for name, value in optional_headers(answer, first, status).items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: answer.break_at])
            if answer.reset:
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )

        def log_message(self, *_: object) -> None:
            """Say nothing: `FileServer.requests` is the log."""

    return Handler


def wanted_start(answer: Answer, headers: dict[str, str]) -> int:
    """First byte to send: that of the range, if the server cares and the file is the same."""
    wanted = headers.get("range")
    if wanted is None or not answer.ranges or answer.status != 200:
        return 0
    if answer.if_range and headers.get("if-range") != answer.etag:
        return 0
    return int(wanted.removeprefix("bytes=").removesuffix("-"))


def optional_headers(answer: Answer, first: int, status: int) -> dict[str, str | None]:
    size = len(answer.content) if answer.announced is None else answer.announced
    headers = {
        "ETag": answer.etag,
        "Location": answer.location,
        "Content-Encoding": answer.encoding,
        "Content-Length": str(size),
        "Content-Range": answer.content_range,
    }
    if status == 206 and isinstance(size, int) and first:
        headers["Content-Length"] = str(size - first)
        headers["Content-Range"] = answer.content_range or f"bytes {first}-{size - 1}/{size}"
    return headers
