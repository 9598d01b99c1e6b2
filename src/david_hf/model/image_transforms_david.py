# Copyright 2026 The david_hf authors. MIT licence.
"""Pixel arithmetic of the official DAViD runtime in plain torch, shared by both image processors.

The runtime pads with `cv2.copyMakeBorder`, halves with `cv2.pyrDown` and resizes with `cv2.resize`.
Each of these makes an output pixel from a few weighted input pixels along each axis, so each is
written here as a table of `Taps`, and one function, `resample`, applies any of them. Only torch is
needed, on any device.

`torch.nn.functional.interpolate` has the same formulas but computes positions in single precision,
which moves detailed maps by more than 1e-4. OpenCV's usual builds (with IPP) use double precision,
as here.
"""

from typing import Literal, NamedTuple

import torch

Interpolation = Literal["linear", "cubic"]

_ROWS_PER_BLOCK = 64
# The long side of pictures longer than this times their short one is shrunk first: halved in both
# directions, the padded picture would still be larger than the picture itself.
_STRIP = 4


class Taps(NamedTuple):
    """Which source pixels, with which weights, make each output pixel along one axis.

    Attributes:
        indices: Source positions, int64, shape (N, K) for N output pixels of K taps each.
        weights: Their weights, float32, shape (N, K); each row sums to 1.
    """

    indices: torch.Tensor
    weights: torch.Tensor

    def cut(self, start: int, length: int) -> "Taps":
        """Keep `length` output pixels from `start` on."""
        return Taps(*(table[start : start + length] for table in self))


def interpolation_taps(source: int, target: int, kind: Interpolation) -> Taps:
    """Half-pixel interpolation without antialiasing and with clamped borders (`cv2.resize`).

    Args:
        source: Length of the axis before.
        target: Length of the axis after.
        kind: "linear", or "cubic" with a = -0.75.
    """
    position = (torch.arange(target, dtype=torch.float64) + 0.5) * (source / target) - 0.5
    base = position.floor()
    fraction = position - base
    if kind == "linear":
        offsets, weights = torch.arange(2), torch.stack([1.0 - fraction, fraction], dim=1)
    else:
        offsets, weights = torch.arange(-1, 3), _cubic_weights(fraction)
    return Taps((base.long()[:, None] + offsets).clamp(0, source - 1), weights.float())


def _cubic_weights(fraction: torch.Tensor, a: float = -0.75) -> torch.Tensor:
    """Weights (N, 4) of the pixels at -1, 0, 1, 2 for positions (N,) in [0, 1) (Keys, 1981)."""
    outer, inner = fraction + 1.0, 1.0 - fraction
    before = ((a * outer - 5 * a) * outer + 8 * a) * outer - 4 * a
    left = ((a + 2) * fraction - (a + 3)) * fraction * fraction + 1
    right = ((a + 2) * inner - (a + 3)) * inner * inner + 1
    return torch.stack([before, left, right, 1.0 - before - left - right], dim=1)


def pyramid_taps(source: int) -> Taps:
    """Halve an axis to (source + 1) // 2, 5-tap binomial with mirrored borders (`cv2.pyrDown`)."""
    target = (source + 1) // 2
    indices = 2 * torch.arange(target)[:, None] + torch.arange(-2, 3)
    last = source - 1
    mirrored = last - (last - indices.abs()).abs()
    weights = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    return Taps(mirrored, weights.expand(target, 5))


def resample(maps: torch.Tensor, rows: Taps, columns: Taps) -> torch.Tensor:
    """Apply one table to the height and one to the width of float32 maps of shape (..., H, W)."""
    height, width = len(rows.indices), len(columns.indices)
    result = maps.new_empty(*maps.shape[:-2], height, width)
    # A block of rows at a time, so that a large photo needs no more memory than its result.
    for start in range(0, height, _ROWS_PER_BLOCK):
        block = _apply_taps(maps, rows.cut(start, _ROWS_PER_BLOCK), dim=-2)
        result[..., start : start + _ROWS_PER_BLOCK, :] = _apply_taps(block, columns, dim=-1)
    return result


def _apply_taps(maps: torch.Tensor, taps: Taps, dim: int) -> torch.Tensor:
    indices, weights = taps.indices.to(maps.device), taps.weights.to(maps.device)
    if dim == -2:
        weights = weights[:, :, None]
    total = maps.index_select(dim, indices[:, 0]) * weights[:, 0]
    for tap in range(1, indices.shape[1]):
        total.addcmul_(maps.index_select(dim, indices[:, tap]), weights[:, tap])
    return total


class Frame(NamedTuple):
    """The frame that an image fills before resizing; a pure function of the image's size.

    Attributes:
        height: Height with padding, in pixels.
        width: Width with padding, in pixels.
        top: Rows added above; the rest is added below.
        left: Columns added at the left; the rest is added at the right.
    """

    height: int
    width: int
    top: int
    left: int

    @classmethod
    def around(cls, height: int, width: int, *, pad: bool) -> "Frame":
        """Centre an image in a square, an odd pixel going to the bottom or right, or not pad."""
        if not pad:
            return cls(height, width, 0, 0)
        side = max(height, width)
        return cls(side, side, (side - height) // 2, (side - width) // 2)


def shrink_to_input(
    plane: torch.Tensor, size: tuple[int, int] | None, kind: Interpolation, *, pad: bool
) -> torch.Tensor:
    """Bring one colour plane to the size of the network's input.

    The plane is padded to a square by replicating its borders, halved while both sides exceed three
    times the wanted ones, then interpolated.

    Args:
        plane: One channel of an image, float32, shape (H, W).
        size: Wanted (height, width), or None to stop after padding.
        kind: Interpolation of the last step; the official runtime uses "linear".
        pad: Whether to pad to a square first.

    Returns:
        Plane of shape `size`, float32.
    """
    height, width = plane.shape
    frame = Frame.around(height, width, pad=pad)
    halvings = 0 if size is None else _count_halvings(frame, size)
    target_height, target_width = size or (frame.height, frame.width)
    rows = _axis_stages(height, frame.top, frame.height, target_height, halvings, kind)
    columns = _axis_stages(width, frame.left, frame.width, target_width, halvings, kind)
    if frame.height * frame.width > _STRIP * height * width:
        for dim in sorted((-2, -1), key=lambda dim: plane.shape[dim], reverse=True):
            for taps in rows if dim == -2 else columns:
                plane = _apply_taps(plane, taps, dim)
        return plane
    for row_taps, column_taps in zip(rows, columns, strict=True):
        plane = resample(plane, row_taps, column_taps)
    return plane


def restore_to_image(maps: torch.Tensor, height: int, width: int, *, pad: bool) -> torch.Tensor:
    """Undo `shrink_to_input` for maps of the network: cubic to the padded frame, padding cut off.

    Args:
        maps: Maps of shape (C, h, w), float32.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        pad: Whether the image was padded to a square.

    Returns:
        Maps of shape (C, height, width), float32.
    """
    frame = Frame.around(height, width, pad=pad)
    rows = interpolation_taps(maps.shape[-2], frame.height, "cubic")
    columns = interpolation_taps(maps.shape[-1], frame.width, "cubic")
    # The cut comes before the work: a padding pixel is never computed.
    return resample(maps, rows.cut(frame.top, height), columns.cut(frame.left, width))


def _count_halvings(frame: Frame, size: tuple[int, int]) -> int:
    """Count the `cv2.pyrDown` steps: one while both sides exceed three times the wanted ones."""
    height, width, halvings = frame.height, frame.width, 0
    while height > 3 * size[0] and width > 3 * size[1]:
        height, width, halvings = (height + 1) // 2, (width + 1) // 2, halvings + 1
    return halvings


def _axis_stages(
    length: int, before: int, padded: int, target: int, halvings: int, kind: Interpolation
) -> list[Taps]:
    """Tables that pad an axis of `length`, halve it, and interpolate it to `target` pixels."""
    stages, current = [], padded
    for _ in range(halvings):
        stages.append(pyramid_taps(current))
        current = (current + 1) // 2
    stages.append(interpolation_taps(current, target, kind))
    # Padding only repeats border pixels: the first table reads them where they are, so that the
    # padded image, the largest of all, is never stored.
    source = (torch.arange(padded) - before).clamp(0, length - 1)
    stages[0] = Taps(source[stages[0].indices], stages[0].weights)
    return stages
