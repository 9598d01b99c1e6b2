"""Read SynthHuman folders: the official layout, and our generator's, which adds a foreground layer.

Files of sample i: rgb_%07d.png, alpha_%07d.png (8 bit), depth_%07d.exr (cm, 65504 where there is
none), normal_%07d.exr, cam_%07d.txt (3x3 intrinsics); ours also foreground_%07d.exr and
factors_%07d.json.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .sample import Array, HumanSample

INVALID_DEPTH_CM = 65504.0


class SynthHumanFolder:
    """The samples of one folder, by position.

    Args:
        root: Folder that holds the files.

    Raises:
        ValueError: If the folder holds no sample.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.indices = sorted(int(path.stem[-7:]) for path in root.glob("cam_*.txt"))
        if not self.indices:
            raise ValueError(
                f"{root}: expected SynthHuman files (cam_0000000.txt, rgb_0000000.png, ...), found "
                "none; `david synthesize` makes such a folder"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[HumanSample]:
        return (self[position] for position in range(len(self)))

    def __getitem__(self, position: int) -> HumanSample:
        """Read one sample.

        Raises:
            ValueError: If a file is missing, sizes differ, or the normals are not in the data set's
                frame.
        """
        index = self.indices[position]
        image = _read_png(self._path("rgb", index, "png"), "RGB")
        alpha = _read_png(self._path("alpha", index, "png"), "L")
        depth_cm = read_exr(self._path("depth", index, "exr"), "Y")[..., 0]
        # The file's B, G, R are X, Y, Z: cv2, for which it was written, reads in that order.
        normals = read_exr(self._path("normal", index, "exr"), "BGR")
        if not image.shape[:2] == alpha.shape == depth_cm.shape == normals.shape[:2]:
            raise ValueError(
                f"{self.root} sample {index}: the maps differ in size: rgb {image.shape[:2]}, "
                f"alpha {alpha.shape}, depth {depth_cm.shape}, normals {normals.shape[:2]}"
            )
        length = np.linalg.norm(normals, axis=-1)
        valid = (depth_cm < INVALID_DEPTH_CM) & np.isfinite(depth_cm) & (length > 0.5)
        check_normals_frame(normals, valid & (alpha > 0.5), f"{self.root} sample {index}")
        unit = normals / np.maximum(length, 1e-6)[..., None] * valid[..., None]
        return HumanSample(
            image=image,
            alpha=alpha,
            depth_m=np.where(valid, depth_cm / 100, 0).astype(np.float32),
            normals=unit.astype(np.float32),
            valid=valid,
            intrinsics=np.loadtxt(self._path("cam", index, "txt")),
            category=str(self.factors(position).get("category", "")),
            identifier=f"{index:07d}",
            source="synthhuman",
        )

    def foreground(self, position: int) -> Array:
        """Premultiplied linear RGBA (H, W, 4) of one of our own samples.

        Raises:
            ValueError: If the folder has none, as the official one.
        """
        return read_exr(self._path("foreground", self.indices[position], "exr"), "RGBA")

    def factors(self, position: int) -> dict[str, Any]:
        """What the generator sampled; empty for the official data."""
        path = self.root / f"factors_{self.indices[position]:07d}.json"
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    def split(self, name: str, validation_share: float = 0.05) -> list[int]:
        """Positions of the train or the validation split, drawn by a hash of the index.

        The hash does not change when samples are added, so no sample ever moves between the splits.
        """
        if name not in ("train", "validation"):
            raise ValueError(f"expected split 'train' or 'validation', got {name!r}")
        wanted = name == "validation"
        return [
            position
            for position, index in enumerate(self.indices)
            if (_hash_share(index) < validation_share) == wanted
        ]

    def _path(self, kind: str, index: int, suffix: str) -> Path:
        path = self.root / f"{kind}_{index:07d}.{suffix}"
        if not path.is_file():
            raise ValueError(
                f"{path}: missing; the sample is incomplete, download or make it again"
            )
        return path


def _hash_share(index: int) -> float:
    digest = hashlib.sha256(f"{index:07d}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _read_png(path: Path, mode: str) -> Array:
    with Image.open(path) as image:
        return np.asarray(image.convert(mode), np.float32) / np.float32(255)


def read_exr(path: Path, channels: str) -> Array:
    """Channels of an EXR file, (H, W, len(channels)) float32, in the order asked for.

    Raises:
        ValueError: If a channel is missing.
    """
    import OpenEXR

    found = OpenEXR.File(str(path), separate_channels=True).channels()
    missing = [name for name in channels if name not in found]
    if missing:
        raise ValueError(f"{path}: expected channels {list(channels)}, found {sorted(found)}")
    return np.stack([found[name].pixels.astype(np.float32) for name in channels], -1)


def check_normals_frame(normals: Array, mask: np.ndarray, name: str) -> None:
    """Refuse normals that do not face the camera: the channel order or the frame is wrong.

    Raises:
        ValueError: If, over `mask`, the third channel is not the one with the largest, positive
            mean.
    """
    if not mask.any():
        return
    mean = normals[mask].mean(0)
    # A figure seen from high above may have more Y than Z: only a clear contradiction is refused.
    if mean[2] <= 0 or mean[2] < mean.max() - 0.2:
        raise ValueError(
            f"{name}: expected normals X right, Y up, Z to the camera, so Z > 0 on average; got "
            f"means {np.round(mean, 3).tolist()}: the channel order or the frame differs"
        )
