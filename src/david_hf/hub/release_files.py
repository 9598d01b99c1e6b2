"""What of a checkpoint goes to the Hub: checked, and put together without touching the original."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from david_hf.model import DavidConfig
from david_hf.registration import IMAGE_PROCESSORS, MODELS

from .checkpoint_files import checkpoint_files
from .model_card import publication_card
from .remote_code import add_remote_code

__all__ = ["CARD", "CheckpointError", "is_weights", "onnx_files", "stage_release"]

CARD = "README.md"
_CONFIG = "config.json"
_PROCESSOR = "preprocessor_config.json"
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
# An entry {"location": name} of an ONNX tensor, as protobuf writes it; names up to 127 bytes.
_ONNX_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")


class CheckpointError(ValueError):
    """A checkpoint that cannot be published as it is; the message is one line."""


def stage_release(
    checkpoint: Path, name: str, staging: Path, remote_code: bool = False
) -> dict[str, Path]:
    """Check a checkpoint and make its card.

    Args:
        checkpoint: Folder with configurations and safetensors weights; it is not changed.
        name: What the card calls it.
        staging: Empty folder for what has to be made or is changed on the way.
        remote_code: Whether the code that runs the checkpoint goes along.

    Returns:
        File for each path in the repository, the card first. Weights stay where they are.

    Raises:
        CheckpointError: If the checkpoint is incomplete or not DAViD's.
    """
    small, weights = _small_files_and_weights(checkpoint)
    for file in small:
        shutil.copyfile(file, staging / file.name)
    _check_processor(staging / _PROCESSOR)
    _check_code(staging / _CONFIG, remote_code)
    _check_weights(_read_config(staging / _CONFIG), weights)
    try:
        if remote_code:
            add_remote_code(staging)
        # From the copies: what was left out above, a link to a foreign file say, stays unread.
        card = publication_card(staging, name)
    except ValueError as error:
        raise CheckpointError(str(error).replace(f"{staging}/", "")) from error
    (staging / CARD).write_text(card, encoding="utf-8")
    staged = sorted(staging.iterdir(), key=lambda file: (file.name != CARD, file.name))
    return {file.name: file for file in [*staged, *weights]}


def is_weights(path: str) -> bool:
    """Whether transformers would take a file of a repository for weights, or for their index."""
    return path in (_WEIGHTS, _INDEX) or _SHARD.fullmatch(path) is not None


def onnx_files(source: Path) -> dict[str, Path]:
    """Collect an export: .onnx files and the files they keep their tensors in.

    Args:
        source: An .onnx file, or a folder of some.

    Returns:
        File for each path in the repository, "onnx/model.onnx" for example.

    Raises:
        CheckpointError: If there is no such file, or a file it needs is missing or elsewhere.
    """
    models = sorted(source.glob("*.onnx")) if source.is_dir() else [source]
    if not models:
        raise CheckpointError(f"{source}: expected .onnx files, this folder has none")
    found = {}
    for model in models:
        if model.suffix != ".onnx" or not model.is_file():
            raise CheckpointError(f"{model}: expected an .onnx file")
        for file in [model, *_external_data(model)]:
            if not file.is_file() or file.resolve().parent != model.parent.resolve():
                raise CheckpointError(
                    f"{model}: {file.name} must be a file beside it and no link to elsewhere; "
                    "export the model again"
                )
            found[f"onnx/{file.name}"] = file
    return found


def _external_data(model: Path) -> list[Path]:
    """Files beside an .onnx file that it keeps tensors in."""
    content = model.read_bytes()
    names = set()
    for match in _ONNX_LOCATION.finditer(content):
        names.add(content[match.end() : match.end() + match[1][0]].decode(errors="replace"))
    return [model.parent / name for name in sorted(names)]


def _small_files_and_weights(checkpoint: Path) -> tuple[list[Path], list[Path]]:
    try:
        found = checkpoint_files(checkpoint)
    except ValueError as error:
        if checkpoint.is_dir() and not (checkpoint / _PROCESSOR).exists():
            raise CheckpointError(
                f"{checkpoint}: it has no {_PROCESSOR}; "
                "DavidImageProcessor(size=...).save_pretrained(FOLDER) makes it"
            ) from error
        raise CheckpointError(str(error)) from error
    loaded = _weights_that_load(checkpoint, {file.name for file in found})
    others = [file for file in found if not file.name.endswith(".safetensors")]
    if _INDEX not in loaded:
        others = [file for file in others if file.name != _INDEX]
    return others, [checkpoint / name for name in loaded if name != _INDEX]


def _weights_that_load(checkpoint: Path, found: set[str]) -> list[str]:
    """Names of the files that `from_pretrained` reads: one file, or an index and its shards."""
    if _WEIGHTS in found:
        return [_WEIGHTS]
    if _INDEX not in found:
        raise CheckpointError(f"{checkpoint}: expected {_WEIGHTS}, or {_INDEX} and its shards")
    weight_map = _read_object(checkpoint / _INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{checkpoint / _INDEX}: expected a weight_map, save the model again")
    shards = sorted(set(map(str, weight_map.values())))
    missing = [name for name in shards if name not in found]
    if missing:
        raise CheckpointError(
            f"{checkpoint}: {len(missing)} of {len(shards)} shards are missing, "
            f"{missing[0]} first; copy them here or save the model again"
        )
    return [_INDEX, *shards]


def _check_processor(path: Path) -> None:
    known = [processor.__name__ for processor in IMAGE_PROCESSORS.values()]
    kind = _read_object(path).get("image_processor_type")
    if kind not in known:
        raise CheckpointError(
            f"{path.name}: expected image_processor_type {' or '.join(known)}, got {kind}"
        )


def _check_code(path: Path, remote_code: bool) -> None:
    """Refuse a configuration that points to code which would stay behind."""
    if not remote_code and "auto_map" in _read_object(path):
        raise CheckpointError(
            f"{path.name}: its auto_map names code that would not be sent; add --remote-code"
        )


def _read_config(path: Path) -> DavidConfig:
    values = _read_object(path)
    if values.get("model_type") != DavidConfig.model_type:
        raise CheckpointError(
            f"{path.name}: expected model_type {DavidConfig.model_type}, "
            f"got {values.get('model_type')}; only DAViD checkpoints are published"
        )
    try:
        return DavidConfig.from_dict(values)
    except Exception as error:  # strict dataclasses have errors of their own
        raise CheckpointError(f"{path.name}: {' '.join(str(error).split())}") from error


def _check_weights(config: DavidConfig, weights: list[Path]) -> None:
    """Compare the headers of the weights with the model they are for; no tensor is read."""
    classes = {model_class.__name__: model_class for model_class in MODELS.values()}
    named = [name for name in config.architectures or () if name in classes]
    if not named:
        raise CheckpointError(
            f"{_CONFIG}: expected architectures out of {', '.join(sorted(classes))}, "
            f"got {config.architectures}"
        )
    with torch.device("meta"):
        model = classes[named[0]](config)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    stored: dict[str, tuple[int, ...]] = {}
    for path in weights:
        stored |= _tensor_shapes(path)
    missing = [name for name in expected if name not in stored]
    if missing:
        raise CheckpointError(
            f"the weights lack {len(missing)} of the {len(expected)} tensors of {named[0]}, "
            f"{missing[0]} first; save the model again"
        )
    for name, shape in expected.items():
        if stored[name] != shape:
            raise CheckpointError(
                f"the weights do not fit {_CONFIG}: {name} should have shape {shape}, "
                f"has {stored[name]}"
            )


def _tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: expected safetensors weights, got {error}; copy or save them again"
        ) from error


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path.name}: expected JSON, got {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path.name}: expected a JSON object, got {type(values).__name__}")
    return values
