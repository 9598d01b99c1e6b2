"""Every data set by name."""

from collections.abc import Collection
from inspect import signature
from pathlib import Path
from typing import Any

from . import goliath, hi4d, p3m, photomatte85, plain, ppm, synthhuman, thuman
from .base import DatasetInfo, SampleSource

_ALL = (
    synthhuman.SYNTHHUMAN,
    synthhuman.GENERATED,
    p3m.P3M_10K,
    ppm.PPM_100,
    photomatte85.PHOTOMATTE85,
    hi4d.HI4D,
    goliath.GOLIATH,
    thuman.THUMAN20,
    thuman.THUMAN21,
    plain.FOLDER,
)
DATASETS: dict[str, DatasetInfo] = {info.name: info for info in _ALL}


def find_dataset(name: str) -> DatasetInfo:
    """The data set of a name.

    Raises:
        ValueError: If there is none.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(DATASETS)}")
    return DATASETS[name]


def open_source(
    name: str, root: Path | str, split: str | None = None, **options: Any
) -> SampleSource:
    """Open one split of a data set on disk.

    Args:
        name: A key of `DATASETS`.
        root: Its folder.
        split: One of the source's `splits`; by default the first.
        **options: What this source takes besides.

    Raises:
        ValueError: If name, split or an option are unknown, or if the root holds no such data set.
    """
    check_options(name, options)
    source = find_dataset(name).source
    try:
        return source(root, source.splits[0] if split is None else split, **options)
    except TypeError as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise ValueError(f"{name}: an option has a value of another kind: {given}") from error


def check_options(name: str, options: Collection[str]) -> None:
    """Refuse options that a data set does not take.

    Raises:
        ValueError: If there is one, or no such data set.
    """
    known = options_of(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise ValueError(f"{name}: takes no option {', '.join(unknown)}; {takes}")


def options_of(name: str) -> list[str]:
    """Options that a data set takes besides root and split.

    Raises:
        ValueError: If there is no such data set.
    """
    return list(signature(find_dataset(name).source).parameters)[2:]


def markdown_table() -> str:
    """Every data set as a row of a table."""
    titles = ("name", "data set", "content", "labels", "size", "licence", "how to get it", "check")
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for name, info in DATASETS.items():
        labels = ", ".join(info.labels)
        cells = (name, info.title, info.content, labels, info.size, info.licence, info.how_to_get)
        lines.append("| " + " | ".join(cells) + f" | `{check_command(info)}` |")
    return "\n".join(lines)


def check_command(info: DatasetInfo) -> str:
    """The command that verifies a download."""
    more = " --option backgrounds=FOLDER" if info.name == photomatte85.PHOTOMATTE85.name else ""
    return f"david data check {info.name} ROOT{more}"
