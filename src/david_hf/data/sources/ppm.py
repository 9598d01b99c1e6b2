"""PPM-100: portrait photos with mattes (Ke et al., "MODNet", AAAI 2022).

Files: image/*.jpg and matte/*.jpg of the same names; PaddleSeg's copy calls the folders fg/ and
alpha/. Trimaps (trimap/*.png) are not part of it.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from david_hf.data.codecs import decode_alpha, png_bytes
from david_hf.data.rows import Row
from david_hf.data.trimaps import make_trimap, read_trimap

from .base import DatasetInfo, SampleSource, read_bytes
from .listing import find_level, naming
from .mattes import matte_row, pair_mattes

_LEVELS = ("", "val", "PPM-100", "PPM-100/val")
_LAYOUTS = (("image", "matte"), ("fg", "alpha"))


class PPM100(SampleSource):
    """The photos of PPM-100.

    Args:
        root: The folder that holds image/ and matte/, or one or two levels above.
        split: test.
        matte_snap: Alpha within so many of its 255 steps of 0 or 1 is taken as 0 or 1. The mattes
            are JPEG files, whose plain areas are hardly ever exactly that. 0, as published numbers
            have it, leaves them as they are.

    Raises:
        ValueError: If the root holds no such set, if a picture or a matte lacks its counterpart, or
            if `matte_snap` is out of range.
    """

    name = "ppm-100"
    splits = ("test",)

    def __init__(self, root: Path | str, split: str = "test", *, matte_snap: int = 0) -> None:
        super().__init__(root, split)
        if not 0 <= matte_snap < 128:
            raise ValueError(f"{self.name}: expected a matte_snap of 0 to 127, got {matte_snap}")
        self.matte_snap = matte_snap
        for images, mattes in _LAYOUTS:
            folder = find_level(self.root, _LEVELS, (images, mattes))
            if folder is not None:
                break
        else:
            raise ValueError(
                f"{root}: expected PPM-100 with image/ and matte/ (or fg/ and alpha/), there or "
                "below PPM-100/ or val/, found none; name the folder that PPM-100 was unpacked to"
            )
        self._trimaps = folder / "trimap"
        self._pairs = pair_mattes(folder / images, folder / mattes)

    def __len__(self) -> int:
        return len(self._pairs)

    def row(self, position: int) -> Row:
        """Read one sample without decoding it.

        Raises:
            ValueError: If a file is missing, or is to be snapped and damaged.
        """
        image = self._pairs[position][0]
        return matte_row(read_bytes(image), self._matte(position), image.stem, self.name)

    def trimap(self, position: int) -> NDArray[np.uint8]:
        """Trimap (H, W) in {0, 128, 255}: trimap/NAME.png, or made from alpha where there is none.

        Raises:
            ValueError: If a file is missing or damaged.
        """
        image, matte = self._pairs[position]
        found = read_trimap(self._trimaps / f"{image.stem}.png")
        if found is not None:
            return found
        content = self._matte(position)
        with naming(matte):
            return make_trimap(decode_alpha(content))

    def _matte(self, position: int) -> bytes:
        path = self._pairs[position][1]
        content = read_bytes(path)
        if not self.matte_snap:
            return content
        with naming(path):
            steps = np.rint(decode_alpha(content) * 255).astype(np.uint8)
        steps[steps <= self.matte_snap] = 0
        steps[steps >= 255 - self.matte_snap] = 255
        return png_bytes(steps)


PPM_100 = DatasetInfo(
    title="PPM-100",
    source=PPM100,
    content="portrait photos in high resolution",
    labels=("alpha",),
    size="100 samples",
    licence="photos: Creative Commons, by photo; mattes: CC BY-NC-SA 4.0",
    how_to_get="https://github.com/ZHKKKe/PPM",
    counts={"test": 100},
)
