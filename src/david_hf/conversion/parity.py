"""Proof that a converted network computes what the ONNX file computes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from david_hf.image_io import load_image
from david_hf.model import DavidForDensePrediction, DavidImageProcessor
from david_hf.model.heads_david import HEAD_NAMES
from david_hf.model.layers_david import unit_vectors

from .onnx_graph import OnnxGraph
from .survey import GraphMap

__all__ = ["TOLERANCE", "Difference", "first_stage_that_differs", "measure_parity", "test_images"]

# Largest difference allowed: of alpha and normals; of depth as a share of its range.
TOLERANCE = 1e-4
SEED = 0
# Eileen Collins, NASA, public domain.
PHOTO = Path(__file__).with_name("astronaut.jpg")


@dataclass(frozen=True)
class Difference:
    """How far one output is from the file's.

    Attributes:
        task: Which output.
        image: On which image.
        maximum: Largest absolute difference.
        value_range: Largest minus smallest value of the file's output.
    """

    task: str
    image: str
    maximum: float
    value_range: float

    @property
    def judged(self) -> float:
        """What is held against the tolerance: of depth, the share of the range."""
        if self.task == "depth":
            return self.maximum / max(self.value_range, 1e-12)
        # Outputs without a final activation have any size: there rounding grows with it.
        return self.maximum / max(self.value_range, 1.0)

    @property
    def is_small(self) -> bool:
        """Whether the outputs count as equal; a difference that is no number does not."""
        return self.judged < TOLERANCE


def test_images(
    shape: tuple[int, int, int, int], channel_order: str, photo: Path | None = None
) -> dict[str, np.ndarray]:
    """Make the images both networks are run on: seeded noise, and a photo.

    Args:
        shape: (B, 3, H, W) of the network's input.
        channel_order: "bgr" or "rgb".
        photo: A photo; None takes the portrait that comes with the package.

    Returns:
        Arrays of that shape, float32 in [0, 1], by name.

    Raises:
        ImageReadError: If the photo cannot be read.
    """
    noise = np.random.default_rng(SEED).random(shape, np.float32)
    photo = photo or PHOTO
    options: dict[str, Any] = {"channel_order": channel_order}
    processor = DavidImageProcessor(size={"height": shape[2], "width": shape[3]}, **options)
    pixels = processor(load_image(photo), return_tensors="np")
    prepared = np.repeat(pixels["pixel_values"], shape[0], axis=0)
    return {f"noise, seed {SEED}": noise, photo.name: prepared}


@torch.no_grad()
def measure_parity(
    model: DavidForDensePrediction,
    graph: OnnxGraph,
    mapped: GraphMap,
    images: Mapping[str, np.ndarray],
) -> list[Difference]:
    """Run both on every image and compare every output, before signs and lengths are unified."""
    found = []
    for name, image in images.items():
        theirs = graph.run(mapped.outputs.values(), image, as_users_do=True)
        ours = _file_outputs(model, mapped, torch.from_numpy(image))
        for task, tensor in mapped.outputs.items():
            expected = torch.from_numpy(theirs[tensor].astype(np.float32))
            difference = (ours[task].reshape(expected.shape) - expected).abs().max().item()
            spread = (expected.max() - expected.min()).item()
            found.append(Difference(task, name, difference, spread))
    return found


def _file_outputs(
    model: DavidForDensePrediction, mapped: GraphMap, image: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Outputs as the file gives them."""
    features = model.model(image).last_hidden_state
    outputs = {}
    for task in mapped.outputs:
        head: Any = model.get_submodule(HEAD_NAMES[task])
        values = head.final_activation(head(features, image.shape[-2:]))
        if task == "normals" and mapped.unit_normals:
            values = unit_vectors(values)
        outputs[task] = mapped.depth_sign * values if task == "depth" else values
    return outputs


@torch.no_grad()
def first_stage_that_differs(
    model: DavidForDensePrediction, graph: OnnxGraph, mapped: GraphMap, image: np.ndarray
) -> str:
    """Name the first stage, from input to output, whose values are not the file's.

    Returns:
        One line: the stage, and by how much it differs.
    """
    theirs = graph.run((tensor for _, tensor in mapped.stages.values()), image)
    modules = {stage: module for stage, (module, _) in mapped.stages.items()}
    with _recorded(model, modules) as ours:
        model(torch.from_numpy(image))
    for stage, (_, tensor) in mapped.stages.items():
        expected, actual = torch.from_numpy(theirs[tensor].astype(np.float32)), ours[stage]
        if actual.numel() != expected.numel():
            return f"{stage}: shape {tuple(actual.shape)}, the file has {tuple(expected.shape)}"
        difference = (actual.reshape(expected.shape) - expected).abs().max().item()
        size = max(expected.abs().max().item(), 1e-6)
        if not difference < TOLERANCE * size:
            return f"{stage}: off by {difference:.3g} where values reach {size:.3g}"
    return "the outputs alone: every stage before them agrees"


@contextmanager
def _recorded(model: nn.Module, modules: Mapping[str, str]) -> Iterator[dict[str, torch.Tensor]]:
    """Keep what modules give, by stage."""
    values: dict[str, torch.Tensor] = {}

    def keep(stage: str) -> torch.utils.hooks.RemovableHandle:
        def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            # A copy: activations may work in place.
            values[stage] = output.clone()

        return model.get_submodule(modules[stage]).register_forward_hook(hook)

    handles = [keep(stage) for stage in modules]
    try:
        yield values
    finally:
        for handle in handles:
            handle.remove()
