"""Files of pretrained encoders: from a folder, a file or the Hub; nothing else is unpickled."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from .mobilenet_v2 import IMAGENET_SHA256, read_mobilenet_v2


def fetch(source: str | Path, revision: str | None, *patterns: str) -> Path:
    """Find a file or a folder, or get those files of a repository on the Hub."""
    path = Path(source).expanduser()
    if path.exists():
        return path
    if path.is_absolute() or str(source).startswith(".") or str(source).count("/") != 1:
        raise ValueError("no such file or folder")
    return Path(snapshot_download(str(source), revision=revision, allow_patterns=list(patterns)))


def read_weights(source: str | Path, revision: str | None) -> dict[str, torch.Tensor]:
    """Read all tensors of a source; pickles are read only if they are the known one."""
    path = fetch(
        source, revision, SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, "model-*.safetensors"
    )
    if path.is_file():
        checksum = None if path.suffix == ".safetensors" else IMAGENET_SHA256
        return read_mobilenet_v2(path, checksum)
    names = {SAFE_WEIGHTS_NAME}
    if not (path / SAFE_WEIGHTS_NAME).exists():
        index = read_json(path / SAFE_WEIGHTS_INDEX_NAME) or {}
        names = set(index.get("weight_map", {}).values()) or names
    if absent := {name for name in names if not (path / name).is_file()}:
        raise ValueError(
            f"it has no {first_names(absent)}; weights are read from safetensors alone"
        )
    weights: dict[str, torch.Tensor] = {}
    for name in names:
        weights |= load_file(path / name)
    return weights


def read_json(path: Path) -> dict[str, Any] | None:
    """Read an object; None if there is no such file."""
    if not path.is_file():
        return None
    content = json.loads(path.read_text("utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return content


def first_names(names: Iterable[str]) -> str:
    """List the first three names."""
    first, *others = sorted(names)
    shown = [first, *others[:2]]
    return ", ".join(shown) + (f" and {len(others) - 2} more" if len(others) > 2 else "")
