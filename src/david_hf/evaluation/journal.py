"""Results as they come, one line each, in files that survive a kill at any moment."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from .measure import Measured
from .results import image_from_json

_PATTERN = "images-*.jsonl"


class Journal:
    """Results of one process, each on disk before the next is begun.

    Args:
        folder: Of all journals of a run.
        rank: Number of the process.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"images-{rank}.jsonl"
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._file = self._path.open("ab")
        whole = self._path.read_bytes().rfind(b"\n") + 1
        self._file.truncate(whole)  # a kill may have left half a line
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, position: int, measured: Measured) -> None:
        """Write what was measured on the image at a position of the data set.

        Raises:
            OSError: If it cannot be written.
        """
        assert self._file is not None
        content = {
            "position": position,
            "image": asdict(measured.image),
            "normal_pool": measured.normal_pool,
        }
        self._file.write(json.dumps(content, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read_journals(folder: Path) -> dict[int, Measured]:
    """What all processes of a run measured so far, by position.

    Raises:
        ValueError: If a file is damaged, but for a last line that was cut off.
    """
    found: dict[int, Measured] = {}
    for path in sorted(folder.glob(_PATTERN)):
        for number, line in enumerate(_whole_lines(path)):
            try:
                content = json.loads(line)
                image = image_from_json(content["image"])
                found[content["position"]] = Measured(image, content["normal_pool"])
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}, line {number + 1}: expected the result of an image ({error!r}); "
                    "remove the file to measure its images again"
                ) from error
    return found


def _whole_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        return iter([line for line in file if line.endswith(b"\n")])
