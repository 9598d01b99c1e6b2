"""From a sample to the tensors that a model trains on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .augmentations import PhotometricAugmentations
from .geometry import GeometricAugmentations, Placement, place_in_square, shrink
from .rows import Row, decode_row
from .sample import COMPOSED, HumanSample


@dataclass
class TrainingTransform:
    """Place a sample in a square, augment it, and make tensors of it.

    Attributes:
        side: Side of the square, pixels. May be changed between samples.
        geometric: How it is placed; None fits it in the middle, and so does a composition, whose
            people were placed anew already.
        photometric: What happens to its picture; None leaves it as it is.
    """

    side: int
    geometric: GeometricAugmentations | None = None
    photometric: PhotometricAugmentations | None = None

    def __call__(self, sample: HumanSample, rng: np.random.Generator) -> dict[str, Any]:
        """Tensors of one sample, see `to_tensors`."""
        return to_tensors(self.augment(sample, rng))

    def augment(self, sample: HumanSample, rng: np.random.Generator) -> HumanSample:
        """The square, augmented sample."""
        placement = Placement()
        if self.geometric is not None and sample.source != COMPOSED:
            placement = self.geometric.draw(rng)
        # The picture is taken first and padded then, as one that is predicted; and large ones are
        # shrunk before anything else is done to them.
        sample = shrink(sample, self.side * placement.zoom)
        if self.photometric is not None:
            sample = self.photometric.augment(sample, rng)
        return place_in_square(sample, self.side, placement)

    def prepare(self, row: Row, rng: np.random.Generator) -> dict[str, Any]:
        """The same of an encoded row: what `ShardStream` takes."""
        return self(decode_row(row), rng)


def to_tensors(sample: HumanSample) -> dict[str, Any]:
    """One sample as arguments of `DavidForDensePrediction.forward`, without the batch axis.

    torch's own collation makes batches of them, whatever labels the samples have: labels that a
    sample lacks are zeros, and its mask of that task is empty, which takes it out of the loss.
    """
    height, width = sample.size
    depth, normals, alpha = sample.depth_m, sample.normals, sample.alpha
    nowhere = np.zeros((height, width), np.bool_)
    labels = {
        "depth": np.zeros((height, width), np.float32) if depth is None else depth,
        "normals": np.zeros((3, height, width), np.float32)
        if normals is None
        else np.ascontiguousarray(normals.transpose(2, 0, 1)),
        "alpha": np.zeros((1, height, width), np.float32) if alpha is None else alpha[None],
    }
    masks = {
        "depth": nowhere if depth is None else sample.foreground,
        "normals": nowhere if normals is None else sample.foreground,
        "alpha": nowhere if alpha is None else ~nowhere,
    }
    return {
        "pixel_values": torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1))),
        "labels": {task: torch.from_numpy(values) for task, values in labels.items()},
        "mask": {task: torch.from_numpy(mask.copy()) for task, mask in masks.items()},
    }
