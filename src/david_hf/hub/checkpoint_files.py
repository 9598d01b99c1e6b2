"""Which files of a folder make up a checkpoint."""

import shutil
from pathlib import Path

__all__ = ["checkpoint_files", "copy_checkpoint"]

_REQUIRED = ("config.json", "preprocessor_config.json")
_OPTIONAL = (
    "README.md",
    "metrics.json",
    "training_config.yaml",
    "training_data.json",
    "conversion.json",
)
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


def _inside(folder: Path, paths: list[Path]) -> list[Path]:
    root = folder.resolve()
    return [path for path in paths if path.is_file() and path.resolve().parent == root]
