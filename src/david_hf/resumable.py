"""Fetch one large file over HTTP, going on where an earlier attempt stopped.

Only the standard library is used, and no token or other credential is ever sent.
"""

import hashlib
import http.client
import json
import logging
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from time import sleep
from typing import IO, NoReturn
from urllib.parse import urlsplit

from .load_errors import in_one_line

__all__ = [
    "DownloadError",
    "PartialFile",
    "RemoteFile",
    "SharedDownloadError",
    "fetch",
    "sha256_of",
]

_logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_HEAD_BYTES = 16
_TIMEOUT_S = 30.0
# Waits in front of the second and further attempts. They begin anew whenever this much has arrived.
_BACK_OFF_S = (1.0, 2.0, 4.0, 8.0)
_PROGRESS_BYTES = 1 << 20
_BUSY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
# An error page or a login page that comes with status 200. text/plain is not among them: it is what
# some servers say of every file they do not know.
_PAGE_TYPES = ("text/html", "application/xhtml", "application/xml", "text/xml", "application/json")


class DownloadError(ValueError):
    """Why a file was not fetched; the message is one line."""


class SharedDownloadError(DownloadError):
    """What any other file would meet, too: no connection, or a disk that cannot be written."""


class _LostError(Exception):
    """The connection broke off, or the server is busy: another attempt may succeed."""


class _UnreachableError(_LostError):
    """No connection could be made."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch and what it must look like.

    Attributes:
        url: Its address, http or https.
        sizes: Bytes that it may have.
        begins_well: Tells whether the first 16 bytes are those of such a file.
        kind: What the file should be, for messages: "an ONNX model".
    """

    url: str
    sizes: range
    begins_well: Callable[[bytes], bool]
    kind: str


@dataclass(frozen=True)
class _Origin:
    """Where the bytes of a partial file come from; `validator` is an ETag or a date."""

    url: str
    validator: str | None
    size: int


class PartialFile:
    """The part of a file that has arrived, and beside it, as JSON, what it is a part of.

    Args:
        path: Where the part lies; the JSON file has the same name and ".json".
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._notes = path.with_name(f"{path.name}.json")

    def size(self) -> int:
        """Count the bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self) -> _Origin | None:
        """Return what the bytes belong to; None if there are none or that is not known."""
        try:
            origin = _Origin(**json.loads(self._notes.read_text(encoding="utf-8")))
            return origin if 0 < self.size() <= origin.size else None
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def begin(self, origin: _Origin) -> None:
        """Empty the file and note what comes into it."""
        # In this order: bytes never lie beside the notes on another file.
        self.path.write_bytes(b"")
        temporary = self._notes.with_name(f"{self._notes.name}.new")
        temporary.write_text(json.dumps(asdict(origin)), encoding="utf-8")
        temporary.replace(self._notes)

    def finish(self, target: Path) -> None:
        """Give the complete file its name."""
        self.path.replace(target)
        self._notes.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what is there."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)


def fetch(remote: RemoteFile, partial: PartialFile, on_progress: Callable[[int, int], None]) -> str:
    """Fetch a file into `partial`, trying a few times.

    What an earlier call left in `partial` is kept if the server says that the file is still the
    same, and if it can send the rest alone. The caller checks the file and calls `finish`.

    Args:
        remote: The file.
        partial: Where it goes.
        on_progress: Called with the bytes that are there and the bytes of the whole file.

    Returns:
        SHA-256 of the file.

    Raises:
        DownloadError: If the server cannot be reached, has no such file or another one, or if the
            connection broke off too often. In the last case `partial` stays, to go on from.
        SharedDownloadError: If no connection can be made, or `partial` cannot be written.
    """
    failures, mark = 0, partial.size()
    while True:
        try:
            return _attempt(remote, partial, on_progress)
        except _LostError as error:
            if partial.size() >= mark + _PROGRESS_BYTES:
                failures, mark = 0, partial.size()
            elif isinstance(error, _UnreachableError) and failures == 0:
                raise SharedDownloadError(f"{error}: check the network, or use a mirror") from error
            if failures == len(_BACK_OFF_S):
                _give_up(remote, partial, error)
            wait_s = _BACK_OFF_S[failures]
            failures += 1
            _logger.warning("%s: %s; trying again in %g s", remote.url, error, wait_s)
            sleep(wait_s)
        except OSError as error:
            reason = error.strerror or error
            raise SharedDownloadError(f"cannot write {partial.path}: {reason}") from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return _digest(path).hexdigest()


def _digest(path: Path) -> "hashlib._Hash":
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")


def _give_up(remote: RemoteFile, partial: PartialFile, error: _LostError) -> NoReturn:
    kept = partial.size()
    advice = f"{partial.path} keeps {kept:,} bytes; run again to go on" if kept else "try later"
    raise DownloadError(
        f"{remote.url}: {error}, in {len(_BACK_OFF_S) + 1} attempts; {advice}"
    ) from error


def _attempt(
    remote: RemoteFile, partial: PartialFile, on_progress: Callable[[int, int], None]
) -> str:
    """Fetch what is missing in one request; return the SHA-256 of the whole."""
    origin = partial.origin()
    if origin is not None and origin.url != remote.url:
        origin = None
    if origin is not None and partial.size() == origin.size:
        return sha256_of(partial.path)
    resumed = origin if origin is not None and origin.validator else None
    with _request(remote.url, resumed, partial) as response:
        if response.status == 206:
            size = _check_part(response.headers, resumed, partial)
        else:
            size = _begin(response, remote, partial, resumed)
        return _copy_rest(response, partial, size, on_progress)


class _SameSchemeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http or to anything else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != req.type:
            fp.close()
            raise DownloadError(_redirect_message(req.full_url, newurl))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _redirect_message(url: str, target: str) -> str:
    return (
        f"{url} redirects to {target}, which is not followed: "
        f"expected {urlsplit(url).scheme}, as before; use a mirror that has the files itself"
    )


def _opener() -> urllib.request.OpenerDirector:
    """Make a client for http and https alone; the standard one opens file: and ftp: too."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SameSchemeRedirects(),
    ):
        opener.add_handler(handler)
    return opener


@contextmanager
def _request(
    url: str, resumed: _Origin | None, partial: PartialFile
) -> Iterator[http.client.HTTPResponse]:
    """Ask for the file, or for the rest of it unless it has changed."""
    headers = {"User-Agent": "david-hf", "Accept-Encoding": "identity"}
    if resumed is not None and resumed.validator is not None:
        headers |= {"Range": f"bytes={partial.size()}-", "If-Range": resumed.validator}
    request = urllib.request.Request(url, headers=headers)
    try:
        response = _opener().open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            _refuse_status(url, error.code, error.headers, partial)
    except urllib.error.URLError as error:
        raise _UnreachableError(
            f"cannot reach {urlsplit(url).netloc} ({in_one_line(error.reason)})"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _LostError(in_one_line(error)) from error
    with response:
        yield response


def _refuse_status(url: str, status: int, headers: Message, partial: PartialFile) -> NoReturn:
    if status == 416:
        kept = partial.size()
        partial.discard()
        raise DownloadError(
            f"{url}: the server announced more than the {kept:,} bytes that it sent and has no "
            "more; what came is removed: run again, or use a mirror"
        )
    if status in _BUSY_STATUSES:
        raise _LostError(f"the server answered with status {status}")
    if 300 <= status < 400:
        raise DownloadError(_redirect_message(url, headers.get("Location", "nowhere")))
    reason = http.client.responses.get(status, "unknown")
    raise DownloadError(
        f"{url}: the server answered with status {status} ({reason}); check the address, "
        "or use a mirror"
    )


def _check_part(headers: Message, resumed: _Origin | None, partial: PartialFile) -> int:
    """Check that a partial answer is what was asked for; return the size of the whole file."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
    if resumed is not None and found is not None:
        first, last, size = map(int, found.groups())
        validator = _validator(headers)
        is_same = size == resumed.size and validator in (None, resumed.validator)
        if is_same and first == partial.size() and last == size - 1:
            return size
    partial.discard()
    raise _LostError("the server sent another part than it was asked for")


def _begin(
    response: http.client.HTTPResponse,
    remote: RemoteFile,
    partial: PartialFile,
    resumed: _Origin | None,
) -> int:
    """Check an answer that is the whole file and write its first bytes; return its size."""
    size = _check_announcement(response, remote)
    try:
        head = response.read(_HEAD_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _LostError(in_one_line(error)) from error
    if len(head) < min(_HEAD_BYTES, size):
        raise _LostError(f"the connection broke off after {len(head)} of {size:,} bytes")
    if not remote.begins_well(head):
        raise DownloadError(
            f"{remote.url}: expected {remote.kind}, got a file that begins with {head!r}; "
            "open the address in a browser, or use a mirror"
        )
    if resumed is not None:
        _logger.warning("%s: changed, or the server cannot send a part; beginning anew", remote.url)
    # Only here, when the answer is known to be good, what came earlier is given up.
    partial.begin(_Origin(remote.url, _validator(response.headers), size))
    with partial.path.open("ab") as file:
        file.write(head)
    return size


def _check_announcement(response: http.client.HTTPResponse, remote: RemoteFile) -> int:
    """Check what the headers say of the whole file; return its size."""
    headers, url = response.headers, remote.url
    if response.status != 200:
        raise DownloadError(f"{url}: expected status 200, got {response.status}; use a mirror")
    content_type = headers.get("Content-Type", "").lower()
    if content_type.startswith(_PAGE_TYPES):
        raise DownloadError(
            f"{url}: expected {remote.kind}, got a page ({content_type}); "
            "open the address in a browser, or use a mirror"
        )
    encoding = headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise DownloadError(
            f"{url}: expected the file as it is, got it as {encoding}; use a mirror"
        )
    length = headers.get("Content-Length", "")
    if not re.fullmatch(r"\d+", length):
        raise DownloadError(f"{url}: the server does not say how long the file is; use a mirror")
    if int(length) not in remote.sizes:
        raise DownloadError(
            f"{url}: expected {_span(remote.sizes)} bytes, as published; the server announces "
            f"{int(length):,}; use a mirror"
        )
    return int(length)


def _copy_rest(
    response: http.client.HTTPResponse,
    partial: PartialFile,
    size: int,
    on_progress: Callable[[int, int], None],
) -> str:
    """Append the answer to the partial file until it has `size` bytes; return its SHA-256."""
    there, digest = partial.size(), _digest(partial.path)
    with partial.path.open("ab") as file:
        on_progress(there, size)
        while there < size:
            chunk = _read(response, min(_CHUNK_BYTES, size - there))
            if not chunk:
                raise _LostError(f"the connection broke off after {there:,} of {size:,} bytes")
            file.write(chunk)
            digest.update(chunk)
            there += len(chunk)
            on_progress(there, size)
    return digest.hexdigest()


def _read(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    try:
        # One system call: what has arrived is not lost when the next call fails.
        return response.read1(max_bytes)
    except (OSError, http.client.HTTPException) as error:
        raise _LostError(in_one_line(error)) from error


def _validator(headers: Message) -> str | None:
    """Return what tells this version of the file from others; a weak ETag does not."""
    etag = headers.get("ETag")
    if etag is not None and not etag.startswith("W/"):
        return etag
    return headers.get("Last-Modified")


def _span(sizes: range) -> str:
    return f"{sizes[0]:,} to {sizes[-1]:,}" if len(sizes) > 1 else f"{sizes[0]:,}"
