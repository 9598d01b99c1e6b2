"""Data sets on disk as `datasets` objects, and those as samples again."""

import hashlib
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
STREAM_PARTS = 720  # divides evenly among many numbers of processes


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
    if streaming:
        arguments: dict[str, Any] = {"paths": paths}
        return IterableDataset.from_generator(
            _rows_of_tars, features=sample_features(), gen_kwargs=arguments
        )
    arguments = {"paths": paths, "version": manifest.digest}
    return Dataset.from_generator(_rows_of_tars, features=sample_features(), gen_kwargs=arguments)


def to_dataset(source: SampleSource, *, streaming: bool = False) -> Dataset | IterableDataset:
    """Turn a source into an object of `datasets`; see `load_david_dataset`."""
    if not streaming:
        whole = {
            "source": _Whole(source),
            "spans": [(0, len(source))],
            "version": _version(source.root),
        }
        return Dataset.from_generator(_rows, features=sample_features(), gen_kwargs=whole)
    # A list among the arguments is what `datasets` divides among processes and workers.
    bounds = [len(source) * i // STREAM_PARTS for i in range(STREAM_PARTS + 1)]
    parts = {"source": _Whole(source), "spans": [(a, b) for a, b in pairwise(bounds) if a < b]}
    return IterableDataset.from_generator(_rows, features=sample_features(), gen_kwargs=parts)


class DatasetSamples(Sequence[HumanSample]):
    """The samples of a `datasets.Dataset` that `load_david_dataset` returned, decoded.

    Args:
        dataset: Any selection or shuffle of it; columns of one's own are left out.
    """

    def __init__(self, dataset: Dataset) -> None:
        features = sample_features(decode=False)
        self._rows = dataset.select_columns(list(features)).cast(features)

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


def stream_samples(dataset: IterableDataset) -> Iterator[HumanSample]:
    """The samples of a streaming data set that `load_david_dataset` returned, decoded."""
    features = sample_features(decode=False)
    for row in dataset.select_columns(list(features)).cast(features):
        yield decode_row(cast(Row, row))


class _Whole:
    """Keeps a source from being divided as if it were a list of shards."""

    def __init__(self, source: SampleSource) -> None:
        self.source = source


def _version(root: Path) -> str:
    """What changes when a file changes: `datasets` finds an earlier copy by the arguments."""
    sha256 = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        found = path.stat()
        sha256.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    return sha256.hexdigest()


def _rows(
    source: _Whole, spans: Sequence[tuple[int, int]], version: str | None = None
) -> Iterator[Row]:
    for start, stop in spans:
        for position in range(start, stop):
            yield source.source.row(position)


def _rows_of_tars(paths: Sequence[str], version: str | None = None) -> Iterator[Row]:
    for path in paths:
        yield from read_tar(path)
