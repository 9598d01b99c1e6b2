"""Measure the loading of training data: samples per second, and where the time goes.

    python benchmarks/data.py ROOT SCRATCH [--name generated] [--side 512] [--samples 120]

ROOT is a data set that `david data list` names. Its samples are written to SCRATCH as zip, Parquet
and WebDataset; then each layout is read, decoded, augmented to a square and made into tensors by
one worker on one core. The peer, measured in the same run, is plain `datasets`: the same Parquet
files through `load_dataset(streaming=True)`, decoded, without augmentation.
Prints tables and writes them to benchmarks/data.json.
"""

import argparse
import json
import os
import platform
import shutil
import time
import zipfile
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from david_hf.data.augmentations import PhotometricAugmentations
from david_hf.data.codecs import decode_alpha, decode_image
from david_hf.data.geometry import GeometricAugmentations, place_in_square, shrink
from david_hf.data.loading import load_david_dataset
from david_hf.data.rows import Row, decode_depth, decode_normals, decode_row
from david_hf.data.shards import write_shards
from david_hf.data.sources.base import SampleSource
from david_hf.data.sources.registry import open_source
from david_hf.data.stream import ShardStream
from david_hf.data.transforms import TrainingTransform, to_tensors

RESULTS = Path(__file__).parent / "data.json"
REPEATS = 3


def write_layouts(source: SampleSource, scratch: Path) -> None:
    """The same samples as zip, Parquet and WebDataset."""
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "zip").mkdir(parents=True)
    with zipfile.ZipFile(scratch / "zip/part.zip", "w") as archive:
        for path in sorted(source.root.iterdir()):
            if path.suffix in {".png", ".exr", ".txt", ".json"} and path.stem[-7:].isdigit():
                archive.write(path, path.name)
    write_shards(source, scratch / "parquet", "parquet", samples_per_shard=64)
    write_shards(source, scratch / "webdataset", "webdataset", samples_per_shard=64)


def rate(samples: Callable[[], Iterable[Any]], count: int) -> float:
    """Samples per second, the best of a few tries: the first fills the disk's cache."""
    best = 0.0
    for _ in range(REPEATS):
        begun = time.perf_counter()
        found = sum(1 for _ in islice(samples(), count))
        best = max(best, found / (time.perf_counter() - begun))
    return round(best, 1)


def measure_rates(source: SampleSource, scratch: Path, side: int, count: int) -> dict[str, float]:
    """Samples per second by layout."""
    transform = TrainingTransform(side, GeometricAugmentations(), PhotometricAugmentations())

    def from_source(opened: SampleSource) -> Iterable[Any]:
        for position in range(len(opened)):
            yield transform(opened[position], np.random.default_rng([0, position]))

    def stream(layout: str) -> ShardStream:
        return ShardStream(scratch / layout, source.split, prepare=transform.prepare)

    zipped = open_source(source.name, scratch / "zip", source.split)
    parquet = load_david_dataset("shards", scratch / "parquet", source.split, streaming=True)
    return {
        "folder": rate(lambda: from_source(source), count),
        "zip": rate(lambda: from_source(zipped), count),
        "Parquet": rate(lambda: stream("parquet"), count),
        "WebDataset": rate(lambda: stream("webdataset"), count),
        "plain datasets, decoded only": rate(lambda: parquet, count),
    }


def milliseconds(function: Callable[[Any], Any], items: list[Any]) -> float:
    """Mean of the best try."""
    tries = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        for item in items:
            function(item)
        tries.append(time.perf_counter() - begun)
    return round(min(tries) / len(items) * 1000, 2)


def measure_stages(source: SampleSource, side: int, count: int) -> dict[str, float]:
    """Milliseconds per sample by stage."""
    rows: list[Row] = [source.row(i) for i in range(min(count, len(source)))]
    samples = [decode_row(row) for row in rows]
    geometric, photometric = GeometricAugmentations(), PhotometricAugmentations()
    transform = TrainingTransform(side, geometric, photometric)
    numbered = list(enumerate(samples))

    def rng(number: int) -> np.random.Generator:
        return np.random.default_rng([0, number])

    def place(item: Any) -> Any:
        placement = geometric.draw(rng(item[0]))
        return place_in_square(shrink(item[1], side * placement.zoom), side, placement)

    return {
        "decode picture": milliseconds(lambda row: decode_image(row["image"]["bytes"]), rows),
        "decode alpha": milliseconds(lambda row: decode_alpha(row["alpha"]["bytes"]), rows),
        "decode depth": milliseconds(lambda row: decode_depth(row["depth"]), rows),
        "decode normals": milliseconds(lambda row: decode_normals(row["normals"]), rows),
        "decode and check, all": milliseconds(decode_row, rows),
        "geometric": milliseconds(place, numbered),
        "photometric": milliseconds(lambda i: photometric.apply(i[1].image, rng(i[0])), numbered),
        "tensors": milliseconds(to_tensors, [place(item) for item in numbered[:20]]),
        "decode and augment, all": milliseconds(
            lambda item: transform(decode_row(rows[item[0]]), rng(item[0])), numbered
        ),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("scratch", type=Path, help="folder for the other layouts, rewritten")
    parser.add_argument("--name", default="generated")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--samples", type=int, default=120)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    source = open_source(args.name, args.root, "all")
    write_layouts(source, args.scratch)
    results = {
        "device": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        },
        "size": list(source[0].size),
        "side": args.side,
        "samples_per_second": measure_rates(source, args.scratch, args.side, args.samples),
        "milliseconds": measure_stages(source, args.side, args.samples),
    }
    args.output.write_text(json.dumps(results, indent=1) + "\n")
    for title in ("samples_per_second", "milliseconds"):
        print(f"\n{title.replace('_', ' ')}")
        print("\n".join(f"| {name} | {value} |" for name, value in results[title].items()))


if __name__ == "__main__":
    main()
