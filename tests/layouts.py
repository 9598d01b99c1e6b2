"""Miniature data sets of pictures and labels, in exactly the layouts that are published."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 32, 24
FOCAL_PX, DISTANCE_M = 30.0, 2.0

Pixels = NDArray[np.uint8]


def photo(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """Noise (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def matte(height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """A person of 255 with an edge of 100 on 0, (H, W)."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[8:30, 6:18] = 100
    pixels[10:28, 8:16] = 255
    return pixels


def save(path: Path, pixels: NDArray[np.generic], **options: object) -> None:
    """Write a picture of the format its name says, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def write_p3m(root: Path, split: str, levels: str = "validation", channels: int = 1) -> Path:
    """Two samples of a split of P3M-10k.

    Args:
        root: Where train/ and validation/ go.
        split: Name of the split.
        levels: Folder below `root` that holds the validation sets; "" for none.
        channels: Of the masks.

    Returns:
        The folder of the split.
    """
    folder = root / "train" if split == "train" else root / levels / split
    images = "original_image" if split == "P3M-500-NP" else "blurred_image"
    for number, stem in enumerate(("p_0a1b2c3d", "p_4e5f6071")):
        mask = matte()
        save(folder / images / f"{stem}.jpg", photo(number))
        save(
            folder / "mask" / f"{stem}.png",
            mask if channels == 1 else np.repeat(mask[..., None], channels, 2),
        )
        if split != "train":
            trimap = np.where(mask == 100, 128, mask).astype(np.uint8)
            save(folder / "trimap" / f"{stem}.png", trimap)
    return folder


def write_ppm(root: Path, images: str = "image", mattes: str = "matte") -> None:
    """Two samples of PPM-100; picture and matte are JPEG files of the same name."""
    for number, name in enumerate(("6146816_eb7b2a2b61_o.jpg", "7253492_b8d5b8a4a4_o.jpg")):
        save(root / images / name, photo(number))
        save(root / mattes / name, matte(), quality=85)


def write_cut_outs(folder: Path, count: int = 3) -> None:
    """People of PhotoMatte85: RGBA, a colour of its own each."""
    for number in range(count):
        colour = np.full((HEIGHT, WIDTH, 3), 50 * (number + 1), np.uint8)
        save(folder / f"0051115Q_000001_{number:04d}.png", np.dstack([colour, matte()]))


def write_backgrounds(folder: Path, count: int = 3) -> None:
    """Grey pictures of 20, 40, ...: PNG, so that they stay so."""
    for number in range(count):
        grey = np.full((20, 30, 3), 20 * (number + 1), np.uint8)
        save(folder / f"background_{number}.png", grey)


def plain_depth() -> NDArray[np.float32]:
    """Z-depth (H, W) in metres, 0 where nobody is."""
    return np.where(matte() == 255, np.float32(DISTANCE_M), np.float32(0))


def plain_normals() -> NDArray[np.float32]:
    """Normals (H, W, 3) of people who look up a little, 0 where nobody is."""
    facing = np.array([0, 0.6, 0.8], np.float32)
    return np.where(matte()[..., None] == 255, facing, np.float32(0))


def write_plain(root: Path) -> None:
    """A folder of two samples; the second has a picture only."""
    save(root / "images" / "anna.jpg", photo(0))
    save(root / "images" / "ben.png", photo(1))
    save(root / "alphas" / "anna.png", matte())
    for folder in ("depths", "normals", "cameras"):
        (root / folder).mkdir()
    np.save(root / "depths" / "anna.npy", plain_depth())
    np.save(root / "normals" / "anna.npy", plain_normals())
    intrinsics = [[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1]]
    np.savetxt(root / "cameras" / "anna.txt", intrinsics)
