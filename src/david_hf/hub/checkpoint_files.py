"""Which files of a folder make up a checkpoint."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["checkpoint_files", "copy_checkpoint", "new_folder"]

_REQUIRED = ("config.json", "preprocessor_config.json")
_OPTIONAL = ("README.md", "metrics.json", "training_config.yaml", "training_data.json")
_WEIGHTS = "model*.safetensors"
_INDEX = "model.safetensors.index.json"


def checkpoint_files(folder: Path) -> list[Path]:
    """List what belongs to a checkpoint; other files (optimiser states, logs) do not.

    Args:
        folder: Folder that `save_pretrained` of model and image processor have written.

    Returns:
        The files, card and configurations first. A link that leads out of the folder is left out.

    Raises:
        ValueError: If there is no such folder, or a configuration or the weights are missing.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    weights = _inside(folder, sorted(folder.glob(_WEIGHTS)))
    found = _inside(folder, [folder / name for name in (*_OPTIONAL, *_REQUIRED, _INDEX)])
    for name in _REQUIRED:
        if folder / name not in found:
            raise ValueError(f"{folder}: expected a checkpoint, it has no {name}")
    if not weights:
        raise ValueError(f"{folder}: expected a checkpoint, it has no {_WEIGHTS}")
    return found + weights


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy the files of a checkpoint into an empty folder.

    Raises:
        ValueError: As `checkpoint_files`.
    """
    for file in checkpoint_files(source):
        shutil.copyfile(file, target / file.name)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Fill a folder that appears whole or not at all.

    Yields:
        An empty folder to fill, which gets the name `target` in the end.

    Raises:
        ValueError: If `target` is there already and not an empty folder.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target}: exists already; name a folder that is to be made")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as partial:
        staged = Path(partial) / target.name
        staged.mkdir()
        yield staged
        staged.replace(target)


def _inside(folder: Path, paths: list[Path]) -> list[Path]:
    root = folder.resolve()
    return [path for path in paths if path.is_file() and path.resolve().parent == root]
