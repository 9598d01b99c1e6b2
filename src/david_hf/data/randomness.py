"""Generators that depend on what they are for, on a seed, and on numbers, and on nothing else."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a generator is for: with one seed, those of two purposes have nothing in common."""

    COMPOSITION = 1
    AUGMENTATION = 2
    CHOICE = 3
    ORDER = 4
    WINDOW = 5


def generator(purpose: Purpose, *key: int) -> np.random.Generator:
    """A generator for a purpose; the key is a seed, then numbers, >= 0.

    numpy pads keys with zeros: the purpose ends them, and no key is the beginning of another.
    """
    return np.random.default_rng([*key, purpose, len(key) + 1])
