"""Samples of a benchmark, ready to be predicted and measured."""

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from david_hf.data.geometry import scale_down
from david_hf.data.rows import Row, decode_row
from david_hf.data.sample import HumanSample
from david_hf.data.sources.base import SampleSource
from david_hf.data.trimaps import UNKNOWN, make_trimap

from .benchmarks.registry import Benchmark
from .groups import groups_of
from .predictors.base import Photo


@dataclass(frozen=True)
class TestSample:
    """One image of a benchmark.

    Attributes:
        position: In the data set.
        sample: Picture and labels, at the size they are judged at.
        trimap: (H, W) of 0, 128 and 255; None where the foreground is not judged by region.
        sha256: Digest of the encoded picture and labels.
        groups: Group of each factor, by which results may be sliced.
        notes: What was made up or left out.
    """

    __test__ = False  # no test, whatever pytest makes of the name

    position: int
    sample: HumanSample
    trimap: NDArray[np.uint8] | None
    sha256: str
    groups: dict[str, str]
    notes: tuple[str, ...]

    @property
    def photo(self) -> Photo:
        """The picture, as people have it: 8 bits."""
        return (self.sample.image * 255 + 0.5).astype(np.uint8)


class TestSamples:
    """A benchmark's samples by position; pickles, so that loader processes may share it.

    What cannot be read comes back as the error it raised: raised in a loader process, it would lose
    its one line.

    Args:
        source: The data set.
        benchmark: What is measured on it.
    """

    __test__ = False

    def __init__(self, source: SampleSource, benchmark: Benchmark) -> None:
        self._source, self._benchmark = source, benchmark

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, position: int) -> TestSample | ValueError:
        """Read and prepare one sample, or return why that fails."""
        try:
            return self._prepare(position)
        except ValueError as error:
            return error
        except OSError as error:
            return ValueError(f"cannot read position {position} of {self._source.root}: {error}")

    def _prepare(self, position: int) -> TestSample:
        row = self._source.row(position)
        sample = decode_row(row, f"{self._source.root} sample {row['id']}")
        scaled = _fit_pixels(sample, self._benchmark.max_pixels)
        trimap, notes = self._trimap(position, scaled, scaled is not sample)
        return TestSample(
            position=position,
            sample=scaled,
            trimap=trimap,
            sha256=digest(row),
            groups=groups_of(row["factors"]),
            notes=notes,
        )

    def _trimap(
        self, position: int, sample: HumanSample, is_scaled: bool
    ) -> tuple[NDArray[np.uint8] | None, tuple[str, ...]]:
        """The data set's trimap, or one made of alpha; None if it leaves nothing open."""
        if not self._benchmark.trimap or sample.alpha is None:
            return None, ()
        read: Any = getattr(self._source, "trimap", None)
        trimap = None if read is None or is_scaled else read(position)
        notes = () if trimap is not None else ("trimap made of alpha",)
        if trimap is None:
            trimap = make_trimap(sample.alpha)
        if not (trimap == UNKNOWN).any():
            return None, ("the trimap leaves nothing open: not judged by region",)
        return trimap, notes


def digest(row: Row) -> str:
    """SHA-256 of the encoded picture and labels of a row."""
    total = hashlib.sha256()
    alpha, depth = row["alpha"], row["depth"]
    parts = (
        row["image"]["bytes"],
        b"" if alpha is None else alpha["bytes"],
        b"" if depth is None else depth["exr"],
        row["normals"] or b"",
    )
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()


def _fit_pixels(sample: HumanSample, max_pixels: int | None) -> HumanSample:
    height, width = sample.size
    if max_pixels is None or height * width <= max_pixels:
        return sample
    small = scale_down(sample, math.sqrt(max_pixels / (height * width)))
    if small.alpha is None:
        return small
    # 8 bits, as mattes are published: a mean of ones is not exactly 1, and a trimap asks for 1.
    steps = np.rint(small.alpha * 255).clip(0, 255).astype(np.float32)
    return replace(small, alpha=steps / np.float32(255))
