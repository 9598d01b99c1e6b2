"""New pictures from rendered figures: one to four people, placed anew, before any background.

A renderer is slow and a composition is free: the premultiplied foreground of each render can be
scaled, turned, mirrored and put before thousands of backgrounds, alone or with others, while depth,
normals and alpha follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from .colour import develop
from .sample import Array, HumanSample
from .sources.synthhuman import SynthHuman

BORDER_SHARE = 0.02  # a figure touches an edge if it covers more of it than this


@dataclass(frozen=True)
class Figure:
    """A rendered figure without background.

    Attributes:
        layers: (8, H, W) float16: premultiplied linear RGB, alpha, and depth (metres) and normals
            times `weight`. The weight itself is alpha where the labels are valid: it is recovered
            as alpha.
        focal_px: Focal length.
        cut: Whether the figure is cut by the left, top, right, bottom edge of its own picture.
        box: Left, top, right, bottom of its visible pixels.
    """

    layers: torch.Tensor
    focal_px: float
    cut: tuple[bool, bool, bool, bool]
    box: tuple[int, int, int, int]


def load_figure(folder: SynthHuman, position: int) -> Figure:
    """Read a figure of our own generator.

    Raises:
        ValueError: If the sample has no foreground layer, lacks a label, or shows nobody.
    """
    sample, rgba = folder[position], folder.foreground(position)
    if sample.depth_m is None or sample.normals is None or sample.intrinsics is None:
        raise ValueError(f"{folder.root} sample {sample.identifier}: expected every label")
    alpha = np.where(sample.valid, rgba[..., 3], 0)
    colour = rgba[..., :3] * sample.valid[..., None]
    stack = np.concatenate(
        [
            colour,
            alpha[..., None],
            (sample.depth_m * alpha)[..., None],
            sample.normals * alpha[..., None],
        ],
        -1,
    )
    visible = alpha > 0.1
    if not visible.any():
        raise ValueError(f"{folder.root} sample {sample.identifier}: nobody is visible")
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    edges = (visible[:, 0], visible[0], visible[:, -1], visible[-1])
    cut = tuple(bool(edge.mean() > BORDER_SHARE) for edge in edges)
    return Figure(
        torch.from_numpy(stack.transpose(2, 0, 1).astype(np.float16)),
        float(sample.intrinsics[1, 1]),
        (cut[0], cut[1], cut[2], cut[3]),
        (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1),
    )


@dataclass(frozen=True)
class FigurePlacement:
    """Similarity from a figure's pixels to the frame's: scale, turn (radians), shift."""

    scale: float
    angle: float
    shift: tuple[float, float]
    mirror: bool


def place(figure: Figure, rng: np.random.Generator, size: tuple[int, int]) -> FigurePlacement:
    """A place in a frame of `size` (H, W) where edges that cut it stay out of sight."""
    height, width = size
    _, layer_height, layer_width = figure.layers.shape
    mirror = bool(rng.random() < 0.5)
    left, top, right, bottom = figure.box
    cut_left, cut_top, cut_right, cut_bottom = figure.cut
    if mirror:
        left, right = layer_width - right, layer_width - left
        cut_left, cut_right = cut_right, cut_left
    is_whole = not any(figure.cut)
    low, high = (0.4, 1.9) if is_whole else (0.55, 1.35)
    scale = float(np.exp(rng.uniform(np.log(low), np.log(high)))) * height / (bottom - top)
    if cut_left and cut_right:
        scale = max(scale, 1.01 * width / layer_width)
    if cut_top and cut_bottom:
        scale = max(scale, 1.01 * height / layer_height)
    x = _shift(rng, (left * scale, right * scale), layer_width * scale, width, cut_left, cut_right)
    y = _shift(
        rng, (top * scale, bottom * scale), layer_height * scale, height, cut_top, cut_bottom
    )
    if not cut_top and top * scale + y < 0 and rng.random() < 0.9:
        # Photographers cut the legs, seldom the head. It is too tall for the frame, so its lower
        # end stays outside.
        y = -top * scale + height * rng.uniform(0.0, 0.15)
    # A turned cut edge would show: only whole figures turn.
    angle = float(rng.normal(0, 0.08)) if is_whole else 0.0
    return FigurePlacement(scale, angle, (x, y), mirror)


def _shift(
    rng: np.random.Generator,
    box: tuple[float, float],
    layer: float,
    frame: float,
    cut_low: bool,
    cut_high: bool,
) -> float:
    """Offset along one axis. A cut edge lies on or beyond the frame's edge."""
    if cut_low and cut_high:
        return float(rng.uniform(min(frame - layer, 0), 0))
    overflow = float(rng.uniform(0, 0.12)) * frame * (rng.random() < 0.5)
    if cut_low:
        return -overflow
    if cut_high:
        return frame - layer + overflow
    centre = rng.normal(0.5, 0.17) * frame
    return float(centre - (box[0] + box[1]) / 2)


def warp(figure: Figure, placement: FigurePlacement, size: tuple[int, int]) -> torch.Tensor:
    """The figure's layers (8, H, W) in the frame; normals turn and mirror with the picture."""
    height, width = size
    layers = figure.layers.float()
    if placement.mirror:
        layers = layers.flip(-1)
        layers[5] = -layers[5]
    scale = placement.scale
    while scale < 0.6:  # halve first: bilinear sampling alone would alias
        layers = _halve(layers)
        scale *= 2
    _, layer_height, layer_width = layers.shape
    cos, sin = np.cos(placement.angle), np.sin(placement.angle)
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32) + 0.5 - placement.shift[1],
        torch.arange(width, dtype=torch.float32) + 0.5 - placement.shift[0],
        indexing="ij",
    )
    centre_x, centre_y = layer_width * scale / 2, layer_height * scale / 2
    from_x = cos * (x - centre_x) + sin * (y - centre_y) + centre_x
    from_y = cos * (y - centre_y) - sin * (x - centre_x) + centre_y
    grid = torch.stack(
        [2 * from_x / (layer_width * scale) - 1, 2 * from_y / (layer_height * scale) - 1], -1
    )
    warped = F.grid_sample(layers[None], grid[None], align_corners=False)[0]
    # Picture y runs down and the normals' y up: turning the picture by +angle turns normals by
    # -angle.
    normal_x = cos * warped[5] + sin * warped[6]
    warped[6] = cos * warped[6] - sin * warped[5]
    warped[5] = normal_x
    return warped


def _halve(layers: torch.Tensor) -> torch.Tensor:
    """Means of 2 x 2 pixels, several times faster than avg_pool2d of few channels."""
    _, height, width = layers.shape
    if height % 2 or width % 2:
        layers = F.pad(layers[None], (0, width % 2, 0, height % 2), mode="replicate")[0]
    rows = layers[:, ::2] + layers[:, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def merge(layers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Put (8, H, W) layers over each other, the first is the nearest (Porter-Duff over)."""
    merged = torch.zeros_like(layers[0])
    for layer in layers:
        merged = merged + (1 - merged[3:4]) * layer
    return merged


@dataclass(frozen=True)
class Composition:
    """A composed foreground, still linear and without background.

    Attributes:
        colour: (3, H, W) premultiplied linear RGB.
        alpha: (1, H, W).
        depth_m: (H, W) metres, consistent between the figures.
        normals: (3, H, W) unit or zero.
        focal_px: Focal length of the frame.
        front: (4, H, W) premultiplied linear RGB and coverage of things before the people, or None.
    """

    colour: torch.Tensor
    alpha: torch.Tensor
    depth_m: torch.Tensor
    normals: torch.Tensor
    focal_px: float
    front: torch.Tensor | None = None

    def behind(self, colour: Array, coverage: Array) -> "Composition":
        """The same people behind a thing of a linear colour (H, W, 3) and coverage (H, W)."""
        layer = torch.from_numpy(np.concatenate([colour.transpose(2, 0, 1), coverage[None]]))
        layer[:3] *= layer[3:]
        left = 1 - layer[3:]
        front = layer if self.front is None else layer + left * self.front
        return replace(self, colour=self.colour * left, alpha=self.alpha * left, front=front)


def compose(
    figures: Sequence[Figure], rng: np.random.Generator, size: tuple[int, int]
) -> Composition:
    """Place figures in one frame; nearer ones hide farther ones.

    Scaling a figure by s is, for one camera, standing at depth / s: with f the frame's focal
    length, taken from the first figure, figure i stands at z_i * f / (f_i * s_i).
    """
    placements = [place(figure, rng, size) for figure in figures]
    focal = figures[0].focal_px * placements[0].scale
    placed = []
    for figure, placement in zip(figures, placements, strict=True):
        layer = warp(figure, placement, size)
        layer[4] *= focal / (figure.focal_px * placement.scale)
        weight = layer[3].sum()
        distance = float(layer[4].sum() / weight) if weight > 1 else float("inf")
        placed.append((distance, layer))
    placed.sort(key=lambda pair: pair[0])
    merged = merge([layer for _, layer in placed])
    coverage = merged[3].clamp(0, 1)
    # Where two figures meet, depth and normals are those of the mix; loss masks want alpha > 0.5.
    depth = merged[4] / merged[3].clamp_min(1e-3)
    # Not F.normalize, which takes five times as long along the first axis.
    length = merged[5:8].square().sum(0).sqrt()
    normals = merged[5:8] / length.clamp_min(1e-3)
    return Composition(merged[:3].clamp_min(0), coverage[None], depth, normals, focal)


def to_sample(
    composition: Composition, background: Array, identifier: str, source: str
) -> HumanSample:
    """Put a composition before a linear background (H, W, 3) and develop it to sRGB."""
    alpha = composition.alpha[0].numpy()
    colour = composition.colour.numpy().transpose(1, 2, 0)
    clear = 1 - alpha[..., None]
    if composition.front is not None:
        front = composition.front.numpy().transpose(1, 2, 0)
        colour = colour + front[..., :3]
        clear = clear - front[..., 3:]
    linear = colour + background * clear
    height, width = alpha.shape
    valid = alpha > 0.1
    focal = composition.focal_px
    return HumanSample(
        image=develop(linear).astype(np.float32),
        alpha=alpha,
        depth_m=composition.depth_m.numpy() * valid,
        normals=composition.normals.numpy().transpose(1, 2, 0) * valid[..., None],
        valid=valid,
        intrinsics=np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]),
        category="",
        identifier=identifier,
        source=source,
    )
