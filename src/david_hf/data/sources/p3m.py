"""P3M-10k: portraits with mattes (Li et al., "Privacy-Preserving Portrait Matting", ACM MM 2021).

Faces are blurred, except in P3M-500-NP. Files of a split: blurred_image/*.jpg (original_image/ in
P3M-500-NP), mask/*.png of the same names, and in the validation sets trimap/*.png.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from david_hf.data.rows import Row
from david_hf.data.trimaps import read_trimap

from .base import DatasetInfo, SampleSource, read_bytes
from .listing import find_level
from .mattes import matte_row, pair_mattes

# Of each split, the folders it may lie in, and the folder of its pictures.
_LAYOUTS = {
    "train": (("train",), "blurred_image"),
    "P3M-500-P": (("validation/P3M-500-P", "P3M-500-P"), "blurred_image"),
    "P3M-500-NP": (("validation/P3M-500-NP", "P3M-500-NP"), "original_image"),
}


class P3M10k(SampleSource):
    """One split of P3M-10k.

    Args:
        root: The folder that holds train/ and validation/ (or P3M-500-P/ itself), or the one above.
        split: train, P3M-500-P (faces blurred) or P3M-500-NP (faces as they are).

    Raises:
        ValueError: If the root has no such split, or if a picture or a mask lacks its counterpart.
    """

    name = "p3m-10k"
    splits = tuple(_LAYOUTS)

    def __init__(self, root: Path | str, split: str) -> None:
        super().__init__(root, split)
        levels, images = _LAYOUTS[split]
        candidates = [f"{top}{level}" for top in ("", "P3M-10k/") for level in levels]
        folder = find_level(self.root, candidates, (images, "mask"))
        if folder is None:
            raise ValueError(
                f"{root}: expected {' or '.join(levels)} with {images}/ and mask/ in it, found "
                "none; name the folder that P3M-10k was unpacked to"
            )
        self._folder = folder
        self._pairs = pair_mattes(folder / images, folder / "mask")

    def __len__(self) -> int:
        return len(self._pairs)

    def row(self, position: int) -> Row:
        """Read one sample without decoding it.

        Raises:
            ValueError: If a file is missing.
        """
        image, mask = self._pairs[position]
        return matte_row(read_bytes(image), read_bytes(mask), image.stem, self.name)

    def trimap(self, position: int) -> NDArray[np.uint8] | None:
        """The official trimap (H, W) in {0, 128, 255}; None where there is none, as in train.

        Raises:
            ValueError: If it is damaged.
        """
        stem = self._pairs[position][0].stem
        return read_trimap(self._folder / "trimap" / f"{stem}.png")


P3M_10K = DatasetInfo(
    title="P3M-10k",
    source=P3M10k,
    content="portrait photos, faces blurred except in P3M-500-NP",
    labels=("alpha",),
    size="10,421 samples, 6 GB",
    licence="an agreement of its own, for research; do not redistribute",
    how_to_get="https://github.com/JizhiziLi/P3M, after you agree to its terms",
    counts={"train": 9421, "P3M-500-P": 500, "P3M-500-NP": 500},
)
