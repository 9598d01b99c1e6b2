"""Write a data set as shards, for the Hub and for streaming: Parquet or WebDataset (tar).

Every cell is the row's own bytes (`rows.Row`): nothing is encoded again, nothing is lost. A sample
of a tar is a group of files that anyone can read: KEY.png (or .jpg, ...), KEY.alpha.png,
KEY.depth.exr, KEY.normals.exr, KEY.foreground.exr, KEY.json.
"""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO, Literal, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from datasets import Features, Image

from david_hf.atomic import whole_file, write_text

from .features import sample_features
from .rows import DepthCell, Row, picture
from .sources.base import SampleSource

Format = Literal["parquet", "webdataset"]
SUFFIXES = {"parquet": "parquet", "webdataset": "tar"}
# What begins the bytes of a picture, and how its file is named.
_SIGNATURES = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8", "jpg"),
    (b"RIFF", "webp"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
)
_PICTURE_SUFFIXES = ("png", "jpg", "webp", "bmp", "tif", "avif")


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds, `SPLIT.json`.

    Attributes:
        format: parquet or webdataset.
        source: Name of the data set.
        split: Its split.
        samples: Number of samples.
        digest: Of the first, the middle and the last sample: tells options of the source apart.
        samples_per_shard: In each shard but the last.
        samples_per_group: Samples that are read at once: a row group of a Parquet file.
    """

    format: Format
    source: str
    split: str
    samples: int
    digest: str
    samples_per_shard: int
    samples_per_group: int

    def __post_init__(self) -> None:
        """Check what may come from anywhere.

        Raises:
            ValueError: If a number, the format or the name of the split make no sense.
        """
        numbers = (self.samples, self.samples_per_shard, self.samples_per_group)
        if not all(isinstance(number, int) and number > 0 for number in numbers):
            raise ValueError(f"expected numbers of samples above 0, got {numbers}")
        if self.format not in SUFFIXES:
            raise ValueError(f"expected a format out of {', '.join(SUFFIXES)}, got {self.format!r}")
        # It becomes part of file names.
        if not re.fullmatch(r"\w[\w.-]*", self.split):
            raise ValueError(f"expected the name of a split, got {self.split!r}")

    @property
    def num_shards(self) -> int:
        """Number of files."""
        return -(-self.samples // self.samples_per_shard)

    def shard_name(self, shard: int) -> str:
        """File name of a shard."""
        suffix = SUFFIXES[self.format]
        return f"{self.split}-{shard:05d}-of-{self.num_shards:05d}.{suffix}"

    def span(self, shard: int) -> range:
        """Positions of a shard's samples."""
        start = shard * self.samples_per_shard
        return range(start, min(start + self.samples_per_shard, self.samples))

    @staticmethod
    def name(split: str) -> str:
        """File name of the manifest of a split."""
        return f"{split}.json"


def parse_manifest(text: str, where: str) -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: If it is none.
    """
    try:
        return Manifest(**json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{where}: expected the manifest that `david data shard` writes ({error})"
        ) from error


def read_manifest(root: str, split: str) -> Manifest:
    """Read the manifest of a split from a folder or a URL.

    Raises:
        ValueError: If there is none.
    """
    path = f"{root}/{Manifest.name(split)}"
    try:
        with fsspec.open(path, "rt", encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError as error:
        raise ValueError(
            f"{path}: no such manifest, or shards that are not all written; `david data shard` "
            "writes those of a split"
        ) from error
    except (UnicodeDecodeError, ImportError) as error:
        raise ValueError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    return parse_manifest(text, path)


def write_shards(
    source: SampleSource,
    folder: Path | str,
    shard_format: Format = "parquet",
    *,
    samples_per_shard: int = 512,
    samples_per_group: int = 32,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Write the samples of a source as shards.

    Shards appear whole; run again after an interruption, it goes on with those that are missing.

    Args:
        source: What to write.
        folder: Where to; made if missing. Other splits may be there.
        shard_format: parquet, or webdataset (tar).
        samples_per_shard: Samples of one file: at 384 x 512, 512 of them are some 500 MB.
        samples_per_group: Samples that a reader of Parquet takes at once.
        workers: Processes that write.
        on_progress: Called with the samples that are written and their number in all.

    Returns:
        What the folder holds now.

    Raises:
        ValueError: If a sample cannot be read, or if the folder holds other shards of this split.
    """
    folder = Path(folder)
    if not len(source):
        raise ValueError(f"{source.root}: {source.split} holds no sample to write")
    grouped = shard_format == "parquet"
    manifest = Manifest(
        shard_format,
        source.name,
        source.split,
        len(source),
        _digest(source),
        samples_per_shard,
        # A tar has no index: it is read from its beginning to its end.
        min(samples_per_group, samples_per_shard) if grouped else samples_per_shard,
    )
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, manifest)
    missing = [
        shard
        for shard in range(manifest.num_shards)
        if not (folder / manifest.shard_name(shard)).is_file()
    ]
    done = manifest.samples - sum(len(manifest.span(shard)) for shard in missing)
    for shard in _in_processes(source, folder, manifest, missing, workers):
        done += len(manifest.span(shard))
        if on_progress is not None:
            on_progress(done, manifest.samples)
    # Last: a folder with a manifest is complete.
    if not (folder / Manifest.name(manifest.split)).is_file():
        (folder / _claim_name(manifest)).replace(folder / Manifest.name(manifest.split))
    _write_card(folder)
    return manifest


def _digest(source: SampleSource) -> str:
    sha256 = hashlib.sha256()
    for position in (0, len(source) // 2, len(source) - 1):
        for suffix, content in tar_members(source.row(position)).items():
            sha256.update(suffix.encode() + content)
    return sha256.hexdigest()[:16]


def _claim_name(manifest: Manifest) -> str:
    return f".{manifest.split}.unfinished.json"


def _write_card(folder: Path) -> None:
    """Name the files of each split for the Hub, which knows only train, validation and test."""
    splits = []
    for path in sorted(folder.glob("[!.]*.json")):
        manifest = parse_manifest(path.read_text("utf-8"), str(path))
        name = re.sub(r"\W", "_", manifest.split)
        files = f"{manifest.split}-*.{SUFFIXES[manifest.format]}"
        # `datasets` takes all for the union of the others.
        splits.append({"split": "train" if name == "all" else name, "path": files})
    front = yaml.safe_dump({"configs": [{"config_name": "default", "data_files": splits}]})
    write_text(folder / "README.md", f"---\n{front}---\n")


def _claim(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, or make sure that the one that is there says the same."""
    finished, path = folder / Manifest.name(manifest.split), folder / _claim_name(manifest)
    path = finished if finished.is_file() else path
    if path.is_file():
        before = asdict(parse_manifest(path.read_text("utf-8"), str(path)))
        differences = [
            f"{key} was {before[key]}, is {value}"
            for key, value in asdict(manifest).items()
            if before[key] != value
        ]
        if differences:
            raise ValueError(
                f"{folder} holds other shards of this split: {'; '.join(differences)}; take "
                "another folder, or the same settings"
            )
        return
    with whole_file(path) as file:
        file.write(json.dumps(asdict(manifest), indent=1).encode())


def _in_processes(
    source: SampleSource, folder: Path, manifest: Manifest, shards: list[int], workers: int
) -> Iterator[int]:
    """Write shards; yields each when it is complete."""
    if workers == 1:
        for shard in shards:
            yield write_shard(source, folder, manifest, shard)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting: set[Future[int]] = {
            pool.submit(write_shard, source, folder, manifest, shard) for shard in shards
        }
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def write_shard(source: SampleSource, folder: Path, manifest: Manifest, shard: int) -> int:
    """Write one shard and return its number."""
    rows = (source.row(position) for position in manifest.span(shard))
    with whole_file(folder / manifest.shard_name(shard)) as file:
        if manifest.format == "parquet":
            _write_parquet(file, rows, manifest.samples_per_group)
        else:
            _write_tar(file, rows, manifest.span(shard).start)
    return shard


def parquet_schema() -> pa.Schema:
    """Columns of the Parquet files.

    The pictures are `datasets` images, so that the Hub shows them and anyone may load the file; the
    maps are plain bytes, for `datasets` knows their types only where this package is installed.
    """
    plain = Features.from_arrow_schema(sample_features().arrow_schema.remove_metadata())
    return Features({**plain, "image": Image(), "alpha": Image()}).arrow_schema


def _write_parquet(file: BinaryIO, rows: Iterable[Row], samples_per_group: int) -> None:
    schema = parquet_schema()
    # The cells are compressed already.
    with pq.ParquetWriter(file, schema, compression="none") as writer:
        remaining = iter(rows)
        while group := [dict(row) for row in islice(remaining, samples_per_group)]:
            writer.write_table(pa.Table.from_pylist(group, schema), len(group))


def _write_tar(file: BinaryIO, rows: Iterable[Row], first: int) -> None:
    # In PAX, the default, headers hold times and owners: bytes would differ from run to run.
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, row in enumerate(rows, first):
            for suffix, content in tar_members(row).items():
                member = tarfile.TarInfo(f"{number:09d}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def read_tar(path: str) -> Iterator[Row]:
    """Samples of a tar, on disk or behind a URL, in order.

    Raises:
        KeyError: If a file of a sample is missing.
        tarfile.TarError: If the tar is damaged.
    """
    with fsspec.open(path, "rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
        files = (
            (*member.name.partition(".")[::2], cast(BinaryIO, archive.extractfile(member)).read())
            for member in archive
            if member.isfile()
        )
        for _, sample in groupby(files, key=lambda file: file[0]):
            yield row_from_members({suffix: content for _, suffix, content in sample})


def tar_members(row: Row) -> dict[str, bytes]:
    """The files of one sample in a tar, by suffix."""
    depth = row["depth"]
    try:
        members = {picture_suffix(row["image"]["bytes"]): row["image"]["bytes"]}
        if row["alpha"] is not None:
            content = row["alpha"]["bytes"]
            members[f"alpha.{picture_suffix(content)}"] = content
    except ValueError as error:
        raise ValueError(f"{row['source']} sample {row['id']}: {error}") from error
    if depth is not None:
        members["depth.exr"] = depth["exr"]
    if row["normals"] is not None:
        members["normals.exr"] = row["normals"]
    if row["foreground"] is not None:
        members["foreground.exr"] = row["foreground"]
    keys = ("intrinsics", "category", "id", "source", "factors")
    plain = {key: cast(dict[str, object], row)[key] for key in keys}
    plain["metres_per_unit"] = None if depth is None else depth["metres_per_unit"]
    return {**members, "json": json.dumps(plain).encode()}


def row_from_members(members: dict[str, bytes]) -> Row:
    """Make a row of the files of one sample in a tar, by suffix; undoes `tar_members`.

    Raises:
        KeyError: If a file is missing.
    """
    plain = json.loads(members["json"])
    image = next((data for suffix, data in members.items() if suffix in _PICTURE_SUFFIXES), None)
    alpha = next((data for suffix, data in members.items() if suffix.startswith("alpha.")), None)
    if image is None:
        raise KeyError("picture")
    exr = members.get("depth.exr")
    unit = plain["metres_per_unit"]
    return Row(
        image=picture(image),
        alpha=None if alpha is None else picture(alpha),
        depth=None if exr is None else DepthCell(exr=exr, metres_per_unit=unit),
        normals=members.get("normals.exr"),
        foreground=members.get("foreground.exr"),
        intrinsics=plain["intrinsics"],
        category=plain["category"],
        id=plain["id"],
        source=plain["source"],
        factors=plain["factors"],
    )


def picture_suffix(content: bytes) -> str:
    """How a file with such content is named.

    Raises:
        ValueError: If it is of no format that shards may hold.
    """
    for signature, suffix in _SIGNATURES:
        if content.startswith(signature):
            return suffix
    if content[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    raise ValueError("expected a picture as PNG, JPEG, WebP, BMP, TIFF or AVIF")
