"""One photo's maps as files: exact ones for programs, coloured ones for people."""

from pathlib import Path

import numpy as np
from PIL import Image

from .image_io import write_npy, write_png
from .predictor import Prediction
from .visualization import (
    alpha_to_grey,
    checkerboard,
    colorize_depth,
    colorize_normals,
    composite,
    depth_range,
    overview,
)

# Longer side in pixels of each picture in the overview.
_PANEL_SIDE = 480


def write_maps(folder: Path, name: str, photo: np.ndarray, prediction: Prediction) -> list[Path]:
    """Write every file of one photo.

    Args:
        folder: Where to write; it must exist.
        name: Start of the file names.
        photo: The photo, RGB, uint8, shape (H, W, 3).
        prediction: Its maps, all of shape (H, W); those that are None are left out.

    Returns:
        The files written.
    """
    depth, normals, alpha = prediction.depth, prediction.normals, prediction.alpha
    panels = [("photo", _panel(photo))]
    written: list[Path] = []

    def save(kind: str, pixels: np.ndarray) -> None:
        written.append(folder / f"{name}_{kind}.png")
        write_png(written[-1], pixels)

    if depth is not None:
        save("depth", depth_to_uint16(depth, alpha))
        written.append(folder / f"{name}_depth.npy")
        write_npy(written[-1], depth)
        coloured = colorize_depth(depth, alpha)
        save("depth_color", coloured)
        panels.append(("depth", _panel(coloured)))
    if normals is not None:
        save("normals", normals_to_uint16(normals))
        coloured = colorize_normals(normals, alpha)
        save("normals_color", coloured)
        panels.append(("normals", _panel(coloured)))
    if alpha is not None:
        grey = alpha_to_grey(alpha)
        save("alpha", grey)
        save("cutout", np.dstack([photo, grey]))
        panels.append(("foreground", _cutout_panel(photo, grey)))
    save("overview", overview(panels))
    return written


def depth_to_uint16(depth: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
    """Stretch relative depth (H, W) over 0 (farthest) to 65535 (nearest); a flat map becomes 0.

    With an alpha, the range is that of the foreground and what lies outside is clipped: the depth
    of the background means nothing, and would take most of the range.
    """
    far, near = depth_range(depth, alpha)
    scale = 65535.0 / (near - far) if near > far else 0.0
    return ((depth - far) * scale).clip(0.0, 65535.0).round().astype(np.uint16)


def normals_to_uint16(normals: np.ndarray) -> np.ndarray:
    """Map normals (3, H, W) from -1..1 to 0..65535, shape (H, W, 3): red X, green Y, blue Z."""
    pixels = np.empty((*normals.shape[1:], 3), np.uint16)
    for row in range(len(pixels)):  # one at a time: float copies of large maps fill gigabytes
        pixels[row] = ((normals[:, row].T + 1.0) * 32767.5).clip(0.0, 65535.0).round()
    return pixels


def _panel(picture: np.ndarray) -> np.ndarray:
    """Resize a picture (H, W) or (H, W, 3) for the overview."""
    height, width = picture.shape[:2]
    scale = _PANEL_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _cutout_panel(photo: np.ndarray, grey: np.ndarray) -> np.ndarray:
    small_photo, small_grey = _panel(photo), _panel(grey)
    background = checkerboard(*small_grey.shape)
    return composite(small_photo, small_grey / np.float32(255.0), background)
