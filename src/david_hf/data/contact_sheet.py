"""A picture of many samples with their labels, for people."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from david_hf.atomic import whole_file

from .sample import Array, HumanSample

PANEL_HEIGHT = 160
GAP = 4


def write_contact_sheet(
    samples: Sequence[HumanSample], path: Path, count: int = 48, columns: int = 3
) -> Path:
    """Write picture, alpha, depth and normals of samples that are spread evenly over a data set.

    What a sample lacks is left grey.

    Args:
        samples: A source, or any other sequence.
        path: Picture to write, of a format that Pillow knows by its suffix.
        count: Most samples to show.
        columns: Samples beside each other.

    Returns:
        The path.

    Raises:
        ValueError: If there is no sample, or the suffix is unknown.
    """
    shown = min(count, len(samples))
    if not shown:
        raise ValueError("expected samples to show, got none")
    picture_format = Image.registered_extensions().get(path.suffix.lower())
    if picture_format not in Image.SAVE:
        raise ValueError(f"{path}: expected a picture such as sheet.jpg or sheet.png")
    positions = np.linspace(0, len(samples) - 1, shown).round().astype(int)
    tiles = [_tile(samples[int(position)]) for position in positions]
    height = max(tile.shape[0] for tile in tiles) + GAP
    width = max(tile.shape[1] for tile in tiles) + 2 * GAP
    columns = min(columns, shown)
    sheet = np.full((-(-shown // columns) * height + GAP, columns * width, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * height + GAP, number % columns * width + GAP
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    with whole_file(path) as file:
        Image.fromarray(sheet).save(file, picture_format)
    return path


def _tile(sample: HumanSample) -> NDArray[np.uint8]:
    """Four panels side by side, (PANEL_HEIGHT, W, 3)."""
    unknown = np.full((*sample.size, 3), 0.5, np.float32)
    alpha = depth = normals = unknown
    if sample.alpha is not None:
        alpha = np.repeat(sample.alpha[..., None], 3, -1)
    if sample.depth_m is not None:
        depth = np.repeat(_near_bright(sample, sample.depth_m)[..., None], 3, -1)
    if sample.normals is not None:
        shown = (sample.normals + 1) / 2 * sample.valid[..., None]
        normals = shown.astype(np.float32)
    return np.concatenate([_panel(maps) for maps in (sample.image, alpha, depth, normals)], 1)


def _near_bright(sample: HumanSample, depth_m: Array) -> Array:
    """Depth (H, W) in [0, 1] over the people's own range, 1 nearest, 0 where nobody is."""
    if not sample.foreground.any():
        return np.zeros_like(depth_m)
    near, far = np.percentile(depth_m[sample.foreground], [1, 99])
    share = np.clip((far - depth_m) / max(float(far - near), 1e-6), 0, 1)
    return np.asarray((0.15 + 0.85 * share) * sample.valid, np.float32)


def _panel(maps: Array) -> NDArray[np.uint8]:
    height, width = maps.shape[:2]
    pixels = (np.clip(maps, 0, 1) * 255).round().astype(np.uint8)
    size = max(1, round(width * PANEL_HEIGHT / height)), PANEL_HEIGHT
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
