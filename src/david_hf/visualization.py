"""Maps to pictures; the only module that knows a colour map. Arrays in, 8-bit RGB arrays out."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Far to near, dark to bright: each step up is lighter, so that depth survives a print in grey, and
# the farthest is still lighter than the backdrop, so that a person keeps their outline.
_DEPTH_COLOURS = np.array(
    [
        *[(54, 30, 116), (90, 36, 128), (124, 38, 126), (160, 46, 121), (194, 58, 112)],
        *[(223, 78, 94), (242, 108, 74), (250, 146, 66), (252, 188, 82), (250, 226, 134)],
        (252, 252, 208),
    ],
    dtype=np.float32,
)
# What pictures show where there is no person.
_BACKDROP = np.array([22, 22, 26], dtype=np.float32)
_GUTTER = 255
_LABEL_HEIGHT = 22
# Rows coloured at a time: few enough for the processor's cache, which makes large photos twice as
# fast, and their float copies never fill gigabytes.
_ROWS_PER_BLOCK = 32
# A percentile of this many pixels is as good as one of all.
_RANGE_SAMPLES = 1_000_000


def depth_lookup_table() -> np.ndarray:
    """Colours for depth from 0 (far) to 255 (near), uint8, shape (256, 3)."""
    anchors = np.linspace(0, 255, len(_DEPTH_COLOURS))
    levels = np.arange(256)
    channels = [np.interp(levels, anchors, _DEPTH_COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def depth_range(depth: np.ndarray, alpha: np.ndarray | None = None) -> tuple[float, float]:
    """Least and greatest depth to show, of the foreground if there is one, else of all pixels.

    Args:
        depth: Relative depth, shape (H, W).
        alpha: Foreground in [0, 1], shape (H, W). Half a percent of its pixels at either end is
            left out, for these are mixed with the background.
    """
    step = max(1, math.isqrt(depth.size // _RANGE_SAMPLES))
    sampled = depth[::step, ::step]
    if alpha is not None and (foreground := sampled[alpha[::step, ::step] > 0.5]).size > 0:
        far, near = np.percentile(foreground, [0.5, 99.5])
        return float(far), float(near)
    return float(depth.min()), float(depth.max())


def colorize_depth(depth: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
    """Paint depth, near = bright.

    Args:
        depth: Relative depth, larger = nearer, shape (H, W).
        alpha: Foreground in [0, 1], shape (H, W). With it, colours span the depth of the
            foreground, and the background, whose depth means nothing, fades to a backdrop.

    Returns:
        Picture, uint8, shape (H, W, 3).
    """
    far, near = depth_range(depth, alpha)
    scale = 255.0 / (near - far) if near > far else 0.0
    table, picture = depth_lookup_table(), np.empty((*depth.shape, 3), np.uint8)
    for rows in _blocks(depth.shape[0]):
        levels = ((depth[rows] - far) * scale).clip(0.0, 255.0).astype(np.uint8)
        picture[rows] = _fade(table[levels], None if alpha is None else alpha[rows])
    return picture


def colorize_normals(normals: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
    """Paint normals as colours: red = X right, green = Y up, blue = Z to the camera, (n + 1) / 2.

    Args:
        normals: Unit normals, shape (3, H, W).
        alpha: Foreground in [0, 1], shape (H, W); with it, the background fades to a backdrop.

    Returns:
        Picture, uint8, shape (H, W, 3).
    """
    picture = np.empty((*normals.shape[1:], 3), np.uint8)
    for rows in _blocks(picture.shape[0]):
        colours = np.moveaxis((normals[:, rows] + 1.0) * 127.5, 0, -1).clip(0.0, 255.0)
        picture[rows] = _fade(colours.round(), None if alpha is None else alpha[rows])
    return picture


def colorize_error(error: np.ndarray, largest: float) -> np.ndarray:
    """Paint errors, none = dark, `largest` and more = bright.

    Args:
        error: 0 or more, shape (H, W).
        largest: Above 0.

    Returns:
        Picture, uint8, shape (H, W, 3).
    """
    levels = (error * (255.0 / largest)).clip(0.0, 255.0).astype(np.uint8)
    return depth_lookup_table()[levels]


def alpha_to_grey(alpha: np.ndarray) -> np.ndarray:
    """Turn a foreground in [0, 1] into grey of any shape, uint8, white = foreground."""
    return (alpha.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)


def checkerboard(height: int, width: int, square: int = 16) -> np.ndarray:
    """Light grey squares, the customary sign of transparency, uint8, shape (height, width, 3)."""
    rows, columns = np.arange(height)[:, None] // square, np.arange(width)[None] // square
    grey = np.where((rows + columns) % 2 == 0, 255, 204).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def composite(image: np.ndarray, alpha: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Lay the foreground of an image over a background.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        alpha: Foreground in [0, 1], shape (H, W).
        background: RGB, uint8, shape (H, W, 3).

    Returns:
        RGB, uint8, shape (H, W, 3).
    """
    weight = alpha.astype(np.float32)[..., None]
    return (image * weight + background * (1.0 - weight)).round().astype(np.uint8)


def overview(panels: Sequence[tuple[str, np.ndarray]], gutter: int = 4) -> np.ndarray:
    """Put labelled pictures side by side.

    Args:
        panels: Labels and RGB pictures, uint8, all of one shape (H, W, 3).
        gutter: Width of the white lines between pictures, in pixels.

    Returns:
        One picture, uint8, labels in a strip above.

    Raises:
        ValueError: If the pictures differ in shape or there are none.
    """
    shapes = {picture.shape for _, picture in panels}
    if len(shapes) != 1:
        raise ValueError(f"an overview needs pictures of one shape, got {sorted(shapes)}")
    height, width, _ = shapes.pop()
    total = len(panels) * (width + gutter) - gutter
    strip = Image.new("RGB", (total, height + _LABEL_HEIGHT), (_GUTTER,) * 3)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(14)
    for index, (label, picture) in enumerate(panels):
        left = index * (width + gutter)
        strip.paste(Image.fromarray(picture), (left, _LABEL_HEIGHT))
        if font.getlength(label) < width:
            draw.text((left + 2, 2), label, fill=(40, 40, 40), font=font)
    return np.array(strip)


def _fade(colours: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    if alpha is None:
        return colours
    return ((colours - _BACKDROP) * alpha[..., None] + _BACKDROP).round()


def _blocks(rows: int) -> list[slice]:
    return [slice(start, start + _ROWS_PER_BLOCK) for start in range(0, rows, _ROWS_PER_BLOCK)]
