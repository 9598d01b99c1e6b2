"""Composed training samples: each depends on the seed and its own number alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from .augmentations import Augmentations
from .composition import Backgrounds, Composition, Figure, compose, load_figure, to_sample
from .sample import Array, HumanSample
from .synthhuman import SynthHumanFolder

# Height over width of photographs, and how often.
ASPECTS = ((4 / 3, 0.35), (3 / 2, 0.15), (1.0, 0.2), (3 / 4, 0.15), (2 / 3, 0.15))
CROWD = (0.66, 0.22, 0.12)  # one, two, three people
EMPTY_SHARE = 0.03


class ComposedHumans(Dataset[dict[str, Any]]):
    """Compositions of rendered figures on backgrounds, as square training tensors in RGB order.

    torch's own collation makes batches of them that a model takes as `model(**batch)`.

    Args:
        folders: Folders written by `david synthesize`.
        backgrounds: Folder of photos without people, or None.
        side: Side of the square tensors.
        length: Number of samples that exist.
        seed: Sample `i` is drawn from (seed, i).
        augmentations: Photometric augmentations; None for clean pictures.
        split: train or validation, by `SynthHumanFolder.split`.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        backgrounds: str | Path | None = None,
        *,
        side: int,
        length: int,
        seed: int = 0,
        augmentations: Augmentations | None = None,
        split: str = "train",
    ) -> None:
        self.figures: list[Figure] = []
        for root in folders:
            folder = SynthHumanFolder(Path(root))
            for position in folder.split(split):
                # What hides a person stays behind in the render: the cut would hang in the air.
                if not folder.factors(position).get("occluded"):
                    self.figures.append(load_figure(folder, position))
        if not self.figures:
            raise ValueError(f"{[str(f) for f in folders]}: the {split} split holds no sample")
        # Neighbours may stand anywhere only if no side of their own picture cuts them.
        self.neighbours = [f for f in self.figures if not (f.cut[0] or f.cut[2])] or self.figures
        self.backgrounds = Backgrounds(Path(backgrounds) if backgrounds else None)
        self.side, self.seed, self.length = side, seed, length
        self.augmentations = augmentations

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, number])
        return to_tensors(pad_to_square(self.draw(rng, str(number)), self.side))

    def draw(self, rng: np.random.Generator, identifier: str = "") -> HumanSample:
        """One composed, augmented sample with the aspect of a photograph, not padded."""
        shares = np.array([share for _, share in ASPECTS])
        aspect = ASPECTS[int(rng.choice(len(ASPECTS), p=shares))][0]
        height = round(self.side * min(1, aspect))
        width = round(self.side * min(1, 1 / aspect))
        composition = self._compose(rng, (height, width))
        background = self.backgrounds.sample(rng, (height, width))
        sample = to_sample(composition, background, identifier, "composed")
        if self.augmentations is None:
            return sample
        image = self.augmentations.apply(sample.image, rng)
        return replace(sample, image=image)

    def _compose(self, rng: np.random.Generator, size: tuple[int, int]) -> Composition:
        count = int(rng.choice([1, 2, 3], p=CROWD))
        pool = self.figures if count == 1 else self.neighbours
        figures = [pool[int(rng.integers(len(pool)))] for _ in range(count)]
        composition = compose(figures, rng, size)
        light = torch.from_numpy(
            np.exp(rng.normal(0, 0.2)) * (1 + 0.06 * rng.normal(size=(3, 1, 1)))
        )
        composition.colour.mul_(light.clamp_min(0.1).float())
        if rng.random() < EMPTY_SHARE:
            hidden = torch.ones_like(composition.alpha[0], dtype=torch.bool)
        else:
            hidden = _occluder(rng, size)
        composition.colour[:, hidden] = 0
        composition.alpha[:, hidden] = 0
        return composition


def _occluder(rng: np.random.Generator, size: tuple[int, int]) -> torch.Tensor:
    """(H, W) bool: what a table, a counter or a door frame hides, mostly nothing."""
    height, width = size
    hidden = torch.zeros(size, dtype=torch.bool)
    if rng.random() < 0.12:
        top = int(height * rng.uniform(0.7, 0.97))
        left, right = sorted(rng.integers(-width // 4, width + width // 4, 2))
        hidden[top:, max(left, 0) : max(right, 0)] = True
    if rng.random() < 0.05:
        edge = int(width * rng.uniform(0.03, 0.2))
        hidden[:, :edge] = True
    return hidden


def pad_to_square(sample: HumanSample, side: int) -> HumanSample:
    """Replicate the borders as the image processor does; the larger side must be `side` already."""
    height, width = sample.alpha.shape
    above, before = (side - height) // 2, (side - width) // 2
    pads = ((above, side - height - above), (before, side - width - before))

    def pad(array: Array) -> Array:
        extra = ((0, 0),) * (array.ndim - 2)
        return np.pad(array, (*pads, *extra), mode="edge")

    intrinsics = sample.intrinsics.copy()
    intrinsics[:2, 2] += (before, above)
    return replace(
        sample,
        image=pad(sample.image),
        alpha=pad(sample.alpha),
        depth_m=pad(sample.depth_m),
        normals=pad(sample.normals),
        # The smear is alpha like any other pixel, but it has no surface.
        valid=np.pad(sample.valid, pads, constant_values=False),
        intrinsics=intrinsics,
    )


def to_tensors(sample: HumanSample) -> dict[str, Any]:
    """One sample as arguments of `DavidForDensePrediction.forward`, without the batch axis."""
    return {
        "pixel_values": torch.from_numpy(sample.image.transpose(2, 0, 1).copy()),
        "labels": {
            "depth": torch.from_numpy(sample.depth_m),
            "normals": torch.from_numpy(sample.normals.transpose(2, 0, 1).copy()),
            "alpha": torch.from_numpy(sample.alpha)[None],
        },
        "mask": torch.from_numpy(sample.foreground),
    }
