"""Read shards as an endless or finite stream of samples, shuffled, divided, and resumable exactly.

The order is arithmetic, not history: blocks (row groups of Parquet files, whole tars) are permuted
by (seed, epoch) and dealt to the consumers, which are the workers of all processes; each consumer
gathers blocks until it has `buffer_size` samples and permutes those. So a position in the stream is
one number, nothing is read twice to get there, and the shuffling buffer is not lost on the way, as
it is in `datasets` streams.
"""

import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import torch
from torch.utils.data import IterableDataset, get_worker_info

from .randomness import Purpose, generator
from .rows import Row, decode_row
from .shards import Manifest, read_manifest, read_tar

Prepare = Callable[[Row, np.random.Generator], Any]


@dataclass(frozen=True)
class Block:
    """Samples that are read at once.

    Attributes:
        shard: Number of the file.
        group: Number of the row group in it.
        start: Position of the first sample in the split.
        size: Number of samples.
    """

    shard: int
    group: int
    start: int
    size: int


class ShardStream(IterableDataset[Any]):
    """Samples of one split out of shards that `write_shards` made, on disk or behind a URL.

    In a `DataLoader` every worker of every process reads its own share, and no sample is read
    twice in an epoch. The shares differ by up to one block, so processes train by steps, not by
    epochs, or they wait for each other. A loader of a stream that has a rank is not to be given to
    `Accelerator.prepare` or to the Trainer: they would divide it once more.

    Args:
        root: Folder or URL that fsspec opens: hf://datasets/OWNER/NAME, or others for which its own
            packages are installed.
        split: Which `SPLIT.json`.
        prepare: Makes an item of a row and of a generator that depends on (seed, epoch, position in
            the split) alone; by default a `HumanSample`.
        seed: Of orders and generators.
        buffer_size: Samples that are gathered and permuted; their bytes are kept in memory. 0 keeps
            the order of the split.
        endless: Whether one iteration is all epochs from the first on, without end, or one epoch,
            which `set_epoch` chooses.
        rank: Number of this process among `world_size`.
        world_size: Processes that share the stream.

    Raises:
        ValueError: If the shards are not all there, or if rank or buffer make no sense.
    """

    def __init__(
        self,
        root: Path | str,
        split: str = "train",
        *,
        prepare: Prepare | None = None,
        seed: int = 0,
        buffer_size: int = 256,
        endless: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"expected a rank below the world size {world_size}, got {rank}")
        if buffer_size < 0:
            raise ValueError(f"expected a buffer size of 0 or more, got {buffer_size}")
        self.root = str(root).rstrip("/")
        self.manifest = read_manifest(self.root, split)
        self.blocks = _blocks(self.manifest)
        self.prepare = prepare
        self.seed, self.buffer_size, self.endless = seed, buffer_size, endless
        self.rank, self.world_size = rank, world_size
        # Shared, so that workers that outlive an epoch see the next one's number.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._batches = self._batch_size = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration begins with."""
        self._epoch.fill_(epoch)

    def skip(self, batches: int, batch_size: int) -> None:
        """Begin every iteration behind the first batches, as a `DataLoader` makes them.

        Exact if rank, world size, workers and batch size are as they were.

        Args:
            batches: Batches that this process has had.
            batch_size: Samples of each.

        Raises:
            ValueError: If the stream is not endless: `set_epoch` chooses the epoch of such a one.
        """
        if not self.endless:
            raise ValueError("expected an endless stream to skip batches of; see set_epoch")
        self._batches, self._batch_size = batches, batch_size

    def __iter__(self) -> Iterator[Any]:
        number, workers = self._worker()
        skipped = self._batch_size * max(0, -(-(self._batches - number) // workers))
        epoch = int(self._epoch)
        while True:
            size = sum(block.size for block in self._own_blocks(epoch))
            if skipped < size:
                for window in self._windows(epoch, skipped):
                    yield from self._read_window(window, epoch)
            if not self.endless:
                return
            epoch, skipped = epoch + 1, max(0, skipped - size)

    def _windows(self, epoch: int, skipped: int) -> Iterator[list[tuple[Block, int]]]:
        """What is still to come of an epoch: lists of samples (block, number in it), in order."""
        blocks = self._own_blocks(epoch)
        start = number = 0
        while start < len(blocks):
            stop, size = start, 0
            while stop < len(blocks) and size < max(1, self.buffer_size):
                size += blocks[stop].size
                stop += 1
            if skipped < size:
                window = [(block, i) for block in blocks[start:stop] for i in range(block.size)]
                if self.buffer_size:
                    rng = generator(Purpose.WINDOW, self.seed, epoch, self._consumer()[0], number)
                    order = rng.permutation(size)
                    window = [window[i] for i in order]
                yield window[skipped:]
            skipped = max(0, skipped - size)
            start, number = stop, number + 1

    def _own_blocks(self, epoch: int) -> list[Block]:
        consumer, consumers = self._consumer()
        if len(self.blocks) < consumers:
            raise ValueError(
                f"{self.root}: {len(self.blocks)} blocks are too few for {consumers} workers in "
                "all; write smaller shards or groups, or take fewer workers"
            )
        order: Sequence[int] = range(len(self.blocks))
        if self.buffer_size:
            rng = generator(Purpose.ORDER, self.seed, epoch)
            order = rng.permutation(len(self.blocks)).tolist()
        return [self.blocks[i] for i in order[consumer::consumers]]

    def _worker(self) -> tuple[int, int]:
        """Number of this worker in its process, and how many there are.

        A loader takes batches from its workers in turn, from the first; behind skipped batches it
        is another's turn, so the workers exchange their parts.
        """
        worker = get_worker_info()
        if worker is None:
            return 0, 1
        return (worker.id + self._batches) % worker.num_workers, worker.num_workers

    def _consumer(self) -> tuple[int, int]:
        """Number of this worker among those of all processes, and how many there are."""
        number, workers = self._worker()
        return self.rank * workers + number, self.world_size * workers

    def _read_window(self, window: list[tuple[Block, int]], epoch: int) -> Iterator[Any]:
        wanted = sorted({block for block, _ in window}, key=lambda block: block.start)
        rows = _read_blocks(self.root, self.manifest, wanted)
        for block, number in window:
            row = rows[block.start + number]
            if self.prepare is None:
                yield decode_row(row)
            else:
                key = (self.seed, epoch, block.start + number)
                yield self.prepare(row, generator(Purpose.AUGMENTATION, *key))


def _blocks(manifest: Manifest) -> list[Block]:
    blocks = []
    for shard in range(manifest.num_shards):
        span = manifest.span(shard)
        for group, start in enumerate(range(span.start, span.stop, manifest.samples_per_group)):
            size = min(manifest.samples_per_group, span.stop - start)
            blocks.append(Block(shard, group, start, size))
    return blocks


def _read_blocks(root: str, manifest: Manifest, blocks: Sequence[Block]) -> dict[int, Row]:
    """Rows of the blocks by position in the split; each file is opened once."""
    rows: dict[int, Row] = {}
    for shard, of_shard in groupby(blocks, key=lambda block: block.shard):
        path = f"{root}/{manifest.shard_name(shard)}"
        try:
            if manifest.format == "parquet":
                _read_groups(path, list(of_shard), rows)
            else:
                rows.update(enumerate(read_tar(path), manifest.span(shard).start))
        except (OSError, ValueError, KeyError, tarfile.TarError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{path}: cannot be read ({reason}); write it again") from error
    return rows


def _read_groups(path: str, blocks: list[Block], rows: dict[int, Row]) -> None:
    with fsspec.open(path, "rb") as file:
        table = pq.ParquetFile(file)
        for block in blocks:
            group = table.read_row_group(block.group).to_pylist()
            rows.update(zip(range(block.start, block.start + block.size), group, strict=True))
