"""A folder of your own pictures, with what labels there are. Files of a sample share their name.

    images/    any format that Pillow reads
    alphas/    mattes, any such format; masks/ is taken as well, as Sapiens calls it
    depths/    z-depth: .npy (H, W); .exr, channel Y; .png, 16-bit grey. Unknown: 0, negative, not
               finite, or 65504 and more
    normals/   X right, Y up, Z to the camera: .npy (H, W, 3); .exr, whose channels B, G, R are X,
               Y, Z, as in SynthHuman; .png, 8-bit RGB, (n + 1) / 2. Unknown: far from unit length
    cameras/   .txt, 3x3 intrinsics in pixels

All but images/ may be missing, as a whole or for some of the samples.
"""

import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from david_hf.data.codecs import decode_alpha, decode_image, encode_exr, without_orientation
from david_hf.data.rows import (
    DEPTH_CHANNELS,
    NORMAL_CHANNELS,
    UNKNOWN_DEPTH,
    DepthCell,
    Row,
    picture,
)
from david_hf.load_errors import in_one_line

from .base import VALIDATION_SHARE, DatasetInfo, SampleSource, is_in_split, read_bytes
from .listing import PICTURE_SUFFIXES, check_all_known, files_by_stem, find_level, naming

_MAP_SUFFIXES = (".npy", ".exr", ".png")
# Of each label, the folders it may lie in, the first of which counts, and what its files end with.
_LAYOUT = {
    "alpha": (("alphas", "masks"), PICTURE_SUFFIXES),
    "depth": (("depths",), _MAP_SUFFIXES),
    "normals": (("normals",), _MAP_SUFFIXES),
    "camera": (("cameras",), (".txt",)),
}
# Colour types in the header of a PNG file.
_PNG_TYPES = {"grey": (0,), "RGB": (2, 6)}


class PlainFolder(SampleSource):
    """The samples of a folder with images/ and any of alphas/, depths/, normals/ and cameras/.

    Args:
        root: The folder.
        split: train and validation are drawn by a hash of the name, so that no sample ever moves
            between them when others are added; all is both.
        depth_unit: Metres per unit of the depth files. By default 1; 16-bit PNG needs it, such as
            0.001 for millimetres.

    Attributes:
        stems: Name of the sample at each position.

    Raises:
        ValueError: If there are no pictures, or none in this split; if a label has no picture; or
            if the unit is no positive number.
    """

    name = "folder"
    splits = ("all", "train", "validation")

    def __init__(
        self, root: Path | str, split: str = "all", *, depth_unit: float | None = None
    ) -> None:
        super().__init__(root, split)
        if depth_unit is not None and not 0 < depth_unit < math.inf:
            raise ValueError(f"expected a depth_unit in metres above 0, got {depth_unit}")
        self.depth_unit = depth_unit
        self._images = files_by_stem(self.root / "images")
        self._labels: dict[str, dict[str, Path]] = {}
        for label, (names, suffixes) in _LAYOUT.items():
            folder = find_level(self.root, names)
            self._labels[label] = files_by_stem(folder, suffixes) if folder else {}
            check_all_known(self._labels[label], self._images, f"picture in {self.root / 'images'}")
        self.stems = [stem for stem in self._images if is_in_split(stem, split)]
        if not self.stems:
            raise ValueError(
                f"{root}: none of the {len(self._images)} pictures falls to {split}, a share of "
                f"{VALIDATION_SHARE:.0%} for validation by a hash of the name; take the split all"
            )

    def __len__(self) -> int:
        return len(self.stems)

    def sequence(self, position: int) -> str:
        """Name of a sample without the number at its end: that of a frame."""
        return self.stems[position].rstrip("0123456789")

    def row(self, position: int) -> Row:
        """Read one sample; maps that are no EXR files are turned into such, without loss.

        Raises:
            ValueError: If a file is missing, or a map or the intrinsics are of another form.
        """
        stem = self.stems[position]
        paths = {label: files.get(stem) for label, files in self._labels.items()}
        alpha, depth, normals, camera = (paths[label] for label in _LAYOUT)
        return Row(
            # People label what they see: a photo that is turned by its orientation.
            image=picture(without_orientation(read_bytes(self._images[stem]), turn=True)),
            alpha=None if alpha is None else picture(read_bytes(alpha)),
            depth=None if depth is None else _read_depth(depth, self.depth_unit),
            normals=None if normals is None else _read_normals(normals),
            foreground=None,
            intrinsics=None if camera is None else _read_intrinsics(camera),
            category="",
            id=stem,
            source=self.name,
            factors=None,
        )


def _read_depth(path: Path, unit: float | None) -> DepthCell:
    suffix = path.suffix.lower()
    if suffix == ".exr":
        return DepthCell(exr=read_bytes(path), metres_per_unit=1.0 if unit is None else unit)
    if suffix == ".npy":
        values = _read_npy(path, ())
    elif unit is None:
        raise ValueError(
            f"{path}: expected `depth_unit`, the metres per step of a depth PNG, such as 0.001 for "
            "millimetres (on the command line --option depth_unit=0.001)"
        )
    else:
        content = _read_png(path, "grey", 16)
        with naming(path):
            values = np.rint(decode_alpha(content) * 65535)
    known = (values > 0) & np.isfinite(values)
    # What other tools write for unknown: the largest half float, the largest 16-bit number.
    known &= values != (UNKNOWN_DEPTH if suffix == ".npy" else 65535)
    metres = np.where(known, values * (1.0 if unit is None else unit), 0)
    known &= metres < UNKNOWN_DEPTH
    stored = np.where(known, metres, UNKNOWN_DEPTH).astype(np.float32)
    return DepthCell(exr=encode_exr(stored[..., None], DEPTH_CHANNELS), metres_per_unit=1.0)


def _read_normals(path: Path) -> bytes:
    suffix = path.suffix.lower()
    if suffix == ".exr":
        return read_bytes(path)
    if suffix == ".npy":
        vectors = _read_npy(path, (3,)).astype(np.float32)
    else:
        content = _read_png(path, "RGB", 8)
        with naming(path):
            vectors = decode_image(content) * 2 - 1
    with np.errstate(over="ignore"):
        length = np.sqrt((vectors**2).sum(-1, keepdims=True))
    # Where nobody is, pictures of normals are grey, black or white: too short, too long, too long.
    known = (length > 0.5) & (length < 1.5)  # also false for NaN
    return encode_exr(np.where(known, vectors, np.float32(0)), NORMAL_CHANNELS)


def _read_npy(path: Path, trailing: tuple[int, ...]) -> NDArray[np.float64]:
    """An array of numbers (H, W, *trailing)."""
    content = read_bytes(path)
    try:
        values = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # damaged files raise whatever is stumbled over
        raise ValueError(f"{path}: not a readable .npy file: {in_one_line(error)}") from error
    is_numbers = isinstance(values, np.ndarray) and values.dtype.kind in "fiu"
    if not is_numbers or values.ndim < 2 or values.shape[2:] != trailing:
        form = ", ".join(["H", "W", *map(str, trailing)])
        found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else "an archive"
        raise ValueError(f"{path}: expected an array of numbers ({form}), got {found}")
    return values.astype(np.float64)


def _read_png(path: Path, kind: str, bits: int) -> bytes:
    """Bytes of a PNG file of so many bits per channel.

    Decoded, it would not tell: Pillow reads 16-bit RGB as 8-bit.
    """
    content = read_bytes(path)
    is_png = content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) > 25
    if not is_png or content[24] != bits or content[25] not in _PNG_TYPES[kind]:
        found = f"{content[24]} bits, colour type {content[25]}" if is_png else "another format"
        raise ValueError(
            f"{path}: expected a PNG, {kind} with {bits} bits per channel, got {found}; take .npy "
            "or .exr for other values"
        )
    return content


def _read_intrinsics(path: Path) -> list[list[float]]:
    text = read_bytes(path).decode(errors="replace")
    try:
        matrix = np.array(text.split(), np.float64).reshape(3, 3)
    except ValueError as error:
        raise ValueError(f"{path}: expected a 3x3 matrix, got {text[:200]!r}") from error
    return [[float(value) for value in line] for line in matrix]


FOLDER = DatasetInfo(
    title="a plain folder",
    source=PlainFolder,
    content="your own pictures, in images/, and what labels there are",
    labels=(),
    size="as many as you have",
    licence="yours",
    how_to_get="make ROOT/images and any of alphas, depths, normals and cameras in ROOT",
)
