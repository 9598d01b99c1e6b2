"""What every data set on disk has in common: a sequence of samples in one split."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, overload

import numpy as np

from david_hf.data.rows import Row, decode_row
from david_hf.data.sample import HumanSample


class SampleSource(Sequence[HumanSample], ABC):
    """The samples of one split, by position, read when asked for.

    Pickles cheaply, so that loader processes may share one. Item `i` is decoded; `row(i)` is as it
    lies on disk.

    Args:
        root: Folder of the data set.
        split: One of `splits`.

    Raises:
        ValueError: If the split is unknown, or if the root holds no such data set.
    """

    name: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    renders_rows: ClassVar[bool] = False  # and does not just read them, which takes far longer

    def __init__(self, root: Path | str, split: str) -> None:
        self.root = Path(root)
        if split not in self.splits:
            listed = ", ".join(self.splits)
            raise ValueError(f"{self.name}: expected a split out of {listed}, got {split!r}")
        if not self.root.is_dir():
            raise ValueError(f"{self.root}: no such folder")
        self.split = split

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def row(self, position: int) -> Row:
        """Read one sample without decoding it.

        Raises:
            ValueError: If a file is missing.
        """

    def sequence(self, position: int) -> str | None:
        """Name of the recording that a sample is a frame of; None in a data set without such."""
        return None

    @overload
    def __getitem__(self, position: int) -> HumanSample: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[HumanSample]: ...
    def __getitem__(self, position: int | slice) -> HumanSample | Sequence[HumanSample]:
        """Read and decode one sample, or a list of them.

        Raises:
            ValueError: If a file is missing or damaged, sizes differ, or normals are in another
                frame.
            IndexError: If there is no such position.
        """
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        if not -len(self) <= position < len(self):
            raise IndexError(f"{self.root}: position {position} of {len(self)} samples")
        row = self.row(position % len(self))
        return decode_row(row, f"{self.root} sample {row['id']}")

    def __iter__(self) -> Iterator[HumanSample]:
        return (self[position] for position in range(len(self)))


@dataclass(frozen=True)
class DatasetInfo:
    """One data set.

    Attributes:
        title: Its name as people write it.
        source: How it is read.
        content: What its pictures show.
        labels: Some of alpha, depth, normals.
        size: Samples and bytes, in words.
        licence: Terms of use, in words.
        how_to_get: Where it is obtained, in words.
        counts: Samples of the complete data set by split; a split left out has no fixed number.
        in_parts: Whether it is published in parts, so that fewer samples are nothing wrong.
    """

    title: str
    source: type[SampleSource]
    content: str
    labels: tuple[str, ...]
    size: str
    licence: str
    how_to_get: str
    counts: Mapping[str, int] = field(default_factory=dict)
    in_parts: bool = False

    @property
    def name(self) -> str:
        """The name commands and functions take."""
        return self.source.name


VALIDATION_SHARE = 0.05


def is_in_split(name: str, split: str) -> bool:
    """Whether a sample falls to all, train or validation, by a hash of its name alone."""
    digest = hashlib.sha256(name.encode()).digest()
    is_held_out = int.from_bytes(digest[:8], "big") / 2**64 < VALIDATION_SHARE
    return split == "all" or is_held_out == (split == "validation")


def choose_positions(number: int, limit: int | None) -> list[int]:
    """Positions of all of so many samples, or of `limit` of them, spread evenly."""
    if limit is None or limit >= number:
        return list(range(number))
    return np.linspace(0, number - 1, limit).round().astype(int).tolist()


def read_bytes(path: Path) -> bytes:
    """Read a file of a sample.

    Raises:
        ValueError: If it is missing.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(
            f"{path}: missing; the sample is incomplete, download or make it again"
        ) from error
