"""One table of all samples, for choosing and slicing: `index.parquet`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .folder import SETTINGS_NAME, complete_indices, read_settings, whole_file

INDEX_NAME = "index.parquet"


def write_index(folder: Path) -> Path:
    """Write the table of the complete samples of a folder, from their `factors_*.json`.

    It has one row per sample. Columns are named by the path of a factor, such as `stage.palette`;
    of the people, there are their number (`num_people`) and the factors of the first (`person.age`,
    `pose.name`); `factors` holds everything, as JSON.

    Args:
        folder: Folder of samples.

    Returns:
        The file.
    """
    import pyarrow as pa
    from pyarrow import parquet

    settings = read_settings(folder) if (folder / SETTINGS_NAME).is_file() else {}
    rows = [
        _row(index, (folder / f"factors_{index:07d}.json").read_text("utf-8"))
        for index in complete_indices(folder, bool(settings.get("foreground", False)))
    ]
    names = list(dict.fromkeys(["index", *(name for row in rows for name in row)]))
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    path = folder / INDEX_NAME
    with whole_file(path) as unfinished:
        parquet.write_table(pa.table(columns), unfinished, compression="zstd")
    return path


def count_rows(folder: Path) -> int:
    """Samples that the index of a folder has; 0 if it cannot be read."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return int(parquet.read_metadata(folder / INDEX_NAME).num_rows)
    except (OSError, pa.ArrowException):
        return 0


def _row(index: int, text: str) -> dict[str, Any]:
    factors = json.loads(text)
    row: dict[str, Any] = {"index": index}
    for name, value in _flatten(factors):
        row.setdefault(name, value)
    return row | {"factors": text}


def _flatten(factors: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Names, joined by dots, with plain values."""
    for key, value in factors.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}.")
        elif name == "people" and isinstance(value, list):
            yield "num_people", len(value)
            if value and isinstance(value[0], Mapping):
                yield from _flatten(value[0])
        elif isinstance(value, list):
            plain = all(isinstance(entry, str) for entry in value)
            yield name, value if plain else json.dumps(value)
        else:
            yield name, value


def _column(values: Sequence[Any]) -> list[Any]:
    """Values of one type: where samples disagree, floats, else text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1:
        return list(values)
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [
        value if value is None or isinstance(value, str) else json.dumps(value) for value in values
    ]
