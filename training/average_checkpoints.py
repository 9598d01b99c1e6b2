"""Average checkpoints of one network: `average_checkpoints.py NEW FOLDER=WEIGHT FOLDER=WEIGHT ...`.

Checkpoints that came of one another, or of one start, often make a better one together: each was
led astray in its own way. All but the weights is taken from the last of them. NEW may not exist.
"""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from david_hf.atomic import new_folder

WEIGHTS = "model.safetensors"
# Its figures are not those of the average, nor is what was said of it.
LEFT_OUT = (WEIGHTS, "metrics.json", "README.md")


def main() -> None:
    """Parse the command line and write the average."""
    if len(sys.argv) < 4 or sys.argv[1].startswith("-"):
        sys.exit(f"error: expected a new folder and two or more FOLDER=WEIGHT\n{__doc__}")
    try:
        average_checkpoints(Path(sys.argv[1]), _parts(sys.argv[2:]))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def _parts(words: list[str]) -> dict[Path, float]:
    parts = dict(_part(word) for word in words)
    if len(parts) < len(words):
        raise ValueError(f"expected each folder once, got {' '.join(words)}")
    return parts


def _part(word: str) -> tuple[Path, float]:
    folder, _, weight = word.rpartition("=")
    try:
        return Path(folder), float(weight)
    except ValueError:
        raise ValueError(f"expected FOLDER=WEIGHT, got {word}") from None


def average_checkpoints(target: Path, parts: Mapping[Path, float]) -> None:
    """Write the mean of some checkpoints into a new folder.

    Args:
        target: The new folder.
        parts: Folders and their weights, which are divided by their sum.

    Raises:
        ValueError: If a weight is not positive, a checkpoint is damaged, or the networks differ.
        OSError: If there is no checkpoint.
    """
    if not all(weight > 0 for weight in parts.values()):
        raise ValueError(f"expected positive weights, got {list(parts.values())}")
    total = sum(parts.values())
    mean: dict[str, torch.Tensor] = {}
    for folder, weight in parts.items():
        try:
            tensors = load_file(folder / WEIGHTS)
        except SafetensorError as error:
            raise ValueError(f"{folder / WEIGHTS}: {error}") from error
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        if mean and shapes != {name: tensor.shape for name, tensor in mean.items()}:
            raise ValueError(f"{folder}: its tensors are not those of the checkpoints before it")
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                mean[name] = mean.get(name, 0) + tensor.double() * (weight / total)
            else:
                mean[name] = tensor
    types = {name: tensor.dtype for name, tensor in tensors.items()}
    with new_folder(target) as staged:
        for file in sorted(folder.iterdir()):
            if file.name not in LEFT_OUT:
                shutil.copy(file, staged)
        final = {name: tensor.to(types[name]).contiguous() for name, tensor in mean.items()}
        save_file(final, staged / WEIGHTS, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
