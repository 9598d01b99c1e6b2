"""Data sets on disk as `datasets` objects, and those as samples again."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast, overload

from datasets import Dataset, IterableDataset, load_dataset

from .features import sample_features
from .rows import Row, decode_row
from .sample import HumanSample
from .shards import read_manifest, read_tar
from .sources.base import SampleSource
from .sources.registry import open_source

SHARDS = "shards"  # the name under which shards of any data set are loaded
STREAM_PARTS = 128  # enough to divide among processes and workers


def load_david_dataset(
    name: str,
    root: Path | str,
    split: str | None = None,
    *,
    streaming: bool = False,
    **options: Any,
) -> Dataset | IterableDataset:
    """Load one split of a data set as an object of `datasets`, with `sample_features`.

    Args:
        name: A key of `sources.registry.DATASETS`; or shards, for what `david data shard` wrote.
        root: Its folder; of shards also a URL, such as hf://datasets/OWNER/NAME.
        split: One of its splits; by default the first, of shards train.
        streaming: Read samples when they are asked for. Otherwise they are copied to an Arrow table
            in the cache of `datasets` first, which takes as much space as the files.
        **options: What the source takes besides.

    Raises:
        ValueError: If name, split or an option are unknown, or if the root holds no such data set.
    """
    if name == SHARDS:
        return load_shards(root, "train" if split is None else split, streaming=streaming)
    return to_dataset(open_source(name, root, split, **options), streaming=streaming)


def load_shards(
    root: Path | str, split: str, *, streaming: bool = False
) -> Dataset | IterableDataset:
    """Load shards as an object of `datasets`; see `load_david_dataset`."""
    root = str(root).rstrip("/")
    manifest = read_manifest(root, split)
    paths = [f"{root}/{manifest.shard_name(shard)}" for shard in range(manifest.num_shards)]
    if manifest.format == "parquet":
        # `datasets` reserves split names such as ours: to it, the files are a split of their own.
        return load_dataset(
            "parquet",
            data_files=paths,
            split="train",
            features=sample_features(),
            streaming=streaming,
        )
    make = IterableDataset if streaming else Dataset
    return make.from_generator(
        _rows_of_tars, features=sample_features(), gen_kwargs={"paths": paths}
    )


def to_dataset(source: SampleSource, *, streaming: bool = False) -> Dataset | IterableDataset:
    """Turn a source into an object of `datasets`; see `load_david_dataset`."""
    if not streaming:
        whole = {"source": _Whole(source), "spans": [(0, len(source))]}
        return Dataset.from_generator(_rows, features=sample_features(), gen_kwargs=whole)
    # A list among the arguments is what `datasets` divides among processes and workers.
    bounds = [len(source) * i // STREAM_PARTS for i in range(STREAM_PARTS + 1)]
    parts = {"source": _Whole(source), "spans": [(a, b) for a, b in pairwise(bounds) if a < b]}
    return IterableDataset.from_generator(_rows, features=sample_features(), gen_kwargs=parts)


class DatasetSamples(Sequence[HumanSample]):
    """The samples of a `datasets.Dataset` that `load_david_dataset` returned, decoded.

    Args:
        dataset: Any selection or shuffle of it.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._rows = dataset.cast(sample_features(decode=False))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, position: int) -> HumanSample: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[HumanSample]: ...
    def __getitem__(self, position: int | slice) -> HumanSample | Sequence[HumanSample]:
        """Decode one sample, or a list of them.

        Raises:
            ValueError: If it is damaged.
        """
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        return decode_row(cast(Row, self._rows[position]))


class _Whole:
    """Keeps a source from being divided as if it were a list of shards."""

    def __init__(self, source: SampleSource) -> None:
        self.source = source


def _rows(source: _Whole, spans: Sequence[tuple[int, int]]) -> Iterator[Row]:
    for start, stop in spans:
        for position in range(start, stop):
            yield source.source.row(position)


def _rows_of_tars(paths: Sequence[str]) -> Iterator[Row]:
    for path in paths:
        yield from read_tar(path)
