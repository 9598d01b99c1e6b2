"""A picture of many samples with their labels, for people."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from david_hf.data.sample import HumanSample
from david_hf.data.synthhuman import SynthHumanFolder

from .folder import whole_file

SHEET_NAME = "contact_sheet.jpg"  # of a run
PANEL_HEIGHT = 160
GAP = 4


def write_contact_sheet(folder: Path, path: Path, count: int = 48, columns: int = 3) -> Path:
    """Write picture, alpha, depth and normals of samples that are spread evenly over a folder.

    Args:
        folder: Folder of samples, ours or the official ones.
        path: Picture to write, of a format that Pillow knows by its suffix.
        count: Most samples to show.
        columns: Samples beside each other.

    Returns:
        The path.

    Raises:
        ValueError: If the folder holds no sample, or the suffix is unknown.
    """
    samples = SynthHumanFolder(folder)
    shown = min(count, len(samples))
    positions = np.linspace(0, len(samples) - 1, shown).round().astype(int)
    tiles = [_tile(samples[int(position)]) for position in positions]
    height = max(tile.shape[0] for tile in tiles) + GAP
    width = max(tile.shape[1] for tile in tiles) + 2 * GAP
    columns = min(columns, shown)
    sheet = np.full((-(-shown // columns) * height + GAP, columns * width, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * height + GAP, number % columns * width + GAP
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    with whole_file(path) as unfinished:
        Image.fromarray(sheet).save(unfinished)
    return path


def _tile(sample: HumanSample) -> NDArray[np.uint8]:
    """Four panels side by side, (PANEL_HEIGHT, W, 3)."""
    alpha = np.repeat(sample.alpha[..., None], 3, -1)
    depth = np.repeat(_near_bright(sample)[..., None], 3, -1)
    normals = (sample.normals + 1) / 2 * sample.valid[..., None]
    return np.concatenate([_panel(maps) for maps in (sample.image, alpha, depth, normals)], 1)


def _near_bright(sample: HumanSample) -> NDArray[np.floating]:
    """Depth (H, W) in [0, 1] over the people's own range, 1 nearest, 0 where nobody is."""
    if not sample.foreground.any():
        return np.zeros_like(sample.depth_m)
    near, far = np.percentile(sample.depth_m[sample.foreground], [1, 99])
    share = np.clip((far - sample.depth_m) / max(float(far - near), 1e-6), 0, 1)
    return np.asarray((0.15 + 0.85 * share) * sample.valid)


def _panel(maps: NDArray[np.floating]) -> NDArray[np.uint8]:
    height, width = maps.shape[:2]
    pixels = (np.clip(maps, 0, 1) * 255).round().astype(np.uint8)
    size = max(1, round(width * PANEL_HEIGHT / height)), PANEL_HEIGHT
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
