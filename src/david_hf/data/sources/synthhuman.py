"""SynthHuman, and what has its layout: our generator's output and our renders of scans.

Files of sample i: rgb_%07d.png, alpha_%07d.png (8 bit), depth_%07d.exr (z-depth in cm, 65504 where
there is none), normal_%07d.exr, cam_%07d.txt (3x3 intrinsics); ours also factors_%07d.json and
foreground_%07d.exr. They lie in one folder, or in zip archives of it, which need no unpacking.
"""

import io
import json
import re
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from david_hf.data.codecs import decode_exr
from david_hf.data.rows import DepthCell, Row, picture
from david_hf.data.sample import Array

from .archives import FileTree, FolderFiles, ZipFiles
from .base import VALIDATION_SHARE, DatasetInfo, SampleSource, is_in_split

_LOCK = threading.Lock()  # of the lists of open archives, for readers in threads
MAX_OPEN_ARCHIVES = 8  # each keeps some 15 MB of names
# Where the official categories end.
OFFICIAL_CATEGORIES = ((98_040, "face"), (198_016, "full_body"), (298_008, "upper_body"))
CATEGORIES = tuple(name for _, name in OFFICIAL_CATEGORIES)


class SynthHuman(SampleSource):
    """Samples of a folder or of zip archives in SynthHuman's layout.

    Args:
        root: Folder with the files, or with the zip archives, or with both.
        split: train and validation are drawn by a hash of the index, so that no sample ever moves
            between them when others are added; all is both.
        categories: Which of face, upper_body and full_body; None takes all.

    Attributes:
        indices: (N,) number of the sample at each position, ascending.

    Raises:
        ValueError: If the root holds no such sample.
    """

    name = "synthhuman"
    splits: ClassVar[tuple[str, ...]] = ("train", "validation", "all")

    def __init__(
        self, root: Path | str, split: str = "all", categories: Sequence[str] | None = None
    ) -> None:
        super().__init__(root, split)
        self._trees: list[FileTree] = [FolderFiles(self.root)]
        self._trees += [ZipFiles(path) for path in sorted(self.root.glob("*.zip"))]
        found = np.array(
            [
                (int(match[1]), number)
                for number, tree in enumerate(self._trees)
                for match in map(re.compile(r"cam_(\d{7,})\.txt").fullmatch, self._list(tree))
                if match
            ],
            np.int64,
        ).reshape(-1, 2)
        if not len(found):
            raise ValueError(
                f"{root}: expected SynthHuman files (cam_0000000.txt, rgb_0000000.png, ...) or zip "
                "archives of them, found none; `david data download synthhuman` fetches, and "
                "`david synthesize` makes such a folder"
            )
        # What is both in an archive and unpacked from it counts once, and is read unpacked.
        found = found[np.unique(found[:, 0], return_index=True)[1]]
        if split != "all":
            found = found[[is_in_split(f"{index:07d}", split) for index in found[:, 0]]]
            if not len(found):
                raise ValueError(
                    f"{root}: no sample falls to {split}, a share of {VALIDATION_SHARE:.0%} for "
                    "validation by a hash of the index; take the split all"
                )
        self.indices = found[:, 0]
        self._tree_numbers = found[:, 1].astype(np.int16)
        self._recent: list[int] = []  # archives read from, the last one last
        if categories is not None:
            self._keep(categories)

    def __len__(self) -> int:
        return len(self.indices)

    def row(self, position: int) -> Row:
        """Read one sample without decoding it.

        Raises:
            ValueError: If a file is missing, or the intrinsics are no 3x3 matrix.
        """
        foreground = self._name("foreground", position, "exr")
        factors = self._name("factors", position, "json")
        tree = self._tree(position)
        text = tree.read(factors).decode(errors="replace") if factors in tree else None
        return Row(
            image=picture(tree.read(self._name("rgb", position, "png"))),
            alpha=picture(tree.read(self._name("alpha", position, "png"))),
            depth=DepthCell(
                exr=tree.read(self._name("depth", position, "exr")), metres_per_unit=0.01
            ),
            normals=tree.read(self._name("normal", position, "exr")),
            foreground=tree.read(foreground) if foreground in tree else None,
            intrinsics=self._intrinsics(position),
            category=self._category(position, self._parse(factors, text)),
            id=f"{self.indices[position]:07d}",
            source=self.name,
            factors=text,
        )

    def foreground(self, position: int) -> Array:
        """Premultiplied linear RGBA (H, W, 4) of one of our own samples.

        Raises:
            ValueError: If the folder has none, as the official one, or it is damaged.
        """
        name = self._name("foreground", position, "exr")
        content = self._tree(position).read(name)
        try:
            return decode_exr(content, "RGBA")
        except ValueError as error:
            raise ValueError(f"{self.root} {name}: {error}") from error

    def factors(self, position: int) -> dict[str, Any]:
        """What the generator sampled; empty for the official data."""
        name, tree = self._name("factors", position, "json"), self._tree(position)
        return self._parse(name, tree.read(name).decode(errors="replace") if name in tree else None)

    def categories(self) -> Counter[str]:
        """Number of samples by category."""
        return Counter(self._categories())

    def _categories(self) -> list[str]:
        return [self._category(i, self.factors(i)) for i in range(len(self))]

    def _keep(self, wanted: Sequence[str]) -> None:
        """Leave out the samples of other categories."""
        if isinstance(wanted, str) or not set(wanted) <= set(CATEGORIES):
            raise ValueError(
                f"categories: expected a list out of {', '.join(CATEGORIES)}, got {wanted!r}"
            )
        kept = np.array([category in wanted for category in self._categories()], bool)
        if not kept.any():
            raise ValueError(f"{self.root}: {self.split} has no sample of {', '.join(wanted)}")
        self.indices, self._tree_numbers = self.indices[kept], self._tree_numbers[kept]

    def _list(self, tree: FileTree) -> list[str]:
        names = list(tree.names())
        if isinstance(tree, ZipFiles):
            tree.close()
        return names

    def _tree(self, position: int) -> FileTree:
        """The tree of a sample; of archives, the last few read from stay open."""
        number = int(self._tree_numbers[position])
        with _LOCK:
            if number in self._recent:
                self._recent.remove(number)
            self._recent.append(number)
            if len(self._recent) > MAX_OPEN_ARCHIVES:
                closed = self._trees[self._recent.pop(0)]
                if isinstance(closed, ZipFiles):
                    closed.close()
        return self._trees[number]

    def _name(self, kind: str, position: int, suffix: str) -> str:
        return f"{kind}_{self.indices[position]:07d}.{suffix}"

    def _parse(self, name: str, text: str | None) -> dict[str, Any]:
        """Factors, of which there may be none."""
        if text is None:
            return {}
        try:
            return dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.root}: {name}: expected factors by name ({error})") from error

    def _intrinsics(self, position: int) -> list[list[float]]:
        name = self._name("cam", position, "txt")
        text = self._tree(position).read(name).decode(errors="replace")
        try:
            matrix = np.loadtxt(io.StringIO(text)).reshape(3, 3)
        except ValueError as error:
            raise ValueError(f"{self.root}: {name}: expected a 3x3 matrix, got {text!r}") from error
        return [[float(value) for value in line] for line in matrix]

    def _category(self, position: int, factors: dict[str, Any]) -> str:
        """What the factors say; without any, the official data set's index says it."""
        if factors:
            return str(factors.get("category", ""))
        index = self.indices[position]
        return next((name for end, name in OFFICIAL_CATEGORIES if index < end), "")


class GeneratedHumans(SynthHuman):
    """What `david synthesize` made."""

    name = "generated"


SYNTHHUMAN = DatasetInfo(
    title="SynthHuman",
    source=SynthHuman,
    content="rendered people: faces, upper and full bodies, 384 x 512",
    labels=("alpha", "depth", "normals"),
    size="298,008 samples, 330 GB in 60 zip archives",
    licence="CDLA-Permissive-2.0",
    how_to_get="`david data download synthhuman --parts all -o ROOT`",
    counts={"all": 298_008},
    in_parts=True,
)
GENERATED = DatasetInfo(
    title="our generator's output",
    source=GeneratedHumans,
    content="rendered people, any size",
    labels=("alpha", "depth", "normals"),
    size="as many as you make, 0.3 MB each at 192 x 256",
    licence="yours; the ingredients are CC0",
    how_to_get="`david synthesize`",
)
