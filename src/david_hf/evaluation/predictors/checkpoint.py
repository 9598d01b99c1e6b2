"""Checkpoints, local or of the Hub: configuration and weight files, before anything is loaded."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file, extract_commit_hash

from david_hf.load_errors import ModelLoadError, first_line
from david_hf.resumable import sha256_of

__all__ = ["Checkpoint", "digest_of_files"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of which only the configuration has been read.

    Attributes:
        name: Hub id, or name of the folder.
        source: Hub id, or path of the folder.
        revision: Commit on the Hub that every file is taken from; None for a folder.
        config: Content of config.json.
    """

    name: str
    source: str
    revision: str | None
    config: dict[str, Any]

    @classmethod
    def find(cls, model: str | Path) -> "Checkpoint":
        """Read config.json; code that comes with the checkpoint is neither fetched nor run.

        Args:
            model: Local folder or Hub id.

        Raises:
            ModelLoadError: If there is no such checkpoint, or it has no readable configuration.
        """
        folder = Path(model).expanduser()
        local = folder.is_dir()
        # As a Hub id it would be asked for over the network.
        is_path = folder.is_absolute() or str(model).startswith(".") or str(model).count("/") != 1
        if not local and (is_path or folder.exists()):
            raise ModelLoadError(f"cannot load {model}: no such folder")
        source = str(folder) if local else str(model)
        path = _fetch(source, CONFIG_NAME, None, required=not local)
        if path is None:
            raise ModelLoadError(f"cannot load {model}: the folder has no {CONFIG_NAME}")
        revision = None if local else extract_commit_hash(str(path), None)
        return cls(folder.resolve().name if local else source, source, revision, _read_json(path))

    @property
    def architectures(self) -> list[str]:
        """Names of the classes it was saved from."""
        return list(self.config.get("architectures") or [])

    @property
    def kind(self) -> str:
        """Its `model_type`, or the name of its class where the configuration has none."""
        return str(self.config.get("model_type") or next(iter(self.architectures), "this model"))

    def has_file(self, name: str) -> bool:
        """Whether the checkpoint has a file of this name."""
        return _fetch(self.source, name, self.revision) is not None

    def weight_files(self) -> list[Path]:
        """Find the files that transformers will load, and fetch them if they are on the Hub.

        Raises:
            ModelLoadError: If there are no weights in the format safetensors, or not all of them.
        """
        # In the order in which transformers looks for them.
        explicit = self.config.get("transformers_weights")
        for name in [explicit] if explicit else [SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME]:
            path = _fetch(self.source, name, self.revision)
            if path is not None and path.suffix == ".safetensors":
                return [path]
            if path is not None and path.name.endswith(".safetensors.index.json"):
                return self._shards(_read_json(path))
        raise ModelLoadError(
            f"cannot load {self.source}: expected weights in the format safetensors, found none; "
            "save it again with save_pretrained, or check the connection to the Hub"
        )

    def _shards(self, index: dict[str, Any]) -> list[Path]:
        names = sorted(set(index.get("weight_map", {}).values()))
        found = {name: _fetch(self.source, name, self.revision) for name in names}
        missing = [name for name, path in found.items() if path is None]
        if missing or not names:
            raise ModelLoadError(
                f"cannot load {self.source}: {', '.join(missing) or 'all weights'} missing from it"
            )
        return [path for path in found.values() if path is not None]


def digest_of_files(files: Sequence[Path]) -> str:
    """Return the SHA-256 of one file; of several, that of the sorted lines "NAME SHA-256"."""
    if len(files) == 1:
        return sha256_of(files[0])
    lines = sorted(f"{file.name} {sha256_of(file)}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _fetch(source: str, name: str, revision: str | None, required: bool = False) -> Path | None:
    """Find a file in a folder, in the cache or on the Hub; None if it is not there."""
    try:
        path = cached_file(
            source, name, revision=revision, _raise_exceptions_for_missing_entries=required
        )
    except OSError as error:
        raise ModelLoadError(f"cannot load {source}: {first_line(error)}") from error
    return None if path is None else Path(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"cannot read {path}: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise ModelLoadError(f"cannot read {path}: expected a JSON object")
    return content
