"""Renders of THuman scans that `david data render` made, in SynthHuman's layout.

The images of the papers are not published, nor are their cameras and panoramas: these are images of
the same scans, not the same images, and numbers on them stand for themselves.
"""

from pathlib import Path

import numpy as np

from .base import DatasetInfo, SampleSource
from .synthhuman import SynthHuman

CATEGORIES = ("face", "upper_body", "full_body")
NUM_SCANS = 526


class THuman20(SynthHuman):
    """Renders of THuman2.0.

    Args:
        root: Folder that `david data render` wrote.
        split: face, upper_body or full_body: how the picture is framed; all is all of them.

    Raises:
        ValueError: If the root holds no sample of the split.
    """

    name = "thuman2.0"
    splits = (*CATEGORIES, "all")

    def __init__(self, root: Path | str, split: str = "all") -> None:
        SampleSource.__init__(self, root, split)  # refuses other splits
        super().__init__(root, "all")
        if split == "all":
            return
        self.split = split
        kept = np.array(
            [self.factors(i).get("category") == split for i in range(len(self))], dtype=bool
        )
        if not kept.any():
            raise ValueError(
                f"{root}: none of its {len(kept):,} samples is a render with the category {split!r}"
            )
        self.indices, self._tree_numbers = self.indices[kept], self._tree_numbers[kept]


class THuman21(THuman20):
    """Renders of THuman2.1."""

    name = "thuman2.1"


def _info(title: str, source: type[SampleSource]) -> DatasetInfo:
    counts = dict.fromkeys(CATEGORIES, NUM_SCANS)
    return DatasetInfo(
        title=title,
        source=source,
        content=f"our renders of {NUM_SCANS} scans of people in panoramas",
        labels=("alpha", "depth", "normals"),
        size=f"{3 * NUM_SCANS:,} samples, some 1 GB at 512 x 512",
        licence="scans: non-commercial research, after a signed agreement",
        how_to_get="sign the agreement of https://github.com/ytrock/THuman2.0-Dataset, then "
        f"`david data render {source.name}`",
        counts={**counts, "all": 3 * NUM_SCANS},
    )


THUMAN20 = _info("THuman2.0", THuman20)
THUMAN21 = _info("THuman2.1", THuman21)
