"""PhotoMatte85: cut-out people (Lin et al., "Real-Time High-Resolution Background Matting", 2021).

Files: *.png, colour and alpha, in one folder or in rgba_image/. Backgrounds are not part of it, so
a result on PhotoMatte85 means little without the backgrounds it was made with.
"""

import hashlib
import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from david_hf.data.codecs import decode_image, png_bytes
from david_hf.data.rows import Row
from david_hf.data.sample import Array
from david_hf.data.trimaps import make_trimap, read_trimap
from david_hf.image_io import load_image, to_rgb8

from .base import DatasetInfo, SampleSource, read_bytes
from .listing import find_level, list_files, naming
from .mattes import matte_row


class PhotoMatte85(SampleSource):
    """The people of PhotoMatte85 before backgrounds of yours.

    Composed as the published evaluator does (Zhong and Zharkov, WACV 2024), to the last bit.

    Args:
        root: The folder of the cut-outs, or the one above it.
        split: test.
        backgrounds: Folder of pictures. The i-th cut-out is put on the i-th of them; where there
            are fewer pictures than cut-outs, they start over.
        seed: Shuffles the backgrounds. By default they come in the order of their names, as in the
            published evaluator.

    Attributes:
        backgrounds: Files of the backgrounds that are used, in the order of the cut-outs.

    Raises:
        ValueError: If the root holds no cut-outs, if no backgrounds are given, or if OpenCV is not
            installed.
    """

    name = "photomatte85"
    splits = ("test",)

    def __init__(
        self,
        root: Path | str,
        split: str = "test",
        *,
        backgrounds: Path | str | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(root, split)
        if backgrounds is None:
            raise ValueError(
                f"{self.name}: expected `backgrounds`, a folder of pictures to put the people on "
                "(on the command line --option backgrounds=FOLDER): it has none of its own"
            )
        levels = ("rgba_image", "PhotoMatte85/rgba_image", "PhotoMatte85")
        folder = find_level(self.root, levels) or self.root
        self._images = list_files(folder, (".png",))
        self._trimaps = (folder.parent if folder.name == "rgba_image" else folder) / "trimap"
        files = list_files(Path(backgrounds))
        if seed is not None:
            order = np.random.default_rng(seed).permutation(len(files))
            files = [files[number] for number in order]
        self.backgrounds = files[: len(self._images)]

    @property
    def backgrounds_sha256(self) -> str:
        """Digest of names and contents of the backgrounds, in order: to be told with results.

        SHA-256 over one line "NAME SHA-256-OF-THE-FILE" for each of `backgrounds`.
        """
        total = hashlib.sha256()
        for path in self.backgrounds:
            total.update(f"{path.name} {hashlib.sha256(read_bytes(path)).hexdigest()}\n".encode())
        return total.hexdigest()

    def __len__(self) -> int:
        return len(self._images)

    def row(self, position: int) -> Row:
        """Compose one sample.

        Raises:
            ValueError: If a file is missing or damaged, or has no alpha.
        """
        path = self._images[position]
        colour, alpha = _read_cut_out(path)
        position %= len(self)
        background = load_image(self.backgrounds[position % len(self.backgrounds)])
        image = compose(colour, alpha, to_rgb8(background))
        return matte_row(png_bytes(image), png_bytes(alpha), path.stem, self.name)

    def trimap(self, position: int) -> NDArray[np.uint8]:
        """Trimap (H, W) in {0, 128, 255}: trimap/NAME.png, or made from alpha where there is none.

        Raises:
            ValueError: If a file is missing or damaged, or has no alpha.
        """
        path = self._images[position]
        found = read_trimap(self._trimaps / f"{path.stem}.png")
        if found is not None:
            return found
        return make_trimap(_read_cut_out(path)[1].astype(np.float32) / np.float32(255))


def compose(
    colour: Array, alpha: NDArray[np.uint8], background: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Put a cut-out on the left part of a background that has its aspect, in sRGB values.

    Args:
        colour: (H, W, 3) in [0, 1], not premultiplied.
        alpha: (H, W).
        background: (H', W', 3). One that is too narrow for the aspect is taken whole and stretched.

    Returns:
        (H, W, 3).
    """
    height, width = alpha.shape
    left = background[:, : max(1, int(len(background) * width / height))]
    resized = cv2.resize(left, (width, height), interpolation=cv2.INTER_LINEAR)
    # Single precision in this order, and cut, not rounded: so the published numbers were made.
    weight = alpha[..., None].astype(np.float32)
    full = np.float32(255)
    behind = resized.astype(np.float32) / full * (1 - weight / full)
    return (full * (colour * weight / full + behind)).astype(np.uint8)


def _read_cut_out(path: Path) -> tuple[Array, NDArray[np.uint8]]:
    """Colour (H, W, 3) in [0, 1] and alpha (H, W)."""
    content = read_bytes(path)
    with naming(path):
        colour = decode_image(content)
    with Image.open(io.BytesIO(content)) as image:
        if image.mode != "RGBA":
            raise ValueError(f"{path}: expected a picture with alpha (RGBA), got {image.mode}")
        return colour, np.asarray(image.getchannel("A"))


PHOTOMATTE85 = DatasetInfo(
    title="PhotoMatte85",
    source=PhotoMatte85,
    content="cut-out people, to be put on backgrounds that you choose",
    labels=("alpha",),
    size="85 samples",
    licence="on its site; take it as for research only",
    how_to_get=(
        "https://grail.cs.washington.edu/projects/background-matting-v2; backgrounds: any, such "
        "as the test split of BG-20k"
    ),
    counts={"test": 85},
)
