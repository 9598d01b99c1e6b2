import json
import multiprocessing
import tarfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Image, load_dataset
from figures import write_person
from PIL import Image as PilImage
from torch.utils.data import DataLoader

from david_hf.data.rows import Row
from david_hf.data.sample import HumanSample
from david_hf.data.shards import Format, write_shards
from david_hf.data.sources.registry import open_source
from david_hf.data.stream import ShardStream

COUNT = 26
FORMATS: tuple[Format, ...] = ("parquet", "webdataset")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    for index in range(COUNT):
        write_person(folder, index)
        factors = json.dumps({"category": "face", "number": index})
        (folder / f"factors_{index:07d}.json").write_text(factors)
    return folder


@pytest.fixture(scope="module")
def shards(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both formats: 7 Parquet files with groups of 2, and 13 tars."""
    root = tmp_path_factory.mktemp("shards")
    source = open_source("generated", people, "all")
    write_shards(source, root / "parquet", "parquet", samples_per_shard=4, samples_per_group=2)
    write_shards(source, root / "webdataset", "webdataset", samples_per_shard=2)
    return root


def identifier(row: Row, rng: np.random.Generator) -> tuple[int, int]:
    return int(row["id"]), int(rng.integers(1 << 30))


def row_itself(row: Row, rng: np.random.Generator) -> Row:
    return row


def stream(root: Path, **options: Any) -> ShardStream:
    return ShardStream(root, "all", **{"prepare": identifier, "buffer_size": 6, **options})


@pytest.mark.parametrize("shard_format", FORMATS)
def test_every_byte_of_every_sample_comes_back(
    people: Path, shards: Path, shard_format: str
) -> None:
    source = open_source("generated", people, "all")

    rows = stream(shards / shard_format, prepare=row_itself, buffer_size=0, endless=False)

    assert list(rows) == [source.row(i) for i in range(COUNT)]


def test_samples_decode_as_those_of_the_folder(people: Path, shards: Path) -> None:
    source = open_source("generated", people, "all")
    plain = ShardStream(shards / "parquet", "all", buffer_size=0, endless=False)

    for streamed, read in zip(plain, source, strict=True):
        assert isinstance(streamed, HumanSample)
        for name in ("image", "alpha", "depth_m", "normals", "valid", "intrinsics"):
            np.testing.assert_array_equal(getattr(streamed, name), getattr(read, name))


def test_anyone_can_load_the_shards_without_our_types(shards: Path, tmp_path: Path) -> None:
    loaded = load_dataset(
        "parquet", data_files=str(shards / "parquet/*.parquet"), cache_dir=str(tmp_path / "a")
    )["train"]
    tars = load_dataset("webdataset", data_files=str(shards / "webdataset/*.tar"), streaming=True)[
        "train"
    ]

    assert isinstance(loaded.features["image"], Image)
    assert len(loaded) == COUNT
    assert loaded[3]["image"].size == (36, 48)
    assert loaded[3]["id"] == "0000003"
    first = next(iter(tars))
    assert first["png"].size == (36, 48)
    assert first["json"]["category"] == "face"
    assert first["depth.exr"][:4] == b"v/1\x01"


def test_the_files_of_a_tar_belong_to_nobody_and_no_time(shards: Path) -> None:
    with tarfile.open(min((shards / "webdataset").glob("*.tar"))) as archive:
        members = archive.getmembers()

    assert {(member.uid, member.uname, member.mtime) for member in members} == {(0, "", 0)}
    assert "000000000.depth.exr" in {member.name for member in members}


@pytest.mark.parametrize("shard_format", FORMATS)
def test_an_epoch_is_a_permutation_and_the_next_is_another(shards: Path, shard_format: str) -> None:
    two = [number for number, _ in islice(stream(shards / shard_format), 2 * COUNT)]

    assert sorted(two[:COUNT]) == sorted(two[COUNT:]) == list(range(COUNT))
    assert two[:COUNT] != two[COUNT:] != list(range(COUNT))


def test_generators_depend_on_the_sample_and_not_on_the_order(shards: Path) -> None:
    shuffled = dict(stream(shards / "parquet", endless=False))
    in_order = dict(stream(shards / "webdataset", endless=False, buffer_size=0))

    assert shuffled == in_order
    assert len(set(shuffled.values())) == COUNT


def _read_share(root: Path, rank: int, results: Any) -> None:
    """What one process with two workers reads of each format."""
    for shard_format in FORMATS:
        part = stream(root / shard_format, endless=False, rank=rank, world_size=2)
        loader = DataLoader(part, batch_size=2, num_workers=2)
        results.put((shard_format, [int(number) for numbers, _ in loader for number in numbers]))


def test_two_processes_of_two_workers_read_everything_once(shards: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=_read_share, args=(shards, rank, results)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    shares = [results.get(timeout=120) for _ in range(4)]
    for process in processes:
        process.join()

    for shard_format in FORMATS:
        first, second = (share for of, share in shares if of == shard_format)
        assert min(len(first), len(second)) >= 10
        assert sorted(first + second) == list(range(COUNT))


@pytest.mark.parametrize("shard_format", FORMATS)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_exactly_from_any_batch(
    shards: Path, shard_format: str, workers: int
) -> None:
    def batches(done: int, count: int) -> list[list[int]]:
        part = stream(shards / shard_format, rank=1, world_size=2)
        part.skip(done, batch_size=3)
        loader = iter(DataLoader(part, 3, num_workers=workers))
        return [next(loader)[0].tolist() for _ in range(count)]

    unbroken = batches(0, 12)  # into the third epoch

    for done in (1, 4, 9):
        assert batches(done, 12 - done) == unbroken[done:]


def test_an_iteration_of_one_epoch_follows_the_epoch_that_is_set(shards: Path) -> None:
    endless = [number for number, _ in islice(stream(shards / "parquet"), 3 * COUNT)]
    part = stream(shards / "parquet", endless=False)
    loader = DataLoader(part, batch_size=None, num_workers=2, persistent_workers=True)
    in_workers = []
    for epoch in range(3):
        part.set_epoch(epoch)
        assert [number for number, _ in part] == endless[epoch * COUNT : (epoch + 1) * COUNT]
        in_workers.append([int(number) for number, _ in loader])

    assert all(sorted(epoch) == list(range(COUNT)) for epoch in in_workers)
    assert in_workers[0] != in_workers[1] != in_workers[2]


def test_iterations_do_not_disturb_each_other(shards: Path) -> None:
    part = stream(shards / "parquet")
    expected = list(islice(part, 9))

    first, second = iter(part), iter(part)
    mixed = [next(iterator) for _ in range(9) for iterator in (first, second)]

    assert mixed[::2] == mixed[1::2] == expected


def test_batches_of_single_epochs_are_not_skipped(shards: Path) -> None:
    with pytest.raises(ValueError, match="expected an endless stream"):
        stream(shards / "parquet", endless=False).skip(1, 2)


def test_writing_goes_on_where_it_stopped(people: Path, tmp_path: Path) -> None:
    source = open_source("generated", people, "all")
    write_shards(source, tmp_path, samples_per_shard=10)
    names = sorted(path.name for path in tmp_path.glob("*.parquet"))
    kept = tmp_path / names[0]
    before = kept.stat().st_mtime_ns, (tmp_path / names[1]).read_bytes()
    (tmp_path / names[1]).unlink()
    told: list[tuple[int, int]] = []

    write_shards(
        source, tmp_path, samples_per_shard=10, on_progress=lambda *done: told.append(done)
    )

    assert names == [f"all-{i:05d}-of-00003.parquet" for i in range(3)]
    assert (kept.stat().st_mtime_ns, (tmp_path / names[1]).read_bytes()) == before
    assert told == [(COUNT, COUNT)]
    assert [pq.ParquetFile(tmp_path / name).metadata.num_rows for name in names] == [10, 10, 6]


def test_other_options_are_not_mixed_in_when_writing_goes_on(tmp_path: Path) -> None:
    (tmp_path / "set/images").mkdir(parents=True)
    (tmp_path / "set/depths").mkdir()
    for index in range(4):
        PilImage.new("RGB", (8, 6), (index, 0, 0)).save(tmp_path / f"set/images/{index}.png")
        np.save(tmp_path / f"set/depths/{index}.npy", np.full((6, 8), 200.0))

    def write(unit: float) -> None:
        source = open_source("folder", tmp_path / "set", depth_unit=unit)
        write_shards(source, tmp_path / "out", samples_per_shard=2)

    write(0.01)
    (tmp_path / "out/all-00001-of-00002.parquet").unlink()

    with pytest.raises(ValueError, match=r"digest was \w+, is \w+; .*another folder"):
        write(0.001)


def test_splits_are_named_for_the_hub(people: Path, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        source = open_source("generated", people, "all")
        source.split = split
        write_shards(source, tmp_path, samples_per_shard=13)

    loaded = load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))

    assert {name: len(part) for name, part in loaded.items()} == {"train": 26, "validation": 26}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples_per_shard": 0}, "numbers of samples above 0"),
        ({"format": "zip"}, "a format out of parquet, webdataset, got 'zip'"),
        ({"split": "../x"}, r"the name of a split, got '\.\./x'"),
    ],
)
def test_manifests_that_make_no_sense_are_refused(
    shards: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    manifest = json.loads((shards / "parquet/all.json").read_text())
    (tmp_path / "all.json").write_text(json.dumps(manifest | change))

    with pytest.raises(ValueError, match=message):
        ShardStream(tmp_path, "all")


def test_processes_write_the_same_bytes(people: Path, shards: Path, tmp_path: Path) -> None:
    source = open_source("generated", people, "all")

    write_shards(source, tmp_path, samples_per_shard=4, samples_per_group=2, workers=2)

    for path in (shards / "parquet").glob("*.*"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_folder_with_other_shards_is_refused(people: Path, shards: Path) -> None:
    source = open_source("generated", people, "all")

    with pytest.raises(ValueError, match=r"samples_per_shard was 4, is 5; .*another folder"):
        write_shards(source, shards / "parquet", samples_per_shard=5, samples_per_group=2)


def test_a_broken_sample_leaves_no_half_written_shard(people: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    for index in range(5):
        write_person(folder, index)
    (folder / "depth_0000003.exr").unlink()

    with pytest.raises(ValueError, match=r"depth_0000003\.exr: missing"):
        write_shards(open_source("generated", folder, "all"), tmp_path / "out", samples_per_shard=2)

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".all.unfinished.json",
        "all-00000-of-00003.parquet",
    ]
    with pytest.raises(ValueError, match="shards that are not all written"):
        ShardStream(tmp_path / "out", "all")


def test_more_workers_than_blocks_are_refused(shards: Path) -> None:
    with pytest.raises(ValueError, match="13 blocks are too few for 14 workers"):
        next(iter(stream(shards / "parquet", world_size=14)))


def test_a_missing_or_damaged_shard_is_named(people: Path, tmp_path: Path) -> None:
    write_shards(open_source("generated", people, "all"), tmp_path, samples_per_shard=20)
    path = tmp_path / "all-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-50])

    with pytest.raises(ValueError, match=r"all-00001-of-00002\.parquet: cannot be read .*again"):
        list(stream(tmp_path, endless=False))
    path.unlink()
    with pytest.raises(ValueError, match=r"all-00001-of-00002\.parquet: cannot be read"):
        list(stream(tmp_path, endless=False))


def test_a_folder_without_shards_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train\.json: no such manifest, .*`david data shard`"):
        ShardStream(tmp_path)
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(ValueError, match="expected the manifest"):
        ShardStream(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 2, "world_size": 2}, "rank below the world size 2, got 2"),
        ({"buffer_size": -1}, "buffer size of 0 or more, got -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    shards: Path, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        stream(shards / "parquet", **options)
