"""Checkpoints that bring their code along, for machines without this package."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from transformers import AutoModel, AutoModelForImageToImage

from david_hf.atomic import new_folder
from david_hf.hub.checkpoint_files import copy_checkpoint
from david_hf.model import DavidConfig, DavidForDensePrediction
from david_hf.registration import IMAGE_PROCESSORS, MODELS, PIPELINES, TASK_MODELS

__all__ = ["export_remote_code"]


def export_remote_code(checkpoint: str | Path, folder: str | Path) -> Path:
    """Copy a checkpoint and add the code that runs it.

    The copy loads with `trust_remote_code=True` where this package is not installed, through the
    Auto classes and the pipelines that fit its heads, with or without torchvision. Where the
    package is installed it loads as any other checkpoint, and no trust is asked for.

    Args:
        checkpoint: Folder with `config.json`, safetensors weights and `preprocessor_config.json`.
        folder: Folder to make; it must not exist or be empty. It appears complete or not at all.

    Returns:
        The folder made.

    Raises:
        ValueError: If the checkpoint is incomplete or not of this package, or `folder` is taken.
    """
    with new_folder(Path(folder)) as staged:
        copy_checkpoint(Path(checkpoint), staged)
        add_remote_code(staged)
    return Path(folder)


def add_remote_code(folder: Path) -> None:
    """Write the code and what points to it into a checkpoint folder of one's own.

    Raises:
        ValueError: If a configuration is missing or not of this package.
    """
    config = _read_json(folder / "config.json")
    processor = _read_json(folder / "preprocessor_config.json")
    if config.get("model_type") != DavidConfig.model_type:
        raise ValueError(
            f"{folder / 'config.json'}: expected a model of type {DavidConfig.model_type}, "
            f"got {config.get('model_type')}"
        )
    auto_classes = _auto_classes(DavidConfig.from_dict(config))
    config["auto_map"] = {"AutoConfig": _reference(DavidConfig)} | {
        auto_class.__name__: _reference(MODELS[auto_class]) for auto_class in auto_classes
    }
    config["custom_pipelines"] = {
        task: {"impl": _reference(pipeline), "pt": [auto_class.__name__], "type": "image"}
        for task, (pipeline, auto_class) in PIPELINES.items()
        if auto_class in auto_classes
    }
    # By backend: a single name would be the torch class even where transformers wants the other.
    processor["auto_map"] = {
        "AutoImageProcessor": {name: _reference(cls) for name, cls in IMAGE_PROCESSORS.items()}
    }
    for file in files("david_hf.model").iterdir():
        if file.name.endswith("_david.py"):
            (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    _write_json(folder / "preprocessor_config.json", processor)
    _write_json(folder / "config.json", config)


def _auto_classes(config: DavidConfig) -> list[type]:
    """Auto classes that need no head, or one that the checkpoint was saved with."""
    found = [AutoModel, *(TASK_MODELS[task] for task in config.trained_tasks())]
    if DavidForDensePrediction.__name__ in (config.architectures or ()):
        found.append(AutoModelForImageToImage)
    return found


def _reference(named: type) -> str:
    """Where a class is, as `auto_map` says it: "modeling_david.DavidModel"."""
    return f"{named.__module__.rsplit('.', 1)[-1]}.{named.__name__}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a configuration, got {error}") from error
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
