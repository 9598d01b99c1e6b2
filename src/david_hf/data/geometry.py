"""Geometric augmentations of DAViD, appendix B.6: picture, labels and camera move together."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .augmentations import check_ranges
from .rows import lengths
from .sample import Array, HumanSample

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """How a picture comes into a square, about its centre.

    Attributes:
        zoom: 1 fits the longer side.
        shift: Rightwards and downwards, in sides of the square.
        angle: Clockwise as seen, radians.
        mirror: Whether left and right are exchanged first.
    """

    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    mirror: bool = False


@dataclass(frozen=True)
class GeometricAugmentations:
    """How placements are drawn. The paper names scale and shift; all numbers are our choice.

    Attributes:
        zoom: Smallest and largest zoom, drawn evenly in its logarithm.
        zoom_probability: How often the zoom is not 1.
        shift: Largest shift along each axis, in sides of the square.
        shift_probability: How often there is one.
        rotation_deg: Largest angle.
        rotation_probability: How often there is one.
        mirror_probability: How often left and right are exchanged.
    """

    zoom: tuple[float, float] = (0.7, 1.6)
    zoom_probability: float = 0.8
    shift: float = 0.15
    shift_probability: float = 0.8
    rotation_deg: float = 12.0
    rotation_probability: float = 0.3
    mirror_probability: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: If a probability or a range is none.
        """
        check_ranges(self)

    def draw(self, rng: np.random.Generator) -> Placement:
        """A placement; the same numbers are drawn whatever comes of them."""
        low, high = np.log(self.zoom)
        zoom, angle = np.exp(rng.uniform(low, high)), np.radians(self.rotation_deg)
        shift, angle = rng.uniform(-self.shift, self.shift, 2), rng.uniform(-angle, angle)
        zooms, shifts, turns, mirrors = rng.random(4)
        return Placement(
            float(zoom) if zooms < self.zoom_probability else 1.0,
            (float(shift[0]), float(shift[1])) if shifts < self.shift_probability else (0.0, 0.0),
            float(angle) if turns < self.rotation_probability else 0.0,
            bool(mirrors < self.mirror_probability),
        )


# Above it, bilinear sampling hardly aliases: each pixel still has its part in the result.
SHRUNK_BELOW = 2 / 3
Move = Callable[[Array, bool], Array]


def shrink(sample: HumanSample, longest: float) -> HumanSample:
    """Shrink a sample by areas, which does not alias, if its longer side is much longer than that.

    Args:
        sample: Any size.
        longest: Pixels.
    """
    scale = longest / max(sample.size)
    return sample if scale > SHRUNK_BELOW else scale_down(sample, scale)


def scale_down(sample: HumanSample, scale: float) -> HumanSample:
    """Scale picture, labels and camera by areas.

    Args:
        sample: Any size.
        scale: Above 0, at most 1.
    """
    height, width = sample.size
    small = (max(1, round(width * scale)), max(1, round(height * scale)))

    def move(maps: Array, repeat_border: bool) -> Array:
        return _float32(cv2.resize(maps, small, interpolation=cv2.INTER_AREA))

    scales = np.diag([small[0] / width, small[1] / height, 1.0])
    intrinsics = None if sample.intrinsics is None else scales @ sample.intrinsics
    return replace(_move_maps(sample, move), intrinsics=intrinsics)


def place_in_square(sample: HumanSample, side: int, placement: Placement) -> HumanSample:
    """Bring a sample into a square.

    What lies beyond the picture repeats its border, in alpha, too; depth and normals are not valid
    there. Depth stays in metres: zooming changes the focal length, not the distance.

    Args:
        sample: Any size.
        side: Pixels.
        placement: Where to.
    """
    sample = shrink(sample, side * placement.zoom)
    affine = _affine(sample.size, side, placement)
    # cv2 puts the centre of the first pixel at 0, we at one half.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    matrix = (np.linalg.inv(half) @ affine @ half)[:2]

    def move(maps: Array, repeat_border: bool) -> Array:
        border = cv2.BORDER_REPLICATE if repeat_border else cv2.BORDER_CONSTANT
        return _float32(cv2.warpAffine(maps, matrix, (side, side), borderMode=border))

    moved = _move_maps(sample, move, _turn(placement))
    camera = None if sample.intrinsics is None else _camera(sample.intrinsics, affine, placement)
    return replace(moved, intrinsics=camera)


def _move_maps(sample: HumanSample, move: Move, turn: Matrix | None = None) -> HumanSample:
    """Resample every map, and turn normals.

    Depth and normals do not mix with what is unknown: there they are zero, and so is their share.
    Maps are moved four channels at a time, for which OpenCV is several times as fast as for three.
    """
    known = sample.valid.astype(np.float32)
    picture = move(_merged(sample.image, known if sample.alpha is None else sample.alpha), True)
    alpha = depth = normals = None
    if sample.alpha is not None:
        alpha = picture[..., 3]
    if sample.normals is not None:
        moved = move(_merged(sample.normals, known), False)
        share, summed = moved[..., 3], np.ascontiguousarray(moved[..., :3])
        if turn is not None:
            summed = _float32(cv2.transform(summed, turn))
        length = lengths(summed)
        scale = _float32((share > 0.5) / np.maximum(length, np.float32(1e-6)))
        normals = summed * scale[..., None]
    else:
        share = move(known, False)
    if sample.depth_m is not None:
        scale = _float32((share > 0.5) / np.maximum(share, np.float32(0.5)))
        depth = move(sample.depth_m, False) * scale
    return replace(
        sample,
        image=picture[..., :3],
        alpha=alpha,
        depth_m=depth,
        normals=normals,
        valid=share > 0.5,
    )


def _merged(maps: Array, fourth: Array) -> Array:
    """(H, W, 4) of (H, W, 3) and (H, W)."""
    return _float32(cv2.merge([maps, fourth]))


def _rotation(angle: float) -> Matrix:
    """(3, 3): clockwise as seen, for x to the right and y down."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])


def _affine(size: tuple[int, int], side: int, placement: Placement) -> Matrix:
    """(3, 3): pixels of the picture to pixels of the square; centres are at one half."""
    height, width = size
    scale = side / max(height, width) * placement.zoom
    extent = scale * np.array([width, height])
    # Whole pixels: a picture that only needs padding is not resampled, and is padded as the image
    # processor does it.
    corner = np.floor((side - extent) / 2 + 1e-6)
    centre = corner + extent / 2 + side * np.array(placement.shift)
    to_centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1.0]])
    scaled = np.diag([-scale if placement.mirror else scale, scale, 1.0])
    to_place = np.array([[1, 0, centre[0]], [0, 1, centre[1]], [0, 0, 1.0]])
    return np.asarray(to_place @ _rotation(placement.angle) @ scaled @ to_centre)


def _turn(placement: Placement) -> Matrix:
    """(3, 3): mirrors and turns normals as the picture; they have y up."""
    mirror = np.diag([-1.0 if placement.mirror else 1.0, 1, 1])
    return np.asarray(_rotation(-placement.angle) @ mirror)


def _camera(intrinsics: Matrix, affine: Matrix, placement: Placement) -> Matrix:
    """The camera that takes the moved picture: it rolls, and of a mirrored world."""
    mirror = np.diag([-1.0 if placement.mirror else 1.0, 1, 1])
    return np.asarray(affine @ intrinsics @ mirror @ _rotation(placement.angle).T)


def _float32(values: Any) -> Array:
    return np.asarray(values, np.float32)
