"""Composed training samples: each depends on the seed and its own number alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from .backgrounds import Backgrounds, make_counter, make_thing, smooth_noise
from .composition import Composition, Figure, compose, load_figure, to_sample
from .held_out import HeldOut
from .randomness import Purpose, generator
from .sample import COMPOSED, HumanSample
from .sources.synthhuman import GeneratedHumans

# Height over width of photographs, and how often.
ASPECTS = ((4 / 3, 0.35), (3 / 2, 0.15), (1.0, 0.2), (3 / 4, 0.15), (2 / 3, 0.15))
CROWD = (0.58, 0.2, 0.12, 0.1)  # one to four people
EMPTY_SHARE = 0.03
# How often people get shades that no render has, see `shade`.
SHADE_SHARE = 0.3
# How often a counter, and a ball, a tube or a box, hides part of the people.
COUNTER_SHARE, THING_SHARE = 0.15, 0.1


class ComposedHumans:
    """Compositions of rendered figures on backgrounds, without end: draws for a `Mixture`.

    Args:
        folders: Folders written by `david synthesize`.
        backgrounds: Folder of photos without people, or None.
        side: Longer side of the compositions, pixels. May be changed between draws.
        seed: Sample `i` is drawn from (seed, stream, i).
        stream: Which of several draws of one seed this is.
        split: train or validation.
        held_out: What neither figures nor backgrounds may show, or None.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        backgrounds: str | Path | None = None,
        *,
        side: int,
        seed: int = 0,
        stream: int = 0,
        split: str = "train",
        held_out: HeldOut | None = None,
    ) -> None:
        held_out = held_out or HeldOut()
        self.figures: list[Figure] = []
        for root in folders:
            folder = GeneratedHumans(root, split)
            for position in range(len(folder)):
                factors = folder.factors(position)
                # What hides a person stays behind in the render: the cut would hang in the air.
                if not (factors.get("occluded") or held_out.has(factors)):
                    self.figures.append(load_figure(folder, position))
        if not self.figures:
            raise ValueError(
                f"{[str(f) for f in folders]}: the {split} split holds no sample to compose"
            )
        # Neighbours may stand anywhere only if no side of their own picture cuts them.
        self.neighbours = [f for f in self.figures if not (f.cut[0] or f.cut[2])] or self.figures
        self.backgrounds = Backgrounds(
            Path(backgrounds) if backgrounds else None, leave_out=held_out.has_photo
        )
        self.side, self.seed, self.stream = side, seed, stream

    def draw(self, number: int) -> HumanSample:
        """A composed sample with the aspect of a photograph."""
        rng = generator(Purpose.COMPOSITION, self.seed, self.stream, number)
        shares = np.array([share for _, share in ASPECTS])
        aspect = ASPECTS[int(rng.choice(len(ASPECTS), p=shares))][0]
        height = round(self.side * min(1, aspect))
        width = round(self.side * min(1, 1 / aspect))
        composition = self._compose(rng, (height, width))
        background = self.backgrounds.sample(rng, (height, width))
        return to_sample(composition, background, str(number), COMPOSED)

    def _compose(self, rng: np.random.Generator, size: tuple[int, int]) -> Composition:
        count = 1 + int(rng.choice(len(CROWD), p=CROWD))
        pool = self.figures if count == 1 else self.neighbours
        figures = [pool[int(rng.integers(len(pool)))] for _ in range(count)]
        composition = compose(figures, rng, size)
        light = torch.from_numpy(
            np.exp(rng.normal(0, 0.3)) * (1 + 0.06 * rng.normal(size=(3, 1, 1)))
        )
        composition.colour.mul_(light.clamp_min(0.1).float())
        if rng.random() < SHADE_SHARE:
            composition.colour.mul_(shade(rng, size))
        if rng.random() < EMPTY_SHARE:
            nobody = torch.zeros_like(composition.alpha)
            composition = replace(composition, colour=composition.colour * 0, alpha=nobody)
        if rng.random() < COUNTER_SHARE:
            composition = composition.behind(*make_counter(rng, size))
        if rng.random() < THING_SHARE:
            composition = composition.behind(*make_thing(rng, size))
        return composition


def shade(rng: np.random.Generator, size: tuple[int, int]) -> torch.Tensor:
    """Factors (3, H, W) for the light of people: dark, or a print, from some height downwards.

    There are never as many clothes in renders as in the world: with these, a network finds people
    by their shape, whatever is printed on them, and a black coat below a lit face.
    """
    edge, softness = rng.uniform(0.2, 0.7), rng.uniform(0.01, 0.1)
    below = 1 / (1 + np.exp((edge - np.arange(size[0]) / size[0]) / softness))
    if rng.random() < 0.5:
        logarithms = np.broadcast_to(np.log(rng.uniform(0.05, 0.5)), (3, *size))
    else:
        cells = int(np.exp(rng.uniform(np.log(2), np.log(40))))
        noise = np.stack([smooth_noise(rng, size, cells) for _ in range(3)])
        grey, contrast = rng.uniform(0, 1), rng.uniform(0.2, 1.0)
        logarithms = np.clip(contrast * (grey * noise[:1] + (1 - grey) * noise), -3, 1)
    return torch.from_numpy(np.exp(logarithms * below[:, None]).astype(np.float32))
