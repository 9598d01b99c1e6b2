"""Several data sets as one, with weights; sample `i` depends on the seed and on `i` alone.

So a position in the data is one number: a run that was interrupted goes on exactly, and any number
of processes and workers divide the numbers among them without overlap.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from .randomness import Purpose, generator
from .sample import HumanSample

BLOCK = 1000  # weights hold exactly, to a thousandth, in every block of so many samples


class Draws(Protocol):
    """An endless sequence of samples."""

    def draw(self, number: int) -> HumanSample:
        """The sample of this number."""


class Shuffled:
    """Draws from a data set: every sample once, in a new order each time through.

    Args:
        samples: The data set, such as a `SampleSource`.
        key: Of the orders: a seed, and what tells this data set from others.

    Raises:
        ValueError: If the data set is empty.
    """

    def __init__(self, samples: Sequence[HumanSample], *key: int) -> None:
        if not len(samples):
            raise ValueError("expected a data set with samples, got an empty one")
        self.samples, self.key = samples, key

    def draw(self, number: int) -> HumanSample:
        """The sample of this number."""
        epoch, position = divmod(number, len(self.samples))
        return self.samples[int(_order(len(self.samples), *self.key, epoch)[position])]


class Mixture(Dataset[Any]):
    """Draws from several data sets, each as often as its weight says.

    Args:
        parts: Data sets and their weights. A data set is `Draws`, or a sequence of samples, which
            is shuffled anew each time through.
        length: Number of samples that exist.
        transform: Makes an item of a sample and of a generator that depends on the seed and the
            item's number alone.
        seed: Of choices and generators.

    Raises:
        ValueError: If there is no part, or if a weight is so small that no sample comes of it.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Draws | Sequence[HumanSample], float]],
        *,
        length: int,
        transform: Callable[[HumanSample, np.random.Generator], Any],
        seed: int = 0,
    ) -> None:
        weights = np.array([weight for _, weight in parts], np.float64)
        if not len(weights) or not (weights > 0).all():
            raise ValueError(f"expected data sets with positive weights, got {weights.tolist()}")
        self.quotas = _quotas(weights)
        if not (self.quotas > 0).all():
            raise ValueError(
                f"a weight is below a thousandth of the sum: {weights.tolist()}; leave it out"
            )
        self.parts = [
            Shuffled(part, seed, number) if isinstance(part, Sequence) else part
            for number, (part, _) in enumerate(parts)
        ]
        self.length, self.transform, self.seed = length, transform, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Any:
        if not 0 <= number < self.length:
            raise IndexError(f"item {number} of {self.length}")
        part, drawn = self.locate(number)
        sample = self.parts[part].draw(drawn)
        return self.transform(sample, generator(Purpose.AUGMENTATION, self.seed, number))

    def locate(self, number: int) -> tuple[int, int]:
        """Which part item `number` comes from, and how many came from that part before it."""
        block, place = divmod(number, BLOCK)
        choices = np.repeat(np.arange(len(self.quotas)), self.quotas)
        choices = choices[generator(Purpose.CHOICE, self.seed, block).permutation(BLOCK)]
        part = int(choices[place])
        before = int((choices[:place] == part).sum())
        return part, block * int(self.quotas[part]) + before


def _quotas(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Samples of each part in a block, by the largest remainders."""
    exact = weights / weights.sum() * BLOCK
    quotas = np.floor(exact).astype(np.int64)
    largest = np.argsort(quotas - exact, kind="stable")[: BLOCK - quotas.sum()]
    quotas[largest] += 1
    return quotas


@lru_cache(maxsize=16)
def _order(length: int, *key: int) -> NDArray[np.int64]:
    """A permutation; neighbouring samples share it."""
    return generator(Purpose.ORDER, *key).permutation(length)
