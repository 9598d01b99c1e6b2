"""A checkpoint on the Hub: card, weights, image processor and, if asked for, code and ONNX."""

import hashlib
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelInfo,
    constants,
    get_token,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from david_hf.atomic import new_folder

from .release_files import CheckpointError, is_weights, onnx_files, stage_release

__all__ = ["PublishError", "PublishReport", "PublishedFile", "publish", "write_release"]

_NO_TOKEN = "no token for the Hub: run `hf auth login`, or set HF_TOKEN"
_BAD_TOKEN = "the Hub does not know this token: run `hf auth login` again, or correct HF_TOKEN"


class PublishError(ValueError):
    """Why nothing was published; the message is one line and never holds the token."""


@dataclass(frozen=True)
class PublishedFile:
    """One file of the repository.

    Attributes:
        path: Where it is in the repository.
        size: Bytes.
        state: What publishing does to it: "new" and "changed" files are sent, "same" ones are not,
            "removed" are weights of an earlier model that loading would mistake for this one's.
    """

    path: str
    size: int
    state: Literal["new", "changed", "same", "removed"]


@dataclass(frozen=True)
class PublishReport:
    """What was published, or would be.

    Attributes:
        url: Address of the repository.
        private: Whether it is private, or would be.
        files: All its files that belong to the checkpoint, the card first.
        notes: What to know before anything is sent, one line each.
        commit: Hash of the commit made; None if there was nothing to send or nothing was sent.
        warnings: What the Hub says about the card, one line each.
    """

    url: str
    private: bool
    files: tuple[PublishedFile, ...]
    notes: tuple[str, ...] = ()
    commit: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> list[PublishedFile]:
        """The files that are sent or removed."""
        return [file for file in self.files if file.state != "same"]


def publish(
    checkpoint: str | Path,
    repo_id: str,
    *,
    remote_code: bool = False,
    onnx: str | Path | None = None,
    public: bool = False,
    commit_message: str | None = None,
    dry_run: bool = False,
    on_plan: Callable[[PublishReport], None] | None = None,
) -> PublishReport:
    """Send a checkpoint to a repository of the Hub, in one commit; what is there is not sent again.

    The token is the one that `hf auth login` stored, or HF_TOKEN.

    Args:
        checkpoint: Folder with `config.json`, safetensors weights and `preprocessor_config.json`.
            Of other files only the card, metrics.json and those on the training are sent.
        repo_id: OWNER/NAME. A repository that does not exist is made.
        remote_code: Whether to send the code too, for machines without this package.
        onnx: An .onnx file or a folder of some, sent as `onnx/`.
        public: Whether a repository that is made can be seen by all. One that exists stays as it
            is, and `notes` says so if that differs.
        commit_message: First line of the commit.
        dry_run: Whether to look only. Then no token is needed, and a repository that cannot be seen
            counts as empty.
        on_plan: Called once it is known what will be done, before anything is sent.

    Raises:
        PublishError: If the checkpoint is incomplete, or the Hub cannot be reached or refuses.
    """
    _check_repo_id(repo_id)
    with tempfile.TemporaryDirectory(prefix="david-publish-") as staging:
        local = _stage(checkpoint, repo_id, staging, remote_code, onnx)
        hub = _Hub(repo_id, _find_token(needed=not dry_run))
        there, notes = _look(hub, dry_run)
        plan = _plan(hub, local, there, public, notes)
        if on_plan is not None:
            on_plan(plan)
        if dry_run:
            return plan
        if there is None:
            hub.create(private=not public)
        if not plan.changes:
            return plan
        message = commit_message or f"Publish {repo_id.split('/')[1]}"
        commit, warned = hub.commit(local, plan.changes, message)
        return replace(plan, commit=commit, warnings=warned)


def write_release(
    checkpoint: str | Path,
    repo_id: str,
    folder: str | Path,
    *,
    remote_code: bool = False,
    onnx: str | Path | None = None,
) -> Path:
    """Write what `publish` would send, to a folder that is made; nothing is sent.

    Args:
        checkpoint: As for `publish`, as are `repo_id`, `remote_code` and `onnx`.
        repo_id: See `checkpoint`.
        folder: Folder to make; it must not exist or be empty.
        remote_code: See `checkpoint`.
        onnx: See `checkpoint`.

    Returns:
        The folder.

    Raises:
        PublishError: If the checkpoint is incomplete or `folder` is taken.
    """
    _check_repo_id(repo_id)
    with tempfile.TemporaryDirectory(prefix="david-publish-") as staging:
        local = _stage(checkpoint, repo_id, staging, remote_code, onnx)
        try:
            with new_folder(Path(folder)) as made:
                for path, file in local.items():
                    (made / path).parent.mkdir(exist_ok=True)
                    shutil.copyfile(file, made / path)
        except (OSError, ValueError) as error:
            raise PublishError(_one_line(error)) from error
    return Path(folder)


def _stage(
    checkpoint: str | Path,
    repo_id: str,
    staging: str,
    remote_code: bool,
    onnx: str | Path | None,
) -> dict[str, Path]:
    """Return the file for each path in the repository."""
    try:
        local = stage_release(Path(checkpoint), repo_id, Path(staging), remote_code)
        return local | (onnx_files(Path(onnx)) if onnx else {})
    except (CheckpointError, OSError) as error:
        raise PublishError(_one_line(error)) from error


def _check_repo_id(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise PublishError(_one_line(error)) from error
    if repo_id.count("/") != 1:
        raise PublishError(f"expected a repository as OWNER/NAME, got {repo_id!r}")


def _find_token(needed: bool) -> str:
    """Return the user's token, "" if there is none and none is needed."""
    try:
        token = get_token() or ""
    except Exception as error:  # of a CI's identity provider
        raise PublishError(f"no token for the Hub: {_one_line(error)}") from None
    if not token and needed:
        raise PublishError(_NO_TOKEN)
    # Anything else is no token, and the HTTP library would quote it when it fails.
    if token and not re.fullmatch("[!-~]+", token):
        raise PublishError(_BAD_TOKEN)
    return token


def _look(hub: "_Hub", dry_run: bool) -> tuple[ModelInfo | None, list[str]]:
    """Describe the repository, None if it does not exist, and say so if that is uncertain."""
    try:
        there = hub.info()
    except PublishError as error:
        if not dry_run:
            raise
        return None, [f"{error}; all files are listed as new"]
    if there is None and dry_run:
        hidden = "" if hub.token else ", or it is private and you are not logged in"
        return None, [f"{hub.repo_id} does not exist{hidden}; all files are listed as new"]
    return there, []


def _plan(
    hub: "_Hub", local: dict[str, Path], there: ModelInfo | None, public: bool, notes: list[str]
) -> PublishReport:
    """Compare what is here with what is there."""
    remote = {file.rfilename: file for file in (there.siblings or [] if there else [])}
    files = [
        PublishedFile(path, file.stat().st_size, _state(file, remote.get(path)))
        for path, file in local.items()
    ]
    files += [
        PublishedFile(path, file.size or 0, "removed")
        for path, file in sorted(remote.items())
        if path not in local and is_weights(path)
    ]
    private = not public
    if there is not None and there.private is not None and there.private != private:
        private = there.private
        notes = [
            *notes,
            f"{hub.repo_id} exists and stays {'private' if private else 'PUBLIC'}; "
            "its settings on the Hub change that",
        ]
    stale = [path for path in remote if path.startswith("onnx/") and path not in local]
    if stale and any(is_weights(file.path) and file.state != "same" for file in files):
        notes = [*notes, f"{', '.join(stale)} may not fit the new weights; --onnx replaces it"]
    return PublishReport(hub.url, private, tuple(files), tuple(notes))


def _state(file: Path, there: RepoSibling | None) -> Literal["new", "changed", "same"]:
    if there is None:
        return "new"
    if there.lfs is not None:
        # Size first: it spares hashing gigabytes that differ anyway.
        is_same = file.stat().st_size == there.lfs.size and _sha256(file) == there.lfs.sha256
    else:
        is_same = file.stat().st_size == there.size and _git_hash(file) == there.blob_id
    return "same" if is_same else "changed"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _git_hash(file: Path) -> str:
    """Hash as git names a file that is stored as it is."""
    content = file.read_bytes()
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


class _Hub:
    """One repository through `HfApi`, every failure a `PublishError`."""

    def __init__(self, repo_id: str, token: str) -> None:
        self.repo_id = repo_id
        self.token = token
        # False keeps huggingface_hub from looking for a token itself.
        self._api = HfApi(token=token or False)
        self.url = f"{self._api.endpoint}/{repo_id}"

    def info(self) -> ModelInfo | None:
        """Describe the repository with sizes and hashes of its files; None if there is none."""
        with self._one_line_errors():
            try:
                return self._api.model_info(self.repo_id, files_metadata=True)
            except RepositoryNotFoundError as error:
                if isinstance(error, GatedRepoError):
                    raise
                return None

    def create(self, private: bool) -> None:
        """Make the repository."""
        with self._one_line_errors():
            self._api.create_repo(self.repo_id, private=private, exist_ok=True)

    def commit(
        self, local: dict[str, Path], changes: list[PublishedFile], message: str
    ) -> tuple[str, tuple[str, ...]]:
        """Send all changes at once; return the commit's hash and what the Hub warns about."""
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationDelete(file.path)
            if file.state == "removed"
            else CommitOperationAdd(file.path, local[file.path])
            for file in changes
        ]
        with self._one_line_errors(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made = self._api.create_commit(self.repo_id, operations, commit_message=message)
        return made.oid, tuple(_one_line(warning.message) for warning in caught)

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of httpx, hf_xet, OIDC, ...: each has classes of its own
            message = self._explain(error)
            # A careless proxy may quote the request's headers.
            hidden = message.replace(self.token, "***") if self.token else message
            raise PublishError(hidden) from None

    def _explain(self, error: Exception) -> str:
        if isinstance(error, OfflineModeIsEnabled):
            return "the Hub is out of reach in offline mode: unset HF_HUB_OFFLINE"
        if isinstance(error, HfHubHTTPError) and error.response is not None:
            return self._explain_status(error.response.status_code, error.server_message or "")
        return f"request to {constants.ENDPOINT} failed: {_one_line(error)}"

    def _explain_status(self, status: int, said: str) -> str:
        if status == 401:
            return _BAD_TOKEN if self.token else _NO_TOKEN
        reason = f" ({_one_line(said)})" if said else ""
        if status == 403:
            return (
                f"the token may not write to {self.repo_id}{reason}: "
                "use one with write access to its owner"
            )
        if status == 404:
            return f"the Hub has no {self.repo_id} that this token may see{reason}"
        if status >= 500:
            return f"the Hub failed with status {status}{reason}: try again later"
        return f"the Hub refused with status {status}{reason}"


def _one_line(message: object) -> str:
    return " ".join(str(message).split()) or type(message).__name__
