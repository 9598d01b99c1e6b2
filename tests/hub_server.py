"""A stand-in for the Hub on this machine: what huggingface_hub asks of it, kept in memory.

Point HF_ENDPOINT at `HubServer.url`. It stores every upload as a regular file, so that no second
protocol (LFS, Xet) is needed, but lists weights as the real one does, by their SHA-256.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

WRITE_TOKEN, READ_TOKEN = "hf_localwrite0123456789", "hf_localread0123456789"
OWNER = "owner"
NO_COMMIT = "0" * 40


@dataclass(frozen=True)
class Request:
    """One line of the log: the path is without its query."""

    method: str
    path: str
    authorised: bool


@dataclass
class Commit:
    """One state of a repository: what its message says and what changed."""

    oid: str
    summary: str
    operations: list[tuple[str, str]]  # ("file", path) or ("deletedFile", path), in order


@dataclass
class Repo:
    """The newest files of a repository and its history, oldest commit first."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)

    @property
    def head(self) -> str:
        """Hash of the newest commit."""
        return self.commits[-1].oid if self.commits else NO_COMMIT

    def commit(self, summary: str, operations: list[dict[str, Any]]) -> Commit:
        """Apply operations as the client writes them, all of them or none."""
        files, changes = dict(self.files), []
        for operation in operations:
            kind, path = operation["key"], operation["value"]["path"]
            if kind == "file":
                files[path] = base64.b64decode(operation["value"]["content"])
            elif kind == "deletedFile":
                del files[path]
            else:
                raise HubError(400, f"the stand-in has no {kind}")
            changes.append((kind, path))
        content = repr((self.head, summary, sorted(files.items()))).encode()
        self.files = files
        self.commits.append(Commit(hashlib.sha1(content).hexdigest(), summary, changes))
        return self.commits[-1]


class HubError(Exception):
    """An answer other than 200; the code is the one the client tells errors apart by."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class HubServer:
    """The state that the requests work on; `url` is where it listens.

    Attributes:
        repos: Repositories by id, "owner/name".
        requests: Log of what was asked, oldest first.
        outage: Status that requests get instead of an answer, None for none. The message then
            quotes the request's credentials, as careless proxies do.
        outage_path: Part of the paths that this concerns; "" is part of all.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.requests: list[Request] = []
        self.outage: int | None = None
        self.outage_path = ""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port: whoever asks now is refused. Stopping twice does nothing."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    @property
    def writes(self) -> list[str]:
        """Paths of all requests that could change something."""
        return [request.path for request in self.requests if request.method not in ("GET", "HEAD")]

    def answer(self, request: "_Call") -> "Answer":
        """Find the route and follow it."""
        if self.outage and self.outage_path in request.path:
            raise HubError(self.outage, f"proxy failed on behalf of {request.credentials}")
        if request.credentials and request.token not in (WRITE_TOKEN, READ_TOKEN):
            raise HubError(401, "Invalid credentials in Authorization header")
        for pattern, route in ROUTES:
            match = re.fullmatch(pattern, f"{request.method} {request.path}")
            if match:
                return route(self, request, **match.groupdict())
        raise HubError(404, f"the stand-in has no {request.method} {request.path}")

    def readable(self, call: "_Call", repo_id: str) -> Repo:
        """Return a repository, unless it is hidden from the caller."""
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and not call.token):
            raise HubError(404 if call.token else 401, "Repository not found", "RepoNotFound")
        return repo

    def writable(self, call: "_Call", repo_id: str) -> Repo:
        """Return a repository of the caller's own."""
        repo = self.readable(call, repo_id)
        check_write(call, repo_id.split("/")[0])
        return repo


@contextmanager
def running_hub() -> Iterator[HubServer]:
    """A stand-in that is there for as long as the block."""
    server = HubServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def check_write(call: "_Call", owner: str) -> None:
    """Refuse whoever may not write under a name."""
    if not call.token:
        raise HubError(401, "You must be logged in")
    if call.token != WRITE_TOKEN or owner != OWNER:
        raise HubError(403, f"You don't have the rights to write under the namespace {owner}")


def whoami(server: HubServer, call: "_Call") -> "Answer":
    if not call.token:
        raise HubError(401, "You must be logged in")
    return json_answer({"type": "user", "name": OWNER, "orgs": [], "auth": {}})


def create(server: HubServer, call: "_Call") -> "Answer":
    wanted = call.json()
    owner = wanted.get("organization") or OWNER
    check_write(call, owner)
    repo_id = f"{owner}/{wanted['name']}"
    if repo_id in server.repos:
        return json_answer({"url": f"{server.url}/{repo_id}", "error": "exists already"}, 409)
    # Newer clients say "visibility", older ones "private"; the real Hub's default is public.
    private = wanted.get("visibility") == "private" or wanted.get("private") is True
    server.repos[repo_id] = repo = Repo(private)
    attributes = base64.b64encode(b"*.safetensors filter=lfs\n").decode()
    first = {"key": "file", "value": {"path": ".gitattributes", "content": attributes}}
    repo.commit("initial commit", [first])
    return json_answer({"url": f"{server.url}/{repo_id}", "name": repo_id})


def validate_yaml(server: HubServer, call: "_Call") -> "Answer":
    if not call.json()["content"].startswith("---\n"):
        raise HubError(400, "the card has no metadata")
    return json_answer({"errors": [], "warnings": []})


def info(server: HubServer, call: "_Call", repo_id: str) -> "Answer":
    repo = server.readable(call, repo_id)
    return json_answer(
        {
            "id": repo_id,
            "modelId": repo_id,
            "sha": repo.head,
            "private": repo.private,
            "tags": [],
            "siblings": [_sibling(path, content) for path, content in repo.files.items()],
        }
    )


def tree(server: HubServer, call: "_Call", repo_id: str, folder: str | None = None) -> "Answer":
    repo = server.readable(call, repo_id)
    inside = [path for path in repo.files if path.startswith(f"{folder}/" if folder else "")]
    return json_answer([_tree_entry(path, repo.files[path]) for path in inside])


def paths_info(server: HubServer, call: "_Call", repo_id: str) -> "Answer":
    repo = server.readable(call, repo_id)
    wanted = parse_qs(call.body.decode())["paths"]
    return json_answer(
        [_tree_entry(path, repo.files[path]) for path in wanted if path in repo.files]
    )


def preupload(server: HubServer, call: "_Call", repo_id: str) -> "Answer":
    server.writable(call, repo_id)
    paths = [file["path"] for file in call.json()["files"]]
    modes = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
    return json_answer({"files": [{"path": path, **modes} for path in paths]})


def commit(server: HubServer, call: "_Call", repo_id: str) -> "Answer":
    repo = server.writable(call, repo_id)
    header, *operations = [json.loads(line) for line in call.body.splitlines()]
    made = repo.commit(header["value"]["summary"], operations)
    url = f"{server.url}/{repo_id}/commit/{made.oid}"
    return json_answer({"success": True, "commitOid": made.oid, "commitUrl": url})


def resolve(server: HubServer, call: "_Call", repo_id: str, path: str) -> "Answer":
    repo = server.readable(call, repo_id)
    # Sent with a 404 too: the client then remembers, for offline use, that there is no such file.
    headers = {"X-Repo-Commit": repo.head}
    if path not in repo.files:
        return Answer(404, b"", {**headers, "X-Error-Code": "EntryNotFound"})
    content = repo.files[path]
    return Answer(200, content, {**headers, "ETag": f'"{_etag(path, content)}"'})


_REPO = r"/api/models/(?P<repo_id>[^/]+/[^/]+)"
ROUTES = [
    ("GET /api/whoami-v2", whoami),
    ("POST /api/repos/create", create),
    ("POST /api/validate-yaml", validate_yaml),
    (rf"GET {_REPO}(?:/revision/[^/]+)?", info),
    (rf"GET {_REPO}/tree/[^/]+(?:/(?P<folder>.+))?", tree),
    (rf"POST {_REPO}/paths-info/[^/]+", paths_info),
    (rf"POST {_REPO}/preupload/[^/]+", preupload),
    (rf"POST {_REPO}/commit/[^/]+", commit),
    (r"(?:GET|HEAD) /(?P<repo_id>[^/]+/[^/]+)/resolve/[^/]+/(?P<path>.+)", resolve),
]


@dataclass(frozen=True)
class Answer:
    """What goes back to the client."""

    status: int
    body: bytes
    headers: dict[str, str]


def json_answer(content: Any, status: int = 200, **headers: str) -> Answer:
    body = json.dumps(content).encode()
    return Answer(status, body, {"Content-Type": "application/json", **headers})


@dataclass(frozen=True)
class _Call:
    """A request as the routes see it; `token` is empty for the anonymous."""

    method: str
    path: str
    credentials: str
    body: bytes

    @property
    def token(self) -> str:
        return self.credentials.removeprefix("Bearer ")

    def json(self) -> Any:
        return json.loads(self.body)


def _handler(server: HubServer) -> type[BaseHTTPRequestHandler]:
    """Make the class through which the standard library's server talks to `server`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            call = _Call(self.command, path, self.headers.get("Authorization") or "", body)
            server.requests.append(Request(self.command, path, bool(call.credentials)))
            try:
                answer = server.answer(call)
            except HubError as error:
                answer = json_answer({"error": error.message}, error.status)
                answer.headers.update(
                    {"X-Error-Message": error.message, "X-Error-Code": error.code}
                )
            self._send(answer)

        do_HEAD = do_POST = do_GET  # noqa: N815 - named by http.server

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: `HubServer.requests` is the log."""

    return Handler


def _is_weights(path: str) -> bool:
    return path.endswith(".safetensors")


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _etag(path: str, content: bytes) -> str:
    return _sha256(content) if _is_weights(path) else _git_hash(content)


def _pointer(content: bytes) -> bytes:
    """What git holds in place of a large file."""
    oid = f"oid sha256:{_sha256(content)}"
    return f"version https://git-lfs.github.com/spec/v1\n{oid}\nsize {len(content)}\n".encode()


def _sibling(path: str, content: bytes) -> dict[str, Any]:
    """A file as the description of a repository lists it."""
    entry = {"rfilename": path, "size": len(content), "blobId": _git_hash(content)}
    if _is_weights(path):
        pointer = _pointer(content)
        lfs = {"sha256": _sha256(content), "size": len(content), "pointerSize": len(pointer)}
        entry |= {"blobId": _git_hash(pointer), "lfs": lfs}
    return entry


def _tree_entry(path: str, content: bytes) -> dict[str, Any]:
    """A file as the listing of a folder shows it."""
    sibling = _sibling(path, content)
    entry = {"type": "file", "path": path, "size": len(content), "oid": sibling["blobId"]}
    if "lfs" in sibling:
        lfs = sibling["lfs"]
        entry["lfs"] = {"oid": lfs["sha256"], **lfs}
    return entry
